"""A folder as a value: a Merkle tree with one object per directory.

The canonical bytes are a version line, then one line an entry sorted by the UTF-8 bytes of its name:
`kind oid size name`, and for a sub-folder `tree oid size files name`, where size and files count everything below.
Equal id means equal content, so whoever compares two trees stops at the first equal directory.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from mlgit.errors import InvalidError, UnsafeError
from mlgit.model.oid import Oid
from mlgit.model.relpath import check_names, collisions

Kind = Literal["file", "exec", "link", "tree"]
KINDS: Final = ("file", "exec", "link", "tree")
HEADER: Final = b"mlgit-tree 1\n"
_LINE: Final = re.compile(
    r"^(?:(file|exec|link)|tree) ((?:blake3|sha256):[0-9a-f]{64}) "
    r"(0|[1-9][0-9]{0,18})(?(1)| (0|[1-9][0-9]{0,18})) (.+)\n",
    re.MULTILINE,
)
_CHILD: Final = re.compile(r"^(file|exec|link|tree) ((?:blake3|sha256):[0-9a-f]{64}) ([0-9]{1,19}) ", re.MULTILINE)
_HEX: Final = re.compile(r"^\w+ \w+:(\w{64}) ", re.MULTILINE)
_ESCAPED: Final = re.compile(r"[\x00-\x1f\x7f\\\x85\u2028\u2029]")
_ESCAPE: Final = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|(.?))")


class Entry(NamedTuple):
    """One name in a directory; a tuple, since folders of 200,000 entries are made of them.

    Attributes:
        kind: a plain file, an executable file, a symbolic link (its target text is the content) or a sub-folder.
        oid: id of the content; for a sub-folder, of its tree object.
        size: bytes of the content; for a sub-folder, of all files below it.
        files: number of files: 1, or for a sub-folder all below it.
    """

    name: str
    kind: Kind
    oid: Oid
    size: int
    files: int = 1


@dataclass(frozen=True, slots=True)
class Content:
    """What one path holds, or should hold.

    Attributes:
        oid: id of the file's bytes, or of the folder's tree object.
        size: bytes of the file, or of all files below the folder.
        files: number of files below the folder; None for a file.
    """

    oid: Oid
    type: Literal["file", "tree"]
    size: int
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """One directory's entries, sorted by name."""

    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Bytes of all files below."""
        return sum(entry.size for entry in self.entries)

    @property
    def files(self) -> int:
        """Number of files below."""
        return sum(entry.files for entry in self.entries)

    def get(self, name: str) -> Entry | None:
        """The entry called `name`."""
        return next((entry for entry in self.entries if entry.name == name), None)


def encode(entries: Iterable[Entry]) -> bytes:
    """The canonical bytes of a directory with `entries`, in any order."""
    lines = []
    for name, kind, oid, size, files in sorted(entries):  # code points sort as their UTF-8 bytes do
        count = f" {files}" if kind == "tree" else ""
        lines.append(f"{kind} {oid} {size}{count} {_escape(name)}\n")
    return HEADER + "".join(lines).encode()


def decode(data: bytes, where: str) -> Tree:
    """Parse canonical bytes; `where` names the object in errors.

    Raises:
        InvalidError: not canonical: unknown version, malformed line, unsorted or repeated names, bad escape.
        UnsafeError: an entry's name could leave the folder, or two names collide on some systems.
    """
    if not data.startswith(HEADER):
        raise InvalidError(f"{where}: not a tree of a version this mlgit knows", hint="upgrade mlgit")
    try:
        text = data[len(HEADER) :].decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{where}: tree is not UTF-8") from error
    if text and not text.endswith("\n"):
        raise InvalidError(f"{where}: tree is cut short")
    rows = _LINE.findall(text)
    if len(rows) != text.count("\n"):
        raise _malformed(text, where)
    names = [row[4] for row in rows]
    if _ESCAPED.search("".join(names)):
        names = [_unescape(name, where) for name in names]
    check_names(names, where)
    if any(not first < second for first, second in itertools.pairwise(names)):
        raise InvalidError(f"{where}: names in the tree are not sorted or not unique")
    check_collisions(names, where)
    entries = [
        Entry(name, kind or "tree", Oid(oid), int(size), int(files) if files else 1 if kind else 0)
        for name, (kind, oid, size, files, _) in zip(names, rows, strict=True)
    ]
    return Tree(tuple(entries))


def _malformed(text: str, where: str) -> InvalidError:
    for number, line in enumerate(text.split("\n"), 2):
        if not _LINE.fullmatch(f"{line}\n"):
            return InvalidError(f"{where}: malformed tree entry in line {number}: {line[:120]!r}")
    return InvalidError(f"{where}: malformed tree")


def digests(data: bytes) -> list[bytes]:
    """The 32-byte digests of all entries of a tree that is known to be whole."""
    return [bytes.fromhex(found) for found in _HEX.findall(data.decode())]


def children(data: bytes) -> list[tuple[str, Oid, int]]:
    """Kind, id and size of every entry of a tree's bytes; its names are neither read nor checked.

    Raises:
        InvalidError: the bytes are not a tree's, as when a hostile pointer calls a file a folder.
    """
    found = _CHILD.findall(data.decode(errors="replace")) if data.startswith(HEADER) else []
    if len(found) != data.count(b"\n") - 1:
        raise InvalidError("what should be a folder's tree object is none", hint="check the pointer that names it")
    return [(kind, Oid(oid), int(size)) for kind, oid, size in found]


def check_collisions(names: list[str], where: str) -> None:
    """Refuse names that a case-folding or normalising disk cannot keep apart in one folder.

    Raises:
        UnsafeError: two names collide.
    """
    for first, second in collisions(names):
        raise UnsafeError(
            f"{where}: {first!r} and {second!r} are one name on some systems", hint="rename one of the two"
        )


def _escape(name: str) -> str:
    if name.isprintable() and "\\" not in name:
        return name
    return _ESCAPED.sub(
        lambda m: "\\\\" if m[0] == "\\" else f"\\x{ord(m[0]):02x}" if ord(m[0]) < 256 else f"\\u{ord(m[0]):04x}", name
    )


def _unescape(name: str, where: str) -> str:
    def one(match: re.Match[str]) -> str:
        if match[3] == "\\":
            return "\\"
        if match[3] is not None:
            raise InvalidError(f"{where}: bad escape in the name {name!r}")
        return chr(int(match[1] or match[2], 16))

    plain = _ESCAPE.sub(one, name)
    if _escape(plain) != name:
        raise InvalidError(f"{where}: name is not in canonical form: {name!r}")
    return plain
