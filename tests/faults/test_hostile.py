"""A hostile clone is inert: it runs nothing, writes nothing outside, and sends nothing without being asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from health import assert_healthy, files_below

from mlgit.errors import UnsafeError
from mlgit.repo import Repo

Mlgit = Callable[..., object]
POINTER = "out: {out}\noid: blake3:" + "0" * 64 + "\ntype: file\nsize: 1\n"
LOOKING = (("status",), ("diff",), ("ls",), ("checkout",), ("pull",), ("fetch",), ("gc", "-w", "--yes"), ("fsck",))


def git(folder: Path, *words: str) -> None:
    import subprocess

    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def tracked(repo: Repo, mlgit: Mlgit) -> Repo:
    """One tracked folder, pushed to a folder remote, committed."""
    (repo.root / "data").mkdir()
    (repo.root / "data" / "a").write_text("a")
    mlgit("remote", "add", "-d", "store", "../remote", cwd=repo.root)
    mlgit("add", "data", cwd=repo.root)
    mlgit("push", "--yes", cwd=repo.root)
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-q", "-m", "data")
    return Repo(repo.root)


@pytest.mark.parametrize(
    ("out", "code"),
    [
        *(
            (out, 14)
            for out in (
                "../x",
                "..",
                "/etc/passwd",
                "'C:\\x'",
                "'\\\\?\\C:\\x'",
                ".git",
                ".GIT",
                "git~1",
                "'.git '",
                ".mlgit",
            )
        ),
        *((out, 10) for out in ("a/b", "''", "other", "[x]", "null")),
    ],
)
def test_pointers_to_elsewhere_are_refused(repo: Repo, mlgit: Mlgit, tmp_path: Path, out: str, code: int) -> None:
    """Rows 32 and 33."""
    (repo.root / "x.mlgit").write_text(POINTER.format(out=out))
    git(repo.root, "add", "-A")
    git(repo.root, "commit", "-q", "-m", "hostile")
    before = {folder: files_below(folder) for folder in (tmp_path / "project" / ".git" / "hooks", tmp_path / "project")}
    before = {
        folder: {k: v for k, v in found.items() if ".mlgit/" not in k and not k.startswith(".git/")}
        for folder, found in before.items()
    }
    for command in (("status",), ("checkout",), ("diff",)):
        done = mlgit(*command, cwd=repo.root, code=code)
        assert "x.mlgit" in done.err  # type: ignore[attr-defined]
    after = {k: v for k, v in files_below(repo.root).items() if ".mlgit/" not in k and not k.startswith(".git/")}
    assert after == before[tmp_path / "project"]


def test_looking_runs_nothing_from_the_repository(tracked: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    """Row 40: hooks, file-system monitor, aliases, filters, diff programs, and stage commands."""
    canary = tmp_path / "canary"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {canary}\nexit 0\n")
    program.chmod(0o755)
    (tracked.root / "mlgit.yaml").write_text(f"stages:\n  s:\n    cmd: {program}\n    outs: [out.txt]\n")
    (tracked.root / ".gitattributes").write_text("*.mlgit diff=evil\n")
    git(tracked.root, "add", "-A")
    git(tracked.root, "commit", "-q", "-m", "stage")
    for hook in ("post-checkout", "pre-commit", "post-index-change", "post-merge", "reference-transaction"):
        path = tracked.root / ".git" / "hooks" / hook
        path.write_text(program.read_text())
        path.chmod(0o755)
    for key, value in (
        ("core.fsmonitor", program),
        ("core.pager", program),
        ("diff.external", program),
        ("diff.evil.command", program),
        ("diff.evil.textconv", program),
        ("alias.ls-files", f"!{program}"),
    ):
        git(tracked.root, "config", key, str(value))
    (tracked.root / "data" / "a").write_text("changed")
    for command in LOOKING:
        mlgit(*command, cwd=tracked.root, code=None)
        assert not canary.exists(), command
    mlgit("diff", "HEAD~1", "HEAD", cwd=tracked.root)
    mlgit("add", "data", cwd=tracked.root)
    assert not canary.exists()


@pytest.mark.parametrize(
    "name", ["config.local.yaml", "trusted", "lock", "index.db", "cache", "tmp", "clock", "remotes", "config.yaml"]
)
def test_a_commit_cannot_bring_what_is_this_machines_own(
    tracked: Repo, mlgit: Mlgit, tmp_path: Path, name: str
) -> None:
    """A symbolic link in place of a lock, a cache or a list would lead writes to a victim."""
    victim = tmp_path / "victim"
    if name in ("cache", "tmp", "remotes"):
        victim.mkdir()
        (victim / "sentinel").write_text("precious")
    else:
        victim.write_text("precious")
    path = tracked.root / ".mlgit" / name
    if path.is_dir():
        os.rename(path, tmp_path / "old")
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(victim)
    git(tracked.root, "add", "-f", f".mlgit/{name}")
    git(tracked.root, "commit", "-q", "-m", "hostile")
    git(tmp_path, "clone", "-q", str(tracked.root), "clone")
    before = files_below(victim) if victim.is_dir() else victim.read_bytes()
    for command in (("status",), ("pull",)):
        done = mlgit(*command, cwd=tmp_path / "clone", code=14)
        assert f".mlgit/{name}" in done.err  # type: ignore[attr-defined]
    assert (files_below(victim) if victim.is_dir() else victim.read_bytes()) == before


@pytest.mark.parametrize("name", ["config.local.yaml", "trusted"])
def test_a_commit_cannot_speak_for_the_user(tracked: Repo, mlgit: Mlgit, tmp_path: Path, name: str) -> None:
    text = {
        "trusted": f"{tmp_path}/evil\n",
        "config.local.yaml": "remote:\n  store:\n    url: ssh://evil/x\n    proxy_command: touch canary\n",
    }
    path = tracked.root / ".mlgit" / name
    path.write_text(text[name])
    mlgit("status", cwd=tracked.root, code=None)  # its own file, not committed
    git(tracked.root, "add", "-f", f".mlgit/{name}")
    with pytest.raises(UnsafeError, match=name) as caught:
        Repo(tracked.root)
    assert f"git rm -r --cached '.mlgit/{name}'" in (caught.value.hint or "")


def test_a_control_folder_that_is_a_link(git_folder: Path, mlgit: Mlgit, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (git_folder / ".mlgit").symlink_to(victim)
    git(git_folder, "add", "-A")
    git(git_folder, "commit", "-q", "-m", "hostile")
    for command in (("init",), ("status",)):
        mlgit(*command, cwd=git_folder, code=14)
    assert list(victim.iterdir()) == []


def test_links_of_the_users_own_are_fine(tracked: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    os.rename(tracked.root / ".mlgit" / "cache", tmp_path / "big disk")
    (tracked.root / ".mlgit" / "cache").symlink_to(tmp_path / "big disk")
    mlgit("status", cwd=tracked.root)
    assert_healthy(tracked)


@pytest.mark.parametrize("name", [".mlgitignore", ".gitignore"])
def test_ignore_files_that_are_links_are_refused(tracked: Repo, mlgit: Mlgit, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious\n")
    (tracked.root / name).unlink(missing_ok=True)
    (tracked.root / name).symlink_to(victim if name == ".gitignore" else "/dev/zero")
    (tracked.root / "more").mkdir()
    (tracked.root / "more" / "x").write_text("x")
    (tracked.root / "new.txt").write_text("new")
    mlgit("add", "new.txt", "more", cwd=tracked.root, code=14)
    assert victim.read_text() == "precious\n"


def test_the_first_push_to_a_place_that_a_commit_names_asks(tracked: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    """Row 41."""
    git(tmp_path, "clone", "-q", str(tracked.root), "clone")
    clone = tmp_path / "clone"
    mlgit("pull", cwd=clone)
    (clone / "data" / "a").write_text("secret")
    mlgit("add", "data", cwd=clone)
    done = mlgit("push", cwd=clone, code=1)
    assert "../remote" in done.err and "--yes" in done.err  # type: ignore[attr-defined]
    mlgit("push", "--yes", cwd=clone)
    text = (clone / ".mlgit" / "config.yaml").read_text()
    (clone / ".mlgit" / "config.yaml").write_text(text.replace("../remote", "../evil"))
    mlgit("push", cwd=clone, code=1)
    assert not (tmp_path / "evil").exists()
    (clone / ".mlgit" / "config.yaml").write_text(text)
    mlgit("push", cwd=clone)


def test_what_the_user_wrote_here_needs_no_question(tracked: Repo, mlgit: Mlgit, tmp_path: Path) -> None:
    """Row 41: the local configuration is the user's own hand, for an address and for credentials that go there."""
    git(tmp_path, "clone", "-q", str(tracked.root), "clone")
    local = tmp_path / "clone" / ".mlgit" / "config.local.yaml"
    mlgit("pull", cwd=tmp_path / "clone")
    local.write_text("remotes: {store: {password: hunter22}}\n")
    done = mlgit("push", cwd=tmp_path / "clone", code=1)
    assert "named by a commit" in done.err  # type: ignore[attr-defined]
    local.write_text(f"remotes: {{store: {{url: '{tmp_path}/mine', password: hunter22}}}}\n")
    mlgit("push", cwd=tmp_path / "clone")
    assert (tmp_path / "mine" / "store.yaml").exists()


@pytest.mark.parametrize("url", ["ext::sh -c touch% canary", "simplecache::ssh://x/y", "fd::7", "unknown://x"])
def test_addresses_that_could_run_something_are_refused(tracked: Repo, mlgit: Mlgit, url: str) -> None:
    (tracked.root / ".mlgit" / "config.yaml").write_text(
        f"core:\n  remote: store\nremote:\n  store:\n    url: '{url}'\n"
    )
    (tracked.root / "data" / "a").unlink()
    for path in (tracked.root / ".mlgit" / "cache" / "index").iterdir():
        path.unlink()
    for command in (("pull",), ("push", "--yes")):
        done = mlgit(*command, cwd=tracked.root, code=None)
        assert done.code in (2, 10, 12, 14), done  # type: ignore[attr-defined]
    assert not (tracked.root / "canary").exists()


def test_names_are_printed_without_their_control_characters(repo: Repo, mlgit: Mlgit) -> None:
    """Row 36."""
    data = repo.root / "data"
    data.mkdir()
    mlgit("add", "data", cwd=repo.root)
    for name in ("esc\x1b[31mred", "new\nline", "\u202ebidi", "[bold]", "tab\there"):
        (data / name).write_text("x")
    for command in (("status", "-v"), ("diff",), ("diff", "--md")):
        words = command if command[0] != "status" else ("-v", "status")
        git(repo.root, "add", "-A")
        done = mlgit(*words, cwd=repo.root, code=None)
        for raw in ("\x1b", "\u202e", "new\nline"):
            assert raw not in done.out + done.err, (command, raw)  # type: ignore[attr-defined]
