"""The local index: what was seen where, so that unchanged files are not read again.

A cache in SQLite, safe to delete at any time and never the only place of anything. One row a folder holds a signature
over the stats of its entries: an equal signature means that nothing in it changed, without a row per file being read.
Where the signature differs, the row's fingerprints tell which files did.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from xxhash import xxh3_128_digest

from mlgit.model import tree as trees
from mlgit.model.oid import Oid
from mlgit.model.tree import Content, Entry

VERSION: Final = 1
UNSETTLED: Final = b""
_SCHEMA: Final = """
CREATE TABLE folders (path TEXT PRIMARY KEY, signature BLOB, rules BLOB, ignored TEXT, folders TEXT, oid TEXT,
                      size INTEGER, files INTEGER, tree BLOB, prints BLOB) WITHOUT ROWID;
CREATE TABLE files (path TEXT PRIMARY KEY, print INTEGER, oid TEXT, size INTEGER) WITHOUT ROWID;
"""


class FolderRow(NamedTuple):
    """What is known of one folder.

    Attributes:
        signature: of its entries when it was read; `UNSETTLED` when some were too young to be trusted.
        rules: digest of the ignore rules that judged its names.
        ignored: names that the rules leave out.
        folders: names of its sub-folders.
    """

    signature: bytes
    rules: bytes
    ignored: frozenset[str]
    folders: frozenset[str]
    content: Content


class Known(NamedTuple):
    """A file as last read: its fingerprint then, and its entry."""

    print: int
    entry: Entry


def signature(rules: bytes, entries: Iterable[tuple[str, str, int | Oid]]) -> bytes:
    """128 bits over a folder's entries.

    Args:
        rules: digest of the ignore rules in force.
        entries: (name, kind, fingerprint) of each file, and (name, `tree`, oid) of each sub-folder, sorted by name.
    """
    parts = [f"{kind}/{name}/{evidence}" for name, kind, evidence in entries]
    return xxh3_128_digest(rules + "\0".join(parts).encode())


class StatIndex:
    """The index file of one repository; works from memory where the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._open()
        self._dirty = False

    def _open(self) -> sqlite3.Connection:
        for attempt in ("open", "recreate"):
            try:
                connection = sqlite3.connect(self._path, timeout=5.0, isolation_level=None)
                connection.execute("PRAGMA synchronous=NORMAL")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    self._create(connection, version)
                return connection
            except sqlite3.DatabaseError as error:
                if attempt == "open" and not isinstance(error, sqlite3.OperationalError):
                    self._delete()
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(_SCHEMA)
        return connection

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

    def folder(self, path: str) -> FolderRow | None:
        """The row of a folder."""
        row = self._one("SELECT signature, rules, ignored, folders, oid, size, files FROM folders WHERE path=?", path)
        if row is None:
            return None
        seen, rules, ignored, folders, oid, size, files = row
        return FolderRow(seen, rules, _split(ignored), _split(folders), Content(Oid(oid), "tree", size, files))

    def tree(self, path: str) -> bytes | None:
        """The canonical tree of a folder as last read."""
        row = self._one("SELECT tree FROM folders WHERE path=?", path)
        return bytes(row[0]) if row else None

    def known(self, path: str) -> dict[str, Known]:
        """Every file of a folder as last read, by name."""
        row = self._one("SELECT tree, prints FROM folders WHERE path=?", path)
        if row is None:
            return {}
        entries = trees.decode(row[0], f"index of {path}").entries
        prints = struct.unpack(f"<{len(entries)}Q", row[1])
        return {entry.name: Known(seen, entry) for entry, seen in zip(entries, prints, strict=True)}

    def put_folder(self, path: str, row: FolderRow, tree: bytes, prints: list[int]) -> None:
        """Remember a folder.

        Args:
            tree: its canonical bytes.
            prints: fingerprint of every entry, sorted as the tree; `UNSURE` for young files and for sub-folders.
        """
        content = row.content
        values = (
            path,
            row.signature,
            row.rules,
            "\0".join(sorted(row.ignored)),
            "\0".join(sorted(row.folders)),
            str(content.oid),
            content.size,
            content.files,
            tree,
            struct.pack(f"<{len(prints)}Q", *prints),
        )
        self._write("INSERT OR REPLACE INTO folders VALUES (?,?,?,?,?,?,?,?,?,?)", values)

    def file(self, path: str) -> tuple[int, Content] | None:
        """Fingerprint and content of a single file as last read."""
        row = self._one("SELECT print, oid, size FROM files WHERE path=?", path)
        return (row[0] & 0xFFFFFFFFFFFFFFFF, Content(Oid(row[1]), "file", row[2])) if row else None

    def put_file(self, path: str, seen: int, content: Content) -> None:
        """Remember a single file."""
        signed = seen - (1 << 64) if seen >> 63 else seen
        self._write("INSERT OR REPLACE INTO files VALUES (?,?,?,?)", (path, signed, str(content.oid), content.size))

    def drop(self, path: str) -> None:
        """Forget a path and everything below it."""
        below = path + "/"
        end = path + "0"  # the character after the slash
        self._write("DELETE FROM files WHERE path=? OR (path>=? AND path<?)", (path, below, end))
        self._write("DELETE FROM folders WHERE path=? OR (path>=? AND path<?)", (path, below, end))

    def _one(self, query: str, path: str) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(query, (path,)).fetchone()
        except sqlite3.Error:
            return None
        return row

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        with contextlib.suppress(sqlite3.Error):  # busy, full or read-only: the next command reads the files again
            if not self._dirty:
                self._connection.execute("BEGIN IMMEDIATE")
                self._dirty = True
            self._connection.execute(statement, values)

    def save(self) -> None:
        """Keep what was put since the last call."""
        if self._dirty:
            self._dirty = False
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("COMMIT")

    def close(self) -> None:
        """Save and let go of the file."""
        self.save()
        self._connection.close()


def _split(names: str) -> frozenset[str]:
    return frozenset(names.split("\0")) if names else frozenset()
