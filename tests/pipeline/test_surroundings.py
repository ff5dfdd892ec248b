from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import replace
from pathlib import Path

import pytest

import mlgit
from mlgit.model.runrecord import Environment
from mlgit.pipeline import surroundings
from mlgit.pipeline.surroundings import current, differences

THEN = Environment("3.11.7", "Linux-x86_64", "1", ("numpy==1.26.4", "pandas==2.2.0", "tqdm==4.0"), "a" * 64)


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A virtual environment of its own, without packages."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    return tmp_path / "venv"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def install(python: Path, *names: str) -> Path:
    folder = next((python / "lib").glob("python*/site-packages"))
    for name in names:
        (folder / name).mkdir()
    return folder


def test_python_and_packages_are_those_of_the_path(python: Path, cache: Path) -> None:
    install(
        python, "Foo_Bar.baz-1.0rc1.dist-info", "old-2.0-py3.9.egg-info", "with-dash-3.0.dist-info", "~oken-1.dist-info"
    )
    install(python, "develop.egg-info", "plain", "bad-1 0.dist-info")
    found = current(str(python / "bin"), cache)
    assert found.packages == ("foo-bar-baz==1.0rc1", "old==2.0", "with-dash==3.0")
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.platform.partition("-")[0] in ("Linux", "Darwin")
    assert found.mlgit == mlgit.__version__
    assert len(found.fingerprint) == 64


def test_the_list_agrees_with_what_python_itself_says(cache: Path) -> None:
    code = (
        "import importlib.metadata as m, re; print(*sorted({re.sub(r'[-_.]+', '-', d.metadata['Name']).lower() + '==' "
        "+ d.version for d in m.distributions()}))"
    )
    program = Path(sys.executable)
    said = subprocess.run(
        (program, "-E", "-c", code), capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert list(current(str(program.parent), cache).packages) == said


def test_it_is_asked_once_and_noticed_when_packages_change(
    python: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = str(python / "bin")
    folder = install(python, "numpy-1.26.4.dist-info")
    before = current(search, cache)
    monkeypatch.setattr(surroundings.subprocess, "run", None)  # a warm look starts no process
    assert current(search, cache) == before
    monkeypatch.undo()
    (folder / "numpy-1.26.4.dist-info").rename(folder / "numpy-2.0.0.dist-info")
    after = current(search, cache)
    assert differences(before, after) == ("numpy 1.26.4 → 2.0.0",)
    (folder / "more.pth").write_text(str(cache.parent / "more") + "\n")
    (cache.parent / "more/six-1.0.dist-info").mkdir(parents=True)
    assert differences(after, current(search, cache)) == ("six 1.0 added",)


def test_equal_set_ups_in_other_places_have_one_fingerprint(tmp_path: Path, cache: Path) -> None:
    found = []
    for name in ("one", "two"):
        venv.create(tmp_path / name, with_pip=False, symlinks=True)
        install(tmp_path / name, "a-1.dist-info")
        found.append(current(str(tmp_path / name / "bin"), cache))
    assert found[0] == found[1]


@pytest.mark.parametrize("search", ["", "relative/bin", "/nowhere/at/all", "."])
def test_no_python_is_fine(search: str, cache: Path) -> None:
    found = current(search, cache)
    assert (found.python, found.packages) == (None, ())
    assert found.platform
    assert not list(cache.iterdir())


def test_a_python_that_does_not_start(tmp_path: Path, cache: Path) -> None:
    for text in ("#!/bin/sh\nexit 1\n", "#!/bin/sh\necho '[1, 2, 3]'\n", "#!/bin/sh\necho hello\n"):
        surroundings._ask_shim.cache_clear()
        (tmp_path / "python").write_text(text)
        (tmp_path / "python").chmod(0o755)
        assert current(str(tmp_path), cache).python is None


def test_a_shim_is_asked_again_by_the_next_process(python: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "shims").mkdir()
    shim = tmp_path / "shims/python3"
    shim.write_text(f'#!/bin/sh\nexec {python}/bin/python "$@"\n')
    shim.chmod(0o755)
    install(python, "a-1.dist-info")
    assert current(str(tmp_path / "shims"), cache).packages == ("a==1",)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"{}", b'{"python": 3, "signature": []}', b'{"python": ["a", "b", [1]]}']
)
def test_a_damaged_memory_is_not_believed(python: Path, cache: Path, data: bytes) -> None:
    good = current(str(python / "bin"), cache)
    (file,) = cache.iterdir()
    file.write_bytes(data)
    assert current(str(python / "bin"), cache) == good


def test_a_folder_that_cannot_be_written(python: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert current(str(python / "bin"), tmp_path / "file") == current(str(python / "bin"), tmp_path / "none/there")


def test_files_of_the_current_folder_do_not_run(
    python: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "platform", "sitecustomize", "usercustomize", "re", "os"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w'); raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert current(str(python / "bin"), cache).python is not None
    assert not os.path.exists("ran")


def test_differences_in_words() -> None:
    now = replace(THEN, python="3.12.1", packages=("numpy==2.0.0", "tqdm==4.0", "zarr==2.1"), fingerprint="b" * 64)
    assert differences(THEN, now) == (
        "Python 3.11.7 → 3.12.1",
        "numpy 1.26.4 → 2.0.0",
        "pandas removed",
        "zarr 2.1 added",
    )
    assert differences(THEN, replace(THEN, mlgit="2")) == ()
    assert differences(THEN, replace(THEN, platform="Darwin-arm64", fingerprint="b" * 64)) == (
        "platform Linux-x86_64 → Darwin-arm64",
    )
    assert differences(THEN, replace(THEN, python=None, packages=(), fingerprint="c" * 64))[0] == "Python 3.11.7 → none"


def test_many_differences_are_cut() -> None:
    now = replace(THEN, packages=tuple(f"p{number:03}==1" for number in range(100)), fingerprint="b" * 64)
    words = differences(THEN, now)
    assert len(words) == 9
    assert words[-1] == "95 more packages"


def test_records_of_version_1_are_compared_by_platform_alone() -> None:
    old = Environment("3.9", "Linux-x86_64", "0.1")
    assert differences(old, THEN) == ()
    assert differences(old, replace(THEN, platform="Darwin-arm64")) == ("platform Linux-x86_64 → Darwin-arm64",)
