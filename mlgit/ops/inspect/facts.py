"""What is known of stages besides what they declare, for a drawing: their state, and how long they last took."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mlgit.pipeline.dag import Fact, state_of
from mlgit.pipeline.lastrun import last_run
from mlgit.repo import Repo


def states(repo: Repo, addresses: Collection[str]) -> dict[str, Fact]:
    """The state of each stage, as `status` sees it.

    Raises:
        InvalidError: a parameter that a stage reads is missing or malformed.
    """
    locked = repo.pipeline.project.locked
    return {
        one.address: Fact(state_of(one, locked.get(one.address)), "; ".join(change.words for change in one.changes))
        for one in repo.pipeline.status(tuple(addresses))
    }


def states_and_runs(repo: Repo, addresses: Collection[str]) -> dict[str, Fact]:
    """As `states`, with when and how long each stage last ran, where a run record tells."""
    project, backend = repo.pipeline.project, repo.workspace.store.backend
    found = states(repo, addresses)
    for address, fact in found.items():
        entry = project.locked.get(address)
        record = last_run(backend, project.stages[address], entry) if entry is not None else None
        if record is not None:
            found[address] = replace(fact, started=record.started, seconds=record.seconds)
    return found
