from __future__ import annotations

import subprocess
import sys

import pytest

from mlgit.model.relpath import RelPath
from mlgit.model.stage import Resources, Stage
from mlgit.pipeline.environment import variables


def stage(cpus: float = 1.0, **env: str) -> Stage:
    return Stage("s", RelPath("mlgit.yaml"), "x", env=env, resources=Resources(cpus=cpus))


def test_what_makes_runs_differ_is_fixed_whatever_the_user_has() -> None:
    mine = {
        "PYTHONHASHSEED": "random",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "de_DE",
        "LANGUAGE": "de",
        "OMP_NUM_THREADS": "64",
    }
    assert variables(stage(), mine) == variables(stage(), {})
    assert variables(stage(), {})["PYTHONHASHSEED"] == "0"


def test_the_rest_is_passed_on_but_nothing_of_mlgit() -> None:
    made = variables(stage(), {"PATH": "/bin", "AWS_PROFILE": "me", "MLGIT_TOKEN": "x", "_MLGIT_COMPLETE": "y"})
    assert (made["PATH"], made["AWS_PROFILE"]) == ("/bin", "me")
    assert not [name for name in made if "MLGIT" in name]


@pytest.mark.parametrize(("cpus", "threads"), [(0.0, "1"), (0.5, "1"), (1.0, "1"), (2.9, "2"), (16.0, "16")])
def test_thread_counts_follow_the_processors(cpus: float, threads: str) -> None:
    made = variables(stage(cpus), {})
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")
    assert {made[name] for name in (*names, "VECLIB_MAXIMUM_THREADS")} == {threads}


def test_devices() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in variables(stage(), {})
    assert variables(stage(), {"CUDA_VISIBLE_DEVICES": "3"})["CUDA_VISIBLE_DEVICES"] == "3"
    assert variables(stage(), {"CUDA_VISIBLE_DEVICES": "3"}, (0, 2))["CUDA_VISIBLE_DEVICES"] == "0,2"
    assert variables(stage(), {}, ["GPU-1a", "GPU-2b"])["CUDA_VISIBLE_DEVICES"] == "GPU-1a,GPU-2b"


def test_the_stage_has_the_last_word() -> None:
    made = variables(stage(4, TZ="Europe/Rome", OMP_NUM_THREADS="2", CUDA_VISIBLE_DEVICES="", MLGIT_X="1"), {}, (1,))
    assert (made["TZ"], made["OMP_NUM_THREADS"], made["MKL_NUM_THREADS"]) == ("Europe/Rome", "2", "4")
    assert (made["CUDA_VISIBLE_DEVICES"], made["MLGIT_X"]) == ("", "1")


def test_a_real_python_runs_the_same_way_twice() -> None:
    code = (
        "import locale, os, sys, time, zipfile; print(hash('x'), time.tzname, sys.flags.hash_randomization, "
        "locale.setlocale(locale.LC_ALL, ''), sys.stdout.line_buffering or sys.stdout.write_through, "
        "zipfile.ZipInfo('x', time.gmtime(int(os.environ['SOURCE_DATE_EPOCH']))[:6]).date_time)"
    )
    runs = {
        subprocess.run(
            (sys.executable, "-c", code), env=variables(stage(), mine), capture_output=True, check=True
        ).stdout
        for mine in ({}, {"PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo", "LANG": "C"}, {"LC_CTYPE": "POSIX"})
    }
    assert len(runs) == 1
    assert b"('UTC', 'UTC') 0 " in runs.pop()
