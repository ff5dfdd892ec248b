"""Looking at a repository: what changed, what is tracked and how large it is. Nothing here changes anything."""

from mlgit.ops.inspect.difference import data_diff
from mlgit.ops.inspect.listing import list_paths
from mlgit.ops.inspect.status import status
from mlgit.ops.inspect.usage import usage

__all__ = ["data_diff", "list_paths", "status", "usage"]
