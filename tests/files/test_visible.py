"""Foreign text is shown as what it is."""

from __future__ import annotations

import pytest

from watchbill.files.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with\ttab\nand line", "plain, with\ttab\nand line"),
        ("Grüße, 你好", "Grüße, 你好"),
        ("a\x1b[31mred", "a<U+001B>[31mred"),
        ("abc\u202edcba", "abc<U+202E>dcba"),
        ("zero\u200bwidth", "zero<U+200B>width"),
        ("tag\U000e0041", "tag<U+E0041>"),
        ("line\u2028end", "line<U+2028>end"),
        ("dos\r\nline", "dos\nline"),
    ],
)
def test_what_hides_is_shown_as_its_number(text: str, shown: str) -> None:
    assert visible(text) == shown
