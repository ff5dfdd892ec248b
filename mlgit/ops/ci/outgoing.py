"""Whether others can have the data of commits: the check before a push, and the same question asked in CI.

Before a push, only commits that Git has not sent yet and that touch a pointer, lock or stage file are looked at. What a
remote holds is learned from its catalog; no object is downloaded, except folder lists that the cache lacks.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from mlgit.errors import AuthError, InvalidError, MissingError, RemoteError, UnsafeError, UsageError
from mlgit.git import Git
from mlgit.model.report import Cell, Mark, Report, Row, Table, Verdict, count
from mlgit.ops.ci.checks import LOCK, POINTER, STAGE_FILE, report

if TYPE_CHECKING:
    from mlgit.model.relpath import RelPath
    from mlgit.model.tree import Content
    from mlgit.repo import Repo
    from mlgit.store.objects import Store
    from mlgit.work.outputs import Tracked
    from mlgit.work.snapshot import Snapshot

_PATTERNS: Final = (f"*{POINTER}", LOCK, STAGE_FILE)


@dataclass(frozen=True, slots=True)
class Push:
    """One reference that Git is about to send.

    Attributes:
        local: the commit or tag that goes out.
        known: the commit that the other side has under that name; zeros for none.
    """

    local: str
    known: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One commit to look at; `tip` if a pushed reference points to it."""

    commit: str
    tip: bool


def parse(lines: Iterable[str]) -> list[Push]:
    """What Git tells a pre-push hook: `<local ref> <local id> <remote ref> <remote id>` a line; deletions left out."""
    words = [line.split() for line in lines]
    return [Push(one[1], one[3]) for one in words if len(one) == 4 and one[1].strip("0")]


def outgoing(git: Git, pushes: Iterable[Push], remote: str) -> list[Outgoing]:
    """The commits to look at, each once, tips first; empty if nothing that goes out concerns mlgit."""
    tips: dict[str, Outgoing] = {}
    others: dict[str, Outgoing] = {}
    for push in pushes:
        commits = git.outgoing(push.local, remote, push.known, _PATTERNS)
        if commits:
            tip = git.resolve(push.local)
            tips[tip] = Outgoing(tip, tip=True)
            others |= {commit: Outgoing(commit, tip=False) for commit in commits}
    return list({**tips, **{commit: one for commit, one in others.items() if commit not in tips}}.values())


@dataclass(frozen=True, slots=True)
class Found:
    """What the remotes lack.

    Attributes:
        report: a row for each tracked path; kind `check-pre-push`.
        revs: what has to be pushed to mend it: commits, and None for what the working tree says.
    """

    report: Report
    revs: tuple[str | None, ...]


def examine(repo: Repo, commits: Iterable[Outgoing]) -> Found:
    """Tracked paths of `commits` whose objects no remote of theirs holds.

    Data of a commit that is not a tip and that is in the cache no more is a warning: nothing could mend it.

    Raises:
        RemoteError, AuthError: a remote does not answer.
    """
    check = _Check(repo)
    rows = [row for one in commits for row in check.rows(one)]
    return Found(report("pre-push", "Data of the commits being pushed", rows), tuple(check.revs))


def unpublished(repo: Repo, base: Snapshot | None, head: Snapshot) -> Report:
    """Data that the commit `head` names, `base` does not, and nobody else can get; kind `published`.

    Where a remote cannot be asked, as without credentials on a fork's pull request, that is a warning.
    """
    known = {path: one.content for path, one in repo.tracked(base).items()} if base is not None else {}
    tracked = repo.tracked(head).items()
    changed = [one for path, one in tracked if one.push and one.content not in (None, known.get(path))]
    check = _Check(repo)
    rows = _together([row for one in changed for row in check.unpublished(one)])
    failed = any(row.mark is Mark.FAIL for row in rows)
    table = Table("published", "Data that is in no remote", ("path", "problem"), rows, "all data is in its remote")
    return Report("published", "Data", (table,), Verdict.FAIL if failed else Verdict.NONE, head=head.name)


def _together(rows: list[Row]) -> tuple[Row, ...]:
    """One row for all that could not be asked for the same reason."""
    kept: dict[Row | Cell, list[Row]] = {}
    for row in rows:
        kept.setdefault(row if row.mark is Mark.FAIL else row.cells[1], []).append(row)
    return tuple(_counted(some) for some in kept.values())


def _counted(rows: list[Row]) -> Row:
    first, *more = rows
    path, problem = first.cells
    return replace(first, cells=(f"{path} and {count(len(more), 'more path')}", problem)) if more else first


class _Check:
    """One look at the remotes; each store is opened once, each content judged once."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._stores: dict[str, Store] = {}
        self._seen: set[tuple[str, str]] = set()
        self.revs: dict[str | None, None] = {}

    def rows(self, one: Outgoing) -> Iterator[Row]:
        short = one.commit[:7]
        try:
            tracked = self._repo.tracked(self._repo.snapshot(one.commit))
        except (InvalidError, UnsafeError) as error:
            yield Row((short, error.message), Mark.FAIL if one.tip else Mark.WARN, f"hint: {error.hint}")
            return
        for output in tracked.values():
            yield from self._judge(output, one)

    def _judge(self, output: Tracked, one: Outgoing) -> Iterator[Row]:
        content, short = output.content, one.commit[:7]
        if content is None or not output.push:
            return
        try:
            config = self._repo.config.pick(output.remote)
        except UsageError as error:
            yield Row((output.path, f"{short} names it, but {error.message}"), Mark.FAIL, f"hint: {error.hint}")
            return
        if (config.name, content.oid) in self._seen:
            return
        self._seen.add((config.name, content.oid))
        lacking = self._lacking(config.name, content)
        if not lacking:
            return
        problem = f"remote {config.name} lacks {count(lacking, 'object')} that {short} names"
        if self._repo.workspace.has(content):
            rev = self._rev(output, one)
            self.revs[rev] = None
            command = "mlgit push" if rev is None else f"mlgit push --rev {rev}"
            yield Row((output.path, problem), Mark.FAIL, f"hint: {command}")
        elif one.tip:
            yield Row((output.path, f"{problem}, and so does the cache"), Mark.FAIL, _remake(output))
        else:
            note = f"{short} cannot be checked out any more; later commits can"
            yield Row((output.path, f"{problem}, and so does the cache"), Mark.WARN, note)

    def unpublished(self, output: Tracked) -> Iterator[Row]:
        """The row of an output whose remote lacks it, or cannot be asked."""
        content = output.content
        assert content is not None, "what has never been made is in nobody's way"
        try:
            remote = self._repo.config.pick(output.remote).name
            lacking = self._lacking(remote, content)
            folder = self._stores[remote].backend.local
            if folder is not None and not folder.is_dir():
                raise MissingError(f"remote {remote} is a folder that is not on this machine")
        except (UsageError, RemoteError, AuthError, MissingError) as error:
            yield Row((output.path, f"not checked: {error.message}"), Mark.WARN, where=output.file)
            return
        if lacking:
            problem = f"remote {remote} lacks {count(lacking, 'object')} of it"
            yield Row((output.path, problem), Mark.FAIL, "run `mlgit push` where the data is", output.file)

    def _rev(self, output: Tracked, one: Outgoing) -> str | None:
        """What to push to mend it: the plain working tree, if that still says what the commit says."""
        now = self._present.get(output.path)
        return None if now is not None and now.content == output.content else one.commit[:7]

    @functools.cached_property
    def _present(self) -> dict[RelPath, Tracked]:
        try:
            return self._repo.tracked()
        except (InvalidError, UnsafeError):
            return {}

    def _lacking(self, name: str, content: Content) -> int:
        """How many objects of `content` the remote lacks, as far as folder lists are known."""
        from mlgit.store.reach import reach
        from mlgit.work import sync

        workspace = self._repo.workspace
        if name not in self._stores:
            self._stores[name] = sync.open_remote(workspace, workspace.config.pick(name))
        found = reach([content], workspace.store, strict=False)
        if found.absent:
            found = reach([content], self._stores[name], strict=False)
        return len(self._stores[name].missing(found.oids))


def _remake(output: Tracked) -> str:
    if output.stage is not None:
        return f"hint: make it again with `mlgit repro {output.stage}`, then `mlgit push`"
    return f"hint: `mlgit pull {output.path}` from a remote that has it, then `mlgit push`"
