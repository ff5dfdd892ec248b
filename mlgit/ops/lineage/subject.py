"""What somebody means who asks for the lineage of a path, a stage, an artifact or an object id.

An id that the revision does not name is looked for in every commit, newest first, without parsing what cannot have it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from mlgit.errors import InvalidError, MissingError, UnsafeError, UsageError
from mlgit.model.oid import ALGORITHMS, Oid
from mlgit.model.pointer import SUFFIX
from mlgit.model.relpath import RelPath
from mlgit.model.tree import Content
from mlgit.ops.lineage import inside
from mlgit.ops.lineage.place import Place
from mlgit.ops.lineage.value import Subject
from mlgit.pipeline.load import find
from mlgit.repo import Repo
from mlgit.store.hashing import hash_bytes
from mlgit.work.history import Unit, texts_of, units_of
from mlgit.work.outputs import Tracked, owner, pointer_path
from mlgit.work.snapshot import STAGE_FILE

_ID: Final = re.compile(r"(?:(blake3|sha256):)?([0-9a-f]{8,64})")
_NAMED: Final = re.compile(rb"(tree )?((?:blake3|sha256):[0-9a-f]{64})")
_SHOWN: Final = 4


class Found(NamedTuple):
    """A subject, and the commit or working tree that has it."""

    place: Place
    subject: Subject


def resolve(place: Place, target: str, path: RelPath | None, folder: RelPath) -> Found:
    """What `target` means at `place`: a stage, an artifact, a path, or an object id, in this order.

    Args:
        path: `target` as a path from the root; None if it cannot be one.
        folder: where the user stands, from the root.

    Raises:
        MissingError: an object id that nothing names.
        UsageError: it means nothing, or several stages, artifacts or objects.
    """
    match = _ID.fullmatch(target)
    if match is not None and match[1]:
        return _by_id(place, match[1], match[2])
    subject = _by_name(place, target, path, folder)
    if subject is not None:
        return Found(place, subject)
    if match is not None:
        return _by_id(place, None, match[2])
    try:
        several = find(place.project, target, folder)
    except UsageError as error:
        unknown = f"no stage, artifact or object id, and no path that mlgit tracks or a stage uses: {target!r}"
        raise UsageError(unknown, hint=error.hint) from None
    raise UsageError(f"{target!r} names {len(several)} stages", hint=f"name one of them: {', '.join(several)}")


def _by_name(place: Place, target: str, path: RelPath | None, folder: RelPath) -> Subject | None:
    for address in (f"{folder}/{STAGE_FILE}:{target}", target):
        if address in place.project.stages:
            return Subject(stage=address)
    artifacts = {
        f"{file.path}:{one.name}": one
        for file in place.project.files.values()
        for one in file.artifacts
        if target in (one.name, f"{file.path}:{one.name}")
    }
    if len(artifacts) > 1:
        raise UsageError(f"several artifacts are called {target!r}", hint=f"say which: {', '.join(artifacts)}")
    for one in artifacts.values():
        return at_path(place, one.path, one.name)
    return at_path(place, path) if path else None


def at_path(place: Place, path: RelPath, artifact: str | None = None) -> Subject | None:
    """The subject that stands at `path`; None if nothing that lineage knows of does."""
    repo, tracked = place.repo, place.tracked
    if path.endswith(SUFFIX) and RelPath(path[: -len(SUFFIX)]) in tracked:
        path = RelPath(path[: -len(SUFFIX)])
    top = owner(path, tracked)
    if top is not None:
        content = top.content
        if content is not None and path != top.path:
            content = inside.find(repo.workspace.store, top.path, content, path)
        pointer = pointer_path(top.path) if top.stage is None else None
        return Subject(path, content, content.oid if content else None, top.stage, pointer, artifact)
    known = any(path in stage.inputs for stage in place.project.stages.values())
    listed = any(path in file.metrics or path in file.params for file in place.project.files.values())
    if not (known or listed or artifact):
        return None
    is_folder = place.snapshot.rev is None and (repo.root / path).is_dir()
    data = None if is_folder else place.snapshot.read(path)
    content = Content(hash_bytes(repo.config.hash, data), "file", len(data)) if data is not None else None
    return Subject(path, content, content.oid if content else None, artifact=artifact)


def _by_id(place: Place, algorithm: str | None, digits: str) -> Found:
    prefixes = [f"{one}:{digits}" for one in ((algorithm,) if algorithm else ALGORITHMS)]
    here = _one([subject for prefix in prefixes for subject in _at_place(place, prefix)], digits)
    if here is not None:
        return Found(place, here)
    found = _in_history(place.repo, prefixes, digits)
    if found is not None:
        return found
    hint = "see `mlgit ls`; in a shallow clone, `git fetch --unshallow` brings the rest of history"
    raise MissingError(f"no commit names an object {digits}, and no tracked folder in the cache holds it", hint=hint)


def _one(found: list[Subject], digits: str) -> Subject | None:
    """The first of `found`, which knows of the other places that hold the same."""
    _check_one({one.oid for one in found if one.oid}, digits)
    if not found:
        return None
    others = dict.fromkeys(one.path for one in found[1:] if one.path is not None and one.path != found[0].path)
    return replace(found[0], others=tuple(others))


def _check_one(oids: set[Oid], digits: str) -> None:
    if len(oids) > 1:
        listed = ", ".join(sorted(oids)[:_SHOWN]) + (" …" if len(oids) > _SHOWN else "")
        raise UsageError(f"{digits} is the beginning of {len(oids)} objects", hint=f"give more digits: {listed}")


def _at_place(place: Place, prefix: str, *, stale: bool = False) -> list[Subject]:
    """What is named there by an id that starts with `prefix`: made or tracked, inside such a folder, or read.

    Args:
        stale: also what a stage once read where something else stands now.
    """
    tracked = place.tracked
    tops = {path: one.content for path, one in tracked.items() if one.content is not None}
    found = [_of(tracked[path], path, content) for path, content in tops.items() if content.oid.startswith(prefix)]
    if not found:
        hits = inside.search(place.repo.workspace.store, tops, prefix)
        found = [_of(tracked[top], path, content) for top, path, content in hits]
    if found:
        return found
    read = {
        (path, content.oid): Subject(path, content, content.oid)
        for address in place.project.stages
        if (entry := place.project.locked.get(address)) is not None
        for path, content in entry.deps.items()
        if content.oid.startswith(prefix) and (stale or owner(path, tracked) is None)
    }
    return list(read.values())


def _of(top: Tracked, path: RelPath, content: Content) -> Subject:
    return Subject(path, content, content.oid, top.stage, None if top.stage else pointer_path(top.path))


def _in_history(repo: Repo, prefixes: list[str], digits: str) -> Found | None:
    """The newest commit that names the object: as made or tracked, else as read, else inside a folder in the cache."""
    commits = {commit: at for at, commit in enumerate(repo.git.commits(every=True))}
    units = units_of(repo.git, commits)
    texts = texts_of(repo.git, units)
    pattern = re.compile("|".join(rf"{one}[0-9a-f]{{{64 - len(digits)}}}" for one in prefixes).encode())
    direct = {Oid(oid.decode()) for text in texts.values() for oid in pattern.findall(text)}
    if direct:
        _check_one(direct, digits)
        ranked = _commits_naming(units, texts, direct, commits)
    else:
        trees = {Oid(oid.decode()) for text in texts.values() for oid in _trees(text)}
        store = repo.workspace.store
        held = {oid: tops for one in prefixes for oid, tops in inside.holders(store, trees, one).items()}
        _check_one(set(held), digits)
        ranked = _commits_naming(units, texts, {top for tops in held.values() for top in tops}, commits)
    for commit in ranked:
        place = Place(repo, repo.snapshot(commit))
        with contextlib.suppress(InvalidError, UnsafeError):  # a commit that is malformed elsewhere says nothing
            subject = _one([one for prefix in prefixes for one in _at_place(place, prefix, stale=True)], digits)
            if subject is not None:
                return Found(place, subject)
    return None


def _trees(text: bytes) -> Iterator[bytes]:
    """The ids of folders in a lock or a pointer."""
    is_pointer = b"\ntype: tree" in text
    yield from (oid for tree, oid in _NAMED.findall(text) if tree or is_pointer)


def _commits_naming(
    units: dict[Unit, list[str]], texts: dict[str, bytes], oids: Iterable[Oid], order: dict[str, int]
) -> list[str]:
    """For each unit with one of `oids` its newest commit: where it is made or tracked first, then the newest."""
    wanted = [oid.encode() for oid in oids]
    ranked: list[tuple[bool, int, str]] = []
    for unit, having in units.items():
        data = [texts[blob.id] for blob in unit if blob.is_file]
        places = [(text, at) for text in data for oid in wanted for at in _positions(text, oid)]
        if places:
            newest = min(having, key=order.__getitem__)
            only_read = all(_is_dep(text, at) for text, at in places)
            ranked.append((only_read, order[newest], newest))
    return list(dict.fromkeys(commit for _, _, commit in sorted(ranked)))


def _positions(text: bytes, oid: bytes) -> Iterator[int]:
    at = text.find(oid)
    while at >= 0:
        yield at
        at = text.find(oid, at + 1)


def _is_dep(text: bytes, at: int) -> bool:
    """Whether what stands there in a lock is something that a stage read."""
    return text.rfind(b"\n    deps:", 0, at) > text.rfind(b"\n    outs:", 0, at)
