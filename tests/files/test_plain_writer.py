"""What the plain writer writes is, byte for byte, what the YAML library would have written."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.stories import Story, a_finding
from watchbill.files import plain_writer
from watchbill.files.plain_writer import by_library, write

# Pieces that mean something to YAML, and that make texts long enough to be folded.
FUZZ = 150
MARKS = "-?:,[]{}#&*!|>'\"%@`~=<.+ \n\t\0\x7f\u00e9\u2028\U0001f600\ufeff"
WORDS = ("- ", ": ", " #", "---", "...", "no", "Yes", "null", "on", "0x1F", "0o7", "1e3", "1_000", "12:30:00", "word")
MORE = ("2026-11-20", "2026-11-20T02:00:00Z", ".inf", "-.5", "a b", "it's", "a  b", "0" * 64, "word " * 30)
PIECES = st.sampled_from([*MARKS, *WORDS, *MORE, "x" * 40, "y" * 109, "y" * 112])
TEXTS = st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=20) | st.text("ab ", max_size=260)
KEYS = (
    st.sampled_from(["id", "from", "to", "y", "n", "no", "yes", "on", "null", "a_b", "k" * 61, "k" * 62, "k" * 140])
    | TEXTS
)
SCALARS = TEXTS | st.booleans() | st.none() | st.integers() | st.floats() | st.just(1e16) | st.just(-0.0)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=FUZZ, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
@example({})
@example({"a": [[], {}, [[]], [{"b": "c"}], ""]})
@example({"a": {"b": [{"c": {"d": ["e " * 90]}}]}})
@example({"a": "x" * 105 + " y z", "b": "x" * 106 + " y z", "c": "x" * 107 + " y: z", "d": ["x" * 108 + " y z"]})
@example({"a": "it's " * 40 + ": so"})
def test_any_mapping_is_written_as_the_library_writes_it(meta: dict[str, Any]) -> None:
    assert write(meta) == by_library(meta)


@settings(max_examples=FUZZ, deadline=None)
@given(TEXTS)
@example("a:")
@example("a :b")
@example("-")
@example("-a")
@example("?")
@example(":a")
@example("a#b")
@example("a #b")
@example("=")
@example("<<")
@example("...a")
def test_any_text_is_written_as_the_library_writes_it(text: str) -> None:
    meta = {"text": text, "among": [text, {"others": text}], "inside": {"deeper": {"still": text}}}
    assert write(meta) == by_library(meta)


@pytest.mark.parametrize("value", [(1, 2), {1}, b"x", date(2026, 11, 20), datetime(2026, 11, 20, tzinfo=UTC)])
def test_what_is_neither_text_nor_number_is_left_to_the_library(value: object) -> None:
    assert write({"a": value, "b": 1}) == by_library({"a": value, "b": 1})


def test_an_ordinary_handoff_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = a_finding("low", evidence="it's here: see line 3")
    handoff = Story().qa("fail", finding, reason="so many words " * 20 + "end").history.handoffs[0]
    meta = handoff.model_dump(mode="json", by_alias=True, exclude={"body"}, exclude_none=True)
    expected = by_library(meta)
    monkeypatch.setattr(plain_writer, "by_library", lambda meta: pytest.fail(f"the library was asked for {meta}"))
    assert write(meta) == expected
