"""Comparing sides: parameters, metrics and plots between any two commits, or a commit and the working tree.

Import from the modules: `values` (parameters and metrics), `plots` (which there are) and `page` (rendering them).
Nothing is imported here, so that a metrics diff does not wait for what only plots need.
"""
