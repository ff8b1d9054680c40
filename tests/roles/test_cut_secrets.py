"""What is cut is redacted first: a half of a key has no shape by which it could be known."""

from __future__ import annotations

from tests.leaks import GITHUB
from watchbill.inbox import fenced, one_line
from watchbill.roles.evidence import SHOWN_OUTPUT, _end_of
from watchbill.roles.framing import Frames, bounded
from watchbill.roles.turns import Ending
from watchbill.stages.run.words import body_without_handoff

HALF = GITHUB[:20]
OTHER_HALF = GITHUB[-20:]


def test_a_text_for_the_model_that_is_too_long() -> None:
    head, tail = 400, 200
    text = "x" * (head - 25) + f" {GITHUB} " + "y " * 500 + GITHUB + "z" * (tail - 25)
    shown = bounded(text, head + tail)
    assert HALF not in shown and OTHER_HALF not in shown
    assert "characters left out" in shown
    assert HALF not in Frames().frame("the ticket", text, head + tail)


def test_a_text_that_fits_when_it_is_redacted() -> None:
    assert bounded(f"{GITHUB} " * 10, 390) == "[redacted: github-pat] " * 10


def test_a_block_and_a_line_of_an_inbox_page() -> None:
    assert HALF not in fenced("x" * 30 + f" {GITHUB}", limit=52) and HALF not in one_line("x" * 30 + f" {GITHUB}", 52)
    assert fenced(f"{GITHUB} " * 10, limit=390).count("[redacted: github-pat]") == 10


def test_the_end_of_an_output_of_the_checks() -> None:
    output = "x " * 2_000 + GITHUB + "y" * (SHOWN_OUTPUT - 25)
    assert OTHER_HALF not in _end_of(output)
    assert len(_end_of(output)) == SHOWN_OUTPUT
    assert _end_of(f"short {GITHUB}") == f"short {GITHUB}"


def test_the_last_words_of_a_model() -> None:
    assert HALF not in body_without_handoff(Ending(reason="x", last_words="y" * 1_975 + f" {GITHUB}"))
