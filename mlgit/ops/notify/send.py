"""Telling an event to a target: a request, a command that gets it on its standard input, or mail.

Nothing in the event becomes part of an address, of a command line or of a header. What goes wrong is told without the
target's address, since knowing a webhook's address is all that it takes to use it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from mlgit.errors import AuthError, MlgitError, RemoteError
from mlgit.model.notify import MAIL, Target
from mlgit.model.secret import MASK, redact
from mlgit.ops.compare.markup import visible
from mlgit.ops.notify.event import Event, as_value
from mlgit.ops.notify.mail import send_mail, to_mail
from mlgit.ops.notify.slack import to_slack

TIMEOUT: Final = 20.0
"""Seconds for one target in all: whoever waits for a gate does not wait long for a courtesy."""
_HINT: Final = "mlgit notify test"


def notify(
    targets: Iterable[Target], event: Event, *, environment: Mapping[str, str], folder: Path
) -> list[MlgitError]:
    """Tell `event` to every target that wants its kind; what failed, each naming its target.

    Args:
        environment: the variables that commands get.
        folder: where commands run.
    """
    failures = []
    for target in targets:
        if event.kind in target.on:
            try:
                send(target, event, environment=environment, folder=folder)
            except MlgitError as error:
                failures.append(error)
    return failures


def send(target: Target, event: Event, *, environment: Mapping[str, str], folder: Path) -> None:
    """Tell one target.

    Raises:
        AuthError: it refuses who tells it.
        RemoteError: it cannot be reached, or says no.
        UnsafeError: its address is neither HTTPS nor on this machine.
    """
    if target.url is None:
        _run(target, event, environment, folder)
    elif target.url.startswith(tuple(f"{scheme}:" for scheme in MAIL)):
        send_mail(to_mail(event, target), target, TIMEOUT)
    else:
        _post(target, target.url, _value(target, event))


def body(target: Target, event: Event) -> bytes:
    """What the target is sent."""
    if target.format == "email":
        return to_mail(event, target).as_bytes()
    return json.dumps(_value(target, event), ensure_ascii=False, indent=2).encode() + b"\n"


def _value(target: Target, event: Event) -> dict[str, Any]:
    return to_slack(event) if target.format == "slack" else as_value(event)


def _post(target: Target, url: str, value: dict[str, Any]) -> None:
    from mlgit.remote.http import Client, StatusError
    from mlgit.remote.retry import Patience

    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    patience = Patience(attempts=3, deadline=TIMEOUT, first=0.5, longest=5.0)
    try:
        client = Client(f"{parts.scheme}://{parts.netloc}", {}, {}, hint=_HINT, patience=patience, answers=False)
        client.send("POST", parts.path or "/", value, query=query)
    except StatusError as error:
        raise RemoteError(f"{target.place}: answers {error.status}", hint="check its url") from None
    except AuthError:
        raise AuthError(f"{target.place}: refuses the request", hint="check its url") from None
    except RemoteError as error:
        raise RemoteError(f"{target.place}: {_reason(error.message, url)}", hint=_HINT) from None


def _reason(message: str, url: str) -> str:
    """What the client says went wrong, without the address it begins with, and without any part of that."""
    reason = message.partition(": ")[2] or "failed"
    parts = urlsplit(url)
    words = {*parts.path.split("/"), *(word for pair in parse_qsl(parts.query) for word in pair)}
    secrets = {shown for word in words for shown in (word, unquote(word)) if len(shown) > 3}
    for secret in sorted(secrets, key=len, reverse=True):
        reason = reason.replace(secret, MASK)
    return redact(reason)


def _run(target: Target, event: Event, environment: Mapping[str, str], folder: Path) -> None:
    """Run the target's command, in a group of processes that ends with it if it takes too long."""
    command = target.command
    assert command is not None
    try:
        process = subprocess.Popen(
            command if isinstance(command, str) else list(command),
            shell=isinstance(command, str),
            cwd=folder,
            env={**environment, **_variables(event)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a NUL in it"
        raise RemoteError(f"{target.place}: cannot be run: {reason}", hint=_HINT) from None
    try:
        process.communicate(body(target, event), TIMEOUT)
    except subprocess.TimeoutExpired:
        raise RemoteError(f"{target.place}: took more than {TIMEOUT:.0f} s", hint=_HINT) from None
    finally:
        _end(process)
    if process.returncode:
        raise RemoteError(f"{target.place}: exit code {process.returncode}", hint=_HINT)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()


def _variables(event: Event) -> dict[str, str]:
    """What a command can read without a parser; the same texts as in the event."""
    value = as_value(event)
    names = ("kind", "verdict", "title", "project", "base", "head", "link", "time")
    return {f"MLGIT_EVENT_{name.upper()}": visible(value[name] or "") for name in names}
