"""Gates: may this change merge? The rules of `mlgit.yaml` judged on the metrics of two sides.

Import from the modules: `base` (what is compared with), `rules` (which gates judge), `evaluate` (the verdict),
`judging` (what one rule finds), `comparable` (whether two sides may be compared at all).
"""
