"""The harness itself: it reads command files and logs as the runner does, also where they are hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from actions_runner import Command, Evaluator, Runner, find_commands, parse_command_file

ACTION = """\
name: t
description: t
inputs:
  who:
    description: who
    default: ${{ github.actor }}
  on:
    description: switch
    default: "false"
outputs:
  said:
    description: what was said
    value: ${{ steps.say.outputs.said }}
runs:
  using: composite
  steps:
    - id: say
      shell: bash
      env:
        WHO: ${{ format('<{0}>', inputs.who) }}
      run: |
        printf 'said<<EOF\\n%s\\ntwo\\nEOF\\n' "$WHO" >> "$GITHUB_OUTPUT"
        echo "LATER=yes" >> "$GITHUB_ENV"
        echo "summary of $GITHUB_ACTOR" >> "$GITHUB_STEP_SUMMARY"
    - if: inputs.on == 'true'
      uses: someone/else@0123456789012345678901234567890123456789
      with:
        which: ${{ env.LATER }}-${{ hashFiles('*.txt') != '' }}
    - shell: bash
      run: test "$LATER" = yes; exit 3
    - shell: bash
      run: echo never
    - if: always()
      shell: bash
      run: echo "always ::error::x"; echo " ::error file=a%2Cb,line=3::y%0Az"
"""


def test_a_composite_runs_step_by_step(tmp_path: Path) -> None:
    (tmp_path / "action.yml").write_text(ACTION)
    (tmp_path / "x.txt").write_text("x")
    with Evaluator() as evaluator:
        runner = Runner(evaluator, tmp_path / "runner", tmp_path)
        run = runner.action(tmp_path / "action.yml", {"on": "true"}, {}, actor="me")
    assert run.outputs == {"said": "<me>\ntwo"}
    assert [step.conclusion for step in run.steps] == ["success", "success", "failure", "skipped", "success"]
    assert run.code == 3
    assert run.summary == "summary of me\n"
    assert runner.used[0]["with"] == {"which": "yes-true"}
    assert run.annotations() == [Command("error", {"file": "a,b", "line": "3"}, "y\nz")]


def test_the_parser_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "action.yml").write_text(
        ACTION.replace("    - shell: bash\n      run: echo never", "    - run: x\n      on: 1")
    )
    with Evaluator() as evaluator:
        assert evaluator.open(tmp_path / "action.yml", "action")["errors"]


def test_command_files() -> None:
    assert parse_command_file("a=b=c\n\nd<<E\n1\n2\nE\n") == {"a": "b=c", "d": "1\n2"}
    for wrong in ("nothing\n", "=x\n", "a<<\n", "a<<E\n1\n"):
        with pytest.raises(ValueError):
            parse_command_file(wrong)


def test_nothing_is_obeyed_until_the_token() -> None:
    stopped = "::stop-commands::t\n::error::b\n##[error]c\n::T::\n\r::t::\n"
    log = f"::notice::a\n{stopped}::error::d\nx ##[warning]e\n::nosuch::f\n"
    assert [(command.name, command.message) for command in find_commands(log)] == [
        ("notice", "a"),
        ("stop-commands", "t"),
        ("error", "d"),
        ("warning", "e"),
    ]
