"""Comparing sides: any two commits, or a commit and the working tree.

Import from the modules: `values` (parameters and metrics), `significance` (what chance explains), `data`, `models`,
`code` and `stages` (what else differs), `plots` (which there are), `page` and `reportpage` (rendering them).
Nothing is imported here, so that a metrics diff does not wait for what only plots need.
"""
