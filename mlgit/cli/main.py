"""The `mlgit` program: global options, lazily loaded commands, and the one place where errors become exit codes.

Every command's module is imported only when the command runs, so that `--version` and `--help` stay instant. The table
below names each command's module and its line in `--help`; a test holds the lines to the commands' own docstrings.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from mlgit import __version__
from mlgit.errors import MlgitError, UsageError

if TYPE_CHECKING:
    from mlgit.cli.session import Session

FAMILIES: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Start": {
        "init": ("start", "Make this folder an mlgit repository."),
        "clone": ("start", "Clone a Git repository and pull its data."),
        "config": ("settings", "Show or change the configuration."),
        "completion": ("completion", "Print a script that completes commands in your shell."),
    },
    "Data": {
        "add": ("data", "Track files and folders: save them and write their pointers."),
        "status": ("data", "Show tracked data that changed and stages to reproduce."),
        "diff": ("data", "List tracked files that differ between revisions."),
        "checkout": ("data", "Put tracked data into the working tree as pointers and locks say."),
        "move": ("data", "Rename tracked data together with its pointer."),
        "remove": ("data", "Stop tracking data."),
        "unprotect": ("data", "Make linked files writable copies of their own."),
        "ls": ("data", "List tracked data, at any revision."),
        "cat": ("data", "Print a tracked file, at any revision."),
        "du": ("upkeep", "Show how large tracked data is, and how much is shared."),
        "gc": ("upkeep", "Delete cached data that nothing kept names."),
        "fsck": ("upkeep", "Check the cache or a remote for missing and damaged objects."),
    },
    "Remotes": {
        "remote": ("remotes", "Say where data is pushed to and pulled from."),
        "push": ("sync", "Upload tracked data to a remote."),
        "pull": ("sync", "Download tracked data and put it into the working tree."),
        "fetch": ("sync", "Download tracked data into the cache only."),
    },
    "Pipelines": {
        "stage": ("stages", "Add, list and show stages."),
        "repro": ("reproduce", "Bring stages up to date: run what changed, skip the rest."),
        "verify": ("verify", "Run stages again in a clean folder and compare what they write; exit 1 if it differs."),
        "dag": ("stages", "Show how stages depend on each other."),
        "why": ("lineage", "Say why a stage will run, is skipped, would be restored or is frozen."),
        "lineage": ("lineage", "Tell where a file comes from, by code, parameters and data, and what used it."),
        "freeze": ("stages", "Keep stages from being reproduced."),
        "unfreeze": ("stages", "Let stages be reproduced again."),
    },
    "Compare and gate": {
        "params": ("compare", "Compare parameters."),
        "metrics": ("compare", "Show and compare metrics."),
        "plots": ("compare", "Show and compare plots."),
        "evaluate": ("evaluate", "Compute metrics from a file of predictions, overall and by slice."),
        "gate": ("gate", "Judge metrics by the gates in mlgit.yaml; exit 1 if one fails."),
    },
    "Git and CI": {
        "ci": ("ci", "Compare a pull request with its base, and judge it; exit 1 if it may not merge."),
        "hooks": ("hooks", "Install Git hooks and run their checks."),
        "notify": ("notify", "Tell people and programs of failures."),
        "merge-driver": ("merge", "Merge locks and pointers; Git calls it."),
        "diff-driver": ("diff_driver", "Show pointers, locks and metrics as people read them; Git calls it."),
    },
}
COMMANDS: Final = {name: entry for family in FAMILIES.values() for name, entry in family.items()}
EPILOG: Final = (
    "Exit codes: 0 yes/done, 1 no, 2 usage, 10 invalid file, 11 locked, 12 missing object, 13 damaged, 14 unsafe, "
    "15 remote failed, 16 not authorised, 17 stage failed, 18 disk, 19 cannot evaluate, 70 bug, 130 interrupted."
)


class LazyCommands(dict[str, Any]):
    """Command objects by name; one is imported and built when it is looked up."""

    def __missing__(self, name: str) -> Any:
        module = importlib.import_module(f"mlgit.cli.{COMMANDS[name][0]}")
        alone = typer.Typer(rich_markup_mode=None)  # building the module's other commands would cost more than running
        alone.registered_commands = [one for one in module.app.registered_commands if _name(one) == name]
        alone.registered_groups = [one for one in module.app.registered_groups if one.name == name]
        self[name] = typer.main.get_group(alone).commands[name]
        _name_values(self[name])
        return self[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The command called `name`, imported if need be."""
        return self[name] if name in COMMANDS else default

    def keys(self) -> Any:
        """All names, imported or not."""
        return COMMANDS.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)


def _name_values(command: Any) -> None:
    """Let `--help` call an option's value by the option's name, as the reference does, and not by its Python type."""
    for one in command.params:
        if one.param_type_name == "option" and not one.is_flag:
            one.metavar = one.metavar or one.name.upper()
    for below in getattr(command, "commands", {}).values():
        _name_values(below)


def _name(info: Any) -> str:
    return str(info.name or info.callback.__name__)


class LazyGroup(TyperGroup):
    """The top level: it knows every command's name and help line without importing it."""

    def __init__(self, **attributes: Any) -> None:
        attributes["commands"] = LazyCommands()
        super().__init__(**attributes)

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The command families, from the table alone."""
        for family, commands in FAMILIES.items():
            with formatter.section(family):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])


app = typer.Typer(
    cls=LazyGroup,
    name="mlgit",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


WRONG_USE: Final[Any] = typer.BadParameter.__mro__[2]  # the class of all that is wrong with a command line
INTERRUPTED: Final = 130
COMPLETE: Final = "_MLGIT_COMPLETE"
GLOBAL: Final = ("-C", "--cd", "-q", "--quiet", "-v", "--verbose", "--debug")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"mlgit {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    directory: Annotated[str, typer.Option("-C", "--cd", metavar="DIR", help="Work as if started in DIR.")] = ".",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more about what happens.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Git for data, models, metrics and pipelines."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
        return
    from mlgit.cli.session import new_session

    try:
        folder = Path.cwd() / directory
    except FileNotFoundError as error:
        raise UsageError("the folder you stand in is gone", hint="change to one that exists") from error
    if not folder.is_dir():
        raise UsageError(f"no such folder: {directory}", hint="name an existing folder after -C")
    session = new_session(folder, quiet=quiet, verbose=verbose)
    context.obj.append(session)


def run(arguments: Sequence[str]) -> int:
    """Run the program with `arguments`; returns its exit code.

    Whatever fails is printed as one message and a hint; a traceback is shown with `--debug` only.
    """
    sessions: list[Session] = []
    _open_streams()
    try:
        code = _invoke(list(arguments), sessions)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough, as in `mlgit ls | head`
        _silence()
        return 0
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; the same command again goes on\n")
        return INTERRUPTED
    except Exception as error:
        with _inert():
            return _explain(error, sessions[0] if sessions else None, debug="--debug" in arguments)


def _invoke(arguments: list[str], sessions: list[Session]) -> int:
    """Parse and run; Typer's own `main` would print errors its way and end the process."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a character must not end a command
    command = typer.main.get_command(app)
    if COMPLETE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
        command.main(arguments, prog_name="mlgit", complete_var=COMPLETE)
    try:
        with command.make_context("mlgit", arguments, obj=sessions) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0


def _open_streams() -> None:
    """Give what was closed before the start somewhere to go; else the next file opened would be standard output."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for the whole process


def _silence() -> None:
    """Let what is still to be flushed go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def _inert() -> Iterator[None]:
    """Print what GitHub's runner takes no command from: an error quotes names that a stranger may have chosen."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        yield
        return
    import secrets

    token = secrets.token_hex(16)
    sys.stdout.flush()
    sys.stderr.write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        sys.stderr.write(f"::{token}::\n")


def _explain(error: Exception, session: Session | None, *, debug: bool) -> int:
    from mlgit.cli import render

    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, WRONG_USE):
        if error.message.startswith("Usage:"):  # a family named without a command of it
            sys.stderr.write(f"{error.message}\n")
            return UsageError.code
        error = _wrong_use(error)
    elif isinstance(error, OSError):
        from mlgit.fs.atomic import explain

        _silence()
        error = explain(error, error.filename or "the output")
    elif not isinstance(error, MlgitError):
        error = MlgitError(
            f"bug in mlgit: {type(error).__name__}: {error}", hint="run it again with --debug and report what it prints"
        )
    render.fail(error, session)
    return error.code


def _wrong_use(error: Any) -> MlgitError:
    """What Typer has to say of a command line, with the nearest right word as the hint."""
    message, *near = re.split(r" *(?:Did you mean|\(Possible options:) *", error.format_message(), maxsplit=1)
    message = message[:1].lower() + message[1:].rstrip(".")
    word = message.split()[-1].strip("'")
    if message.startswith("no such option") and word in GLOBAL:
        return UsageError(message, hint=f"it stands before the command: `mlgit {word} …`")
    if near:
        return UsageError(message, hint=f"did you mean {near[0].rstrip('?)')}?")
    return UsageError(message, hint=f"see `{error.ctx.command_path if error.ctx else 'mlgit'} --help`")
