"""mlgit: Git for data, models, metrics and pipelines.

The public Python API is `open`, `read`, `Repo` and `MlgitError`; each is loaded when first asked for, so that
`import mlgit` costs nothing. Their types stand in `__init__.pyi`.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

_HOMES = {"open": "mlgit.api", "read": "mlgit.api", "Repo": "mlgit.repo", "MlgitError": "mlgit.errors"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlgit' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*_HOMES, "__version__"]
