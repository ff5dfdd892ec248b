"""Options that several commands share, so that they are spelled and explained the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import words

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Markdown = Annotated[bool, typer.Option("--md", help="Print Markdown.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")]
AcceptGateChange = Annotated[
    bool,
    typer.Option("--accept-gate-change", help="Judge by the head's gates alone, even looser ones."),
]
BaseTip = Annotated[bool, typer.Option("--base-tip", help="Compare with the base itself, not the merge base.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Overwrite changes that are in no store.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Rev = Annotated[str | None, typer.Option("--rev", help="A commit, branch or tag instead of the working tree.")]
RemoteName = Annotated[
    str | None,
    typer.Option("--remote", "-r", metavar="NAME", help="Use this remote.", autocompletion=words.remotes),
]
Targets = Annotated[
    list[str] | None,
    typer.Argument(help="Tracked paths, paths inside them, or globs; all if none.", autocompletion=words.targets),
]
AllBranches = Annotated[bool, typer.Option("--all-branches", "-a", help="Also what the tips of all branches track.")]
AllTags = Annotated[bool, typer.Option("--all-tags", "-T", help="Also what tagged commits track.")]
Everything = Annotated[bool, typer.Option("--all-commits", "-A", help="Also what any commit ever tracked.")]
