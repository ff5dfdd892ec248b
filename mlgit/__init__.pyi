from mlgit.api import open as open  # noqa: A004
from mlgit.api import read as read
from mlgit.errors import MlgitError as MlgitError
from mlgit.repo import Repo as Repo

__version__: str
