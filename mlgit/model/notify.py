"""Where to tell of failures: the `notify` entries of this machine's own configuration.

A target is an address that a request goes to, or a command that is run. Both are power over this machine, and the
addresses of webhooks are secrets in themselves. So no commit has a part in them: `config.py` refuses the key in the
committed file, and nothing here ever shows more of an address than its host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields, describe
from mlgit.model.secret import MASK

KINDS: Final = ("gate", "pipeline", "drift")
FORMATS: Final = ("json", "slack", "email")
MAIL: Final = ("smtp", "smtps")
_KEYS: Final = ("on", "url", "command", "format", "to", "from")
_ADDRESS: Final = re.compile(r"(?=.{3,254}\Z)[\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+", re.ASCII)
_UNFIT: Final = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """Whom to tell, of what, and how.

    Attributes:
        on: kinds of events, some of `KINDS`.
        url: of a webhook, or of a mail server (`smtp://`, `smtps://`); None for a command.
        command: a program and its arguments, or a line for the shell; None for a URL.
        format: one of `FORMATS`.
        to: addresses of mail.
        sender: the address that mail comes from; empty if the program that sends it knows.
        written: the entry as it stands in the file.
    """

    on: tuple[str, ...]
    url: str | None
    command: str | tuple[str, ...] | None
    format: str
    to: tuple[str, ...]
    sender: str
    written: Mapping[str, Any]

    @property
    def place(self) -> str:
        """What to call it where anybody may read along."""
        if self.url is not None:
            parts = urlsplit(self.url)
            return f"{parts.scheme}://{_host(parts)}" + (f"/{MASK}" if parts.path.strip("/") or parts.query else "")
        return f"the command {self.command[0]}" if isinstance(self.command, tuple) else "a shell command"

    def __repr__(self) -> str:
        return f"Target({self.place!r}, on={self.on!r}, format={self.format!r})"


def decode_targets(entries: object, where: str) -> tuple[Target, ...]:
    """The targets in the list `entries`.

    Args:
        where: what an error calls the list, such as `.mlgit/config.local.yaml: notify`.

    Raises:
        InvalidError: an entry is malformed; no message tells an address.
    """
    if not isinstance(entries, list):
        raise InvalidError(f"{where}: expected a list, found {describe(entries)}", hint="start each item with `- `")
    return tuple(decode_target(entry, f"{where}.{number}") for number, entry in enumerate(entries, 1))


def decode_target(entry: object, where: str) -> Target:
    """One target.

    Raises:
        InvalidError: as `decode_targets`.
    """
    fields = Fields(entry, where, _KEYS)
    url, command = fields.text("url", None), _command(fields)
    if (url is None) == (command is None):
        raise InvalidError(f"{where}: needs either url or command", hint="one entry for each place to tell")
    mail = url is not None and _check_url(fields, url)
    shape = fields.choice("format", FORMATS, "email" if mail else "json")
    if url is not None and mail != (shape == "email"):
        fields.fail("format", f"{shape} cannot be sent there", "email goes to smtp:// and smtps://, others to https://")
    to, sender = _words(fields, "to", ()), fields.text("from", "")
    if shape == "email":
        _check_mail(fields, to, sender, needs_sender=mail)
    elif to or sender:
        fields.fail("to" if to else "from", "belongs to format: email")
    on = _words(fields, "on", KINDS)
    for kind in on:
        if kind not in KINDS:
            fields.fail("on", f"unknown value {kind!r:.80}", f"some of: {', '.join(KINDS)}")
    return Target(on, url, command, shape, to, sender, dict(fields.block))


def _command(fields: Fields) -> str | tuple[str, ...] | None:
    value = fields.block.get("command")
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, list) and value and all(isinstance(word, str) for word in value) and value[0]:
        return tuple(value)
    return fields.fail("command", "expected a command", "a line for the shell, or [program, argument, …]")


def _words(fields: Fields, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = fields.block.get(key)
    if value is None:
        return default
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        fields.fail(key, "expected one text, or a list of them")
    return tuple(dict.fromkeys(words))


def _check_url(fields: Fields, url: str) -> bool:
    """Whether it is a mail server's; one that no request can go to is refused."""
    try:
        parts = urlsplit(url)
        mail, named = parts.scheme in MAIL, bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        mail, named, parts = False, False, SplitResult("", "", "", "", "")
    if not named or _UNFIT.search(url) or parts.scheme not in ("https", "http", *MAIL):
        fields.fail(
            "url", "not an address that can be told", "https://…, smtp://… or smtps://…; http:// to this machine"
        )
    if mail and (parts.path.strip("/") or parts.query or parts.fragment):
        fields.fail("url", "a mail server's address ends with its port")
    if not mail and "@" in parts.netloc:
        fields.fail("url", "a user or a password in the address of a webhook is not sent")
    return mail


def _check_mail(fields: Fields, to: tuple[str, ...], sender: str, *, needs_sender: bool) -> None:
    if not to:
        fields.fail("to", "mail needs somebody to go to", "to: somebody@example.org")
    if needs_sender and not sender:
        fields.fail("from", "mail needs a sender", "from: somebody@example.org")
    for key, address in (*(("to", one) for one in to), *((("from", sender),) if sender else ())):
        if _ADDRESS.fullmatch(address) is None:
            fields.fail(key, f"not an address of mail: {address!r:.80}", "such as somebody@example.org")


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port else "")
