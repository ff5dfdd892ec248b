"""`config`: the committed configuration and this machine's."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render
from mlgit.cli.session import session_of
from mlgit.cli.stage_files import offer
from mlgit.errors import UsageError

app = typer.Typer(rich_markup_mode=None)


@app.command()
def config(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(help="Such as core.autostage.")] = None,
    value: Annotated[str | None, typer.Argument(help="The new value; shown if left out.")] = None,
    local: Annotated[bool, typer.Option("--local", help="This machine's configuration, not committed.")] = False,
    unset: Annotated[bool, typer.Option("--unset", "-u", help="Remove the key.")] = False,
    listed: Annotated[bool, typer.Option("--list", "-l", help="Show every key that is set.")] = False,
) -> None:
    """Show or change the configuration."""
    from mlgit.model import config as configuration

    session = session_of(context)
    repo = session.repo
    layers = [repo.layer(shared=True), repo.layer(shared=False)]
    if key is None and unset:
        raise UsageError("--unset needs a key", hint="mlgit config --unset KEY; `mlgit config --list` shows them")
    if key is None or listed:
        for layer in layers[1:] if local else layers:
            for name, found in configuration.flatten(layer).items():
                render.out(render.printable(f"{name}={_plain(found)}"))
        return
    if value is None and not unset:
        found = configuration.lookup(key, *(layers[1:] if local else layers))
        if found is None:
            raise UsageError(f"{key} is not set", hint=f"mlgit config {key} VALUE")
        render.out(render.printable(_plain(found)))
        return
    if key.startswith("remotes.") and key.endswith(".url") and value is not None:
        name = key.split(".")[1]
        raise UsageError("an address is set with `mlgit remote`", hint=f"mlgit remote modify {name} url {value}")
    layer = layers[1] if local else layers[0]
    changed = configuration.unset(layer, key) if value is None else configuration.assign(layer, key, value)
    path = repo.write_layer(changed)
    if not local:
        offer(session, [path])


def _plain(value: object) -> str:
    """A value as it is typed: `true`, `4`, `reflink,copy`."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
