"""An event as a message of mail (RFC 5322), and sending it to a mail server (RFC 5321).

Headers hold one line each, whatever an event says. Mail leaves this machine over TLS only.
"""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from mlgit.errors import AuthError, RemoteError
from mlgit.model.notify import Target
from mlgit.ops.notify.event import Event

_PORTS: Final = {"smtp": 587, "smtps": 465}


def to_mail(event: Event, target: Target) -> EmailMessage:
    """The message: a subject, and plain text below."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = f"[mlgit] {event.headline}"
    message["To"] = ", ".join(target.to)
    if target.sender:
        message["From"] = target.sender
    message["Date"] = format_datetime(datetime.fromisoformat(event.time))
    message["Message-ID"] = make_msgid(domain=(target.sender or target.to[0]).rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(event), cte="quoted-printable")
    return message


def _text(event: Event) -> str:
    parts = [event.headline, event.sides, *(f"- {row}" for row in event.rows)]
    if event.omitted:
        parts.append(f"- and {event.omitted:,} more")
    parts += ["", *event.notes, *(["", event.link] if event.link else [])]
    return "\n".join(parts) + "\n"


def send_mail(message: EmailMessage, target: Target, timeout: float) -> None:
    """Hand the message to the server that the target's address names.

    Raises:
        AuthError: it refuses the user or the password.
        RemoteError: it cannot be reached, has no TLS, or refuses the message.
    """
    parts = urlsplit(target.url or "")
    try:
        with _connection(parts, timeout) as server:
            if parts.scheme == "smtp" and not _is_loopback(parts.hostname or ""):
                _secure(server, target)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message, from_addr=target.sender, to_addrs=list(target.to))
    except smtplib.SMTPAuthenticationError:
        raise AuthError(f"{target.place}: refuses the user or the password", hint="mend its url") from None
    except (smtplib.SMTPException, ssl.SSLError, OSError, UnicodeError) as error:
        reason = f"answers {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else _kind(error)
        raise RemoteError(f"{target.place}: {reason}", hint="check its url, `to` and `from`") from None


def _connection(parts: SplitResult, timeout: float) -> smtplib.SMTP:
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    if parts.scheme == "smtps":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(host, port, local_hostname="localhost", timeout=timeout, context=context)
    return smtplib.SMTP(host, port, local_hostname="localhost", timeout=timeout)


def _secure(server: smtplib.SMTP, target: Target) -> None:
    server.ehlo_or_helo_if_needed()
    if not server.has_extn("starttls"):
        raise RemoteError(f"{target.place}: offers no TLS", hint="use smtps://, or a command such as [sendmail, -t]")
    server.starttls(context=ssl.create_default_context())


def _kind(error: Exception) -> str:
    """What happened, without what the server said: it may repeat what it was told."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, smtplib.SMTPException):
        return error.strerror
    return type(error).__name__


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
