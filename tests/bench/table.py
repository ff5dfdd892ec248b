"""The tables that people read; at most 120 columns wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tests.bench import steps
from tests.bench.budgets import Budget
from tests.bench.data import readable
from tests.bench.results import Results

_FLOORS = ("cp", "floor")
_RIVALS = ("dvc", "git-lfs", "borg")
_COLUMNS = (*_FLOORS, "mlgit", *_RIVALS)
_MEGABYTE = 1_000_000
LEGEND = """\
floor: `python -c pass` (start), scandir + stat (status), read + hash + append to one file (add), copying that one
file (push), cp + fsync (one large file), `sh -c true` a stage (repro); each is a process, its start included. cp is not
durable, mlgit is. Floors of ci: `git cat-file --batch` of two metrics files (metrics diff, gate), `git diff` of two
commits or of what is staged, `cat` (diff-driver), drawing counts by NumPy (gate, tested).
Ratios are medians over the rounds, each of one round's pair. MB (10⁶ bytes) is mlgit's peak memory.
borg: create is add, extract is pull and checkout. no start: without the time of `mlgit --version`."""


def show(results: Results, budgets: Sequence[Budget]) -> str:
    """All tables of one run."""
    bases = [workload for workload in results.samples if f"{workload}, base" in results.samples]
    hidden = {*bases, *(f"{workload}, base" for workload in bases)}
    parts = [_machine(results.machine)] if results.machine else []
    parts += [_steps(results, workload) for workload in results.samples if workload not in hidden]
    parts += [_scaled(results, workload) for workload in bases]
    if results.samples:
        parts.append(LEGEND)
    if results.growth:
        parts.append(_growth(results))
    if budgets:
        parts.append(_budgets(budgets))
    return "\n\n".join(parts)


def _machine(known: Mapping[str, object]) -> str:
    """Where this ran."""
    tools = known["tools"]
    versions = ", ".join(f"{tool}: {version}" for tool, version in tools.items()) if isinstance(tools, dict) else ""
    return (
        f"{known['cores']} cores (load {known['load']:.1f}), {known['file system']}, Python {known['python']}, "
        f"{known['system']}\n{versions}"
    )


def _steps(results: Results, workload: str) -> str:
    """A row a step: seconds by tool, mlgit ÷ floors, rivals ÷ mlgit, mlgit's memory."""
    there = {tool for tools in results.samples[workload].values() for tool in tools}
    columns = [tool for tool in _COLUMNS if tool in there]
    floors = [tool for tool in _FLOORS if tool in there]
    rivals = [tool for tool in _RIVALS if tool in there]
    lines = [
        f"{workload}: {results.titles[workload]}",
        f"{'':<25}{_group('seconds', 8 * len(columns))}{_group('mlgit ÷', 8 * len(floors))}"
        f"{_group('÷ mlgit', 8 * len(rivals))}",
        f"{'':<25}{_cells(columns, 8)}{_cells(floors, 8)}{_cells(rivals, 8)}{'MB':>6}",
    ]
    for step in results.samples[workload]:
        seconds = [_number(results.median(workload, step, tool), 3) for tool in columns]
        above = [_number(results.ratio(workload, step, "mlgit", tool), 2) for tool in floors]
        below = [_number(results.ratio(workload, step, tool, "mlgit"), 1) for tool in rivals]
        memory = _number(results.memory(workload, step, "mlgit") / _MEGABYTE, 0)
        lines.append(f"{step:<25}{_cells(seconds, 8)}{_cells(above, 8)}{_cells(below, 8)}{memory:>6}")
    return "\n".join(lines)


def _scaled(results: Results, workload: str) -> str:
    """A row a step: what it costs at few files and at many, and a file's cost at many ÷ at few."""
    base = f"{workload}, base"
    few, many = results.files[base], results.files[workload]
    start = results.median("start-up", steps.START.name, "mlgit")
    lines = [
        f"{workload}: {results.titles[workload]}; base: {results.titles[base]}",
        f"{'':<25}{_group('base', 27)}{_group(f'{many:,} files', 45)}{_group('a file, ÷ base', 18)}",
        f"{'':<25}{_cells(['s', 'µs/file', 'MB'], 9)}{_cells(['cp s', 'floor s', 's', 'µs/file', 'MB'], 9)}"
        f"{_cells(['all', 'no start'], 9)}",
    ]
    for step in results.samples[workload]:
        before, after = results.median(base, step, "mlgit"), results.median(workload, step, "mlgit")
        cells = [
            _number(before, 3),
            _number(before / few * 1e6, 1),
            _number(results.memory(base, step, "mlgit") / _MEGABYTE, 0),
            _number(results.median(workload, step, "cp"), 3),
            _number(results.median(workload, step, "floor"), 3),
            _number(after, 3),
            _number(after / many * 1e6, 1),
            _number(results.memory(workload, step, "mlgit") / _MEGABYTE, 0),
            _number(after / many / (before / few), 2),
            _number((after - start) / many / ((before - start) / few), 2),
        ]
        lines.append(f"{step:<25}{_cells(cells, 9)}")
    few_copied, copied = (results.median(one, steps.CHECKOUT.name, "cp") for one in (base, workload))
    lines.append(f"{'cp -r takes of a file, ÷ base':<25}{_number(copied / many / (few_copied / few), 2):>9}")
    return "\n".join(lines)


def _growth(results: Results) -> str:
    """A row a tool: what the second version cost."""
    lines = [
        f"versions: {results.titles['versions']}",
        f"{'':<12}{_cells(['store before', 'added', 'new objects'], 14)}",
    ]
    for tool, growth in results.growth.items():
        objects = "" if growth.objects is None else f"{growth.objects}"
        lines.append(f"{tool:<12}{_cells([readable(growth.before), readable(growth.added), objects], 14)}")
    return "\n".join(lines)


def _budgets(budgets: Sequence[Budget]) -> str:
    """A row a budget, with `ok` or `over`."""
    lines = [f"{'budget':<36}{'goal':<34}{'is':>10}{'bound':>10}  {'':<8}{'is ÷ bound':>10}"]
    for budget in budgets:
        digits = 3 if budget.unit == "s" else 1 if budget.unit == "µs" else 0
        lines.append(
            f"{budget.work:<36}{budget.goal:<34}{budget.value:>10.{digits}f}{budget.bound:>10.{digits}f}"
            f"  {budget.unit:<8}{budget.value / budget.bound:>10.2f}  {'ok' if budget.ok else 'over'}"
        )
    return "\n".join(lines)


def _group(title: str, width: int) -> str:
    """A title over `width` columns, right-aligned with the last of them; nothing if there are none."""
    return f"{title:>{width}}" if width else ""


def _cells(texts: Sequence[str], width: int) -> str:
    return "".join(f"{text:>{width}}" for text in texts)


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
