"""A small JSON client over HTTPS, for the few requests that code hosts and webhooks need.

One budget of time covers every request of a client: attempts, the pauses that a host asks for, and pages. Whatever the
host answers is bounded in bytes. A request that must not happen twice is never sent again blindly: its caller is asked
first whether it happened.

It never sends credentials to another scheme, host or port than the address it was made for, never over plain HTTP
except to this machine, and never lets them into a message. It reads no environment but what TLS and proxies need.
"""

from __future__ import annotations

import dataclasses
import email.utils
import http.client
import ipaddress
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from mlgit.errors import AuthError, MlgitError, RemoteError, UnsafeError
from mlgit.model.secret import redact
from mlgit.remote.cutoff import Cutoff
from mlgit.remote.retry import Patience

MOST: Final = 32 << 20
"""Bytes of one answer at most: a page of a hundred comments of 65,536 characters fits."""
PAGES: Final = 200
TIMEOUT: Final = 30.0
_REDIRECTS: Final = 5
_CHUNK: Final = 64 << 10
_AGAIN: Final = "run it again: nothing is posted twice"
_NEXT: Final = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel="?next\b', re.IGNORECASE)
_HEADER: Final = re.compile(r"[!-~]+( [!-~]+)*")

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host said: status, headers by lower-case name, and the JSON (None if there was none)."""

    status: int
    headers: Mapping[str, str]
    value: Any


class StatusError(RemoteError):
    """The host answered, and the answer is no; `status` is HTTP's."""

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class ForbiddenError(AuthError):
    """The host knows who asks and does not allow it (403)."""


class RateLimitedError(ConnectionError):
    """The host did nothing and asks to wait `pause` seconds."""

    def __init__(self, message: str, pause: float) -> None:
        super().__init__(message)
        self.pause = pause


class UnavailableError(ConnectionError):
    """The host, or something before it, failed; whether it did what was asked is open."""

    def __init__(self, message: str, pause: float) -> None:
        super().__init__(message)
        self.pause = pause


class _Plain(urllib.request.HTTPErrorProcessor):
    """Hands every answer over as it is: no redirect is followed and no status raised behind our back."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    data: bytes | None


class Client:
    """Requests below `address`.

    Args:
        address: such as `https://api.github.com`.
        headers: for every request.
        credentials: headers that hold a secret, such as `{"Authorization": "Bearer …"}`.
        hint: what to do when the host refuses the credentials.
        patience: how long to try; its deadline is for everything this client does.
        now: seconds since the epoch, for hosts that name a time to come back at.
        most: bytes of an answer at most.
        answers: whether answers are JSON that somebody reads; a webhook says "ok", or anything else.

    Raises:
        UnsafeError: the address is not HTTPS, or holds credentials.
        AuthError: a credential is empty, or holds a line break.
    """

    def __init__(
        self,
        address: str,
        headers: Mapping[str, str],
        credentials: Mapping[str, str],
        *,
        hint: str,
        patience: Patience | None = None,
        now: Callable[[], float] = time.time,
        most: int = MOST,
        answers: bool = True,
    ) -> None:
        self._address = _checked(address)
        self._credentials = dict(credentials)
        self._headers = {"User-Agent": "mlgit", "Accept": "application/json", **headers}
        self._secrets = tuple(word for text in credentials.values() for word in (text, text.split(" ")[-1]) if word)
        self._hint = hint
        self._patience = patience or Patience(deadline=300.0, first=1.0, longest=30.0)
        self._until: float | None = None
        self._now = now
        self._most = most
        self._answers = answers
        self._cutoff = Cutoff()
        self._opener = _opener(self._address, self._cutoff)
        if not all(_HEADER.fullmatch(text) for text in self._credentials.values()):
            raise AuthError(f"the token for {self._address} is empty, or holds a line break or blank", hint=hint)

    def __repr__(self) -> str:
        return f"Client({self._address!r})"

    def get(self, path: str, query: Query = ()) -> Answer:
        """What stands at `path`; see `send`."""
        return self.send("GET", path, query=query)

    def pages(self, path: str, query: Query = ()) -> Iterator[Any]:
        """The items of a list over all its pages, whether a `Link` header or the key `next` leads on.

        Only the next page's query is taken from the answer, so that no answer can lead elsewhere.

        Raises:
            RemoteError: as `send`, or the list does not end.
        """
        for _ in range(PAGES):
            answer = self.get(path, query)
            yield from _items(answer.value)
            following = _next(answer)
            if following is None:
                return
            query = following
        raise RemoteError(f"{self._address}{path}: more than {PAGES} pages", hint=_AGAIN)

    def send(
        self,
        method: str,
        path: str,
        value: Any = None,
        *,
        query: Query = (),
        happened: Callable[[], Any] | None = None,
    ) -> Answer:
        """The answer to a request, tried again while the host is busy or the connection breaks.

        Args:
            path: begins with a slash; its parts are quoted (`path`).
            value: sent as JSON; None sends nothing.
            happened: for a request that must not happen twice: after a failure that leaves open whether it happened,
                what it made, or None. Without it the request is one that may be repeated.

        Raises:
            AuthError, ForbiddenError: 401, 403.
            StatusError: another status that means no.
            RemoteError: no answer within the budget, too large an answer, or one that leads elsewhere.
        """
        url = self._address + path + (f"?{urlencode(list(query))}" if query else "")
        data = None if value is None else json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
        request, unsure = _Request(method, url, data), False

        def step(allowed: float, _: int) -> Answer:
            nonlocal unsure
            if unsure and happened is not None and (found := happened()) is not None:
                return Answer(200, {}, found)
            try:
                return self._attempt(request, min(allowed, TIMEOUT))
            except OSError as error:
                unsure = unsure or not isinstance(error, (RateLimitedError, ConnectionRefusedError))
                raise

        try:
            return self._left().run(step)
        except OSError as error:
            reason = " ".join(f"{error}".split()) or type(error).__name__
            raise RemoteError(self._clean(f"{method} {url}: {reason} (gave up)"), hint=_AGAIN) from None

    def _left(self) -> Patience:
        """What is left of the budget, which begins with the first request."""
        if self._until is None:
            self._until = self._patience.clock() + self._patience.deadline
        return dataclasses.replace(self._patience, deadline=max(self._until - self._patience.clock(), 1.0))

    def _attempt(self, request: _Request, timeout: float) -> Answer:
        for _ in range(_REDIRECTS):
            status, headers, data = self._exchange(request, timeout)
            if status not in (301, 302, 303, 307, 308):
                return self._judge(request, status, headers, data)
            request = self._moved(request, status, headers.get("location", ""))
        raise RemoteError(self._clean(f"{request.url}: redirects without end"), hint="check the address")

    def _exchange(self, request: _Request, timeout: float) -> tuple[int, dict[str, str], bytes]:
        headers = {**self._headers, **self._credentials}
        if request.data is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        wire = urllib.request.Request(request.url, request.data, headers, method=request.method)
        end = self._patience.clock() + timeout
        try:
            with self._cutoff.within(timeout), self._opener.open(wire, timeout=timeout) as response:
                found = {name.lower(): text for name, text in response.headers.items()}
                return response.status, found, self._body(response, end)
        except urllib.error.URLError as error:
            raise self._broken(request, error.reason) from None
        except (http.client.HTTPException, UnicodeError) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from None

    def _body(self, response: Any, end: float) -> bytes:
        """All bytes of an answer: not more than allowed, and not dripping in beyond the moment `end`."""
        parts, size, more = [], 0, True
        while more:
            chunk = response.read1(_CHUNK)
            more = bool(chunk)
            size += len(chunk)
            if size > self._most:
                raise RemoteError(f"{self._address}: an answer of more than {self._most} bytes", hint=_AGAIN)
            if self._patience.clock() >= end:  # at the end too: it may have been cut off within the headers
                raise TimeoutError("the answer took too long")
            parts.append(chunk)
        return b"".join(parts)

    def _broken(self, request: _Request, reason: object) -> Exception:
        if isinstance(reason, ssl.SSLCertVerificationError):
            message = f"{request.url}: the certificate is not trusted: {reason.verify_message}"
            return RemoteError(self._clean(message), hint="name the authority's file in SSL_CERT_FILE")
        return reason if isinstance(reason, OSError) else ConnectionError(f"{reason}")

    def _moved(self, request: _Request, status: int, location: str) -> _Request:
        """The request that a redirect asks for: at the same host only, and never another request than was meant."""
        try:
            url = urljoin(request.url, location)
            elsewhere = not location or _origin(url) != _origin(self._address)
        except ValueError:
            url, elsewhere = "one that is no address", True
        if elsewhere:
            message = f"{request.url}: redirects to another host, {url}"
            raise RemoteError(self._clean(message), hint="give the host's own address")
        if request.method != "GET" and status not in (307, 308):
            raise RemoteError(self._clean(f"{request.method} {request.url}: moved to {url}"), hint="use the new name")
        return dataclasses.replace(request, url=url)

    def _judge(self, request: _Request, status: int, headers: Mapping[str, str], data: bytes) -> Answer:
        if 200 <= status < 300:
            return Answer(status, headers, _decode(data) if self._answers else None)
        reason = _reason(data)
        message = self._clean(f"{request.method} {request.url}: {status} {reason}".rstrip())
        limited = status == 403 and (
            "retry-after" in headers
            or headers.get("x-ratelimit-remaining") == "0"
            or "secondary rate limit" in reason.lower()
        )
        if status == 429 or limited:
            pause = self._pause(headers)
            raise RateLimitedError(f"{status}, asks to wait {pause:.0f} s", pause)
        if status >= 500 or status in (408, 425):
            raise UnavailableError(f"{status} {reason}".rstrip(), self._pause(headers, 0.0))
        if status in (401, 403):
            raise (AuthError if status == 401 else ForbiddenError)(message, hint=self._hint)
        raise StatusError(message, status=status, hint=self._hint if status == 404 else None)

    def _pause(self, headers: Mapping[str, str], default: float = 60.0) -> float:
        """Seconds that the host asks to wait, by whichever header it does; a minute where it names none."""
        after, reset = headers.get("retry-after", ""), headers.get("x-ratelimit-reset", "")
        if after.isdecimal():
            return float(after)
        if after:
            try:
                return max(email.utils.parsedate_to_datetime(after).timestamp() - self._now(), 0.0)
            except ValueError:
                return default
        if reset.isdecimal() and headers.get("x-ratelimit-remaining") == "0":
            return max(float(reset) - self._now(), 0.0)
        return default

    def _clean(self, text: str) -> str:
        return redact(text, self._secrets)


def path(*parts: str | int) -> str:
    """`/a/b` out of its parts, each quoted as a whole.

    Raises:
        UnsafeError: a part is empty, `.` or `..`, which servers resolve away.
    """
    for part in parts:
        if str(part) in ("", ".", ".."):
            raise UnsafeError(f"{part!r} cannot stand in an address", hint="give the name as the host shows it")
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def _checked(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise UnsafeError(f"{redact(address)} is not an https address", hint="a token goes over HTTPS only")
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise UnsafeError(f"{redact(address)} is not the plain address of a host", hint="such as https://host/api")
    return address.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _opener(address: str, cutoff: Cutoff) -> urllib.request.OpenerDirector:
    """Proxies serve HTTPS, where they cannot read along; what goes to this machine goes past them."""
    direct = [urllib.request.ProxyHandler({})] if address.startswith("http:") else []
    return urllib.request.build_opener(_Plain, *cutoff.handlers(ssl.create_default_context()), *direct)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _decode(data: bytes) -> Any:
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ConnectionError("the answer is not whole JSON") from None


def _items(value: Any) -> list[Any]:
    found = value.get("values") if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def _next(answer: Answer) -> Query | None:
    link = _NEXT.search(answer.headers.get("link", ""))
    url = link[1] if link else answer.value.get("next") if isinstance(answer.value, dict) else None
    try:
        return parse_qsl(urlsplit(url).query, keep_blank_values=True) if isinstance(url, str) else None
    except ValueError:
        raise RemoteError("the host names a next page that is no address", hint=_AGAIN) from None


def _reason(data: bytes) -> str:
    """The sentence in a host's refusal, whichever key it stands under; on one line, bounded."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    for key in ("error", "message"):
        while isinstance(value, dict) and key in value:
            value = value[key]
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(character if character.isprintable() else " " for character in text)[:300]


def only(error: MlgitError, *statuses: int) -> bool:
    """Whether `error` is a host's answer of one of `statuses`."""
    return isinstance(error, StatusError) and error.status in statuses
