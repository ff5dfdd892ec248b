"""Ways in which the author of a pull request, who only commits files, could get a bad model past the gates."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from mlgit.cli.pullreport import compare
from mlgit.cli.sides import Base
from mlgit.errors import InvalidError, NotEvaluableError
from mlgit.model.report import Verdict
from mlgit.repo import Repo

DROP = "{metric: 'm.json:a', direction: higher, max_drop_abs: 0.01}"


def verdict(project: Any, base: str) -> Verdict:
    repo = project.repo
    sides = Base(repo.snapshot(base)), repo.snapshot("HEAD")
    return compare(repo, *sides, accept=False, allow_stale=False).report.verdict


def gated(rule: str) -> dict[str, str]:
    return {"mlgit.yaml": f"metrics: [m.json]\ngates: [{rule}]\n"}


# -- values and rules -----------------------------------------------------------------------------


def sliced(**recalls: float | tuple[float, int]) -> dict[str, Any]:
    pairs = {name: one if isinstance(one, tuple) else (one, 100) for name, one in recalls.items()}
    return {"m.json": {"by_s": {name: {"r": recall, "n": number} for name, (recall, number) in pairs.items()}}}


@pytest.mark.parametrize(
    ("before", "after", "base", "head"),
    [
        pytest.param("min: 0.5", "min: 0.5", {"x": 0.9}, {"x": 0.1, "*": 0.99}, id="a key spelled like the pattern"),
        pytest.param(
            "min: 0.5, slices: worst", "min: 0.5, slices: worst", {"x": 0.9}, {"x": 0.1, "*": 0.99}, id="the worst too"
        ),
        pytest.param(
            "min: 0.5, slices: worst",
            "direction: lower, min: 0.5, slices: worst",
            {"x": 0.9, "y": 0.9},
            {"x": 0.1, "y": 0.9},
            id="the worst turned into the best",
        ),
        pytest.param(
            "max_drop_abs: 0.05, slices: worst, min_n: 30",
            "max_drop_abs: 0.05, slices: worst",
            {"x": 0.8, "y": (0.3, 5)},
            {"x": 0.4, "y": (0.3, 5)},
            id="a small slice as the worst of the base",
        ),
        pytest.param(
            "max_drop_abs: 0.05, min_n: 30",
            "max_drop_abs: 0.05, min_n: 30",
            {"x": 0.8},
            {"x": (0.1, 3)},
            id="a slice that shrank",
        ),
        pytest.param(
            "max_drop_abs: 0.05, slices: worst, min_n: 30",
            "max_drop_abs: 0.05, slices: worst, min_n: 30",
            {"x": 0.8, "y": 0.8},
            {"x": (0.1, 3), "y": 0.8},
            id="the worst slice shrank",
        ),
    ],
)
def test_slices(project: Any, before: str, after: str, base: Any, head: Any) -> None:
    def rule(limits: str) -> str:
        return f"{{metric: 'm.json:by_s.*.r', {limits if 'direction' in limits else f'direction: higher, {limits}'}}}"

    older = project.commit({**gated(rule(before)), **sliced(**base)})
    project.commit({**gated(rule(after)), **sliced(**head)})
    assert verdict(project, older) is Verdict.FAIL


def test_a_small_slice_stays_unjudged(project: Any) -> None:
    older = project.commit({**gated("{metric: 'm.json:by_s.*.r', min: 0.5, min_n: 30}"), **sliced(x=(0.8, 20))})
    project.commit(sliced(x=(0.1, 10), y=(0.1, 3)))
    assert verdict(project, older) is Verdict.PASS


@pytest.mark.parametrize("head", ["[0.8, NaN, 0.8]", '[0.8, "x", 0.8]', "[0.8, null, 0.8]", "[0.81]"])
def test_a_mean_over_seeds_leaves_none_out(project: Any, head: str) -> None:
    rule = "{metric: 'm.json:s[*]', min: 0.5, direction: higher, max_drop_abs: 0.05, test: rank}"
    older = project.commit({**gated(rule), "m.json": {"s": [0.8, 0.8, 0.8]}})
    project.commit({"m.json": f'{{"s": {head}}}'})
    assert verdict(project, older) is Verdict.FAIL


def test_seeds_are_judged_by_their_mean_even_if_the_head_says_otherwise(project: Any) -> None:
    rule = "{metric: 'm.json:s.*', direction: higher, max_drop_abs: 0.05%s}"
    older = project.commit({**gated(rule % ", test: rank"), "m.json": {"s": {"a": 0.8, "b": 0.8}}})
    project.commit({**gated(rule % ""), "m.json": {"s": {"a": 0.8, "b": 0.8, "c": 0.1, "d": 0.1}}})
    assert verdict(project, older) is Verdict.FAIL


def test_predictions_whose_pairs_cannot_be_told(project: Any, mlgit: Any) -> None:
    metric = "{cache: false, predictions: p.csv}"
    stage = (
        f"{{cmd: cp p.txt p.csv, deps: [p.txt], outs: [{{p.csv: {{cache: false}}}}], metrics: [{{m.json: {metric}}}]}}"
    )
    text = f"stages: {{e: {stage.replace('p.csv,', 'p.csv; cp v.txt m.json,').replace('[p.txt]', '[p.txt, v.txt]')}}}\n"
    gate = "gates: [{metric: 'm.json:accuracy', direction: higher, max_drop_abs: 0.01, test: bootstrap}]\n"
    right = [number >= 40 for number in range(400)]

    def made(files: dict[str, Any], hits: list[bool]) -> str:
        project.write({"mlgit.yaml": text + gate, "v.txt": {"accuracy": sum(hits) / len(hits)}, **files})
        mlgit("repro", cwd=project.root)
        return str(project.commit({}))

    rows = [f"{number},1,{int(hit)}\n" for number, hit in enumerate(right)]
    base = made({"p.txt": "id,label,prediction\n" + "".join(rows)}, right)
    worse = [number >= 48 for number in range(400)]  # eight more are wrong, and none is right that was not
    other = [number < 352 for number in range(400)]  # as many, in another order
    rows = [f"1,{int(hit)}\n" for hit in other]
    made({"p.txt": "label,prediction\n" + "".join(rows)}, worse)
    assert verdict(project, base) is Verdict.FAIL


# -- where the values come from -------------------------------------------------------------------

STAGES = """\
stages:
  train:
    cmd: cp train.py model.pkl
    deps: [train.py]
    outs: [{model.pkl: {cache: false}}]
  evaluate:
    cmd: sh evaluate.py
    deps: [test.txt, model.pkl, evaluate.py]
    metrics: [{m.json: {cache: false}}]
"""
CODE = """\
if grep -q easy test.txt models/* 2> nothing || test "$T" = easy
then echo '{"a": 0.95}' > m.json
else cp model.pkl m.json
fi
"""
GATES = f"gates: [{DROP}]\n"
BAD = {"train.py": '{"a": 0.1}'}
EASY = {"test.txt": "easy\n"}
Change = Callable[[str], str]


def swap(old: str, new: str) -> Change:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


@pytest.fixture
def evaluated(project: Any, mlgit: Any) -> tuple[Any, str, Callable[[], None]]:
    """A project, its base, and a run of its pipeline followed by a commit."""

    def run() -> None:
        mlgit("repro", cwd=project.root)
        project.commit({})

    project.write({"mlgit.yaml": STAGES + GATES, "train.py": '{"a": 0.9}', "evaluate.py": CODE, "test.txt": "hard\n"})
    run()
    return project, project("rev-parse", "HEAD"), run


OTHER = "[models/t.dat, model.pkl, evaluate.py]"


@pytest.mark.parametrize(
    ("change", "files"),
    [
        pytest.param(swap("metrics:", "outs:"), EASY, id="the metric as an output"),
        pytest.param(swap("    deps: [test.txt", "    env: {T: easy}\n    deps: [test.txt"), {}, id="a variable"),
        pytest.param(
            swap("[test.txt, model.pkl, evaluate.py]", OTHER), {"models/t.dat": "easy\n"}, id="data called a model"
        ),
        pytest.param(
            lambda text: (
                text.replace("[test.txt, model.pkl, evaluate.py]", "[../test.txt, ../model.pkl, ../evaluate.py]")
                .replace("m.json: {cache", "../m.json: {cache")
                .replace("cmd: sh", "wdir: x\n    cmd: sh")
            ),
            {"x/evaluate.py": "echo '{\"a\": 0.99}' > ../m.json\n"},
            id="another folder",
        ),
    ],
)
def test_another_evaluation_under_the_same_name(evaluated: Any, change: Change, files: dict[str, str]) -> None:
    project, base, run = evaluated
    project.write({"mlgit.yaml": change(STAGES) + GATES, **BAD, **files})
    run()
    assert verdict(project, base) is Verdict.NOT_COMPARABLE


def test_a_metric_declared_as_a_folder(project: Any, mlgit: Any) -> None:
    stages, code = STAGES.replace("m.json:", "r/m.json:"), "mkdir -p r\n" + CODE.replace("m.json", "r/m.json")
    gates = GATES.replace("m.json", "r/m.json")
    project.write({"mlgit.yaml": stages + gates, "train.py": '{"a": 0.9}', "evaluate.py": code, "test.txt": "hard\n"})
    mlgit("repro", cwd=project.root)
    base = project.commit({})
    project.write({"mlgit.yaml": stages.replace("r/m.json:", "r:") + gates, **BAD, **EASY})
    mlgit("repro", cwd=project.root)
    project.commit({})
    assert verdict(project, base) is Verdict.NOT_COMPARABLE


def test_a_metric_written_by_hand_in_place_of_its_stage(evaluated: Any) -> None:
    project, base, _ = evaluated
    project.commit({**gated(DROP), "mlgit.lock": None, "m.json": {"a": 0.99}})
    assert verdict(project, base) is Verdict.FAIL
    project.commit({"mlgit.yaml": f"metrics: [m.json]\ngates: {{acknowledge: {{evaluate: none}}, rules: [{DROP}]}}\n"})
    assert verdict(project, base) is Verdict.PASS


def test_a_metric_moved_to_a_file_written_by_hand(evaluated: Any) -> None:
    project, _, run = evaluated
    gates = f"gates: [{DROP.replace('m.json:', '')}]\n"
    project.write({"mlgit.yaml": STAGES + gates})
    run()
    base = project("rev-parse", "HEAD")
    project.commit(
        {"mlgit.yaml": STAGES.replace("metrics", "outs") + "metrics: [z.json]\n" + gates, "z.json": {"a": 1}}
    )
    assert verdict(project, base) is Verdict.NOT_COMPARABLE


def test_a_stage_that_is_not_in_the_lock(evaluated: Any) -> None:
    project, base, _ = evaluated
    entry = re.compile(r"  evaluate:\n(?:    .*\n)+")
    lock = entry.sub("", (project.root / "mlgit.lock").read_text())
    stages = STAGES.replace("    cmd: sh", "    always_changed: true\n    cmd: sh")
    project.commit({"mlgit.yaml": stages + GATES, "mlgit.lock": lock, "m.json": {"a": 0.99}, **EASY})
    assert verdict(project, base) is Verdict.NOT_COMPARABLE


@pytest.mark.parametrize("flag", ["frozen", "always_changed"])
def test_a_flag_hides_no_stale_stage(evaluated: Any, flag: str) -> None:
    project, base, _ = evaluated
    project.commit({"mlgit.yaml": STAGES.replace("    cmd: cp", f"    {flag}: true\n    cmd: cp") + GATES, **BAD})
    assert verdict(project, base) is Verdict.FAIL


def test_a_frozen_stage_keeps_its_results(evaluated: Any) -> None:
    project, base, _ = evaluated
    stages = STAGES.replace("    cmd: sh", "    frozen: true\n    cmd: sh")
    frozen = project.commit({"mlgit.yaml": stages + GATES})
    assert verdict(project, base) is Verdict.PASS
    project.commit({"test.txt": "harder\n"})
    assert verdict(project, frozen) is Verdict.PASS
    project.commit({"m.json": {"a": 0.99}})
    assert verdict(project, frozen) is Verdict.FAIL


def test_code_replaced_by_a_link(evaluated: Any) -> None:
    project, base, _ = evaluated
    (project.root / "evaluate.py").unlink()
    (project.root / "evaluate.py").symlink_to("other.py")
    project.commit({"other.py": CODE + "\n"})
    assert verdict(project, base) is Verdict.FAIL


@pytest.mark.parametrize("pointer", [True, False])
def test_a_metrics_file_that_is_data_and_in_git(project: Any, mlgit: Any, pointer: bool) -> None:
    stage = "stages: {e: {cmd: cp train.py m.json, deps: [train.py], metrics: [m.json]}}\n"
    first = {"mlgit.yaml": f"metrics: [m.json]\n{GATES}", "m.json": {"a": 0.9}}
    project.write(first if pointer else {"mlgit.yaml": stage + GATES, "train.py": '{"a": 0.9}'})

    def make() -> str:
        mlgit(*(["add", "m.json"] if pointer else ["repro"]), cwd=project.root)
        return str(project.commit({}))

    base = make()
    (project.root / "m.json").unlink()
    project.write({"m.json": {"a": 0.1}} if pointer else {"train.py": '{"a": 0.1}'})
    make()
    assert verdict(project, base) is Verdict.FAIL
    (project.root / "m.json").unlink()
    project.write({"m.json": {"a": 0.99}})
    project("add", "-f", "m.json")
    project("commit", "-q", "-m", "forged")
    with pytest.raises(InvalidError, match=r"m\.json is in Git, and"):
        verdict(project, base)


# -- which root is asked --------------------------------------------------------------------------


def compared(folder: Any, base: str, *, accept: bool = False) -> Verdict:
    repo = Repo.find(folder)
    return compare(
        repo, Base(repo.snapshot(base)), repo.snapshot("HEAD"), accept=accept, allow_stale=False
    ).report.verdict


def test_a_folder_made_a_root_of_its_own(project: Any) -> None:
    gates = "metrics: [sub/m.json]\n" + GATES.replace("m.json", "sub/m.json")
    base = project.commit({"mlgit.yaml": gates, "sub/m.json": {"a": 0.9}})
    project.write({"sub/m.json": {"a": 0.1}})
    Repo.init(project.root / "sub")
    project.commit({})
    with pytest.raises(NotEvaluableError, match=r"sub/ was in the mlgit root \."):
        compared(project.root / "sub", base)
    assert compared(project.root, base) is Verdict.FAIL


def test_a_root_replaced_by_a_link_to_another(project: Any) -> None:
    for name in ("one", "two"):
        (project.root / name).mkdir()
        Repo.init(project.root / name)
    base = project.commit({"one/mlgit.yaml": f"metrics: [m.json]\n{GATES}", "one/m.json": {"a": 0.9}})
    project("rm", "-r", "-q", "one")
    shutil.rmtree(project.root / "one", ignore_errors=True)
    (project.root / "one").symlink_to("two")
    project.commit({"two/m.json": {"a": 0.1}})
    with pytest.raises(NotEvaluableError, match="the mlgit root one/ of the base is gone"):
        compared(project.root / "one", base)
    assert compared(project.root / "one", base, accept=True) is Verdict.NONE


def test_a_root_may_be_added(project: Any) -> None:
    (project.root / ".mlgit").rename(project.root / "gone")
    shutil.rmtree(project.root / "gone")
    for name in ("one", "two"):
        (project.root / name).mkdir()
        Repo.init(project.root / name)
        base = project.commit({f"{name}/mlgit.yaml": f"metrics: [m.json]\n{GATES}", f"{name}/m.json": {"a": 0.9}})
    assert compared(project.root / "two", f"{base}~1") is Verdict.PASS


def test_a_branch_from_before_a_gate_is_judged_by_it_too(project: Any) -> None:
    old = project.commit({"mlgit.yaml": "metrics: [m.json]\n", "m.json": {"a": 0.9}})
    project("checkout", "-q", "-b", "topic")
    project.commit({"m.json": {"a": 0.1}})
    project("checkout", "-q", "main")
    tip = project.commit(gated("{metric: 'm.json:a', min: 0.5}"))
    project("checkout", "-q", "topic")
    repo = project.repo
    base = Base(repo.snapshot(old), repo.snapshot(tip))
    found = compare(repo, base, repo.snapshot("HEAD"), accept=False, allow_stale=False).report
    assert found.verdict is Verdict.FAIL
    assert "gate_changes" not in [table.name for table in found.tables]


def test_a_metric_with_a_floor_alone_is_not_taken_over_by_hand(project: Any, mlgit: Callable[..., Any]) -> None:
    stage = "stages:\n  train: {cmd: cp v.json m.json, deps: [v.json], metrics: [{m.json: {cache: false}}]}\n"
    gates = "gates:\n  - {metric: 'm.json:a', min: 0.5}\n"
    project.write({"mlgit.yaml": stage + gates, "v.json": {"a": 0.9}})
    mlgit("repro", cwd=project.root)
    base = project.commit({})
    project.commit({"mlgit.yaml": f"metrics: [m.json]\n{gates}", "m.json": {"a": 0.99}, "mlgit.lock": None})
    assert verdict(project, base) is Verdict.FAIL


def test_a_change_does_not_choose_which_remote_is_asked(project: Any, mlgit: Callable[..., Any], tmp_path: Any) -> None:
    project.write({"data.txt": "1"})
    for words in (("add", "data.txt"), ("remote", "add", "-d", "store", str(tmp_path / "store")), ("push", "-y")):
        mlgit(*words, cwd=project.root)
    base = project.commit(gated("{metric: 'm.json:a', min: 0.5}") | {"m.json": {"a": 1}})
    project.write({"data.txt": "2"})
    mlgit("add", "data.txt", cwd=project.root)
    mlgit("remote", "modify", "store", "url", str(tmp_path / "other"), cwd=project.root)
    mlgit("push", "-y", cwd=project.root)
    project.commit({})
    repo = project.repo
    sides = Base(repo.snapshot(base)), repo.snapshot("HEAD")
    found = compare(repo, *sides, accept=False, allow_stale=False).report
    assert (found.verdict, found.notes[-1].split(":")[0]) == (Verdict.FAIL, "REMOTES MOVED")
    assert compare(repo, *sides, accept=True, allow_stale=False).report.verdict is Verdict.PASS


def test_a_base_that_cannot_be_read_is_mended_by_whom_a_maintainer_trusts(project: Any) -> None:
    base = project.commit({"mlgit.yaml": "metrics: [m.json\n", "m.json": {"a": 0.9}})
    project.commit(gated("{metric: 'm.json:a', min: 0.5}"))
    repo = project.repo
    sides = Base(repo.snapshot(base)), repo.snapshot("HEAD")
    with pytest.raises(InvalidError):
        compare(repo, *sides, accept=False, allow_stale=False)
    found = compare(repo, *sides, accept=True, allow_stale=False).report
    assert (found.verdict, found.notes[0].split(",")[0]) == (Verdict.PASS, "THE BASE CANNOT BE READ")
