from __future__ import annotations

import os
import subprocess
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgit.errors import InvalidError
from mlgit.model.shelltext import fill_command, fill_words
from mlgit.model.template import Expression, Scope, escape, fill, parse, to_words, unparse

VALUES = {
    "n": 3,
    "lr": 0.1,
    "yes": True,
    "none": None,
    "text": "a b",
    "list": ["a", "b c"],
    "deep": {"list": [{"x": "found"}]},
    "again": "${n}",
}


def scope(**values: object) -> Scope:
    return Scope(lambda: {**VALUES, **values})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${n}", 3),
        ("${ n }", 3),
        ("${lr}", 0.1),
        ("${yes}", True),
        ("${none}", None),
        ("${list}", ["a", "b c"]),
        ("${deep.list[0].x}", "found"),
        ("${deep.list.0.x}", "found"),
        ("${deep}", {"list": [{"x": "found"}]}),
        ("n=${n}, ${yes} ${lr}", "n=3, true 0.1"),
        ("\\${n}", "${n}"),
        ("\\${n} ${n}", "${n} 3"),
        ("${again}", "${n}"),
        ("$n {n} $", "$n {n} $"),
        ("", ""),
    ],
)
def test_a_template_is_filled_in_once(text: str, value: object) -> None:
    assert fill(text, scope()) == value


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("${texd}", "'texd' is not defined", "did you mean"),
        ("${zebra}", "not defined", "params.yaml"),
        ("${deep.lst}", "has no key 'lst'", "'list'"),
        ("${list[2]}", "without an item '2'", "2 items"),
        ("${list.a}", "without an item 'a'", "first is"),
        ("${n.x}", "'n' is 3", "${n}"),
        ("${}", "not a name", "${name}"),
        ("${a..b}", "not a name", "${name}"),
        ("${n", "without its `}`", "close it"),
        ("${n|quote}", "unknown filter", "raw"),
        ("${n|raw}", "is for the text of a command", "take"),
        ("x ${list}", "a list cannot stand inside of text", "${a[0]}"),
        ("x ${none}", "nothing cannot stand", "value"),
    ],
)
def test_a_wrong_template_says_what_and_how_to_mend_it(text: str, problem: str, hint: str) -> None:
    with pytest.raises(InvalidError) as caught:
        fill(text, scope())
    assert problem in caught.value.message
    assert hint in str(caught.value.hint)


names = st.text("abcxyz_", min_size=1, max_size=4)
paths = st.lists(names | st.integers(0, 9).map(str), min_size=1, max_size=3).map(tuple)
expressions = st.builds(
    lambda path, raw: Expression("${" + ".".join(path) + ("|raw" if raw else "") + "}", path, raw), paths, st.booleans()
)
literals = st.text("ab ${}\\'\"|.", min_size=1, max_size=8)


def merged(parts: list[str | Expression]) -> tuple[str | Expression, ...]:
    """Neighbouring literals joined; a `$` or backslash at the end of one would run into what follows."""
    found: list[str | Expression] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return tuple(f"{part}." if isinstance(part, str) else part for part in found)


@given(st.lists(literals | expressions, max_size=5).map(merged))
def test_a_template_survives_being_written_out(template: tuple[str | Expression, ...]) -> None:
    assert parse(unparse(template)) == template


@given(st.text(max_size=30))
def test_an_escaped_text_stands_for_itself(text: str) -> None:
    assert fill(escape(text), scope()) == text


@given(st.text("${}ab|.[] \\", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except InvalidError as error:
        assert error.hint


HOSTILE = [
    "; touch x",
    "$(touch x)",
    "`touch x`",
    "a'b",
    'a"b',
    "\\",
    "$HOME",
    "a\nb",
    "*",
    "~",
    "",
    " ",
    "#",
    "!!",
    "-",
]


def words_of(command: str) -> list[str]:
    """What a shell makes of `command`, which prints its arguments one by one."""
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    ("command", "around"), [("${x}", "{}"), ("a${x}b", "a{}b"), ("'a ${x}'", "a {}"), ('"a ${x} b"', "a {} b")]
)
def test_a_hostile_value_stays_one_word(value: str, command: str, around: str) -> None:
    text = fill_command("printf '%s\\0' " + command, scope(x=value))
    assert words_of(text) == [around.format(value)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8), min_size=1))
def test_words_reach_the_program_as_they_are(values: list[str]) -> None:
    assert words_of(fill_command("printf '%s\\0' ${x}", scope(x=values))) == values
    assert fill_words(["${x}"], scope(x=values)) == values


@pytest.mark.parametrize(
    "command",
    [
        "echo `cat ${x}`",
        'echo "$(cat ${x})"',
        "cat <<EOF\n${x}\nEOF",
        "echo $((${x} + 1))",
        "true # ${x}",
        'echo "$${x}"',
        "echo $'${x}'",
        "echo \\${A:-${x}}",
        "echo '${l}'",
    ],
)
def test_where_quoting_is_not_sure_only_plain_values_go(command: str) -> None:
    with pytest.raises(InvalidError, match="cannot be quoted safely"):
        fill_command(command, scope(x="; touch x", l=["a", "b"]))
    assert "plain.csv" in fill_command(command, scope(x="plain.csv", l=["plain.csv"]))


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("run ${text}", "run 'a b'"),
        ("run ${text|raw}", "run a b"),
        ("run ${ text | raw }", "run a b"),
        ("run $(cat ${text}) (${text})", "run $(cat 'a b') ('a b')"),
        ("it''s # a 'b\nrun ${text}", "it''s # a 'b\nrun 'a b'"),
        ("echo \\' ${text} \\$ \\${n}", None),
        ("${text|raw} x", "a b x"),
        ("${n}", "3"),
        ("run ${list}", "run a 'b c'"),
    ],
)
def test_a_command_is_filled_in(command: str, text: str | None) -> None:
    assert fill_command(command, scope()) == (text or "echo \\' 'a b' \\$ ${n}")


def test_a_mapping_becomes_options() -> None:
    options = {"lr": 0.1, "fast": True, "slow": False, "name": "a b", "dims": [1, 2], "opt": {"eps": 1}, "none": []}
    words = ["--lr", "0.1", "--fast", "--name", "a b", "--dims", "1", "2", "--opt.eps", "1"]
    assert to_words(options, parse("${x}")[0]) == words  # type: ignore[arg-type]
    assert fill_command("t ${x}", scope(x={"$(id)": "v"})) == "t '--$(id)' v"
    with pytest.raises(InvalidError, match="'seed' is empty"):
        fill_command("t ${x}", scope(x={"seed": None}))
    with pytest.raises(InvalidError, match="cannot stand inside of text"):
        fill_command("t ${x}", scope(x=[["a"]]))


def test_a_list_command_is_not_quoted() -> None:
    assert fill_words(["run", "--x=${text}", "${n}", "${list}", "\\${n}"], scope()) == [
        *("run", "--x=a b", "3", "a", "b c", "${n}"),
    ]


def test_a_whole_command_that_is_a_value_must_be_raw() -> None:
    with pytest.raises(InvalidError) as caught:
        fill_command("${text}", scope())
    assert "${text|raw}" in str(caught.value.hint)
    assert fill_command("${text|raw}", scope()) == "a b"


PIECES = [
    "echo ",
    "a",
    "'",
    '"',
    "$(",
    "(",
    ")",
    "`",
    "#",
    " ",
    "\n",
    "\\",
    "$",
    "<<E\n",
    "E\n",
    "\\${",
    "}",
    "((",
    "=",
]
ATTACKS = [
    "; touch x",
    "$(touch x)",
    "' ; touch x ; '",
    '" ; touch x ; "',
    "\n touch x\n",
    "(touch x)",
    "x)\ntouch x #",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *["${x}"] * 6]), min_size=3, max_size=9), st.sampled_from(ATTACKS))
def test_no_value_is_run_wherever_it_stands(pieces: list[str], attack: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = fill_command("".join(pieces), scope(x=attack))
        except InvalidError:
            return
        subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        assert not os.listdir(folder)
