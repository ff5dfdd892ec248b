"""Gates: may this change merge? The rules of `mlgit.yaml` judged on the metrics of two sides."""

from mlgit.ops.gates.evaluate import default_base, evaluate, load_rules

__all__ = ["default_base", "evaluate", "load_rules"]
