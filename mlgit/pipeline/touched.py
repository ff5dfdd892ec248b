"""Judging what a command touched: an undeclared read fails a hermetic stage, and `repro --trace` tells of both kinds.

`trace` and `undeclared` are the two halves that this joins; nothing here changes anything.
"""

from __future__ import annotations

from pathlib import Path

from mlgit.model.stage import Stage
from mlgit.pipeline import trace
from mlgit.pipeline.known import Known
from mlgit.pipeline.undeclared import Finding, from_output, undeclared


def missed(stage: Stage, home: Path, tree: Path, known: Known, log: Path | None, tail: bytes) -> list[Finding]:
    """What a hermetic run read, or looked for in vain, and does not declare, each path once.

    Args:
        home: the user's working tree.
        tree: the scratch folder it ran in.
        log: what strace wrote; None where it is not there.
        tail: the last of what the command wrote, to be searched if strace saw nothing; empty if it ended well.
    """
    findings: tuple[Finding, ...] = ()
    if log is not None:
        start = tree / stage.wdir
        looked_for = undeclared(stage, trace.read(log, tree, start), known, missing=True)
        findings = (*looked_for, *undeclared(stage, trace.read(log, home, start), known))
    found = {one.path: one for one in findings if one.kind == "reads"}
    guesses = from_output(tail, stage, tree, known)[:1] if tail and not found else []
    return [*found.values(), *(Finding(stage, path, "reads") for path in guesses)]


def told(stage: Stage, root: Path, known: Known, log: Path) -> list[str]:
    """What a traced run in the working tree did without declaring it."""
    return [one.message for one in undeclared(stage, trace.read(log, root, root / stage.wdir), known)]
