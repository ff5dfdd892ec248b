"""A lineage as text for a terminal, as a report, and as Markdown with a flow chart. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mlgit.model.lock import canonical
from mlgit.model.markdown import to_markdown as report_to_markdown
from mlgit.model.oid import Oid
from mlgit.model.report import Cell, Mark, Report, Row, Table, count, format_bytes, format_cell
from mlgit.model.runrecord import RunRecord
from mlgit.model.tree import Content
from mlgit.ops.lineage.value import Code, Data, Lineage, Metric, Moment, Production, Subject, Use
from mlgit.pipeline.dag import for_mermaid

_USES: Final = {"used another version": Mark.WARN, "has not run": Mark.WARN}

_MADE: Final = (
    *("stage", "command", "lock_commit", "lock_date", "former"),
    *("started", "seconds", "run_commit", "python", "platform", "packages"),
)
_CODE: Final = ("stage", "path", "oid", "commit", "date", "message", "exact")
_DATA: Final = ("stage", "path", "oid", "size", "desc", "source", "pointer", "commit", "date", "message", "same")

_WIDTHS: Final = {"commit": 7, "lock_commit": 7, "run_commit": 7, "date": 10, "lock_date": 10, "started": 19}


def subject_name(subject: Subject) -> str:
    """What was asked about, in a word."""
    return str(subject.path) if subject.path is not None else str(subject.stage)


# -- text ------------------------------------------------------------------------------------------------------------


def to_text(lineage: Lineage) -> str:
    """The lineage for people: what it is, how each stage upstream made it, data, uses, metrics."""
    lines = [*_subject_lines(lineage)]
    for one in reversed(lineage.made):
        lines += ["", *_production_lines(lineage, one)]
    for code in lineage.code:
        if not code.stage:
            lines.append(f"  {_code_line(code)}")
    if lineage.data:
        lines += ["", "data", *(f"  {line}" for one in _unique_data(lineage.data) for line in _data_lines(one))]
    if lineage.uses:
        lines += ["", "used by"]
        lines += [f"  {_use_line(use)}" for use in lineage.uses]
    if lineage.metrics:
        lines += ["", "metrics", *(f"  {_metric_line(one)}" for one in lineage.metrics)]
    if lineage.notes:
        lines += ["", *lineage.notes]
    return "".join(f"{line}\n" for line in lines)


def _subject_lines(lineage: Lineage) -> Iterator[str]:
    subject = lineage.subject
    if subject.path is None:
        yield f"stage {subject.stage} ({lineage.side})"
        return
    artifact = f", artifact {subject.artifact}" if subject.artifact else ""
    content = f", {_content(subject.content)}" if subject.content else ", its content is not known here"
    yield f"{subject.path}{artifact}{content} ({lineage.side})"
    if subject.stage is not None:
        yield f"made by stage {subject.stage}"
    elif subject.pointer is not None:
        yield f"tracked by {subject.pointer}"
    elif any(not code.stage and code.moment for code in lineage.code):
        yield "kept in Git"


def _production_lines(lineage: Lineage, one: Production) -> Iterator[str]:
    stage, entry = one.stage, one.entry
    desc = f": {stage.desc}" if stage.desc else ""
    yield f"stage {stage.address}{desc}"
    command = entry.cmd if isinstance(entry.cmd, str) else " ".join(entry.cmd)
    yield from (f"  {'$' if not at else ' '} {line}" for at, line in enumerate(command.strip().splitlines()))
    if one.record is not None:
        yield f"  ran {_run(one.record)}"
    former = f", as {one.former}" if one.former else ""
    yield f"  in the lock since {_moment(one.since)}{former}" if one.since else "  its lock entry is not committed"
    for code in lineage.code:
        if code.stage == stage.address:
            yield f"  {'params' if code.content is None else 'code  '}  {_code_line(code)}"
    for file, values in entry.params.items():
        yield from (f"  param   {file}:{key} = {canonical(value)}" for key, value in values.items())
    inside = {code.path for code in lineage.code}
    for path, content in entry.deps.items():
        if path not in inside:
            yield f"  read    {path}, {_content(content)}"
    for path, content in entry.outs.items():
        yield f"  wrote   {path}, {_content(content)}"


def _code_line(code: Code) -> str:
    told = f"{code.path}, {_content(code.content)}" if code.content else str(code.path)
    if code.moment is None:
        return f"{told}, in no commit"
    if code.exact is False:
        return f"{told}, as in no commit; last changed in {_moment(code.moment)}"
    return f"{told}, {'from' if code.exact else 'last changed in'} {_moment(code.moment)}"


def _data_lines(one: Data) -> Iterator[str]:
    yield f"{one.path}, {_content(one.content)}" + (f": {one.desc}" if one.desc else "")
    if one.source:
        yield f"  source {canonical(one.source)}"
    yield f"  {one.pointer}, " + (f"last changed in {_moment(one.moment)}" if one.moment else "not committed")


def _unique_data(data: Iterable[Data]) -> list[Data]:
    return list({(one.path, one.content.oid): one for one in data}.values())


def _use_line(use: Use) -> str:
    state = "" if use.state == "used it" else f": {use.state}"
    return f"{use.address}, which reads {', '.join(use.reads)}{state}"


def _metric_line(one: Metric) -> str:
    return f"{one.path}: {one.note}" if one.note else f"{one.path}  {one.key} = {format_cell(one.value)}"


def _content(content: Content) -> str:
    files = f", {content.files} files" if content.files is not None else ""
    return f"{content.oid.algorithm}:{content.oid.short}, {format_bytes(content.size)}{files}"


def _moment(moment: Moment) -> str:
    return f"{moment.commit[:7]} ({moment.date[:10]}, {moment.subject})"


def _run(record: RunRecord) -> str:
    environment = record.environment
    parts = [
        f"{record.started[:19].replace('T', ' ')} UTC",
        f"{record.seconds:.1f} s",
        f"at commit {record.commit[:7]}" if record.commit else "outside any commit",
        f"Python {environment.python or 'none'}",
        environment.platform,
        count(len(environment.packages), "package") if environment.packages else "",
    ]
    return ", ".join(filter(None, parts))


# -- report ----------------------------------------------------------------------------------------------------------


def to_report(lineage: Lineage) -> Report:
    """A report of kind `lineage`.

    Tables: `subject`, `stages` (upstream first), `code`, `params`, `data`, `packages`, `outs`, `uses`, `metrics`,
    `edges`. Ids and commits stand in full; sizes are in bytes.
    """
    tables = (_subject(lineage), *_backward(lineage), *_forward(lineage))
    title = f"Lineage of {subject_name(lineage.subject)}"
    return Report("lineage", title, tables, head=lineage.side, notes=lineage.notes)


def _subject(lineage: Lineage) -> Table:
    one = lineage.subject
    content = one.content
    cells: tuple[Cell, ...] = (
        *(one.path, one.oid, content.type if content else None, content.size if content else None),
        *(one.stage, one.pointer, one.artifact, lineage.commit),
    )
    columns = ("path", "oid", "type", "size", "stage", "pointer", "artifact", "commit")
    return Table("subject", "Subject", columns, (Row(cells),))


def _backward(lineage: Lineage) -> Iterator[Table]:
    yield Table("stages", "Made by", _MADE, tuple(map(_production_row, lineage.made)), "no stage")
    code = [(one.stage or None, one.path, _oid(one.content), *_when(one.moment), one.exact) for one in lineage.code]
    yield Table("code", "Code", _CODE, tuple(map(Row, code)), "no file in Git was read")
    params = [
        (one.stage.address, file, key, _plain(value))
        for one in lineage.made
        for file, values in one.entry.params.items()
        for key, value in values.items()
    ]
    yield Table("params", "Parameters", ("stage", "file", "param", "value"), tuple(map(Row, params)), "no parameters")
    yield Table("data", "Data", _DATA, tuple(map(_data_row, lineage.data)), "no tracked data")
    packages = [
        (one.stage.address, *package.split("==", 1))
        for one in lineage.made
        if one.record is not None
        for package in one.record.environment.packages
    ]
    yield Table("packages", "Packages", ("stage", "package", "version"), tuple(map(Row, packages)), "none is recorded")
    outs = [
        (one.stage.address, path, held.oid, held.type, held.size)
        for one in lineage.made
        for path, held in one.entry.outs.items()
    ]
    yield Table("outs", "Outputs", ("stage", "path", "oid", "type", "size"), tuple(map(Row, outs)), "no outputs")


def _forward(lineage: Lineage) -> Iterator[Table]:
    uses = tuple(
        Row((use.address, ", ".join(use.reads), use.state), _USES.get(use.state, Mark.INFO)) for use in lineage.uses
    )
    yield Table("uses", "Used by", ("stage", "reads", "state"), uses, "no stage reads it")
    metrics = tuple(Row((one.stage, one.path, one.key, one.value), note=one.note) for one in lineage.metrics)
    yield Table("metrics", "Metrics", ("stage", "file", "metric", "value"), metrics, "no metrics")
    yield Table("edges", "Edges", ("from", "to"), tuple(map(Row, lineage.edges)), "no edges")


def _production_row(one: Production) -> Row:
    record, since = one.record, one.since
    run: tuple[Cell, ...] = (None,) * 6
    if record is not None:
        environment = record.environment
        run = (
            *(record.started, record.seconds, record.commit, environment.python, environment.platform),
            len(environment.packages) or None,
        )
    command = one.entry.cmd if isinstance(one.entry.cmd, str) else " ".join(one.entry.cmd)
    moment = (since.commit, since.date) if since else (None, None)
    return Row((one.stage.address, command, *moment, one.former, *run))


def _data_row(one: Data) -> Row:
    source = canonical(one.source) if one.source else None
    cells = (one.stage, one.path, one.content.oid, one.content.size, one.desc, source, one.pointer)
    return Row((*cells, *_when(one.moment), one.same))


def _when(moment: Moment | None) -> tuple[Cell, Cell, Cell]:
    return (moment.commit, moment.date, moment.subject) if moment else (None, None, None)


def _oid(content: Content | None) -> Oid | None:
    return content.oid if content is not None else None


def _plain(value: object) -> Cell:
    return value if value is None or isinstance(value, (str, int, float)) else canonical(value)


# -- Markdown --------------------------------------------------------------------------------------------------------


def to_markdown(lineage: Lineage) -> str:
    """The report's tables below a flow chart of stages, data and results; code is told in its table."""
    report = to_report(lineage)
    tables = tuple(_brief(table) for table in report.tables if table.rows and table.name not in ("edges", "packages"))
    text = report_to_markdown(Report(report.kind, report.title, tables, head=report.head, notes=report.notes))
    head, _, rest = text.partition("\n### ")
    return f"{head.rstrip()}\n\n```mermaid\n{mermaid(lineage)}```\n\n### {rest}"


def _brief(table: Table) -> Table:
    """A table for people: ids, commits and dates in short, columns that say nothing left out."""
    used = [at for at, _ in enumerate(table.columns) if any(row.cells[at] is not None for row in table.rows)]
    rows = [
        Row(tuple(_short(table.columns[at], row.cells[at]) for at in used), row.mark, row.note) for row in table.rows
    ]
    return Table(table.name, table.title, tuple(table.columns[at].replace("_", " ") for at in used), tuple(rows))


def _short(column: str, cell: Cell) -> Cell:
    if isinstance(cell, Oid):
        return f"{cell.algorithm}:{cell.short}"
    if isinstance(cell, str) and column in _WIDTHS:
        return cell[: _WIDTHS[column]].replace("T", " ") if column == "started" else cell[: _WIDTHS[column]]
    return format_bytes(cell) if column == "size" and isinstance(cell, int) else cell


def mermaid(lineage: Lineage) -> str:
    """A flow chart; the subject has a class of its own."""
    code = {str(one.path) for one in lineage.code if one.stage}
    stages = {one.stage.address for one in lineage.made} | {use.address for use in lineage.uses}
    subject = subject_name(lineage.subject)
    data = {str(one.path) for one in lineage.data}
    edges = [(first, second) for first, second in lineage.edges if first == subject or first not in code]
    names = list(dict.fromkeys([subject, *(name for edge in edges for name in edge)]))
    ids = {name: f"node{number}" for number, name in enumerate(names, 1)}
    lines = ["flowchart TD"]
    for name in names:
        before, after = ('["', '"]') if name in stages else ('[("', '")]') if name in data else ('(["', '"])')
        lines.append(f"    {ids[name]}{before}{for_mermaid(name)}{after}" + (":::subject" if name == subject else ""))
    lines += [f"    {ids[first]}-->{ids[second]}" for first, second in edges]
    lines.append("    classDef subject fill:#fef3c7,stroke:#b45309,color:#1a202c")
    return "\n".join(lines) + "\n"
