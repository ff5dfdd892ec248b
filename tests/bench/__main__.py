"""`python -m tests.bench`: make the data, run every tool side by side, print medians, ratios and budgets.

    python -m tests.bench --dvc /path/to/dvc --ext4 40G --json bench.json
    python -m tests.bench small --files 1000 --rounds 3

A timing counts only as a ratio within one run on one file system: in each round every tool does each step once, in
turn, on copies of the same data. Nothing is deleted between steps; old trees are renamed aside, since ext4 scans past
recently freed inodes. Use a tmpfs or a fresh ext4 as `--folder`, or `--ext4` to have one made. The exit code says
whether every tool worked, never whether it was fast.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.bench import machine
from tests.bench.budgets import judge
from tests.bench.data import Shape, parse_bytes
from tests.bench.process import ToolFailedError, environment
from tests.bench.results import Results
from tests.bench.table import show
from tests.bench.tools import KINDS, programs
from tests.bench.workloads import USUAL, WORKLOADS, Settings


def parse(words: list[str]) -> argparse.Namespace:
    """The command line's options."""
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__, formatter_class=text)
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help=f"any of {', '.join(WORKLOADS)}; default: {' '.join(USUAL)}")
    add("--scale", action="store_true", help="add the big ones: scale and flat")
    shm = "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()
    add("--folder", default=shm, help="where to work: a tmpfs or a fresh file system (default: %(default)s)")
    add("--ext4", type=parse_bytes, metavar="SIZE", help="mount a fresh ext4 for each workload; needs root")
    add("--dvc", default=shutil.which("dvc"), help="the dvc program to compare with")
    add("--without", action="append", default=[], choices=[kind.name for kind in KINDS], help="leave a tool out")
    add("--rounds", type=int, default=5, help="repetitions (default: %(default)s)")
    add("--files", type=int, default=10_000, help="small, ci: number of files (default: %(default)s)")
    add("--folders", type=int, default=10, help="small, ci: spread over so many folders (default: %(default)s)")
    add("--size", type=parse_bytes, default=4096, help="small, ci: bytes of a file (default: %(default)s)")
    add("--large", type=parse_bytes, default=2 << 30, metavar="SIZE", help="large: bytes of the file (default: 2G)")
    add("--stages", type=int, default=100, metavar="N", help="pipeline: stages (default: %(default)s)")
    add("--many-stages", type=int, default=2000, metavar="N", help="pipeline: of a large graph (default: %(default)s)")
    add("--gates", type=int, default=500, metavar="N", help="ci: gates, each on a metric (default: %(default)s)")
    add("--examples", type=int, default=100_000, metavar="N", help="ci: predictions of a side (default: %(default)s)")
    add("--scale-files", type=int, default=1_000_000, metavar="N", help="scale: files (default: %(default)s)")
    add("--scale-folders", type=int, default=1000, metavar="N", help="scale: folders (default: %(default)s)")
    add("--scale-size", type=parse_bytes, default=64, metavar="SIZE", help="scale, flat: bytes (default: %(default)s)")
    add("--flat-files", type=int, default=200_000, metavar="N", help="flat: files (default: %(default)s)")
    add("--scale-rounds", type=int, default=1, metavar="N", help="repetitions at the large number (default: 1)")
    add("--json", metavar="FILE", help="write all samples, medians, ratios, budgets and the machine to this file")
    arguments = parser.parse_args(words)
    unknown = sorted({*arguments.workloads} - {*WORKLOADS})
    if unknown:
        parser.error(f"unknown workload {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return arguments


def chosen(arguments: argparse.Namespace) -> list[str]:
    """The workloads to run, in their order; start-up always, since other budgets need its numbers."""
    asked = {*(arguments.workloads or ([] if arguments.scale else USUAL)), "start-up"}
    if arguments.scale:
        asked |= {"scale", "flat"}
    return [name for name in WORKLOADS if name in asked]


def measure(arguments: argparse.Namespace, results: Results) -> None:
    """Run what was chosen, noting into `results`."""
    found = programs(arguments.dvc, frozenset(arguments.without))
    with ExitStack() as end:
        parent = None if arguments.ext4 else end.enter_context(machine.fresh_folder(arguments.folder))
        for name in chosen(arguments):
            with ExitStack() as place:
                where = parent or place.enter_context(machine.fresh_ext4(arguments.ext4))
                settings = Settings(
                    programs=found,
                    env=environment(where / f"{name}-home"),
                    small=Shape(arguments.files, arguments.folders, arguments.size),
                    large=arguments.large,
                    scale=Shape(arguments.scale_files, arguments.scale_folders, arguments.scale_size),
                    flat=Shape(arguments.flat_files, 1, arguments.scale_size),
                    stages=arguments.stages,
                    many_stages=arguments.many_stages,
                    gates=arguments.gates,
                    examples=arguments.examples,
                    rounds=arguments.rounds,
                    scale_rounds=arguments.scale_rounds,
                    say=_say,
                )
                results.machine = results.machine or machine.facts(where, found, settings.env)
                _say(name)
                WORKLOADS[name](results, where / name, settings)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(words: list[str] | None = None) -> int:
    """Parse, run, print, write. Returns 0, or 1 if a tool failed; what was measured before is shown all the same."""
    arguments = parse(sys.argv[1:] if words is None else words)
    results = Results()
    failed = None
    try:
        measure(arguments, results)
    except ToolFailedError as error:
        failed = str(error)
    budgets = judge(results)
    print(show(results, budgets))
    if arguments.json:
        judged = [{**dataclasses.asdict(budget), "ok": budget.ok} for budget in budgets]
        written = {**results.to_json(), "budgets": judged, "failed": failed}
        Path(arguments.json).write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    if failed:
        _say(f"failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
