"""The quick way to read plain front matter: it says what the YAML parser says, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.files.heads import REAL, WORDS, flat_heads, lines, mutated
from watchbill.files import plain_yaml
from watchbill.files.front_matter import Malformed, read_yaml, split
from watchbill.files.plain_yaml import Loader


def by_the_parser(head: str) -> str:
    """What the YAML parser makes of it, with every type and the order; or its refusal."""
    try:
        return repr(read_yaml(f"\n{head}"))
    except Malformed as refusal:
        return f"refused: {refusal}"


def says_the_same_or_nothing(head: str) -> bool:
    if "\0" in head or "\r" in head:  # never reaches the front matter
        return True
    found = plain_yaml.read(head)
    return found is None or repr(found) == by_the_parser(head)


PLACES = ("a: {}", "a:\n- {}", "a: [{}]", "a: [x, {}]", "a:\n  b: {}", "a:\n- b: {}", "{}", "{}: a", "a:\n  {}: b")


@pytest.mark.parametrize("place", PLACES)
def test_a_word_means_the_same_wherever_it_stands(place: str) -> None:
    heads = [place.format(word) for word in WORDS]
    assert [head for head in heads if not says_the_same_or_nothing(head)] == []


@settings(max_examples=250, deadline=None)
@given(st.lists(lines, min_size=1, max_size=6).map("\n".join))
@example("a: 1\na: 1")
@example("a:\n  b: 1\n  b: 1")
@example("a:\n- b: 1\n  b: 1")
@example("a:\n- x\n  y")
@example("a: x\n  y")
@example("a: x\n- y")
@example("a:\n  - x\n- y")
@example("a:\n- - x")
@example("a:\n-\n- x")
@example("a:\n    b: 1\n  c: 1")
@example("a:\n\n- x")
@example("a: 1\n\nb: 2")
@example("")
@example("a: 'x\n\n  y'")
@example("a:\n a:\n  a:\n  - a:\n    - a:\n      - a:\n       - [a]")
def test_any_lines_are_read_alike(head: str) -> None:
    assert says_the_same_or_nothing(head)


@settings(max_examples=250, deadline=None)
@given(flat_heads)
def test_any_values_are_read_alike(head: str) -> None:
    assert says_the_same_or_nothing(head)


@settings(max_examples=250, deadline=None)
@given(mutated())
def test_real_front_matter_with_a_few_changes_is_read_alike(head: str) -> None:
    assert says_the_same_or_nothing(head)


PLAIN = (
    *("a: word", "a: two words", "a: 'x: y'", 'a: "x"', "a: 12", "a: 1.5", "a: true", "a: 2026-11-20", "a: null", "a:"),
    *("a: []", "a: [b]", "a: [b, 'c', 1]", "a:\n- b\n- 'c'", "a:\n  - b", "a: x:y", "a: naïve", "a: Don't (yet)#1"),
    *("a:\n  b: 1\n  c:\n  - d", "a:\n- b: 1\n  c: 2\n- b: 3"),
)


def test_these_need_no_parser() -> None:
    for head in (*REAL, *PLAIN):
        assert plain_yaml.read(head) == yaml.load(head, Loader=Loader)


FENCES = ("---", "--- ", "---\t", "---x", "----", "---\xa0", "---\x0c", " ---", "...", "-- -", "", "\ufeff---", "--- #")
FENCED = ("---\na: 1\n{}\nbody\n", "{}\na: 1\n---\nbody", "---\n{}\n", "---\na: 1\n{}", "---\n{}", "---\n{}\n---\n\nx")


@pytest.mark.parametrize("text", FENCED)
def test_the_fences_are_seen_alike(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [text.format(fence).encode() for fence in FENCES]
    quick = [result_of(document) for document in documents]
    monkeypatch.setattr(plain_yaml, "read", lambda _: None)
    assert quick == [result_of(document) for document in documents]


def result_of(document: bytes) -> str:
    try:
        return repr(split(document))
    except Malformed as refusal:
        return f"refused: {refusal}"


def test_who_changes_what_was_read_changes_it_for_nobody_else() -> None:
    head = "a: [x]\nb:\n- y\nc:\n- d: [z]\ne: []"
    first: dict[str, Any] = plain_yaml.read(head) or {}
    first["a"].append(1)
    first["b"].append(1)
    first["c"][0]["d"].append(1)
    first["e"].append(1)
    assert plain_yaml.read(head) == {"a": ["x"], "b": ["y"], "c": [{"d": ["z"]}], "e": []}


def test_only_so_many_lines_are_remembered_and_no_long_ones() -> None:
    for number in range(10_000):
        plain_yaml.read(f"id: T-{number}\ntitle: {'long ' * 20}{number}")
    remembered = plain_yaml._remembered
    assert 0 < len(remembered) <= 4_096
    assert max(map(len, remembered)) <= 40
