"""Broken stage files, each with the one message that it gets: wrong/NAME.yaml and wrong/NAME.txt.

To renew the messages after a change: python tests/model/test_stage_wrong.py; then read every line of the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlgit.errors import MlgitError
from mlgit.model import gatefile
from mlgit.model.relpath import RelPath
from mlgit.model.stagefile import decode
from mlgit.pipeline.graph import build

GALLERY = Path(__file__).parent / "wrong"
PARAMS = b'learning_rate: 0.1\nmodel: {depth: 3}\ntitle: "a b"\ncommand: python train.py\n'
NAMES = sorted(file.stem for file in GALLERY.glob("*.yaml"))


def message_of(name: str) -> str:
    """What a user sees for the stage file `name`, which stands at the repository's root as mlgit.yaml."""
    path = RelPath("mlgit.yaml")
    try:
        file = decode((GALLERY / f"{name}.yaml").read_bytes(), path, {"params.yaml": PARAMS}.get)
        gatefile.decode(file.gates, path)
        build({stage.address: stage for stage in file.stages.values()}, {})
    except MlgitError as error:
        return f"error: {error.message}\nhint: {error.hint}\n"
    return "no error\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_stage_file_gets_its_message(name: str) -> None:
    message = message_of(name)
    assert message == (GALLERY / f"{name}.txt").read_text(encoding="utf-8")
    assert re.match(r"error: mlgit\.yaml:[1-9][0-9]*: .*\nhint: (?!None)", message), "name file, line and mend"


def test_the_gallery_is_large() -> None:
    assert len(NAMES) >= 40


if __name__ == "__main__":
    for name in NAMES:
        (GALLERY / f"{name}.txt").write_text(message_of(name), encoding="utf-8")
