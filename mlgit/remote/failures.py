"""What the exceptions of a dozen client libraries mean: missing, not authorised, worth another try, or broken.

The libraries are not imported: an exception is judged by its kind, its HTTP status, its errno and the names of its
classes. Messages are cleaned of credentials, and the original exception is not chained, since a traceback prints it.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterator
from typing import Final, Literal

from mlgit.errors import AuthError, MissingError, MlgitError, RemoteError

Kind = Literal["missing", "auth", "transient", "range", "other"]

_AUTH_CLASSES: Final = frozenset(
    [
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "TokenRetrievalError",
        "ProfileNotFound",
        "UnauthorizedSSOTokenError",
        "SSOTokenLoadError",
        "ClientAuthenticationError",
        "RefreshError",
        "DefaultCredentialsError",
        "AuthenticationException",
        "PermissionDenied",
        "HostKeyNotVerifiable",
        "LogonFailure",
        "AccessDenied",
    ]
)
_TRANSIENT_CLASSES: Final = frozenset(
    [
        "TimeoutError",
        "FSTimeoutError",
        "ConnectionError",
        "EOFError",
        "HTTPClientError",
        "ClientPayloadError",
        "ClientConnectionError",
        "ServerDisconnectedError",
        "IncompleteRead",
        "ProtocolError",
        "EndpointConnectionError",
        "ResponseStreamingError",
        "ResponseParserError",
        "ReadTimeout",
        "ConnectTimeout",
        "ConnectionLost",
        "DisconnectError",
        "SSHException",
        "ServiceRequestError",
        "ServiceResponseError",
        "TransportError",
        "error_temp",
    ]
)
_FINAL_ERRNO: Final = frozenset(
    getattr(errno, name)
    for name in (
        [
            "ENOSPC",
            "EDQUOT",
            "EROFS",
            "EINVAL",
            "ENAMETOOLONG",
            "EISDIR",
            "ENOTDIR",
            "EEXIST",
            "ENOSYS",
            "EMSGSIZE",
            "ENOTEMPTY",
            "EFBIG",
            "EXDEV",
        ]
    )
    if hasattr(errno, name)
)
_RETRY_STATUS: Final = frozenset({408, 425, 429})
_OUT_OF_RANGE: Final = re.compile(r"InvalidRange|Requested Range Not Satisfiable|requested range is not", re.IGNORECASE)
_CREDENTIALS_MISSING: Final = re.compile(r"^530 |expired ?token|unable to locate credentials", re.IGNORECASE)


def kind_of(error: BaseException) -> Kind:
    """What `error` means for the operation that raised it."""
    chain = list(_causes(error))
    names = {cls.__name__ for one in chain for cls in type(one).__mro__}
    status = next((code for one in chain if (code := _status(one))), 0)
    if status == 416 or _OUT_OF_RANGE.search(str(error)):
        return "range"
    if isinstance(error, FileNotFoundError) or status == 404:
        return "missing"
    if isinstance(error, PermissionError) or status in (401, 403) or names & _AUTH_CLASSES:
        return "auth"
    if _CREDENTIALS_MISSING.search(str(error)):
        return "auth"
    if status:
        return "transient" if status >= 500 or status in _RETRY_STATUS else "other"
    if isinstance(error, socket.gaierror):
        return "transient" if error.errno == socket.EAI_AGAIN else "other"
    if isinstance(error, OSError):
        return "other" if error.errno in _FINAL_ERRNO else "transient"
    return "transient" if names & _TRANSIENT_CLASSES else "other"


def explain(error: BaseException, doing: str, url: str, login: str, clean: Callable[[str], str]) -> MlgitError:
    """The `MlgitError` for `error`, raised while `doing` something (`reading index/x`) at `url`.

    Args:
        login: hint on how credentials are given.
        clean: hides credentials in a text.
    """
    reason = clean(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    message = f"{clean(url)}: {clean(doing)}: {reason}"
    kind = kind_of(error)
    if kind == "missing":
        return MissingError(f"{clean(url)}: {clean(doing)}: no such file", hint="run `mlgit fsck --remote`")
    if kind == "auth":
        return AuthError(message, hint=login)
    if kind == "transient":
        return RemoteError(f"{message} (gave up)", hint="run the same command again; it goes on where it stopped")
    return RemoteError(message, hint="check the remote's address and options with `mlgit remote list`")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it was raised from, at most a few."""
    current: BaseException | None = error
    for _ in range(4):
        if current is None:
            return
        yield current
        current = current.__cause__


def _status(error: BaseException) -> int:
    """The HTTP status that a client library's exception carries, 0 if none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    else:
        holders = (error, response)
        found = next((v for h in holders for k in ("status", "status_code", "code") if (v := getattr(h, k, None))), 0)
    if isinstance(found, str) and found.isdigit():
        found = int(found)
    return found if isinstance(found, int) and 100 <= found < 600 else 0
