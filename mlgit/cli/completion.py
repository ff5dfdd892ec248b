"""`completion`: a script for the shell that asks mlgit itself which words may follow."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mlgit.cli import render
from mlgit.cli.main import COMPLETE
from mlgit.errors import UsageError

app = typer.Typer(rich_markup_mode=None)

_BASH: Final = f"""\
_mlgit() {{
    local IFS=$'\\n'
    COMPREPLY=($(COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD {COMPLETE}=complete_bash mlgit 2>/dev/null))
}}
complete -o default -o bashdefault -F _mlgit mlgit
"""
_ZSH: Final = f"""\
#compdef mlgit
_mlgit() {{
    eval "$(_TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" {COMPLETE}=complete_zsh mlgit 2>/dev/null)"
}}
compdef _mlgit mlgit
"""
_FISH: Final = f"""\
complete -c mlgit -a '({COMPLETE}=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args \\
_TYPER_COMPLETE_ARGS=(commandline -cp) mlgit 2>/dev/null)'
"""
SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@app.command()
def completion(
    context: typer.Context,
    shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")],
) -> None:
    """Print a script that completes commands in your shell."""
    if shell not in SCRIPTS:
        raise UsageError(f"no completion for {shell!r}", hint=f"one of: {', '.join(SCRIPTS)}")
    render.out(SCRIPTS[shell])
