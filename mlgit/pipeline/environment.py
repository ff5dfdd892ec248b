"""The variables that a stage's command gets: those of the user, with what makes runs differ held fixed.

Hash seeds, time zones, locales and thread counts change results from one machine to the next without anybody having
said so. They are the same for every run here; a stage that wants another value says so in its own `env`. Nothing that
belongs to mlgit itself is passed on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from mlgit.model.stage import Stage

_OWN: Final = ("MLGIT_", "_MLGIT_")
_DROPPED: Final = frozenset({"LANGUAGE"})
"""GNU programs translate by this one even where `LC_ALL` is set."""

_FIXED: Final = {
    "PYTHONHASHSEED": "0",
    "TZ": "UTC",
    # macOS knows no C.UTF-8; its en_US.UTF-8 sorts by bytes too
    "LC_ALL": "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8",
    # the first moment of 1980, the earliest that a zip archive can hold
    "SOURCE_DATE_EPOCH": "315532800",
    # output reaches the log at once
    "PYTHONUNBUFFERED": "1",
    # without a fixed workspace, cuBLAS may add up in another order each time
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "JULIA_NUM_THREADS",
)
"""Sums of floats depend on how many threads share the work, so this is more than a matter of speed."""


def passed_on(inherited: Mapping[str, str]) -> dict[str, str]:
    """Those of `inherited` that commands may see."""
    return {name: value for name, value in inherited.items() if not name.startswith(_OWN) and name not in _DROPPED}


def variables(stage: Stage, inherited: Mapping[str, str], devices: Sequence[str | int] = ()) -> dict[str, str]:
    """All variables for the command of `stage`.

    Args:
        inherited: the user's own.
        devices: the GPUs it has been given, as CUDA numbers or names them; without any, those that the user's own
            `CUDA_VISIBLE_DEVICES` shows stay visible.
    """
    made = passed_on(inherited) | _FIXED
    made |= dict.fromkeys(_THREADS, str(max(1, int(stage.resources.cpus))))
    if devices:
        made["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, devices))
    return made | stage.env
