"""Every key of a stage file with what it means: the one table that the decoder and the published schema are made from.

A key that is not here is refused by the one and flagged by the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILE: Final[Mapping[str, str]] = {
    "vars": "Values for ${…} in this file: names of parameter files, `file:key,key`, or mappings. "
    "`params.yaml` beside the stage file is read without being named.",
    "stages": "The steps of the pipeline, by name.",
    "params": "Parameter files to compare, besides those that stages name.",
    "metrics": "Metrics files to compare, besides those that stages write.",
    "plots": "Plots to draw, besides those that stages write.",
    "artifacts": "Models and data sets that this project offers to others, by name.",
    "gates": "Rules on metrics that a change must satisfy to be merged.",
}
STAGE: Final[Mapping[str, str]] = {
    "cmd": "What to run: a text goes to a shell, a list is a program with its arguments and needs no shell.",
    "wdir": "The folder the command runs in, seen from the stage file's; paths of the stage are seen from there.",
    "deps": "Files and folders that the command reads; `*`, `?`, `[…]` and `**` stand for all files that match.",
    "params": "Parameters that the command reads: a key of params.yaml, or `file: [keys]`.",
    "outs": "Files and folders that the command writes.",
    "metrics": "Metrics files that the command writes.",
    "plots": "Data or picture files that the command writes, to be drawn as plots.",
    "vars": "Values for ${…} in this stage alone, as `vars` at the top.",
    "env": "Variables that the command gets; a change of one makes the stage run again.",
    "resources": "What the stage needs while it runs.",
    "timeout": "Ends a run that takes longer, and counts it as failed: seconds, or a text such as 90s, 10m, 2h or 1d.",
    "retries": "How often a command that failed, or ran out of time, is run again.",
    "hermetic": "Whether the command runs in a folder that holds nothing but what the stage declares.",
    "frozen": "Whether the stage is left as it is: it never runs.",
    "always_changed": "Whether the stage runs every time.",
    "desc": "What it is for.",
    "meta": "Anything you like; mlgit only keeps it.",
}
GROUP: Final[Mapping[str, str]] = {
    "foreach": "A list or mapping; `do` becomes one stage for each item, called `name@item`, with ${item} and ${key}.",
    "do": "The stage to make for each item.",
    "matrix": "Lists by name; the stage is made once for each combination, called `name@a-b`, with ${item.name}.",
}
OUT: Final[Mapping[str, str]] = {
    "cache": "Whether it is kept in the cache and out of Git (the default); otherwise Git has the file itself.",
    "persist": "Whether it stays in place while its stage runs anew; otherwise it is removed before.",
    "push": "Whether it goes along with `mlgit push` (the default).",
    "remote": "The only remote that it is pushed to and pulled from.",
    "tolerance": "How far a number in it may lie from the recorded one when `mlgit verify` compares.",
    "desc": "What it is for.",
    "type": "What kind of thing it is, such as model or dataset.",
    "labels": "Words to find it by.",
    "meta": "Anything you like; mlgit only keeps it.",
}
METRIC: Final[Mapping[str, str]] = {
    "predictions": "The file with a row for each example that the metrics are computed from, from which chance is told "
    "from change: a path, or a mapping that names its columns.",
    "fixed": "Files that must be the same on two sides for the metrics to be comparable, such as the test data.",
}
PREDICTIONS: Final[Mapping[str, str]] = {
    "path": "A CSV, TSV, JSON-lines or Parquet file, in Git or tracked, seen from where the stage runs.",
    "task": "What is predicted; if not said, the columns tell.",
    "id": "Column that names the example (`id`).",
    "label": "Column with what is true (`label`).",
    "prediction": "Column with what the model says, a class or a number (`prediction`).",
    "score": "Column with how sure the model is of the positive class, or by what a ranking is sorted (`score`).",
    "group": "Column that says which examples are ranked against each other (`group`).",
}
STYLE: Final[Mapping[str, str]] = {
    "x": "Column or key of the horizontal axis.",
    "y": "Column or key of the vertical axis.",
    "x_label": "Label of the horizontal axis.",
    "y_label": "Label of the vertical axis.",
    "title": "Title of the plot.",
    "template": "Name or path of a Vega-Lite template.",
    "header": "Whether the first line of a table names its columns (the default).",
}
PLOT: Final[Mapping[str, str]] = {key: desc for key, desc in STYLE.items() if key != "header"}
NOTES: Final[Mapping[str, str]] = {key: OUT[key] for key in ("desc", "type", "labels", "meta")}
ARTIFACT: Final[Mapping[str, str]] = {"path": "The file or folder, seen from the stage file's folder.", **NOTES}
RESOURCES: Final[Mapping[str, str]] = {
    "cpus": "Processors, 1 if not said; numeric libraries are told to use that many threads.",
    "memory": "Memory: a text such as 500MB or 4GiB, or bytes.",
    "gpus": "Graphics processors, whole ones.",
}
TOLERANCE: Final[Mapping[str, str]] = {
    "abs": "Largest difference allowed.",
    "rel": "Largest difference allowed, as a fraction of the recorded number's size.",
}
GATES: Final[Mapping[str, str]] = {
    "rules": "Rules on metrics, as in the short form of `gates`.",
    "acknowledge": "What of an evaluation changed on purpose, each with what it is now: the report of `mlgit gate` and "
    "`mlgit ci` gives the lines.",
}
GATE: Final[Mapping[str, str]] = {
    "metric": "`file:dotted.key`, or a key that is unique over all metrics files; `*` and `?` in it stand for many.",
    "name": "What people call the rule.",
    "direction": "Which way is better.",
    "min": "The least value allowed.",
    "max": "The greatest value allowed.",
    "max_drop_abs": "How much worse than the base it may be.",
    "max_drop_rel": "How much worse than the base it may be, as a fraction of the base's size.",
    "required": "Whether a missing metric fails (the default).",
    "level": "`error` decides, `warn` and `info` only show.",
    "on_missing_base": "Whether a limit on drops fails when there is no base to compare with.",
    "slices": "`each` judges every metric that a pattern matches, `worst` the worst one of each side.",
    "min_n": "A metric of fewer examples, by the `n` beside it in its file, is not judged.",
    "against": "The revision that drops are measured from, instead of the base.",
    "test": "The test that a drop must pass to count: bootstrap or mcnemar on predictions, rank on repeated seeds.",
    "confidence": "Confidence of the test's interval, 0.95 if not said.",
    "on_inconclusive": "What a drop counts as that the test cannot tell from chance: pass, warn (the default) or fail.",
}
GATE_GROUP: Final[Mapping[str, str]] = {
    "all": "Rules that must all hold.",
    "any": "Rules of which one must hold.",
    "name": "What people call the group.",
    "level": "`error` decides, `warn` and `info` only show.",
}
LATER: Final = frozenset({"checks"})
"""Keys of the format that this version does not know yet."""
