"""What this machine can give to stages: processors, memory and GPUs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from mlgit.pipeline.schedule import Capacity


def capacity(jobs: int, environment: Mapping[str, str]) -> Capacity:
    """All of this machine, for `jobs` commands at a time.

    More jobs than processors are what the user asked for: then each counts as one processor.

    Args:
        environment: its `CUDA_VISIBLE_DEVICES`, if set, says which GPUs may be used.
    """
    return Capacity(jobs, max(float(os.cpu_count() or 1), float(jobs)), _memory(), _gpus(environment))


def _memory() -> int:
    """Bytes of physical memory; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def _gpus(environment: Mapping[str, str]) -> list[str]:
    """The devices by the names that CUDA knows them by: numbers, or UUIDs where the user gave those."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    try:
        names = os.listdir("/dev")
    except OSError:
        return []
    return sorted((name[len("nvidia") :] for name in names if re.fullmatch(r"nvidia[0-9]+", name)), key=int)
