"""Pointer files: the small text files in Git that name one tracked output each, `<name>.mlgit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mlgit.errors import InvalidError
from mlgit.model.fields import Fields
from mlgit.model.oid import Oid
from mlgit.model.relpath import RelPath, check_name
from mlgit.model.text import dump_yaml, load_yaml
from mlgit.model.tree import Content

SUFFIX: Final = ".mlgit"
_KEYS: Final = ("out", "oid", "type", "size", "files", "desc", "labels", "meta", "remote", "source")


@dataclass(frozen=True, slots=True)
class Pointer:
    """One tracked output, standing beside its pointer file.

    Attributes:
        out: name of the file or folder, in the pointer's own folder.
        type: whether `oid` names a file's bytes or a directory's tree object.
        size: bytes of the file, or of all files below the folder.
        files: number of files below the folder; None for a file.
        remote: the only remote it is pushed to and pulled from, if set.
        source: where an import came from; kept as written.
    """

    out: str
    oid: Oid
    type: Literal["file", "tree"]
    size: int
    files: int | None = None
    desc: str | None = None
    labels: tuple[str, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    remote: str | None = None
    source: dict[str, Any] = field(default_factory=dict)

    @property
    def content(self) -> Content:
        """What the output holds."""
        return Content(self.oid, self.type, self.size, self.files)


def encode(pointer: Pointer) -> str:
    """The file's text, keys in fixed order, empty ones left out."""
    values: dict[str, Any] = {
        "out": pointer.out,
        "oid": pointer.oid,
        "type": pointer.type,
        "size": pointer.size,
        "files": pointer.files,
        "desc": pointer.desc,
        "labels": list(pointer.labels) or None,
        "meta": pointer.meta or None,
        "remote": pointer.remote,
        "source": pointer.source or None,
    }
    return dump_yaml({key: value for key, value in values.items() if value is not None})


def decode(data: bytes | str, where: str) -> Pointer:
    """Parse a pointer file; `where` is its path, for errors.

    Raises:
        InvalidError: malformed, a key missing, unknown or of the wrong type.
        UnsafeError: `out` is not a plain name in the pointer's folder.
    """
    fields = Fields(load_yaml(data, where), where, _KEYS)
    out = fields.text("out")
    _check_out(out, fields)
    kind = fields.choice("type", ("file", "tree"))
    labels = fields.items("labels", [])
    if not all(isinstance(label, str) for label in labels):
        fields.fail("labels", "expected a list of texts")
    files = fields.whole("files", None)
    if (kind == "tree") != (files is not None):
        fields.fail("files", "goes with `type: tree`, and only with it")
    return Pointer(
        out=out,
        oid=Oid.parse(fields.text("oid"), fields.at("oid")),
        type=kind,
        size=fields.whole("size"),
        files=files,
        desc=fields.text("desc", None),
        labels=tuple(labels),
        meta=dict(fields.mapping("meta", {})),
        remote=fields.text("remote", None),
        source=dict(fields.mapping("source", {})),
    )


def _check_out(out: str, fields: Fields) -> None:
    path = RelPath.parse(out, fields.at("out"))
    if "/" in out or not path:
        raise InvalidError(
            f"{fields.at('out')}: must be a name in the pointer's own folder: {out!r}", hint="remove the folder part"
        )
    check_name(out, fields.at("out"))
