"""A parameter file as plain values: YAML, JSON, TOML or Python, by the ending of its name."""

from __future__ import annotations

from typing import Any, Final

from mlgit.errors import InvalidError
from mlgit.model.lock import canonical, plain

KINDS: Final = ("yaml", "yml", "json", "toml", "py")


def parse(data: bytes, file: str) -> Any:
    """The plain value of `file`; an empty one gives an empty mapping.

    Raises:
        InvalidError: malformed, or of a kind that is not read.
    """
    kind = file.rpartition("/")[2].rpartition(".")[2].lower()
    if kind not in KINDS:
        raise InvalidError(f"{file}: not a parameter file this version reads", hint=f"use one of: {', '.join(KINDS)}")
    value = plain(_read(data, file, kind), file) or {}
    try:
        canonical(value).encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"{file}: a text that is not Unicode: {error.reason}", hint="mend the text") from error
    except ValueError as error:  # Python writes no whole number of thousands of digits
        raise InvalidError(f"{file}: a whole number of too many digits", hint="write it as text") from error
    return value


def _read(data: bytes, file: str, kind: str) -> Any:
    if kind == "py":
        from mlgit.model import pyparams

        return pyparams.parse(data, file)
    from mlgit.model.metric import parse_value

    return parse_value(data, file)
