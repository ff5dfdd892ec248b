"""`assert_healthy`: the invariants that hold after every command, crash and attack; see docs/design.md.

It reads stores with its own eyes: every byte is hashed here, no catalog and no index of the product is believed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from blake3 import blake3

from mlgit.errors import MlgitError
from mlgit.model import tree as trees
from mlgit.repo import Repo
from mlgit.store.indexfile import IndexFile
from mlgit.store.pack import FOOTER_SIZE, decode_footer, decode_table

_STRAY = re.compile(r"\.tmp$|\.part$|^[0-9a-f]{16}$")
Files = dict[str, bytes]


def digest_of(algorithm: str, data: bytes) -> bytes:
    return blake3(data).digest() if algorithm == "blake3" else hashlib.sha256(data).digest()


def files_below(folder: Path) -> Files:
    """Every file and link below `folder`: its path there, and its bytes or its target."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = b"-> " + str(path.readlink()).encode()
        elif path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


class StoreFiles:
    """What a store's folder really holds.

    Attributes:
        objects: digest → bytes of every object that an index names and that is whole.
        problems: what breaks I1 or I4.
    """

    def __init__(self, root: Path, algorithm: str) -> None:
        self.root = root
        self.algorithm = algorithm
        self.problems: list[str] = []
        self.objects: dict[bytes, bytes] = {}
        packs = {path.stem: self._pack(path) for path in self._final("packs", r"[0-9a-f]{64}\.pack")}
        loose = self._loose()
        for path in self._final("index", r"[0-9a-f]{64}\.idx"):
            self._index(path, packs, loose)

    def _final(self, folder: str, pattern: str) -> list[Path]:
        found = []
        for path in sorted((self.root / folder).glob("*")):
            if re.fullmatch(pattern, path.name):
                found.append(path)
            elif not path.name.startswith("."):
                self.problems.append(f"I1: a stray file under a final name: {path}")
        return found

    def _pack(self, path: Path) -> dict[bytes, bytes]:
        data = path.read_bytes()
        try:
            offset, length, checksum = decode_footer(data[-FOOTER_SIZE:], path.name)
            rows = decode_table(data[offset : offset + length], checksum, path.name)
        except MlgitError as error:
            self.problems.append(f"I1: {error}")
            return {}
        if (
            offset + length + FOOTER_SIZE != len(data)
            or blake3(data[offset : offset + length]).hexdigest() != path.stem
        ):
            self.problems.append(f"I1: pack {path.name} is not what its name says")
        found = {}
        for digest, _, start, stored, size in rows:
            part = data[start : start + stored]
            if len(part) == size and digest_of(self.algorithm, part) == digest:
                found[digest] = part
            else:
                self.problems.append(f"I1: object {digest.hex()[:10]} in pack {path.name[:10]} is damaged")
        return found

    def _loose(self) -> dict[bytes, bytes]:
        found = {}
        for path in sorted((self.root / "objects").glob("*/*/*")):
            name = path.parent.name + path.name
            if path.name.startswith("."):
                continue
            data = path.read_bytes()
            if not re.fullmatch(r"[0-9a-f]{64}", name) or digest_of(path.parent.parent.name, data).hex() != name:
                self.problems.append(f"I1: {path} does not match its name")
            else:
                found[bytes.fromhex(name)] = data
        return found

    def _index(self, path: Path, packs: Mapping[str, dict[bytes, bytes]], loose: dict[bytes, bytes]) -> None:
        data = path.read_bytes()
        try:
            named = list(IndexFile(data, path.name))
        except MlgitError as error:
            self.problems.append(f"I1: {error}")
            return
        if blake3(data).hexdigest() != path.stem:
            self.problems.append(f"I1: index {path.name} is not what its name says")
        for digest, place in named:
            holder = packs.get(place.pack, {}) if place.pack else loose
            if digest in holder:
                self.objects[digest] = holder[digest]
            else:
                self.problems.append(f"I4: {path.name[:10]} names {digest.hex()[:10]}, which is not there")


def _below(oid: str, kind: str, objects: Mapping[bytes, bytes]) -> Iterable[str]:
    """What of a content is not among `objects`."""
    pending = [(oid, kind)]
    while pending:
        oid, kind = pending.pop()
        data = objects.get(bytes.fromhex(oid.partition(":")[2]))
        if data is None:
            yield oid
        elif kind == "tree":
            pending += [(entry.oid, entry.kind) for entry in trees.decode(data, oid).entries]


def _lacking(repo: Repo, objects: Mapping[bytes, bytes]) -> list[str]:
    """What the working tree tracks and is not among `objects`."""
    try:
        tracked = Repo(repo.root).tracked()
    except MlgitError as error:
        return [f"I2: a pointer is damaged: {error}"]
    return [
        f"I2: {path} names {oid}, which is not in the cache"
        for path, one in tracked.items()
        if one.content is not None
        for oid in _below(one.content.oid, one.content.type, objects)
    ]


def violations(
    repo: Repo,
    *,
    remotes: Iterable[Path] = (),
    complete: bool = True,
    bytes_of_user: Iterable[bytes] = (),
    untouched: Mapping[Path, Files] | None = None,
    tidy: bool = False,
) -> list[str]:
    """Every invariant that does not hold, in words.

    Args:
        remotes: folders of remotes that must be sound too.
        complete: whether everything that the working tree tracks must be in the cache; not so in a fresh clone.
        bytes_of_user: contents that must exist somewhere, in the working tree or in the cache.
        untouched: folders that no command may have written to, with what `files_below` said before.
        tidy: whether temporary files are a fault; not so after a kill.
    """
    algorithm = repo.config.hash
    cache = StoreFiles(repo.config.cache_path(repo.root), algorithm)
    found = list(cache.problems)
    for folder in remotes:
        found += StoreFiles(folder, algorithm).problems
    if complete:
        found += _lacking(repo, cache.objects)
    wanted = {digest_of(algorithm, data) for data in bytes_of_user}
    if wanted - cache.objects.keys():
        here = {digest_of(algorithm, data) for name, data in files_below(repo.root).items() if name[:5] != ".git/"}
        found += [f"I3: {digest.hex()[:10]} of the user is lost" for digest in wanted - cache.objects.keys() - here]
    for folder, before in (untouched or {}).items():
        after = files_below(folder)
        found += [f"I5: {folder / name} was written" for name, _ in sorted(before.items() ^ after.items())]
    if tidy:
        scratch = [repo.root / ".mlgit" / "tmp", repo.config.cache_path(repo.root) / "tmp"]
        strays = [path for folder in scratch for path in folder.rglob("*") if _STRAY.search(path.name)]
        strays += [path for path in repo.root.rglob(".*.tmp") if ".git" not in path.parts]
        found += [f"a temporary file is left: {path}" for path in strays]
    return found


def assert_healthy(
    repo: Repo,
    *,
    remotes: Iterable[Path] = (),
    complete: bool = True,
    bytes_of_user: Iterable[bytes] = (),
    untouched: Mapping[Path, Files] | None = None,
    tidy: bool = False,
) -> None:
    """Fail with everything that `violations` finds."""
    found = violations(
        repo, remotes=remotes, complete=complete, bytes_of_user=bytes_of_user, untouched=untouched, tidy=tidy
    )
    assert not found, "\n".join(found)
