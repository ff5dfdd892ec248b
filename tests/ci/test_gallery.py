"""The gallery of pull requests: each has the verdict, exit code and report that its folder says.

`python tests/ci/test_gallery.py [NAME…]` writes the reports and the list anew; read what changes as a reviewer would.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest
from pull_requests import HERE, INDEX, Outcome, Scenario, play, scenarios, template

from mlgit.model.reportfile import decode
from mlgit.ops.ci.comment import body, size

ALL = scenarios()
LIMIT = 65_536
_LIST = HERE / "README.md"
_COMMAND = re.compile(r"^::", re.MULTILINE)


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template(tmp_path_factory.mktemp("start") / "project")


@pytest.mark.parametrize("scenario", ALL, ids=lambda one: one.name)
def test_pull_request(scenario: Scenario, tmp_path: Path, start: Path) -> None:
    if scenario.event and not INDEX.is_file():
        pytest.skip("@octokit/webhooks-examples is not in .npm-tests")
    found = play(scenario, tmp_path, start)
    _check(scenario, found)
    if found.report:
        assert found.markdown == scenario.golden.read_text(encoding="utf-8")
    else:
        assert not scenario.golden.exists()


def _check(scenario: Scenario, found: Outcome) -> None:
    expect = scenario.said["expect"]
    verdict = found.report.get("verdict", "none: it ended with an error")
    assert (verdict, found.code) == (scenario.verdict, scenario.exit), found.output
    seen = found.markdown + found.output
    for text in expect.get("says", ()):
        assert text in seen, f"not said: {text}\n{seen}"
    for text in expect.get("never", ()):
        assert text not in seen, f"said: {text}\n{seen}"
    assert "Traceback" not in found.output
    if found.report:
        _check_published(found)


def _check_published(found: Outcome) -> None:
    """The summary is the report, outputs are two plain lines, and the comment fits where it goes."""
    assert f"verdict={found.report['verdict']}\nexit-code={found.code}\n" in found.outputs
    assert found.summary
    import json

    comment = body(decode(json.dumps(found.report).encode(), "report.json"), limit=LIMIT, link="https://example.org/1")
    assert size(comment) <= LIMIT
    assert comment.startswith("<!-- mlgit: report -->\n")


def test_the_list_is_current() -> None:
    assert _LIST.read_text(encoding="utf-8") == _listed()


def _listed() -> str:
    lines = [
        "# Pull requests, and what becomes of them",
        "",
        "Each folder holds a pull request (`scenario.yaml`) and the report that `mlgit ci` makes of it (`report.md`).",
        "The tests build each as real Git repositories and compare. `python tests/ci/test_gallery.py` writes the reports",
        "and this list.",
        "",
        "| pull request | verdict | exit code |",
        "|---|---|---:|",
    ]
    for one in ALL:
        target = f"{one.name}/{'report.md' if one.golden.exists() else 'scenario.yaml'}"
        lines.append(f"| [{one.said['title']}]({target}) | {one.verdict} | {one.exit} |")
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> int:
    """Write the reports of these scenarios, or all; the number of those that are not as expected."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        start = template(Path(folder) / "start")
        for one in ALL:
            if names and not any(one.name.startswith(name) for name in names):
                continue
            place = Path(folder) / one.name
            place.mkdir()
            found = play(one, place, start)
            if found.report:
                one.golden.write_text(found.markdown, encoding="utf-8")
            try:
                _check(one, found)
            except AssertionError as error:
                wrong += 1
                print(f"--- {one.name}: {error}", file=sys.stderr)
    _LIST.write_text(_listed(), encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
