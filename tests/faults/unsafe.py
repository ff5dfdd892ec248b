"""mlgit made unsafe on purpose: `python unsafe.py KIND ARGUMENT…` runs it with one rule of its trade broken.

The harness must find every one of these; otherwise its silence about the real program would mean nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlgit.fs
from mlgit.store.local import LocalBackend


def index_first() -> None:
    """The index that names packs and objects stands before they do."""
    put, put_bytes = LocalBackend.put, LocalBackend.put_bytes
    held: list[tuple[str, Path]] = []

    def put_later(self: LocalBackend, name: str, source: Path, progress: Any = None, *, move: bool = False) -> None:
        aside = self.root / name
        aside = aside.with_name(f".{len(held)}.held")
        aside.parent.mkdir(parents=True, exist_ok=True)
        (os.replace if move else shutil.copyfile)(source, aside)
        held.append((name, aside))

    def put_now(self: LocalBackend, name: str, data: bytes) -> None:
        put_bytes(self, name, data)
        while held:
            late, aside = held.pop()
            put(self, late, aside, move=True)

    LocalBackend.put, LocalBackend.put_bytes = put_later, put_now  # type: ignore[method-assign]


def in_place() -> None:
    """Packs and objects are written under their final names."""

    def write(self: LocalBackend, name: str, source: Path, progress: Any = None, *, move: bool = False) -> None:
        final = self.root / name
        final.parent.mkdir(parents=True, exist_ok=True)
        data = source.read_bytes()
        descriptor = os.open(final, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, data[: len(data) // 2])
        os.write(descriptor, data[len(data) // 2 :])
        os.close(descriptor)
        if move:
            source.unlink()

    LocalBackend.put = write  # type: ignore[method-assign]


def pointer_first() -> None:
    """The pointer stands before the batch that it names is committed."""
    from mlgit.store.writer import Writer
    from mlgit.work import add

    commit, apply = Writer.commit, add.apply
    held: list[Writer] = []

    def hold(self: Writer) -> None:
        held.append(self)

    def apply_then_commit(*arguments: Any, **options: Any) -> Any:
        done = apply(*arguments, **options)
        while held:
            commit(held.pop())
        return done

    Writer.commit = hold  # type: ignore[method-assign]
    add.apply = apply_then_commit


def delete_first() -> None:
    """gc deletes packs and objects before the index that forgets them stands."""
    from mlgit.store import gc

    apply = gc.apply

    def delete_then_apply(store: Any, sweep: Any, *rest: Any, **options: Any) -> Any:
        store.backend.delete(sorted(sweep.delete))
        return apply(store, sweep, *rest, **options)

    gc.apply = delete_then_apply


def unsynced() -> None:
    """Nothing is ever flushed to the medium."""
    for name in ("fsync", "fdatasync", "sync"):
        setattr(os, name, lambda *_: None)
    for one in pkgutil.iter_modules(mlgit.fs.__path__):
        module = importlib.import_module(f"mlgit.fs.{one.name}")
        for name in [name for name in vars(module) if name.startswith("sync")]:
            setattr(module, name, lambda *_: None)


def deaf() -> None:
    """A flush that fails is taken for one that worked."""
    fsync = os.fsync

    def ignored(descriptor: int) -> None:
        with contextlib.suppress(OSError):
            fsync(descriptor)

    os.fsync = ignored


KINDS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (index_first, in_place, pointer_first, delete_first, unsynced, deaf)
}


if __name__ == "__main__":
    KINDS[sys.argv[1]]()
    from mlgit.cli.main import run

    sys.exit(run(sys.argv[2:]))
