"""The gates of one side, read; apart from judging, which needs far more, so that comparing metrics stays quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlgit.model import gatefile
from mlgit.model.gate import Gates
from mlgit.ops.compare.files import naming, stage_files

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot


def load_gates(repo: Repo, snapshot: Snapshot) -> Gates:
    """Every gate in the stage files of one side.

    Raises:
        InvalidError: a gate or a stage file is malformed; the message names file, line and side.
    """
    files = stage_files(repo, snapshot)
    found = naming(snapshot, lambda: [gatefile.decode(file.gates, file.path) for file in files])
    acknowledged = {what: now for one in found for what, now in one.acknowledged.items()}
    return Gates(tuple(gate for one in found for gate in one.rules), acknowledged)
