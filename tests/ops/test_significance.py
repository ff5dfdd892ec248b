from __future__ import annotations

import io
import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from mlgit.errors import InvalidError, UsageError
from mlgit.model.relpath import RelPath
from mlgit.model.stage import Predictions
from mlgit.ops.compare import counted, predictions, resample, scores
from mlgit.ops.compare.predictions import Examples
from mlgit.ops.compare.ranktest import _rank_sum_counts, shift
from mlgit.ops.compare.significance import Effect, from_predictions, from_seeds

CLASSES = ["accuracy", "error_rate", "balanced_accuracy", "f1_macro", "f1_micro", "recall_weighted", "precision_macro"]
BINARY = ["precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier", "accuracy"]
NUMBERS = ["mae", "mse", "rmse", "r2", "mape", "median_absolute_error"]
RANKING = ["ndcg", "mrr", "map", "ndcg@3", "map@2"]


def sides(task: str, size: int, seed: int) -> tuple[Examples, Examples]:
    """Two models' predictions of the same examples, the second a little worse."""
    random = np.random.default_rng(seed)
    made = []
    if task == "binary":
        label = random.integers(0, 2, size).astype(float)
    elif task == "classes":
        label = random.integers(0, 4, size).astype(float)
    elif task == "ranking":
        label = random.integers(0, 3, size).astype(float)
    else:
        label = random.normal(size=size)
    for noise in (0.3, 0.4):
        roles = {"label": label}
        if task in ("binary", "classes"):
            wrong = random.random(size) < noise
            roles["prediction"] = np.where(wrong, random.integers(0, label.max() + 1, size), label)
            roles["score"] = np.clip(roles["prediction"] * 0.4 + random.random(size) * 0.6, 0, 1).round(2)
        elif task == "ranking":
            roles["score"] = (label * noise + random.random(size)).round(1)
            roles["group"] = np.arange(size) // 6 * 1.0
        else:
            roles["prediction"] = (label + random.normal(size=size) * noise).round(2)
        made.append(Examples("p.csv", size, roles, {}))
    return made[0], made[1]


CASES = [
    *(("classes", name) for name in CLASSES),
    *(("binary", name) for name in BINARY),
    *(("numbers", name) for name in NUMBERS),
    *(("ranking", name) for name in RANKING),
]


@pytest.mark.parametrize(("task", "name"), [case for case in CASES if case[0] != "ranking"])
def test_counts_give_what_scikit_learn_gives_on_the_rows_written_out(task: str, name: str) -> None:
    base, head = sides(task, 40, 1)
    for metric in scores.variants(name, scores.classes_of(base, head)):
        found = counted.difference(metric, base, head)
        random = np.random.default_rng(2)
        for _ in range(20):
            rows = random.integers(0, base.count, base.count)
            older, newer = base.rows(rows), head.rows(rows)
            kinds = counted.difference(metric, older, newer)  # its own rows, each as often as it occurs
            values = [scores.compute(metric, side) for side in (older, newer)]
            if any(isinstance(value, str) for value in values):
                continue
            assert kinds.difference(kinds.counts[None].astype(float))[0] == pytest.approx(values[1] - values[0])
        assert found.size == base.count


@pytest.mark.parametrize(("task", "name"), CASES)
def test_the_bootstrap_agrees_with_drawing_rows_and_asking_scikit_learn(task: str, name: str) -> None:
    base, head = sides(task, 120, 3)
    metric = scores.variants(name, scores.classes_of(base, head) if task in ("classes", "binary") else [])[0]
    found = counted.difference(metric, base, head)
    interval = resample.bootstrap(found, 0.9, 4000)
    assert isinstance(interval, resample.Interval)
    random = np.random.default_rng(4)
    if task == "ranking":
        values = [scores.group_values(metric, side) for side in (base, head)]
        draws = random.integers(0, len(values[0]), (600, len(values[0])))
        brute = values[1][draws].mean(axis=1) - values[0][draws].mean(axis=1)
    else:
        brute = np.array([drawn_difference(metric, base, head, random) for _ in range(600)])
    spread = brute.std()
    assert np.quantile(brute, [0.05, 0.95]) == pytest.approx([interval.low, interval.high], abs=0.4 * spread)
    observed = scores.compute(metric, head) - scores.compute(metric, base)
    assert found.difference(found.counts[None].astype(float))[0] == pytest.approx(observed)
    assert interval.low <= observed <= interval.high


def drawn_difference(metric: scores.Metric, base: Examples, head: Examples, random: np.random.Generator) -> float:
    rows = random.integers(0, base.count, base.count)
    return scores.compute(metric, head.rows(rows)) - scores.compute(metric, base.rows(rows))


def test_drawing_counts_and_drawing_rows_have_the_same_means_and_spread() -> None:
    few = np.array([50, 30, 15, 5])
    many = np.ones(100, dtype=np.int64)
    for counts in (few, many):
        drawn = np.concatenate(list(resample.draws(counts, 4000)))
        assert drawn.shape == (4000, len(counts))
        assert (drawn.sum(axis=1) == 100).all()
        share = counts / 100
        assert drawn.mean(axis=0) == pytest.approx(counts, abs=1)
        assert drawn.var(axis=0) == pytest.approx(100 * share * (1 - share), rel=0.25)


def test_the_same_predictions_give_the_same_interval() -> None:
    base, head = sides("binary", 200, 5)
    metric = scores.variants("roc_auc", ["0", "1"])[0]
    intervals = {resample.bootstrap(counted.difference(metric, base, head), 0.95, 1000) for _ in range(3)}
    assert len(intervals) == 1


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    random = np.random.default_rng(6)
    joint = np.array([0.1, 0.06, 0.04, 0.8])  # both wrong, only head right, only base right, both right
    covered = 0
    for _ in range(300):
        counts = random.multinomial(400, joint)
        base = np.repeat([0.0, 0.0, 1.0, 1.0], counts)
        head = np.repeat([0.0, 1.0, 0.0, 1.0], counts)
        made = [Examples("p", 400, {"label": np.ones(400), "prediction": side}, {}) for side in (base, head)]
        interval = resample.bootstrap(counted.difference(scores.Metric("accuracy"), *made), 0.9, 1000)
        covered += interval.low <= 0.02 <= interval.high
    assert 0.84 <= covered / 300 <= 0.95


@pytest.mark.parametrize(
    ("won", "lost", "p", "method"),
    [
        (0, 0, 1.0, "no example"),
        (1, 4, 2 * (1 + 5) / 2**5, "exact"),
        (2, 10, stats.binomtest(2, 12).pvalue, "exact"),
        (121, 59, stats.chi2.sf((121 - 59 - 1) ** 2 / 180, 1), "chi-square"),  # Agresti's textbook shape
        (40, 40, 1.0, "chi-square"),
    ],
)
def test_mcnemar_on_known_tables(won: int, lost: int, p: float, method: str) -> None:
    both = 20
    base = np.repeat([True, False, True, False], [both, won, lost, 3])
    head = np.repeat([True, True, False, False], [both, won, lost, 3])
    found = resample.mcnemar(base, head, 0.95)
    assert found.p == pytest.approx(p, abs=1e-9)
    assert method in found.note
    assert found.low <= (won - lost) / len(base) <= found.high
    assert (found.low <= 0 <= found.high) == (found.p >= 0.05)


@pytest.mark.parametrize(("won", "lost"), [(won, lost) for won in range(0, 40, 3) for lost in range(0, 40, 4)])
def test_mcnemars_interval_holds_zero_exactly_where_its_test_does_not_refuse_it(won: int, lost: int) -> None:
    base = np.repeat([False, True], [won, lost])
    found = resample.mcnemar(base, ~base, 0.95)
    assert (found.low <= 1e-12 and found.high >= -1e-12) == (found.p >= 0.05)


@pytest.mark.parametrize(("base", "head"), [(3, 4), (1, 1), (5, 5), (2, 7)])
def test_the_distribution_of_u_is_that_of_all_orders(base: int, head: int) -> None:
    counts = [0] * (base * head + 1)
    for places in itertools.combinations(range(base + head), head):
        counts[sum(places) - head * (head - 1) // 2] += 1
    assert _rank_sum_counts(base, head) == counts


def test_a_shift_of_seeds_is_found_and_its_p_is_scipys() -> None:
    base, head = [0.81, 0.82, 0.80, 0.83, 0.815], [0.85, 0.86, 0.84, 0.87, 0.855]
    middle, interval = shift(base, head, paired=False, confidence=0.95)
    assert middle == pytest.approx(0.04)
    assert interval.low > 0
    assert interval.p == pytest.approx(stats.mannwhitneyu(head, base).pvalue)
    assert interval.low <= middle <= interval.high


def test_paired_seeds_have_the_interval_of_the_signed_ranks() -> None:
    # Hollander & Wolfe, table 3.1 (depression scores before and after): estimate -0.46, 96 % interval [-0.786, -0.010]
    before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    middle, interval = shift(before, after, paired=True, confidence=0.95)
    assert middle == pytest.approx(-0.46)
    assert (interval.low, interval.high) == pytest.approx((-0.786, -0.010), abs=1e-9)


def test_seeds_without_a_true_difference_are_rarely_called_different() -> None:
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        effect = from_seeds(random.normal(size=8), random.normal(size=8), "higher", paired=False)
        wrong += effect.outcome != "inconclusive"
    assert wrong / 300 <= 0.08


@pytest.mark.parametrize(
    ("base", "head", "paired", "reason"),
    [
        ([1, 2, 3], [4, 5, 6], False, "3 and 3 runs are too few to reach 95%"),
        ([1, 2, 3, 4, 5], [4, 5, 6, 7, 8], True, "5 pairs of runs are too few"),
        ([1, 2], [1, 2, 3], True, "not the same seeds"),
        ([1, math.nan], [1, 2], False, "no finite value"),
        ([], [], False, "too few"),
    ],
)
def test_seeds_that_cannot_be_judged_say_why(base: list[float], head: list[float], paired: bool, reason: str) -> None:
    assert reason in from_seeds(base, head, "higher", paired=paired)


def test_the_direction_says_what_is_better_and_the_words_say_it() -> None:
    base, head = [0.1 * n for n in range(1, 9)], [2 + 0.1 * n for n in range(1, 9)]
    assert from_seeds(base, head, "higher", paired=False).outcome == "improved"
    effect = from_seeds(base, head, "lower", paired=False)
    assert effect.outcome == "regressed"
    assert effect.words == "regressed: +2 in [1.7, 2.3] at 95 % (Mann-Whitney U test, 8 and 8 runs)"
    close = Effect("inconclusive", -0.011696, -0.0350877, 0.0116959, 0.95, 0.5, "paired bootstrap of 171 predictions")
    assert close.words == (
        "changed, not significant: -0.0117 in [-0.0351, 0.0117] at 95 % (paired bootstrap of 171 predictions)"
    )
    assert Effect("inconclusive", 0.0, 0.0, 0.0, 0.95, 1.0, "m").words == "unchanged (m)"
    assert Effect("inconclusive", 0.0, -0.1, 0.1, 0.95, 1.0, "m").words.startswith("unchanged: 0 in [-0.1, 0.1]")


# --- files of predictions ----------------------------------------------------------------------------------------


def rows(text: str, name: str = "p.csv", slices: tuple[str, ...] = ()) -> Examples:
    return predictions.read(text.encode(), Predictions(RelPath(name)), slices)


def test_all_formats_give_the_same_columns() -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = {"id": ["a", "b"], "label": [1, 0], "prediction": [1, 1], "score": [0.9, None], "flag": [True, False]}
    sink = io.BytesIO()
    parquet.write_table(pa.table(table), sink)
    lines = "".join(
        json.dumps(dict(zip(table, line, strict=True))) + "\n" for line in zip(*table.values(), strict=True)
    )
    text = "id,label,prediction,score,flag\na,1,1,0.9,True\nb,0,1,,False\n"
    files = {"p.csv": text, "p.tsv": text.replace(",", "\t"), "p.jsonl": lines, "p.parquet": sink.getvalue()}
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        found = predictions.read(data, Predictions(RelPath(name)), ["flag"])
        assert found.count == 2
        assert found.roles["label"].tolist() == [1, 0]
        assert found.roles["id"].tolist() == ["a", "b"]
        assert found.roles["score"][0] == 0.9
        assert math.isnan(found.roles["score"][1])
        assert found.slices["flag"].tolist() == ["true", "false"]


def test_examples_are_paired_by_id_whatever_the_order() -> None:
    base = rows("id,label,prediction\n1,a,a\n2,b,a\n3,a,b\n")
    head = rows("prediction,id,label\nx,3,a\ny,1,a\nz,2,b\n")
    older, newer = predictions.pair(base, head)
    assert older.roles["prediction"].tolist() == ["a", "a", "b"]
    assert newer.roles["prediction"].tolist() == ["y", "z", "x"]


@pytest.mark.parametrize(
    ("base", "head", "reason"),
    [
        ("id,label\n1,a\n2,b\n", "id,label\n1,a\n3,b\n", "1 id only at the base, 1 only at the head, such as '2'"),
        ("id,label\n1,a\n1,b\n", "id,label\n1,a\n3,b\n", "the id '1' occurs twice"),
        ("id,label\n1,a\n2,b\n", "id,label\n1,b\n2,b\n", "the label differs in 1 example of 2"),
        ("label\na\nb\n", "label\nb\na\n", "the label differs in 2 examples of 2"),
        ("label\na\nb\n", "label\na\n", "2 examples at the base, 1 at the head"),
        ("label,group\na,1\n", "label\na\n", "only the base has a column for the group"),
    ],
)
def test_what_cannot_be_paired_says_why(base: str, head: str, reason: str) -> None:
    assert reason in predictions.pair(rows(base), rows(head))


def test_numbers_are_the_same_class_however_they_are_written() -> None:
    assert isinstance(predictions.pair(rows("label\n1\n0\n"), rows("label\n1.0\n0.0\n")), tuple)
    assert isinstance(predictions.pair(rows("label\n1\n0\n"), rows('{"label": 1}\n{"label": "0"}\n', "p.jsonl")), tuple)


def test_ids_longer_than_a_float_stay_apart() -> None:
    found = rows("id,label\n9007199254740992,1\n9007199254740993,0\n")
    assert len(set(found.roles["id"])) == 2


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("p.csv", b"", "no column 'label'"),
        ("p.csv", b"id,label\n", "no rows"),
        ("p.csv", b"id,labels\n1,2\n", "no column 'label'"),
        ("p.csv", b"label,label\n1,2\n", "occurs twice"),
        ("p.csv", b"id,label\n1\n", "p.csv:2: 1 cells under 2 columns"),
        ("p.csv", b'label\n"a\n', "p.csv:2"),
        ("p.csv", b"label\n\xff\n", "not UTF-8"),
        ("p.jsonl", b'{"label": 1}\n[1]\n', "p.jsonl:2: not an object"),
        ("p.jsonl", b'{"label": 1}\n{"label"\n', "p.jsonl:2: not JSON"),
        ("p.jsonl", b'{"label": [1]}\n', "no single value"),
        ("p.jsonl", b"[" * 100_000, "not JSON"),
        ("p.parquet", b"PAR1", "not a readable Parquet file"),
    ],
)
def test_a_malformed_file_is_refused(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InvalidError) as caught:
        predictions.read(data, Predictions(RelPath(name)))
    assert reason in caught.value.message
    assert caught.value.hint


def test_a_missing_column_names_the_nearest_and_a_format_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        rows("id,lable\n1,2\n")
    assert caught.value.hint == "did you mean 'lable'?"
    with pytest.raises(UsageError, match="not a format"):
        rows("label\n1\n", "p.pickle")


# --- in a repository ---------------------------------------------------------------------------------------------

STAGES = """
stages:
  evaluate:
    cmd: python evaluate.py
    metrics:
      - m.json:
          cache: false
          predictions: {path: p.csv, task: classification, label: truth}
"""
FILE = RelPath("m.json")


def table(right: int, size: int = 60, *, order: int = 1) -> str:
    """Predictions of which the first `right` are."""
    lines = [f"{n},{n % 2},{n % 2 if n < right else 1 - n % 2},{'ab'[n % 3 == 0]}" for n in range(size)]
    return "id,truth,prediction,part\n" + "\n".join(lines[::order]) + "\n"


def judge(project, key: str = "accuracy", *, test: str = "bootstrap", direction: str = "higher"):
    return from_predictions(project.repo, project.side("HEAD"), project.side(), FILE, key, direction, test=test)


@pytest.fixture
def scored(project):
    project.commit({"mlgit.yaml": STAGES, "m.json": {"accuracy": 0.9, "n": 60}, "p.csv": table(54)})
    return project


def test_a_small_change_is_inconclusive_and_a_large_one_is_not(scored) -> None:
    scored.write({"m.json": {"accuracy": 0.883333}, "p.csv": table(53, order=-1)})
    effect = judge(scored)
    assert (effect.outcome, effect.delta) == ("inconclusive", pytest.approx(-1 / 60))
    assert effect.low < effect.delta < effect.high
    assert effect.words.startswith("changed, not significant: -0.0167 in [-0.05, 0]")
    assert effect.words.endswith("(paired bootstrap of 60 predictions, 10,000 resamples)")
    scored.write({"m.json": {"accuracy": 0.5}, "p.csv": table(30)})
    for test in ("bootstrap", "mcnemar"):
        assert judge(scored, test=test).outcome == "regressed"
        assert judge(scored, test=test, direction="lower").outcome == "improved"


def test_an_error_rate_has_mcnemars_interval_the_other_way_round(scored) -> None:
    scored.commit({"m.json": {"error_rate": 0.1}})
    scored.write({"m.json": {"error_rate": 0.5}, "p.csv": table(30)})
    effect = judge(scored, "error_rate", test="mcnemar", direction="lower")
    assert effect.outcome == "regressed"
    assert 0 < effect.low < effect.delta <= effect.high
    assert effect.delta == pytest.approx(0.4)


def test_a_slice_is_judged_by_its_rows(scored) -> None:
    scored.commit({"m.json": {"test": {"by_part": {"b": {"acc": 0.9}}}}})
    scored.write({"m.json": {"test": {"by_part": {"b": {"acc": 0.5}}}}, "p.csv": table(30)})
    effect = judge(scored, "test.by_part.b.acc")
    assert effect.delta == pytest.approx(-0.4)
    assert "20 predictions" in effect.method


def test_unchanged_predictions_are_unchanged(scored) -> None:
    assert judge(scored).words == "unchanged (paired bootstrap of 60 predictions, 10,000 resamples)"
    assert judge(scored, test="mcnemar").words.startswith("unchanged")


@pytest.mark.parametrize(
    ("files", "key", "test", "reason"),
    [
        (
            {"mlgit.yaml": "stages: {}\n"},
            "accuracy",
            "bootstrap",
            "no `predictions` are declared for m.json at",
        ),
        ({"p.csv": None}, "accuracy", "bootstrap", "there are no predictions at the head: p.csv"),
        ({"p.csv": table(54, 61)}, "accuracy", "bootstrap", "cannot be paired"),
        ({"p.csv": "id,truth\n1,2,3\n"}, "accuracy", "bootstrap", "p.csv:2: 3 cells under 2 columns"),
        (
            {"m.json": {"accuracy": 0.95}},
            "accuracy",
            "bootstrap",
            "give 0.9 at the head, but the metrics",
        ),
        ({"m.json": {"accuracy": "x"}}, "accuracy", "bootstrap", "no finite number at the head"),
        ({}, "accuracy", "mcnemar", ""),
        ({}, "n", "bootstrap", "no metric called 'n' is known"),
        ({}, "nothing", "bootstrap", "no finite number at the base"),
        ({}, "by_part.c.accuracy", "bootstrap", "no finite number at the base"),
        ({}, "a[", "bootstrap", "not a key"),
    ],
)
def test_what_cannot_be_told_has_a_reason(scored, files, key, test, reason) -> None:
    scored.write(files)
    answer = judge(scored, key, test=test)
    assert (reason in answer) if reason else isinstance(answer, Effect)


def test_rounding_in_the_metrics_file_is_no_mismatch(scored) -> None:
    scored.write({"m.json": {"accuracy": 0.88}, "p.csv": table(53)})
    assert judge(scored).outcome == "inconclusive"
    scored.write({"m.json": {"accuracy": 1.0}, "p.csv": table(58)})
    assert "but the metrics file says 1.0" in judge(scored)


def test_mcnemar_and_other_tasks_metrics_are_refused_in_words(scored) -> None:
    scored.commit({"m.json": {"f1": 0.9, "mae": 0.1}})
    assert "McNemar's test judges accuracy" in judge(scored, "f1", test="mcnemar")
    assert judge(scored, "mae") == "mae is a metric of regression, the predictions are of classification"


def test_of_two_classes_with_names_the_positive_one_is_told_by_the_value(project) -> None:
    text = "label,prediction\n" + "good,good\n" * 40 + "good,ill\n" * 10 + "ill,ill\n" * 10
    worse = "label,prediction\n" + "good,good\n" * 45 + "good,ill\n" * 5 + "ill,ill\n" * 5 + "ill,good\n" * 5
    stages = STAGES.replace(", label: truth", "")
    for recall in ((0.8, 0.9), (1.0, 0.5)):
        project.commit({"mlgit.yaml": stages, "p.csv": text, "m.json": {"recall": recall[0]}})
        project.write({"p.csv": worse, "m.json": {"recall": recall[1]}})
        assert judge(project, "recall").delta == pytest.approx(recall[1] - recall[0])


def test_a_handful_of_examples_is_too_few(project) -> None:
    stages = STAGES.replace(", label: truth", "")
    project.commit({"mlgit.yaml": stages, "p.csv": "label,prediction\n" + "1,1\n" * 5, "m.json": {"accuracy": 1.0}})
    project.write({"p.csv": "label,prediction\n" + "1,0\n" * 5, "m.json": {"accuracy": 0.0}})
    assert "5 predictions: too few" in judge(project)
