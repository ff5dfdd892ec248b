"""`repro`: which stages a command line means, and running them while somebody watches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from mlgit.cli import render, words
from mlgit.cli.options import DryRun, RemoteName, Yes
from mlgit.cli.session import Session, session_of
from mlgit.cli.sync import confirm
from mlgit.errors import StageError, UsageError

if TYPE_CHECKING:
    from mlgit.pipeline.plan import Options

app = typer.Typer(rich_markup_mode=None)


_Stages = Annotated[
    list[str] | None,
    typer.Argument(
        help="Stages, stage files or outputs; the stage file here if left out.", autocompletion=words.stages
    ),
]
_RunAnyway = Annotated[bool, typer.Option("--force", "-f", help="Run stages even if nothing changed.")]
_Single = Annotated[bool, typer.Option("--single", "-s", help="The targets alone, nothing upstream.")]
_Downstream = Annotated[bool, typer.Option("--downstream", help="The targets and what depends on them.")]
_Whole = Annotated[bool, typer.Option("--pipeline", "-p", help="All that is connected with the targets, up and down.")]
_EveryStage = Annotated[bool, typer.Option("--all", "-P", help="Every stage of the repository.")]
_Glob = Annotated[bool, typer.Option("--glob", help="Targets are patterns of stage names, as `train@*`.")]
_Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=0, help="Stages at a time, 0 for all that fit; on this machine 1 if left out."
    ),
]
_KeepGoing = Annotated[bool, typer.Option("--keep-going", "-k", help="Go on with what a failure leaves.")]
_Pull = Annotated[bool, typer.Option("--pull", help="Download what stages that must run need.")]
_Hermetic = Annotated[
    bool, typer.Option("--hermetic", help="Run each stage in a folder with nothing but what it declares.")
]
_Trace = Annotated[bool, typer.Option("--trace", help="Tell which files stages touch and do not declare.")]
_ExecutorName = Annotated[str, typer.Option("--executor", help="What runs the stages: local or ray.")]
_Address = Annotated[
    str | None,
    typer.Option("--address", help="Of the Ray cluster, HOST:PORT; by default the one this machine is part of."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object when done.")]


@app.command()
def repro(
    context: typer.Context,
    targets: _Stages = None,
    force: _RunAnyway = False,
    single: _Single = False,
    downstream: _Downstream = False,
    whole: _Whole = False,
    everything: _EveryStage = False,
    glob: _Glob = False,
    jobs: _Jobs = None,
    keep_going: _KeepGoing = False,
    pull: _Pull = False,
    hermetic: _Hermetic = False,
    trace: _Trace = False,
    executor: _ExecutorName = "local",
    address: _Address = None,
    remote: RemoteName = None,
    yes: Yes = False,
    json: _Json = False,
    dry_run: DryRun = False,
) -> None:
    """Bring stages up to date: run what changed, skip the rest."""
    _refuse(context.params)
    from mlgit.pipeline.plan import Options

    session = session_of(context)
    if remote is not None:
        session.repo.config.pick(remote)
    options = Options(
        targets=_targets(session, targets or [], everything=everything, glob=glob, whole=whole),
        force=force,
        single=single,
        downstream=downstream,
        keep_going=keep_going,
        jobs=at_a_time(jobs, executor),
        hermetic=hermetic,
        trace=trace,
        pull=pull,
        executor="ray" if executor == "ray" else "local",
        address=address,
        remote=remote,
    )
    if not session.repo.pipeline.project.stages:
        render.say(session, "there are no stages; write them into mlgit.yaml or use `mlgit stage add`")
    if dry_run:
        _foretell(session, options)
    else:
        if executor == "ray":
            confirm(session, session.repo.config.pick(remote).name, yes)
        reproduce(session, options, json)


_EXCLUSIVE: Final = (
    ("--all", "targets", "name targets, or all"),
    ("--all", "--glob", "name patterns, or all"),
    ("--all", "--pipeline", "--all takes every pipeline already"),
    ("--all", "--single", "--all leaves nothing upstream out"),
    ("--all", "--downstream", "--all leaves nothing downstream out"),
    ("--single", "--downstream", "choose one"),
    ("--single", "--pipeline", "choose one"),
    ("--downstream", "--pipeline", "--pipeline takes what is downstream already"),
    ("--hermetic", "--trace", "--hermetic refuses what --trace would only tell; choose one"),
    ("--executor ray", "--trace", "on a cluster every stage is hermetic: what is not declared is not there"),
    ("--json", "--dry-run", "choose one"),
)
_NEEDED: Final = (
    ("--glob", ("targets",), "name a pattern: mlgit repro --glob 'train@*'"),
    ("--address", ("--executor ray",), "add --executor ray"),
    ("--remote", ("--pull", "--executor ray"), "add --pull, or --executor ray"),
    ("--yes", ("--executor ray",), "nothing else is asked"),
)


_NAMES: Final = {"targets": "targets", "dry_run": "--dry-run", "whole": "--pipeline", "everything": "--all"}
_EXECUTORS: Final = ("local", "ray")
_CLUSTER: Final = 200
"""Stages that a cluster is given at a time, if nobody says how many."""


def _refuse(parameters: dict[str, Any]) -> None:
    """Say which options make no sense beside each other, or without one another."""
    executor = parameters["executor"]
    if executor not in _EXECUTORS:
        raise UsageError(f"no such executor: {executor!r}", hint=f"there are {' and '.join(_EXECUTORS)}")
    given = {_NAMES.get(name, f"--{name}") for name, value in parameters.items() if value}
    if executor == "ray":
        given.add("--executor ray")
    for one, other, hint in _EXCLUSIVE:
        if {one, other} <= given:
            raise UsageError(f"{one} and {other} exclude each other", hint=hint)
    for one, others, hint in _NEEDED:
        if one in given and given.isdisjoint(others):
            raise UsageError(f"{one} means nothing without {' or '.join(others)}", hint=hint)


def at_a_time(typed: int | None, executor: str) -> int:
    """How many stages at a time; a cluster takes what it is given and knows itself what fits."""
    import os

    if executor != "local":
        return typed or _CLUSTER
    if typed is None:
        return 1
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return typed or processors or 1


def _targets(session: Session, typed: list[str], *, everything: bool, glob: bool, whole: bool) -> tuple[str, ...]:
    """The addresses that are meant; none stands for every stage."""
    from mlgit.pipeline import targets

    pipeline = session.repo.pipeline
    if everything:
        return ()
    if glob:
        found = targets.matching(pipeline.project, typed, session.here)
    elif typed:
        found = pipeline.find(typed, session.here)
    else:
        found = targets.beside(pipeline.project, session.here)
    return targets.whole(pipeline.graph, found) if whole else found


def _foretell(session: Session, options: Options) -> None:
    verbs = {"run": "run", "restore": "restore", "skip": "skip", "frozen": "leave frozen"}
    steps = session.repo.pipeline.plan(options)
    render.plan(
        session,
        (f"{verbs[one.action]} {one.address}: {one.reason}{'' if one.certain else ' (perhaps)'}" for one in steps),
    )


def reproduce(session: Session, options: Options, json: bool) -> None:
    """Run, then tell what was done, also after a failure or Ctrl-C.

    Raises:
        MlgitError: a stage failed.
        typer.Exit: it was interrupted.
    """
    from mlgit.cli.main import INTERRUPTED
    from mlgit.cli.notify import for_commands, notify_failure
    from mlgit.cli.watch import Watcher
    from mlgit.pipeline.plan import select

    pipeline = session.repo.pipeline
    watcher = Watcher(session, options, total=len(select(pipeline.graph, options)))
    try:
        pipeline.reproduce(options, for_commands(session.environment), watcher)
    except KeyboardInterrupt:
        watcher.conclude(json)
        sys.stderr.write("interrupted; what finished is kept, the same command again goes on\n")
        raise typer.Exit(INTERRUPTED) from None
    except StageError as error:
        watcher.conclude(json)
        notify_failure(session, "pipeline", error.message)
        raise
    except BaseException:
        watcher.conclude(json)
        raise
    watcher.conclude(json)
