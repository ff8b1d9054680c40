"""TOML files that a person edits, and the words for a mistake in one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from tests.files.shortage import no_descriptors
from watchbill.documents.routing import Routing
from watchbill.documents.settings import Settings
from watchbill.errors import Misconfigured, TryLater
from watchbill.files.document import Strict
from watchbill.files.settings_file import line_of, load, parse

FILE = Path("watchbill.toml")


class Price(Strict):
    input: float = 0


class Inner(Strict):
    max_turns: int = Field(1, ge=1)
    mode: Literal["auto", "none"] = "auto"
    prices: dict[str, Price] = Field(default_factory=dict)
    names: tuple[str, ...] = ()


class Outer(Strict):
    name: str
    limits: Inner = Inner()
    schema_name: str = Field("x", alias="schema")


def refusal(text: str | bytes) -> str:
    with pytest.raises(Misconfigured) as caught:
        parse(text.encode() if isinstance(text, str) else text, FILE, Outer)
    return caught.value.reason


def test_a_good_file_is_its_model() -> None:
    read = parse(b'\xef\xbb\xbfname = "x"\n[limits]\nmax_turns = 3\n', FILE, Outer)
    assert (read.name, read.limits.max_turns) == ("x", 3)


def test_a_misspelt_key_is_refused_with_its_line_and_the_nearest_known_one() -> None:
    said = refusal('name = "x"\n\n[limits]\nmax_turn = 3\n')
    assert said == "watchbill.toml, line 4: the key 'limits.max_turn' is not known; did you mean 'max_turns'?"


def test_a_misspelt_table_is_refused_with_its_line_and_the_nearest_known_one() -> None:
    said = refusal('name = "x"\n[limit]\nmax_turns = 3\n')
    assert said == "watchbill.toml, line 2: the key 'limit' is not known; did you mean 'limits'?"


def test_a_key_like_no_other_is_refused_with_all_that_are_known() -> None:
    assert "known here are name, limits, schema" in refusal('name = "x"\nqqqq = 1\n')


def test_a_key_of_a_table_with_free_names_is_refused_with_the_nearest_known_one() -> None:
    said = refusal('name = "x"\n[limits.prices."claude.x"]\ninputs = 3\n')
    assert said == "watchbill.toml, line 3: the key 'limits.prices.claude.x.inputs' is not known; did you mean 'input'?"


def test_the_models_own_name_for_a_key_is_not_a_key_of_the_file() -> None:
    assert "'schema_name' is not known" in refusal('name = "x"\nschema_name = "x"\n')


def test_a_missing_key_is_named() -> None:
    assert refusal("[limits]\n") == "watchbill.toml: the key 'name' is missing"


def test_a_wrong_value_is_refused_with_its_line() -> None:
    assert refusal('name = "x"\n[limits]\nmax_turns = 0\n').startswith("watchbill.toml, line 3: limits.max_turns: ")
    assert "'auto' or 'none'" in refusal('name = "x"\n[limits]\nmode = "Auto"\n')


def test_several_mistakes_are_told_together() -> None:
    said = refusal("[limits]\nmax_turns = 0\nmod = 1\n")
    assert "line 2" in said and "line 3" in said and "'name' is missing" in said


def test_a_mistake_of_syntax_is_refused_with_its_line() -> None:
    assert "line 2" in refusal('name = "x"\n[limits\n')
    assert "line 2" in refusal('name = "x"\nname = "y"\n')


@pytest.mark.parametrize(
    "text", [b"\xff", b"a = " + b"[" * 100_000, b"a = " + b"9" * 6_000, b"x" * 300_000, b"a = 1\0"]
)
def test_what_is_no_settings_file_is_refused_and_breaks_nothing(text: bytes) -> None:
    assert refusal(text).startswith("watchbill.toml")


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is missing") as caught:
        load(tmp_path / "watchbill.toml", Outer)
    assert "watchbill init" in caught.value.hint
    with pytest.raises(Misconfigured, match="cannot be read"):
        load(tmp_path, Outer)


def test_a_file_is_not_blamed_because_too_many_files_are_open(tmp_path: Path) -> None:
    (tmp_path / "watchbill.toml").touch()
    with no_descriptors(), pytest.raises(TryLater, match="too many files are open in this process"):
        load(tmp_path / "watchbill.toml", Outer)


TEXT = """\
name = "x" # line 1
'quoted key' = 1
"also.quoted" = 2

[agents.build]
soft_turns = 1
list = [
  "a = b",
  ["nested"],
]
[agents . "q.a"]   # a comment
soft_turns = 2
[[many]]
name = "first"
[a]
b.c.d = 5
e = { f = 1 }
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        (("name",), 1),
        (("quoted key",), 2),
        (("also.quoted",), 3),
        (("agents", "build"), 5),
        (("agents", "build", "soft_turns"), 6),
        (("agents", "build", "list", 1), 7),
        (("agents", "build", "missing"), 5),
        (("agents", "q.a", "soft_turns"), 12),
        (("many", 0, "name"), 14),
        (("a", "b", "c", "d"), 16),
        (("a", "b", "c"), 16),
        (("a", "e", "f"), 17),
        (("nowhere",), None),
    ],
)
def test_a_key_is_found_on_its_line(location: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(TEXT, location) == line


def test_the_delivered_routing_table_is_read_and_a_mistake_in_it_has_its_line() -> None:
    path = Path(__file__).parents[2] / "playbook" / "routing.toml"
    text = path.read_text()
    assert load(path, Routing).destination("high", "qa", "x", False) == "human"
    line = text.splitlines().index('critical = "human"') + 1
    with pytest.raises(Misconfigured, match=rf"line {line}: severity\.critical"):
        parse(text.replace('critical = "human"', 'critical = "nobody"').encode(), path, Routing)


def test_the_settings_refuse_soft_turns_above_hard_turns() -> None:
    text = '[project]\nname = "x"\nrepo = "."\n[agents.qa]\nschedule = "0 1 * * *"\nsoft_turns = 9\nhard_turns = 3\n'
    with pytest.raises(Misconfigured, match=r"line 4: agents\.qa: soft_turns may not be more than hard_turns"):
        parse(text.encode(), FILE, Settings)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('api_key = "x"', r"line 5: the key 'model\.api_key' is not known"),
        (
            'key_file = "sk-ant-oops"',
            r"line 5: model\.key_file: this looks like a key; no secret ever stands in this file",
        ),
        ('key_keyring = "sk-ant-oops"', r"line 5: model\.key_keyring: this looks like a key"),
        ('key_keyring = "watchbill"', r"line 5: model\.key_keyring: write it as SERVICE/USER"),
    ],
)
def test_the_settings_take_no_key_and_do_not_repeat_it(line: str, why: str) -> None:
    text = f'[project]\nname = "x"\nrepo = "."\n[model]\n{line}\n'
    with pytest.raises(Misconfigured, match=why) as caught:
        parse(text.encode(), FILE, Settings)
    assert "oops" not in caught.value.reason + caught.value.hint


@settings(max_examples=200, deadline=None)
@given(st.text("ab[]{}\"'=.#,0 \n", max_size=60) | st.binary(max_size=40))
def test_no_text_breaks_it(text: str | bytes) -> None:
    try:
        parse(text.encode() if isinstance(text, str) else text, FILE, Outer)
    except Misconfigured as error:
        assert error.reason
