"""Which gates judge a change; apart from judging, which needs far more, so that comparing metrics stays quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mlgit.model import gatefile
from mlgit.model.gate import Gate, Gates, elsewhere
from mlgit.model.loosening import Loosening, loosened
from mlgit.ops.compare.files import naming, stage_files

if TYPE_CHECKING:
    from mlgit.repo import Repo
    from mlgit.work.snapshot import Snapshot

ACCEPT: Final = "mlgit:accept-gate-change"
"""The label by which a maintainer lets gates be loosened."""


def load_gates(repo: Repo, snapshot: Snapshot) -> Gates:
    """Every gate in the stage files of one side.

    Raises:
        InvalidError: a gate or a stage file is malformed; the message names file, line and side.
    """
    files = stage_files(repo, snapshot)
    found = naming(snapshot, lambda: [gatefile.decode(file.gates, file.path) for file in files])
    acknowledged = {what: now for one in found for what, now in one.acknowledged.items()}
    return Gates(tuple(gate for one in found for gate in one.rules), acknowledged)


@dataclass(frozen=True, slots=True)
class Law:
    """The gates that judge a change: those of its base as well as its own.

    Attributes:
        gates: to judge by, the head's first.
        changes: what the head loosens.
        accepted: a maintainer lets that be: the head's gates alone judge.
    """

    gates: Gates
    changes: tuple[Loosening, ...] = ()
    accepted: bool = False


def find_law(repo: Repo, base: Snapshot | None, head: Snapshot, *, accept: bool, tip: Snapshot | None = None) -> Law:
    """The head's gates, and those of the base that the head takes out or loosens: no change sets its own bar lower.

    Args:
        accept: a maintainer agrees with the loosening.
        tip: where the base's branch is now. Gates that it got since the head left it judge as well: a branch is no way
            around them. That the head does not have them is no loosening.

    Raises:
        InvalidError: a gate or a stage file of a side is malformed.
    """
    own = load_gates(repo, head)
    before = load_gates(repo, base).rules if base is not None else ()
    changes = tuple(loosened(before, own.rules))
    kept = [_named(change.gate, "of the base") for change in changes]
    if tip is not None and base is not None and tip.rev != base.rev:
        later = [change.gate for change in loosened(load_gates(repo, tip).rules, own.rules)]
        kept += [_named(gate, f"of {tip.name}") for gate in later if gate not in before]
    return Law(Gates((*own.rules, *(() if accept else kept)), own.acknowledged), changes, accept)


def _named(gate: Gate, whose: str) -> Gate:
    return elsewhere(gate, f"{gate.name} ({whose})")
