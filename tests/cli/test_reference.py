"""docs/reference.md says what the commands say."""

from __future__ import annotations

from pathlib import Path

from mlgit.cli.main import COMMANDS
from mlgit.cli.reference import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference.md"


def test_the_document_is_current() -> None:
    mend = "run: python -m mlgit.cli.reference > docs/reference.md"
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), mend


def test_every_command_has_a_section() -> None:
    headings = {line[4:].split(" ")[0] for line in reference().splitlines() if line.startswith("### ")}
    assert headings == set(COMMANDS)
