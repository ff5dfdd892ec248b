"""The gallery of pull requests: each has the verdict, exit code and report that its folder says.

`python tests/ci/test_gallery.py [NAME…]` writes the reports and the list anew; read what changes as a reviewer would.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from actions_runner import find_commands
from pull_requests import HERE, INDEX, Outcome, Scenario, play, scenarios, template

from mlgit.model.reportfile import decode
from mlgit.ops.ci.comment import body, size

ALL = scenarios()
LIMIT = 65_536
_LIST = HERE / "README.md"


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("start") / "project")


def _case(one: Scenario) -> ParameterSet:
    reason = one.said.get("not_yet")
    return pytest.param(one, id=one.name, marks=[pytest.mark.xfail(reason=reason)] if reason else [])


@pytest.mark.parametrize("scenario", [_case(one) for one in ALL])
def test_pull_request(scenario: Scenario, tmp_path: Path, start: Path) -> None:
    if scenario.event and not INDEX.is_file():
        pytest.skip("@octokit/webhooks-examples is not in .npm-tests")
    found = play(scenario, tmp_path, start)
    _check(scenario, found)
    for file, text in _goldens(scenario, found).items():
        assert text == (file.read_text(encoding="utf-8") if file.exists() else ""), file.name


def _check(scenario: Scenario, found: Outcome) -> None:
    expect = scenario.said["expect"]
    verdict = json.loads(found.json)["verdict"] if found.json else "none: it ended with an error"
    assert (verdict, found.code) == (scenario.verdict, scenario.exit), found.output
    for text in expect.get("says", ()):
        assert text in found.markdown + found.output, f"not said: {text}\n{found.markdown}{found.output}"
    for text in expect.get("never", ()):
        assert text not in (found.markdown or found.output), f"said: {text}\n{found.markdown or found.output}"
    assert "Traceback" not in found.output
    if scenario.event:
        obeyed = {command.name for command in find_commands(found.output)}
        assert obeyed <= {"stop-commands", "error", "warning"}
    if found.json:
        assert size(_comment(found, LIMIT)) <= LIMIT
        assert found.summary
        assert not scenario.event or f"verdict={verdict}\nexit-code={found.code}\n" in found.outputs


def _goldens(scenario: Scenario, found: Outcome) -> dict[Path, str]:
    """What is kept of a run: the report, and what GitHub shows beside the files it names."""
    room = scenario.said["expect"].get("comment")
    shown = [one for one in find_commands(found.output) if one.name in ("error", "warning")] if scenario.event else []
    lines = [
        f"{one.properties.get('file', 'nowhere')}:{one.properties.get('line', '')} {one.name}: "
        f"{one.properties['title']}\n    {one.message}\n"
        for one in shown
    ]
    return {
        scenario.golden: _comment(found, room) if room else found.markdown,
        scenario.annotations: "".join(lines),
    }


def _comment(found: Outcome, limit: int) -> str:
    return body(decode(found.json.encode(), "report.json"), limit=limit, link="https://example.org/runs/1")


def test_the_list_is_current() -> None:
    assert _LIST.read_text(encoding="utf-8") == _listed()


def _listed() -> str:
    lines = [
        "# Pull requests, and what becomes of them",
        "",
        "Each folder holds a pull request (`scenario.yaml`), the report that `mlgit ci` makes of it (`report.md`), and",
        "what GitHub shows beside the files (`annotations.txt`). The tests build them as real Git repositories.",
        "`python tests/ci/test_gallery.py` writes the reports and this list.",
        "",
        "| pull request | verdict | exit code |",
        "|---|---|---:|",
    ]
    for one in ALL:
        target = f"{one.name}/{'report.md' if one.golden.exists() else 'scenario.yaml'}"
        later = f" (not yet: {one.said['not_yet']})" if "not_yet" in one.said else ""
        lines.append(f"| [{one.said['title']}]({target}) | {one.verdict}{later} | {one.exit} |")
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> int:
    """Write the reports of these scenarios, or all; the number of those that are not as expected."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        start = template(Path(folder) / "start")
        for one in ALL:
            if "not_yet" in one.said or (names and not any(one.name.startswith(name) for name in names)):
                continue
            place = Path(folder) / one.name
            place.mkdir()
            found = play(one, place, start)
            for file, text in _goldens(one, found).items():
                if text:
                    file.write_text(text, encoding="utf-8")
                else:
                    file.unlink(missing_ok=True)
            try:
                _check(one, found)
            except AssertionError as error:
                wrong += 1
                print(f"--- {one.name}: {error}", file=sys.stderr)
    _LIST.write_text(_listed(), encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
