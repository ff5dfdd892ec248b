"""Metrics computed anew from a file of predictions, overall and by slice. Import from the module `recompute`."""
