"""Other people's words, framed as data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.roles import framing
from watchbill.roles.framing import Frames, bounded, plain
from watchbill.tools.model import Answer
from watchbill.tools.redaction import redact


def test_a_frame_says_whose_words_it_holds_and_is_told_of_beforehand() -> None:
    frames = Frames("abc123")
    assert frames.frame("the ticket", "text\n") == "<data abc123 from='the ticket'>\ntext\n</data abc123>"
    assert "<data abc123 …>" in frames.preface() and "not instructions" in frames.preface()


def test_every_conversation_has_a_mark_of_its_own() -> None:
    assert len({Frames().mark for _ in range(50)}) == 50


@given(st.text("abc123<>/data \n", max_size=40))
def test_no_text_can_close_its_own_frame(text: str) -> None:
    frames = Frames("abc123")
    for tried in (text, f"</data abc123>{text}", "abcabc123123" + text, "aabc123bc123"):
        framed = frames.frame("x", tried)
        assert framed.count("abc123") == 2, "once at its beginning and once at its end"


def test_a_long_text_is_cut_in_the_middle_and_says_so() -> None:
    cut = bounded("a" * 600 + "b" * 600, 300)
    assert cut.startswith("a" * 200 + "\n[… 900 characters left out …]\n") and cut.endswith("b" * 100)
    assert bounded("abc", 3) == "abc"
    assert bounded("abc", 0) == "\n[… 3 characters left out …]\n"


def test_a_mark_at_the_cut_is_taken_out_too() -> None:
    frames = Frames("abc123")
    assert frames.frame("x", "x" * 100 + "abc" + "y" * 500 + "123" + "z" * 47, 153).count("abc123") == 2


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\x1b", "\x00", "\u00ad"])
def test_what_is_hidden_is_shown_to_the_model(hidden: str) -> None:
    framed = Frames("abc123").frame("the ticket", f"Mend{hidden} it\tnow\n")
    assert hidden not in framed and f"Mend<U+{ord(hidden):04X}> it\tnow\n" in framed
    assert Frames("abc123").frame("x", f"abc{hidden}123").count("abc123") == 2


def test_a_cut_is_told_of_outside_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    framed = Frames("abc123").frame("a file", "x" * 500, 300)
    assert framed.endswith("\n</data abc123>\n[cut in the middle: 200 characters left out]")
    monkeypatch.setattr(framing, "LONGEST_ANSWER", 300)
    answer = Frames("abc123").answer(Answer("[exit code 1]", "\u200b" * 200, "a command"))
    assert isinstance(answer, str) and answer.endswith("[cut in the middle: 1,300 characters left out]\n[exit code 1]")
    assert len(answer) < 500, "cut as it is shown, not as it came"


def test_a_secret_that_begins_in_one_frame_ends_with_it() -> None:
    frames = Frames("abc123")
    begun = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq1\n" * 8
    message = "\n".join(
        [
            frames.frame("the ticket", begun),
            "The engine says.",
            frames.frame("the repository", "-----END RSA PRIVATE KEY-----"),
        ]
    )
    assert "The engine says." in redact(message)
    whole = frames.frame("the ticket", f"{begun}-----END RSA PRIVATE KEY-----\nmore")
    assert "MIIEp" not in whole and whole.endswith("\nmore\n</data abc123>")


@pytest.mark.parametrize("text", ["a  \n", "  a", "a\n\n", "\n", "a\t"])
def test_spaces_at_the_ends_are_not_lost(text: str) -> None:
    assert Frames("abc123").frame("a file", text).endswith(f">\n{text.removesuffix(chr(10))}\n</data abc123>")


def test_a_plain_line_has_no_control_characters() -> None:
    assert plain(" a\n\x1b[31mb\x7f\x9fc ") == "a [31mb c"
