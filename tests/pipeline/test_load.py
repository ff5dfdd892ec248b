"""What a project is made of, read from a real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlgit.errors import InvalidError
from mlgit.model.relpath import RelPath
from mlgit.repo import Repo

STAGES = """
vars: [conf/values.yaml]
stages:
  make: {cmd: "echo 'k: 1' > conf/values.yaml", outs: [OUT]}
  use: {cmd: 'echo ${k} > used', outs: [used]}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    Repo.init(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/values.yaml").write_text("k: 1\n")
    return tmp_path


@pytest.mark.parametrize("tracked", ["conf", "conf/values.yaml"])
def test_variables_that_are_tracked_as_data_would_lock_a_clone_out(tracked: str, root: Path) -> None:
    Repo(root).workspace.save([RelPath(tracked)])
    (root / f"{tracked}.mlgit").write_text(f"out: {Path(tracked).name}\n")
    (root / "mlgit.yaml").write_text(STAGES.replace("OUT", "other"))
    with pytest.raises(InvalidError) as caught:
        _ = Repo(root).pipeline.project
    assert f"conf/values.yaml, which is tracked as data ({tracked}.mlgit)" in caught.value.message
    assert "git add" in str(caught.value.hint)


@pytest.mark.parametrize("out", ["conf", "conf/values.yaml"])
def test_variables_that_a_stage_makes_stay_in_git(out: str, root: Path) -> None:
    (root / "mlgit.yaml").write_text(STAGES.replace("OUT", out))
    with pytest.raises(InvalidError) as caught:
        _ = Repo(root).pipeline.project
    assert "the stage 'make' writes into the cache" in caught.value.message
    (root / "mlgit.yaml").write_text(STAGES.replace("[OUT]", f"[{out}: {{cache: false}}]"))
    assert set(Repo(root).pipeline.project.stages) == {"make", "use"}
