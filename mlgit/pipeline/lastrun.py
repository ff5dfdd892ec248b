"""The run record behind a lock entry: when, for how long and with what a stage ran to give what the lock says.

Records come from stores that others write to: one is believed only if it holds exactly the lock entry at hand.
"""

from __future__ import annotations

from dataclasses import replace

from mlgit.model.lock import StageLock
from mlgit.model.runrecord import RunRecord
from mlgit.model.stage import Out, Stage
from mlgit.pipeline import runcache
from mlgit.pipeline.key import stage_key
from mlgit.store.backend import Backend


def last_run(backend: Backend, stage: Stage, entry: StageLock) -> RunRecord | None:
    """The newest record of a run of `stage` that gave `entry`; None if there is none, or its flags differed then.

    Raises:
        RemoteError, AuthError, DiskError: the store cannot be read.
    """
    key = stage_key(_as_it_ran(stage, entry), entry.deps, entry.params)
    fitting = [one for one in runcache.records(backend, key) if one.exit == 0 and one.stage == entry]
    return max(fitting, key=lambda one: one.started, default=None)


def _as_it_ran(stage: Stage, entry: StageLock) -> Stage:
    """The stage with what the lock entry says of it, as far as it has changed since."""
    declared = {out.path: out for out in stage.outs}
    outs = tuple(declared.get(path, Out(path)) for path in sorted(entry.outs))
    return replace(stage, cmd=entry.cmd, wdir=entry.wdir, env=entry.env, outs=outs)
