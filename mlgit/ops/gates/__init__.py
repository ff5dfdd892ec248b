"""Gates: may this change merge? The rules of `mlgit.yaml` judged on the metrics of two sides.

Import from the modules: `evaluate` (the verdict), `comparable` (whether two sides may be compared at all).
"""
