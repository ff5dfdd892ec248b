from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import InvalidError, MlgitError
from mlgit.model import runrecord
from mlgit.model.lock import StageLock
from mlgit.model.runrecord import PACKAGE, Environment, RunRecord

packages = st.lists(st.from_regex(PACKAGE, fullmatch=True), unique=True, max_size=6).map(sorted).map(tuple)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
fingerprints = st.just("") | st.binary(min_size=32, max_size=32).map(bytes.hex)
environments = st.builds(Environment, st.none() | words, words, words, packages, fingerprints)
FULL = RunRecord(
    "ab" * 32,
    StageLock("x"),
    "2024",
    1.0,
    0,
    Environment("3.11.7", "Linux-x86_64", "1", ("a==1", "b-c==2.0+cu1"), "f" * 64),
)
TEXT = runrecord.encode(FULL)


@given(environments, st.floats(0, 1e9))
def test_a_record_survives_encoding(environment: Environment, seconds: float) -> None:
    record = RunRecord("ab" * 32, StageLock("x"), "2024", seconds, 0, environment, None)
    text = runrecord.encode(record)
    assert runrecord.decode(text.encode(), "run") == record
    assert runrecord.encode(runrecord.decode(text.encode(), "run")) == text


def test_a_record_of_version_1_is_still_read() -> None:
    value = json.loads(TEXT)
    value["mlgit"] = 1
    value["environment"] = {"python": "3.10", "platform": "Linux-x86_64", "mlgit": "0.1.0"}
    found = runrecord.decode(json.dumps(value).encode(), "run")
    assert found.environment == Environment("3.10", "Linux-x86_64", "0.1.0")
    assert found.stage == FULL.stage


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"mlgit":2', '"mlgit":3'),
        ('"mlgit":2', '"mlgit":0'),
        ('"mlgit":2', '"mlgit":1'),
        ('"a==1"', '"a"'),
        ('"a==1"', '"A==1"'),
        ('"a==1"', '"a==1\\n"'),
        ('"a==1"', '"a==\\u001b[31m"'),
        ('"a==1"', "3"),
        ('"a==1",', '"a==1","a==1",'),
        ('"a==1"', '"z==1"'),
        ('"a==1"', '"' + "a" * 300 + '==1"'),
        ('["a==1","b-c==2.0+cu1"]', "{}"),
        ('["a==1","b-c==2.0+cu1"]', "null"),
        ('["a==1","b-c==2.0+cu1"]', json.dumps([f"p{n:06}==1" for n in range(runrecord.MAX_PACKAGES + 1)])),
        ("f" * 64, "f" * 63),
        ("f" * 64, "F" * 64),
        ('"python":"3.11.7"', '"python":3.11'),
        ('"python":"3.11.7"', '"python":"3","host":"me"'),
        ('"platform":"Linux-x86_64",', ""),
    ],
)
def test_a_malformed_record_is_refused(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidError, match="run"):
        runrecord.decode(TEXT.replace(old, new, 1).encode(), "run")


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
def test_only_known_errors_come_out(data: bytes) -> None:
    try:
        runrecord.decode(data, "run")
    except MlgitError as error:
        assert error.code in (10, 14)
