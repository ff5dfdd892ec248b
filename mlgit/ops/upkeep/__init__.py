"""Keeping stores healthy: collecting what nothing names, finding and mending damage."""

from mlgit.ops.upkeep.collect import Keep, collect, plan_collection
from mlgit.ops.upkeep.examine import examine

__all__ = ["Keep", "collect", "examine", "plan_collection"]
