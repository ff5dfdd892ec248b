"""The command reference, written from the commands themselves: `python -m mlgit.cli.reference > docs/reference.md`.

A test holds the file in `docs/` to what this prints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer

from mlgit.cli.main import FAMILIES, app

EXIT_CODES: Final = (
    ("0", "yes, or done"),
    ("1", "the answer is no: a gate or check failed, `--exit-code` saw a difference, or your changes would be lost"),
    ("2", "the command line asks for something that does not exist"),
    ("10", "a file or a configuration value is malformed"),
    ("11", "another process holds a lock; the message names it"),
    ("12", "an object or a file is missing"),
    ("13", "bytes do not match their id"),
    ("14", "unsafe content was refused"),
    ("15", "a remote failed"),
    ("16", "a remote refused the credentials"),
    ("17", "a stage failed"),
    ("18", "the disk is full, read-only or broken"),
    ("19", "it cannot be evaluated: nothing to compare with"),
    ("70", "a bug in mlgit"),
    ("130", "interrupted"),
)


def reference() -> str:
    """All commands, their arguments and options, as one Markdown page."""
    lines = [
        "# Commands",
        "",
        "`mlgit [OPTIONS] COMMAND [ARGUMENTS]`. `mlgit COMMAND --help` prints the same as below.",
        "",
        "Results go to stdout, everything else to stderr. Every command that reports takes `--json` (one object with",
        "`version` and `kind`, see [JSON](json.md)) or `--md`.",
        "Paths are seen from the folder you stand in; in JSON they are seen from the repository's root.",
        "",
        "## Options of `mlgit` itself",
        "",
    ]
    root: Any = typer.main.get_command(app)
    lines += [*_parameters(root), ""]
    for family, names in FAMILIES.items():
        lines += [f"## {family}", ""]
        for name in names:
            for path, command in _walk(name, root.commands[name]):
                lines += _section(path, command)
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES]
    return "\n".join(lines) + "\n"


def _walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command, or the commands of a group."""
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from _walk(f"{path} {name}", one)


def _section(path: str, command: Any) -> list[str]:
    arguments = [_argument(one) for one in command.params if one.param_type_name == "argument"]
    usage = " ".join(["mlgit", path, "[OPTIONS]", *arguments])
    return [f"### {path}", "", f"`{usage}`", "", command.help.strip(), "", *_parameters(command), ""]


def _argument(one: Any) -> str:
    name = (one.metavar or one.name.upper()) + ("..." if one.nargs == -1 else "")
    return name if one.required else f"[{name}]"


def _parameters(command: Any) -> Iterator[str]:
    """A table of arguments and options; `--help`, which each has, is left out."""
    rows = [
        f"| {_names(one)} | {_cell(one.help or '')}{_default(one)} |"
        for one in command.params
        if not getattr(one, "hidden", False)
    ]
    if rows:
        yield from ("| | |", "|---|---|", *rows)


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_argument(one)}`"
    names = ", ".join(f"`{name}`" for name in sorted((*one.opts, *one.secondary_opts), key=len))
    if one.is_flag:
        return names
    value = one.metavar or one.name.upper()
    return f"{names} `{value}`" + (" …" if one.multiple else "")


def _default(one: Any) -> str:
    shown = isinstance(one.default, (str, int, float)) and not isinstance(one.default, bool) and one.default != ""
    return f" Default: `{one.default}`." if shown else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(reference())
