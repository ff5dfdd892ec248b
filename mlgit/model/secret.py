"""What a secret looks like, so that none is committed and none is printed.

Two questions only: may this option's name hold a credential, and what does a text look like without its credentials.
Both err on the side of silence: a harmless word hidden costs little, a token in a CI log costs a lot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

MASK: Final = "***"
_WORDS: Final = frozenset(
    {"key", "pass", "passwd", "passphrase", "pwd", "sas", "sig", "signature", "auth", "credential", "credentials"}
)
_INSIDE: Final = re.compile(r"secret|token|password|connection_?string|private_?key|account_?key|access_?key|api_?key")
_USERINFO: Final = re.compile(r"://([^\s/:@]*):\S*@")
_BARE_USER: Final = re.compile(r"(https?)://[^\s/:@]+@", re.IGNORECASE)
_ASSIGNED: Final = re.compile(
    r"((?:\b(?:sig|sas|key|pwd|passwd|signature)|(?:secret|token|password|credential|signature|"
    r"access_?key(?:_?id)?|account_?key|api_?key))[\"']?\s*[=:]\s*[\"']?)[^\s&;,\"'<>)}]+",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)


def is_secret(option: str) -> bool:
    """Whether an option called `option` may hold a credential."""
    name = option.lower().replace("-", "_")
    return not _WORDS.isdisjoint(name.split("_")) or _INSIDE.search(name) is not None


def redact(text: str, known: Iterable[str] = ()) -> str:
    """`text` without credentials: those in URLs, those beside a telling name, and every string in `known`."""
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, MASK)
    text = _USERINFO.sub(rf"://\1:{MASK}@", text)
    text = _BARE_USER.sub(rf"\1://{MASK}@", text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)


def mask(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` with the values of secret ones hidden, nested ones too, for showing."""
    return {name: _masked(name, value) for name, value in options.items()}


def _masked(name: str, value: Any) -> Any:
    if is_secret(name):
        return MASK
    if isinstance(value, Mapping):
        return mask(value)
    return redact(value) if isinstance(value, str) else value


def secret_values(options: Mapping[str, Any], below: bool = False) -> Iterator[str]:
    """The values in `options`, nested ones too, that must never be printed; ones too short to hide anything left out.

    Args:
        below: everything is secret, since it stands below a secret name.
    """
    for name, value in options.items():
        secret = below or is_secret(name)
        if isinstance(value, Mapping):
            yield from secret_values(value, secret)
        elif secret and isinstance(value, (str, int)) and len(str(value)) > 4:
            yield str(value)
