"""`remote`: naming the places that data is pushed to and pulled from."""

from __future__ import annotations

from typing import Annotated

import typer

from mlgit.cli import render, words
from mlgit.cli.options import Json, Markdown
from mlgit.cli.session import Session, session_of
from mlgit.cli.stage_files import offer
from mlgit.errors import UsageError

app = typer.Typer(rich_markup_mode=None)
remote = typer.Typer(rich_markup_mode=None, help="Say where data is pushed to and pulled from.", no_args_is_help=True)
app.add_typer(remote, name="remote")

Local = Annotated[bool, typer.Option("--local", help="Write this machine's configuration, which is not committed.")]
Name = Annotated[str, typer.Argument(help="Name of the remote.", autocompletion=words.remotes)]


@remote.command()
def add(
    context: typer.Context,
    name: Name,
    url: Annotated[str, typer.Argument(help="A folder, or an address such as s3://bucket/path.")],
    default: Annotated[bool, typer.Option("--default", "-d", help="Make it the default remote.")] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace a remote of that name.")] = False,
    local: Local = False,
) -> None:
    """Name a remote."""
    from mlgit.model.secret import redact
    from mlgit.remote import open_backend, stored_url

    session = session_of(context)
    repo = session.repo
    if name in repo.config.remotes and not force:
        raise UsageError(f"a remote called {name!r} exists", hint=f"`mlgit remote modify {name} url URL`, or --force")
    stored = stored_url(url, session.cwd, repo.root)
    changes = {f"remotes.{name}.url": stored}
    if default:
        changes["core.remote"] = name
    open_backend(stored, {}, repo.root)
    _write(session, changes, f"remote {name} is at {redact(url)}" + ", the default" * default, local=local)
    repo.workspace.trust.add(_place(session, name))


def _place(session: Session, name: str) -> str:
    """Where the remote is by the configuration as it was just written."""
    from mlgit.repo import Repo

    return Repo(session.repo.root).config.pick(name).place


def _write(session: Session, changes: dict[str, str], said: str, *, local: bool) -> None:
    from mlgit.model import config

    layer = session.repo.layer(shared=not local)
    for key, value in changes.items():
        layer = config.assign(layer, key, value)
    path = session.repo.write_layer(layer)
    render.say(session, said)
    if not local:
        offer(session, [path])


@remote.command("list")
def list_remotes(context: typer.Context, json: Json = False, md: Markdown = False) -> None:
    """List the remotes."""
    from mlgit.model.report import Report, Row, Table
    from mlgit.model.secret import redact

    config = session_of(context).repo.config
    rows = tuple(
        Row((one.name, redact(one.url), "default" if one.name == config.remote else None))
        for one in config.remotes.values()
    )
    table = Table("remotes", "Remotes", ("name", "url", "default"), rows)
    notes = () if rows else ("no remotes; name one with `mlgit remote add -d NAME URL`",)
    render.report(session_of(context), Report("remotes", "Remotes", (table,), notes=notes), json=json, md=md)


@remote.command()
def modify(
    context: typer.Context,
    name: Name,
    option: Annotated[str, typer.Argument(help="`url`, or an option of its file system.")],
    value: Annotated[str | None, typer.Argument(help="The new value.")] = None,
    unset: Annotated[bool, typer.Option("--unset", "-u", help="Remove the option.")] = False,
    local: Local = False,
) -> None:
    """Change a remote's address or options."""
    from mlgit.model import config
    from mlgit.remote import stored_url

    session = session_of(context)
    repo = session.repo
    trust = repo.workspace.trust
    known = trust.has(repo.config.pick(name).place)
    key = f"remotes.{name}.{option}"
    if unset == (value is not None):
        raise UsageError("give a value, or --unset", hint=f"mlgit remote modify {name} {option} VALUE")
    layer = repo.layer(shared=not local)
    if value is None:
        layer = config.unset(layer, key)
    else:
        value = stored_url(value, session.cwd, repo.root) if option == "url" else value
        layer = config.assign(layer, key, value)
    path = repo.write_layer(layer)
    typed = value is not None and (option == "url" or local)
    if typed or (known and option != "url"):
        trust.add(_place(session, name))
    render.say(session, f"remote {name}: {option} {'removed' if value is None else 'set'}")
    if not local:
        offer(session, [path])


@remote.command()
def remove(context: typer.Context, name: Name) -> None:
    """Forget a remote; its data stays where it is."""
    from mlgit.model import config

    session = session_of(context)
    repo = session.repo
    repo.config.pick(name)
    written = []
    for shared in (True, False):
        layer = repo.layer(shared=shared)
        if name in layer.values.get("remotes", {}):
            layer = config.unset(layer, f"remotes.{name}")
            if layer.values.get("core", {}).get("remote") == name:
                layer = config.unset(layer, "core.remote")
            path = repo.write_layer(layer)
            written += [path] if shared else []
    render.say(session, f"forgot remote {name}; its data stays where it is")
    offer(session, written)


@remote.command()
def default(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Name of the remote; shown if left out.")] = None,
    local: Local = False,
) -> None:
    """Show or set the default remote."""
    session = session_of(context)
    if name is None:
        render.out(session.repo.config.pick().name)
        return
    session.repo.config.pick(name)
    _write(session, {"core.remote": name}, f"remote {name} is the default", local=local)
