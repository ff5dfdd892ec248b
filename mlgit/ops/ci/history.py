"""The commit where head and base part, in whatever clone a CI service has made: what is missing is fetched.

A shallow clone does not know what it lacks: Git sees the commits at its edge as roots, finds no merge base, or finds
one that is too old or one of several. So a merge base counts only once nothing hidden could be a better one. What an
event says is looked up, never put where Git reads options; nothing is merged, checked out or run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from mlgit.errors import InvalidError, NotEvaluableError, UsageError
from mlgit.git import Git

_REMOTE: Final = "origin"
_ID: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_STEPS: Final = (50, 200, 800, 3200)
_PLAIN: Final = (
    "--quiet",
    "--no-tags",
    "--no-prune",
    "--no-recurse-submodules",
    "--no-auto-gc",
    "--no-write-fetch-head",
    "--refmap=",
)
_UNATTENDED: Final = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",  # none that runs another program
    "GIT_HTTP_LOW_SPEED_LIMIT": "1",
    "GIT_HTTP_LOW_SPEED_TIME": "60",
    "LC_ALL": "C",
}
_REFUSED: Final = ("not our ref", "unadvertised object", "bad object", "missing necessary objects")
_MOST_EDGES: Final = 500  # ids on one command line
_MOST_BASES: Final = 4
_LONGEST: Final = 500
_HINT: Final = (
    "fetch the history: `fetch-depth: 0` for actions/checkout, `GIT_DEPTH: 0` or `clone: depth: full` elsewhere"
)


def mend(git: Git, bases: Sequence[str], head: str, *, say: Callable[[str], None]) -> str | None:
    """The merge base of `head` and the first of `bases` that exists, after fetching what is missing.

    A full clone fetches only a base or head that it lacks. A shallow one gets deeper in growing steps until the merge
    base is certain; at most all of its history is fetched.

    Args:
        bases: `origin/<branch>` or commit ids, which are fetched if absent; other names are only looked up. A commit
            beside a branch is one that the branch holds: where it does not, the branch is old, and is fetched again.
        head: a name of the commit to judge; a commit id is fetched if absent.
        say: told, in a line, of each fetch and of what came of it.

    Returns:
        The commit's id; None if the two histories have nothing in common.

    Raises:
        UsageError: `head` is a name, not an id, and does not exist.
        NotEvaluableError: none of `bases` can be had, or not enough of the history.
    """
    clone = _Clone(git, say)
    tip = clone.head(head)
    named = bases[:_MOST_BASES]
    commits = [name for name in named if _ID.fullmatch(name)]
    for name in named:
        base = clone.base(name, tip, commits)
        if base is not None:
            return clone.common(tip, base)
    told = "; ".join(dict.fromkeys(clone.failures))
    raise NotEvaluableError(
        f"the base is not in this clone: {' or '.join(bases) or 'none is named'}{f' ({told})' if told else ''}",
        hint=_HINT,
    )


def tip(git: Git, bases: Sequence[str]) -> str | None:
    """The commit that `mend` took for the base: the first of `bases` that the clone has now."""
    clone = _Clone(git, lambda _: None)
    return next((found for name in bases[:_MOST_BASES] if (found := clone.look(name))), None)


def bring(git: Git, head: str, *, say: Callable[[str], None]) -> str:
    """The id of the commit `head`, which is fetched if it is an id and not in this clone.

    Raises:
        UsageError: `head` is a name, not an id, and does not exist.
        NotEvaluableError: it cannot be fetched.
    """
    return _Clone(git, say).head(head)


def bring_reference(git: Git, name: str, *, say: Callable[[str], None]) -> None:
    """Fetch the tag `name`, or else the branch, without its history if the clone is shallow; none is no error."""
    clone = _Clone(git, say)
    for kind in ("tags", "heads"):
        spec = f"+refs/{kind}/{name}:refs/{kind}/{name}"
        if clone.fetch_reference(f"refs/{kind}/{name}", spec):
            return


class _Clone:
    """A clone, and what went wrong while mending it."""

    def __init__(self, git: Git, say: Callable[[str], None]) -> None:
        self._git = git
        self._say = say
        self.failures: list[str] = []

    def head(self, name: str) -> str:
        if not _ID.fullmatch(name):
            return self._git.resolve(name)
        limit = ["--depth=1"] if self._git.is_shallow() else []
        if not self._has(name) and not self._fetch(f"fetching {name[:12]}", [name], *limit):
            raise NotEvaluableError(f"the head {name} cannot be fetched: {self.failures[-1]}", hint=_HINT)
        return name

    def fetch_reference(self, full: str, spec: str) -> bool:
        """Fetch one reference under its own name; false if the remote has none, or Git would not take the name."""
        try:
            self._git.run("check-ref-format", full)
        except (InvalidError, ValueError):
            return False
        return self._fetch(f"fetching {full}", [spec], *(["--depth=1"] if self._git.is_shallow() else []))

    def base(self, name: str, tip: str, others: Sequence[str]) -> str | None:
        """The commit that `name` stands for, fetched if need be; None if there is none.

        A clone that a runner keeps from run to run may have the branch as it was long ago: it is fetched again unless
        it holds the commits among `others`, which the event says it does.
        """
        found = self.look(name)
        if found is not None and (_ID.fullmatch(name) or all(self._holds(found, one) for one in others)):
            return found
        spec = self._spec(name)
        if self._git.is_shallow():
            return self.look(name) if self._fetch_with_head(name, spec, tip) else found
        return self.look(name) if spec and self._fetch(f"fetching {name}", [spec]) else found

    def _fetch_with_head(self, name: str, spec: str | None, tip: str) -> bool:
        """Fetch `spec` as deep as the head is, and both a step deeper: a trial merge comes with its parents.

        Less would cut off what is here already.
        """
        depth = f"--depth={1 + int(self._git.run('rev-list', '--count', '--first-parent', tip))}"
        note = f"fetching {name}"
        if self._fetch(note, [tip] if spec is None else [tip, spec], depth):
            return True
        return spec is not None and self._was_refused() and self._fetch(note, [spec], depth)

    def common(self, tip: str, base: str) -> str | None:
        """The merge base, certain.

        Raises:
            NotEvaluableError: the history that is missing cannot be fetched.
        """
        for limit in (None, *(f"--deepen={step}" for step in _STEPS), "--unshallow"):
            if limit is not None:
                self._deepen(limit, tip, base)
            certain, found = self._judge(tip, base)
            if certain:
                return found
        raise NotEvaluableError("the remote's own history is cut off: no merge base is certain", hint=_HINT)

    def _judge(self, tip: str, base: str) -> tuple[bool, str | None]:
        """Whether the merge base is certain, and the merge base.

        A better one would be hidden behind an edge of the clone, and would not be an ancestor of the one found. So the
        one found is certain if all edges on the way from both sides are its ancestors, and then so are all others that
        are as good. If it is one of the two sides, nothing can be better.
        """
        found = self._git.merge_base(tip, base)
        return found in (tip, base) or not self._edges(tip, base, found), found

    def _edges(self, tip: str, base: str, found: str | None) -> list[str]:
        """Commits without their parents that `tip` or `base` reach and `found` does not."""
        cut = set(self._cut())
        if not cut:
            return []
        beyond = [f"^{found}"] if found else []
        return [one for one in self._git.run("rev-list", tip, base, *beyond).split() if one in cut]

    def _cut(self) -> list[str]:
        file = self._git.root / self._git.run("rev-parse", "--git-path", "shallow").strip()
        try:
            return file.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return []

    def _deepen(self, limit: str, tip: str, base: str) -> None:
        """Fetch more of the history of both sides.

        A host may refuse to name commits by id, or a head that was made here; then the edges are named, then the base.
        """
        step = limit.partition("=")[2]
        note = f"this clone is shallow: fetching {f'{step} more commits' if step else 'the whole history'}"
        edges = self._edges(tip, base, None)[:_MOST_EDGES]
        before = len(self.failures)
        for wanted in ([tip, base], edges, [base]):
            if self._fetch(note, wanted, limit):
                return
            if not self._was_refused():
                break
        told = "; ".join(dict.fromkeys(self.failures[before:]))
        raise NotEvaluableError(f"the history of base and head is not in this clone: {told}", hint=_HINT)

    def _was_refused(self) -> bool:
        """Whether the remote answered the last fetch, and only would not give a commit by its id."""
        return any(word in self.failures[-1] for word in _REFUSED)

    def _fetch(self, note: str, specs: Sequence[str], *limits: str) -> bool:
        self._say(note)
        try:
            self._git.run("fetch", *_PLAIN, *limits, "--", _REMOTE, *specs, variables=_UNATTENDED)
        except InvalidError as error:
            self.failures.append(error.message)
            self._say(error.message)
            return False
        return True

    def look(self, name: str) -> str | None:
        """The commit of that name as far as the clone knows; `origin/…` is a branch of the remote, whatever else is."""
        if _ID.fullmatch(name):
            return name if self._has(name) else None
        if len(name) > _LONGEST:
            return None
        branch = self._branch(name)
        try:
            return self._git.resolve(f"refs/remotes/{_REMOTE}/{branch}" if branch else name)
        except UsageError:
            return None

    def _holds(self, tip: str, commit: str) -> bool:
        return self._has(commit) and self._git.merge_base(tip, commit) == commit

    def _has(self, commit: str) -> bool:
        """Whether the commit is here; a partial clone would otherwise fetch it, with all its history."""
        options = ("--no-walk", "--ignore-missing", "--missing=allow-any")
        try:
            return bool(self._git.run("rev-list", *options, commit).strip())
        except InvalidError:
            return False

    def _spec(self, name: str) -> str | None:
        """What to ask the remote for; None for a name that is only looked up."""
        if _ID.fullmatch(name):
            return name
        branch = self._branch(name)
        return f"+refs/heads/{branch}:refs/remotes/{_REMOTE}/{branch}" if branch else None

    def _branch(self, name: str) -> str | None:
        """The branch of `origin/<branch>`; None for another name, or one that Git would not take."""
        remote, _, branch = name.partition("/")
        if remote != _REMOTE or not branch.isprintable() or len(branch) > _LONGEST:
            return None
        try:
            self._git.run("check-ref-format", f"refs/heads/{branch}")
        except (InvalidError, ValueError):
            return None
        return branch
