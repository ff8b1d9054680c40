"""JSON that can be read in one way only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from tests.fuzz.awkward import values
from watchbill import strict_json


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice in the same object"),
        (r'{"a": 1, "\u0061": 2}', "the key 'a' stands twice in the same object"),
        ('{"o": [{"x": {"": 1, "": 2}}]}', "the key '' stands twice in the same object"),
        ('{"\\u202e": 1, "\\u202e": 2}', r"the key '\u202e' stands twice in the same object"),
        ('{"a": NaN}', "NaN is not a number in JSON"),
        ("[-Infinity]", "-Infinity is not a number in JSON"),
        ("[" * 100_000, "it is nested too deep"),
        ('{"a":' * 100_000, "it is nested too deep"),
    ],
    ids=range(8),
)
def test_what_could_be_read_in_two_ways_is_refused_with_the_reason(text: str, why: str) -> None:
    for way in (strict_json.read, strict_json.check):
        for given_as in (text, text.encode()):
            with pytest.raises(ValueError) as refused:
                way(given_as)
            assert str(refused.value) == why


def test_the_same_key_in_two_objects_is_fine() -> None:
    assert strict_json.read('{"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}') == {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}


@given(values(["a", "b"]))
def test_all_else_is_read_as_ever(value: object) -> None:
    text = json.dumps(value)
    if "NaN" not in text and "Infinity" not in text:
        assert strict_json.read(text) == json.loads(text)
        strict_json.check(text)
