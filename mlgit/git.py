"""The user's Git repository: reading commits, the index and the working tree's file list.

The only importer of GitPython. Importing it takes longer than the whole of a no-op `status`, and it reads SHA-1
repositories only, so questions go to the `git` program; GitPython clones, with its guard against addresses that run
commands. Whatever is asked, hooks and file-system monitors of the repository are switched off: looking at a hostile
clone runs nothing from it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mlgit.errors import InvalidError, MissingError, UnsafeError, UsageError
from mlgit.model.blob import Blob
from mlgit.model.secret import redact

_ALONE: Final = ("--no-optional-locks", "--no-replace-objects", "-c", "safe.bareRepository=explicit")
"""For every command: a folder of the commit that looks like a bare repository must not bring its own configuration."""
_QUIET: Final = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "core.quotePath=false")


class Git:
    """The repository around one mlgit root.

    Args:
        top: top of the Git working tree.
        prefix: the mlgit root seen from there: empty, or a folder with a slash at its end.
    """

    def __init__(self, top: Path, prefix: str) -> None:
        self.top = top
        self.prefix = prefix
        self.root = top / prefix if prefix else top

    @classmethod
    def find(cls, root: Path) -> Git | None:
        """The repository whose working tree holds `root`; None if there is none above it.

        Raises:
            UnsafeError: on the way there, a folder looks like a repository itself: Git would obey its configuration.
        """
        bare: list[Path] = []
        for folder in (root, *root.parents):
            if (folder / ".git").exists():
                if bare:
                    raise UnsafeError(f"{bare[0]} poses as a Git repository", hint="move HEAD, objects and refs away")
                prefix = root.relative_to(folder).as_posix()
                return cls(folder, "" if prefix == "." else f"{prefix}/")
            bare += [folder] * cls.is_bare(folder)
        return None

    @staticmethod
    def is_bare(folder: Path) -> bool:
        """Whether `folder` is itself a repository without a working tree, or says where the rest of it is."""
        whole = (folder / "objects").is_dir() and (folder / "refs").is_dir()
        return os.path.lexists(folder / "HEAD") and (whole or (folder / "commondir").is_file())

    def run(self, *arguments: str, data: bytes | None = None, variables: Mapping[str, str] | None = None) -> str:
        """Run one `git` command at the mlgit root and return what it printed.

        Args:
            variables: added to its environment; such a command has no terminal, and so nobody to ask for a password.

        Raises:
            MissingError: Git is not installed.
            InvalidError: the command failed; carries Git's own words.
        """
        return self._bytes(*arguments, data=data, variables=variables).decode(errors="surrogateescape")

    def _bytes(self, *arguments: str, data: bytes | None = None, variables: Mapping[str, str] | None = None) -> bytes:
        done = self._process(*_QUIET, *arguments, data=data, variables=variables)
        if done.returncode:
            raise self._failure(arguments[0], done)
        return done.stdout

    def _process(
        self, *arguments: str, data: bytes | None = None, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        command = ["git", *_ALONE, *arguments]
        alone: Any = {"env": {**os.environ, **variables}, "start_new_session": True} if variables else {}
        try:
            return subprocess.run(command, cwd=self.root, input=data, capture_output=True, check=False, **alone)
        except FileNotFoundError as error:
            raise MissingError("the program `git` is not installed", hint="install Git and try again") from error

    def _failure(self, command: str, done: subprocess.CompletedProcess[bytes]) -> InvalidError:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        distrust = [line for line in words if "dubious ownership" in line]
        cause = list(itertools.takewhile(lambda line: "fatal: Could not read from remote" not in line, words)) or words
        said = redact((distrust or cause or [f"exit {done.returncode}"])[-1])
        hint = f"run `git {command}` by hand to see more"
        if distrust:
            hint = f"if you trust its owner: git config --global --add safe.directory '{self.top}'"
        return InvalidError(f"git {command}: {said}", hint=hint)

    def _answer(self, *arguments: str) -> str | None:
        """What a quiet question to Git printed; None where its answer is no.

        Raises:
            InvalidError: Git distrusts the repository because somebody else owns it.
        """
        try:
            return self.run(*arguments).strip()
        except InvalidError as error:
            if "dubious ownership" in error.message:
                raise
            return None

    # -- the working tree and the index ------------------------------------------------------------------------------

    def known_files(self, *patterns: str, untracked: bool = True) -> list[str]:
        """Files tracked, or untracked and not ignored, whose last component matches a pattern (all if none).

        Args:
            untracked: false leaves those in Git's index.
        """
        specs = [spec for pattern in patterns for spec in (f":(glob){pattern}", f":(glob)**/{pattern}")]
        others = ("--others", "--exclude-standard") if untracked else ()
        return sorted(set(self._names("ls-files", "-z", "--cached", *others, "--", *specs)))

    def tracked_files(self, paths: Sequence[str] = ()) -> list[str]:
        """Files in Git's index at or below `paths`."""
        if not paths:
            return self._names("ls-files", "-z", "--cached")
        return self._names("--literal-pathspecs", "ls-files", "-z", "--cached", "--", *paths)

    def ignored(self, paths: Sequence[str]) -> set[str]:
        """Those of `paths` that Git ignores."""
        if not paths:
            return set()
        done = self._process(*_QUIET, "check-ignore", "-z", "--stdin", data="\0".join(paths).encode())
        return set(done.stdout.decode(errors="surrogateescape").split("\0")) - {""}

    def line_ends(self, path: str) -> str:
        """Git's view of the line ends of a tracked file, such as `i/lf w/crlf attr/text=auto`; empty if untracked."""
        return self.run("--literal-pathspecs", "ls-files", "--eol", "--cached", "--", path).partition("\t")[0]

    def staged(self) -> list[Blob]:
        """What the next commit adds, changes or deletes; a renamed file is a deleted and an added one."""
        options = ("--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--relative", "--diff-filter=AMTD")
        words = self.run("diff", "--cached", *options).split("\0")
        found = []
        for head, path in zip(words[::2], words[1::2], strict=False):
            _, mode, _, blob, kind = head.split(" ")
            found.append(Blob(path, mode, "" if kind == "D" else blob))
        return found

    def has_conflicts(self) -> bool:
        """Whether Git's index holds files that a merge could not decide."""
        return bool(self.run("ls-files", "--unmerged", "-z"))

    def blobs(self, commit: str | None, *specs: str) -> list[Blob]:
        """Files of a commit, or of the index if None, at or below the paths `specs`; all without them."""
        if commit is None:
            lines = self._names("--literal-pathspecs", "ls-files", "-s", "-z", "--cached", "--", *specs)
        else:
            lines = self._names("--literal-pathspecs", "ls-tree", "-r", "-z", commit, "--", *specs)
        found = {}
        for line in lines:
            head, _, path = line.partition("\t")
            words = head.split(" ")
            found[path] = Blob(path, words[0], words[1] if commit is None else words[2])
        return list(found.values())

    def sizes(self, ids: Iterable[str]) -> dict[str, int]:
        """Bytes of blobs by id, one process for all."""
        data = "".join(f"{one}\n" for one in ids).encode()
        lines = self.run("cat-file", "--batch-check=%(objectname) %(objectsize)", data=data).splitlines()
        return {line.split(" ")[0]: int(line.split(" ")[1]) for line in lines if not line.endswith(" missing")}

    def contents(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Bytes of blobs by id, one process for all.

        Raises:
            MissingError: Git lacks one, as in a partial clone.
        """
        wanted = list(dict.fromkeys(ids))
        data = self._bytes("cat-file", "--batch", data="".join(f"{one}\n" for one in wanted).encode())
        found, at = {}, 0
        for one in wanted:
            end = data.index(b"\n", at)
            words = data[at:end].split(b" ")
            if len(words) != 3:
                raise MissingError(f"Git has no object {one}", hint="run `git fetch`")
            at = end + 1 + int(words[2])
            found[one] = data[end + 1 : at]
            at += 1
        return found

    def differs_from_index(self, path: str) -> bool:
        """Whether a tracked file at or below `path` has changes in the working tree that are not staged."""
        return bool(self.run("--literal-pathspecs", "diff", "--raw", "--no-ext-diff", "--", path))

    def add(self, paths: Iterable[str]) -> None:
        """Stage files, as `git add` does."""
        listed = list(paths)
        if listed:
            self.run("--literal-pathspecs", "add", "--", *listed)

    def remove_cached(self, paths: Sequence[str]) -> None:
        """Take files out of Git's index; the working tree is left alone."""
        self.run("--literal-pathspecs", "rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", *paths)

    def _names(self, *arguments: str) -> list[str]:
        return [name for name in self.run(*arguments).split("\0") if name]

    # -- commits -----------------------------------------------------------------------------------------------------

    def head(self) -> str | None:
        """The current commit; None before the first."""
        return self._answer("rev-parse", "--verify", "-q", "HEAD^{commit}")

    def branch(self) -> str | None:
        """The current branch; None when HEAD is detached."""
        return self._answer("symbolic-ref", "-q", "--short", "HEAD")

    def resolve(self, rev: str) -> str:
        """The full id of the commit that `rev` names.

        Raises:
            UsageError: there is no such commit.
        """
        plain = rev and not rev.startswith("-") and rev.isprintable()
        found = self._answer("rev-parse", "--verify", "-q", f"{rev}^{{commit}}") if plain else None
        if found:
            return found
        if self.head() is None:
            raise UsageError(f"no such revision: {rev!r}; there are no commits yet", hint="make a first `git commit`")
        hint = "see `git branch -a`, `git tag`, `git log`"
        if self.is_shallow():
            hint = "this clone is shallow; get its history: `git fetch --unshallow`"
        raise UsageError(f"no such revision: {rev!r}", hint=hint)

    def merge_base(self, first: str, second: str) -> str | None:
        """The best common ancestor of two commits; None if they share none that is here."""
        return self._answer("merge-base", first, second)

    def default_branches(self) -> list[str]:
        """Names that exist of the branch that others start from, the most telling first."""
        names = self.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/remotes").split()
        return [one for one in ("origin/HEAD", "origin/main", "origin/master", "main", "master") if one in names]

    def commits(self, *, branches: bool = False, tags: bool = False, every: bool = False) -> dict[str, str]:
        """Commits to keep data of: id → the name that leads to it.

        Args:
            branches: the tips of all branches, remote-tracking ones too.
            tags: all tagged commits.
            every: every commit that any reference reaches, newest first.
        """
        found: dict[str, str] = {}
        if branches:
            found |= {commit: name for name, commit in self.tips("refs/heads", "refs/remotes").items()}
        if tags:
            found |= {commit: name for name, commit in self.tips("refs/tags").items()}
        if every:
            found |= {commit: commit[:7] for commit in self.run("rev-list", "--all").split()}
        return found

    def tips(self, *prefixes: str, annotated: bool = False) -> dict[str, str]:
        """Commits that the references below `prefixes` name: the reference in short → id.

        Args:
            annotated: only tags that are objects of their own.

        Raises:
            InvalidError: a reference leads nowhere.
        """
        lines = self.run("for-each-ref", "--format=%(objectname) %(refname:short)", *prefixes).splitlines()
        found = {}
        for line, (commit, kind) in zip(lines, self._peeled(lines), strict=True):
            one, _, name = line.partition(" ")
            if kind == "missing":
                raise InvalidError(f"{name} names an object that Git lacks: {one}", hint="run `git fsck`")
            if kind == "commit" and (not annotated or one != commit):
                found[name] = commit
        return found

    def _peeled(self, lines: Iterable[str]) -> list[tuple[str, str]]:
        """Id and kind of what the object that each line begins with leads to, through tags of tags."""
        data = "".join(f"{line.partition(' ')[0]}^{{}}\n" for line in lines).encode()
        answers = self.run("cat-file", "--batch-check=%(objectname) %(objecttype)", data=data).splitlines()
        return [(one, kind) for one, _, kind in (answer.partition(" ") for answer in answers)]

    def since(self, moment: float) -> dict[str, str]:
        """Commits made at or after `moment` (seconds since the epoch) that any reference reaches: id → short id.

        Every commit is looked at: with clocks that disagree, an old one may have young ancestors.
        """
        words = [line.split(" ") for line in self.run("rev-list", "--all", "--timestamp").splitlines()]
        return {commit: commit[:7] for made, commit in words if int(made) >= moment}

    def recent(self, number: int) -> dict[str, str]:
        """The last `number` commits of HEAD, first parents only: id → short id."""
        if self.head() is None:
            return {}
        listed = self.run("rev-list", "--first-parent", f"--max-count={number}", "HEAD").split()
        return {commit: commit[:7] for commit in listed}

    def stashes(self) -> dict[str, str]:
        """The commits of every `git stash` entry: working tree, index, untracked files; those of `--autostash` too."""
        found = self._autostash()
        if self._answer("rev-parse", "--verify", "-q", "refs/stash") is None:
            return found
        for number, line in enumerate(self.run("rev-list", "-g", "--parents", "refs/stash").splitlines()):
            commit, _, *others = line.split(" ")
            found |= dict.fromkeys((commit, *others), f"stash@{{{number}}}")
        return found

    def _autostash(self) -> dict[str, str]:
        """The commits of what a rebase or merge under way put away with `--autostash`, which no reference names."""
        files = ("rebase-merge/autostash", "rebase-apply/autostash", "MERGE_AUTOSTASH")
        found: dict[str, str] = {}
        for path in self.run("rev-parse", *(word for file in files for word in ("--git-path", file))).splitlines():
            with contextlib.suppress(FileNotFoundError):
                stash = self.resolve((self.root / path).read_text().strip())
                _, *others = self.run("rev-parse", f"{stash}^@").split()
                found |= dict.fromkeys((stash, *others), "what --autostash put away")
        return found

    def root_trees(self, commits: Iterable[str], *, top: bool = False) -> dict[str, str]:
        """Commit → the id of its tree at the mlgit root, or at Git's `top`; those that have none are left out."""
        listed = list(commits)
        below = f":{self.prefix.rstrip('/')}" if self.prefix and not top else "^{tree}"
        data = "".join(f"{commit}{below}\n" for commit in listed).encode(errors="surrogateescape")
        lines = self.run("cat-file", "--batch-check=%(objectname) %(objecttype)", data=data).splitlines()
        words = [line.split(" ") for line in lines]
        return {commit: word[0] for commit, word in zip(listed, words, strict=True) if word[1:] == ["tree"]}

    def outgoing(self, tip: str, remote: str, known: str, patterns: Sequence[str]) -> Sequence[str]:
        """Commits that a push of `tip` sends and that touch a file of `patterns`, the newest first.

        Args:
            remote: name of the Git remote; what its branches held when last seen is not sent again.
            known: a commit that the remote has; ignored where it is not here.
            patterns: for the last component of a path.
        """
        specs = [f":(glob)**/{pattern}" for pattern in patterns]
        options = ("--ignore-missing", "--full-history", "--topo-order")
        return self.run("rev-list", *options, tip, "--not", f"--remotes={remote}", known, "--", *specs).split()

    def is_shallow(self) -> bool:
        """Whether history is cut off, so that what it names cannot be known."""
        return self.run("rev-parse", "--is-shallow-repository").strip() == "true"

    def hooks_folder(self) -> Path:
        """Where Git looks for hooks."""
        done = self._process("rev-parse", "--git-path", "hooks")
        if done.returncode:
            raise self._failure("rev-parse", done)
        return self.root / os.fsdecode(done.stdout).strip()

    @staticmethod
    def clone(url: str, target: Path, branch: str | None = None) -> None:
        """Clone a Git repository; protocols that run commands are refused.

        Raises:
            UnsafeError: the URL is of such a protocol.
            InvalidError: Git could not clone it.
        """
        git = _library()
        try:
            options = {"branch": branch} if branch else {}
            git.Repo.clone_from(url, target, **options)
        except (git.exc.UnsafeProtocolError, git.exc.UnsafeOptionError) as error:
            raise UnsafeError(f"refused to clone {url!r}: it could run a command", hint="use https or ssh") from error
        except git.exc.GitError as error:
            words = [line.strip() for line in str(getattr(error, "stderr", error)).splitlines() if "fatal" in line]
            said = words[-1].partition("fatal: ")[2].rstrip("'") if words else "git clone failed"
            hint = "check the address with `git ls-remote`"
            raise InvalidError(f"cannot clone {url!r}: {said}", hint=hint) from error


def _library() -> Any:
    """GitPython, loaded when first needed.

    Raises:
        MissingError: the `git` program is not there; without it, GitPython refuses to load.
    """
    try:
        import git
    except ImportError as error:
        raise MissingError("the program `git` is not installed", hint="install Git and try again") from error
    return git
