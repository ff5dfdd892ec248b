"""The local index: what was seen where, so that unchanged files are not read again.

A cache in SQLite, safe to delete at any time and never the only place of anything. One row a folder holds a signature
over the stats of its entries: an equal signature means that nothing in it changed, without a row per file being read.
Where the signature differs, the row's fingerprints tell which files did. Every row carries a checksum, for SQLite keeps
none, and a flipped bit must cost a second look at the files, never a wrong id.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from xxhash import xxh3_64_digest, xxh3_128_digest

from mlgit.errors import MlgitError
from mlgit.fs import fingerprint
from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content, Entry

VERSION: Final = 3
UNSETTLED: Final = b""
_PATIENCE: Final = 0.1  # seconds: whoever only reads does not wait for an `add` under way
_SCHEMA: Final = """
CREATE TABLE folders (path TEXT PRIMARY KEY, row BLOB, seal BLOB, tree BLOB, prints BLOB) WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, row BLOB, seal BLOB) WITHOUT ROWID;
"""


class FolderRow(NamedTuple):
    """What is known of one folder.

    Attributes:
        signature: of its entries when it was read; `UNSETTLED` when some were too young to be trusted.
        rules: digest of the ignore rules that judged its names.
        ignored: names, with a slash at the end for folders, that the rules leave out.
    """

    signature: bytes
    rules: bytes
    ignored: frozenset[str]
    content: Content


def signature(rules: bytes, lines: Iterable[bytes]) -> bytes:
    """128 bits over a folder's entries.

    Args:
        rules: digest of the ignore rules in force.
        lines: evidence on each entry, sorted.
    """
    return xxh3_128_digest(rules + b"".join(lines))


class StatIndex:
    """The index file of one repository; works from memory where the file cannot be used or written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._memory: sqlite3.Connection | None = None
        self._dirty = False

    def _open(self) -> sqlite3.Connection:
        for attempt in ("open", "recreate"):
            try:
                connection = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
                connection.execute("PRAGMA synchronous=NORMAL")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    self._create(connection, version)
                return connection
            except sqlite3.DatabaseError as error:
                if attempt == "open" and not isinstance(error, sqlite3.OperationalError):
                    self._delete()
        return _in_memory()

    def _create(self, connection: sqlite3.Connection, version: int) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == version:
            connection.execute("DROP TABLE IF EXISTS folders")
            connection.execute("DROP TABLE IF EXISTS files")
            for statement in _SCHEMA.strip().split(";\n"):
                connection.execute(statement.rstrip(";"))
            connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")

    def _delete(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(f"{self._path}{suffix}")

    def disk_now(self) -> int:
        """The clock of the disk that the working tree stands on, as `fingerprint.disk_now`."""
        return fingerprint.disk_now(str(self._path.with_name("clock")))

    def folder(self, path: str) -> FolderRow | None:
        """The row of a folder."""
        values = self._row("SELECT row, seal FROM folders WHERE path=?", path)
        if values is None:
            return None
        seen, rules, oid, size, files, *ignored = values
        content = Content(Oid(oid), "tree", int(size), int(files))
        return FolderRow(bytes.fromhex(seen), bytes.fromhex(rules), frozenset(ignored), content)

    def tree(self, path: str) -> bytes | None:
        """The canonical tree of a folder as last read; whoever uses it compares its hash."""
        row = self._one("SELECT tree FROM folders WHERE path=?", path)
        return bytes(row[0]) if row else None

    def known(self, path: str) -> dict[str, tuple[int, Entry]]:
        """Fingerprint and entry of every file of the folder `path` as last read, by name."""
        found = self._one("SELECT tree, prints FROM folders WHERE path=?", path)
        if found is None or found[1][-8:] != xxh3_64_digest(found[0] + found[1][:-8]):
            return {}
        try:
            entries = trees.decode(found[0], f"index of {path}").entries
        except MlgitError:
            return {}
        prints = struct.unpack(f"<{len(entries)}Q", found[1][:-8])
        return {entry.name: (seen, entry) for entry, seen in zip(entries, prints, strict=True) if entry.kind != "tree"}

    def put_folder(self, path: str, row: FolderRow, tree: bytes, prints: list[int]) -> None:
        """Remember a folder.

        Args:
            tree: its canonical bytes.
            prints: fingerprint of every entry, sorted as the tree; `UNSURE` for young files and for sub-folders.
        """
        content = row.content
        numbers = (content.size, content.files or 0)
        values = _join(row.signature.hex(), row.rules.hex(), content.oid, *numbers, *row.ignored)
        packed = struct.pack(f"<{len(prints)}Q", *prints)
        sealed = packed + xxh3_64_digest(tree + packed)
        self._write(
            "INSERT OR REPLACE INTO folders VALUES (?,?,?,?,?)", (path, values, _seal(path, values), tree, sealed)
        )

    def file(self, path: str) -> tuple[int, Content] | None:
        """Fingerprint and content of a single file as last read."""
        values = self._row("SELECT row, seal FROM files WHERE path=?", path)
        return (int(values[0]), Content(Oid(values[1]), "file", int(values[2]))) if values else None

    def put_file(self, path: str, seen: int, content: Content) -> None:
        """Remember a single file."""
        values = _join(seen, content.oid, content.size)
        self._write("INSERT OR REPLACE INTO files VALUES (?,?,?)", (path, values, _seal(path, values)))

    def drop(self, path: str) -> None:
        """Forget a path and everything below it."""
        below = path + "/"
        end = path + "0"  # the character after the slash
        self._write("DELETE FROM files WHERE path=? OR (path>=? AND path<?)", (path, below, end))
        self._write("DELETE FROM folders WHERE path=? OR (path>=? AND path<?)", (path, below, end))

    def _row(self, query: str, path: str) -> list[str] | None:
        """A row's values, if its seal is whole."""
        found = self._one(query, path)
        if found is None or found[1] != _seal(path, found[0]):
            return None
        return bytes(found[0]).decode(errors="surrogateescape").split("\0")

    def _one(self, query: str, path: str) -> tuple[Any, ...] | None:
        for connection in (self._memory, self._file):
            if connection is None:
                continue
            try:
                row: tuple[Any, ...] | None = connection.execute(query, (path,)).fetchone()
            except sqlite3.OperationalError:
                continue
            except sqlite3.DatabaseError:
                self._start_anew()
                return None
            if row is not None:
                return row
        return None

    def _start_anew(self) -> None:
        """Leave a damaged file behind."""
        self._file.close()
        self._delete()
        self._file, self._dirty = self._open(), False

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        """Put it into the file, or where that is busy, full or read-only, into memory for the rest of this process."""
        if self._memory is None:
            try:
                if not self._dirty:
                    self._file.execute("BEGIN IMMEDIATE")
                    self._dirty = True
                self._file.execute(statement, values)
                return
            except sqlite3.Error:
                self._memory = _in_memory()
        self._memory.execute(statement, values)

    def save(self) -> None:
        """Keep what was put since the last call."""
        if self._dirty:
            self._dirty = False
            with contextlib.suppress(sqlite3.Error):
                self._file.execute("COMMIT")

    def close(self) -> None:
        """Save and let go of the file."""
        self.save()
        self._file.close()


def _in_memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(_SCHEMA)
    return connection


def _join(*values: str | int) -> bytes:
    """Values as one blob; no name contains a NUL."""
    return "\0".join(map(str, values)).encode(errors="surrogateescape")


def _seal(path: str, values: bytes) -> bytes:
    return xxh3_64_digest(path.encode() + b"\0" + values)
