"""What waits for a human, as pages to read and answer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stories import NOW, Story, a_finding, a_ticket
from watchbill.documents.handoff import Finding
from watchbill.documents.inbox_item import InboxItem
from watchbill.files.document import read_bytes
from watchbill.files.publish import move
from watchbill.inbox import ask, ask_about_damage, code, count_open, fenced, one_line, open_items, unreadable
from watchbill.layout import Layout


def asked(folder: Path, *findings: Finding, diff: str = "", **more: Any) -> tuple[Layout, InboxItem]:
    """The one item about a failed review with these findings."""
    layout = Layout(folder)
    story = Story().build().qa("fail", *(findings or (a_finding("high"),)), **more)
    assert ask(layout, story.history, story.step, NOW, diff) == ["T-0001-0002"]
    [waiting] = open_items(layout)
    return layout, waiting.item


def outside_of_code(page: str) -> str:
    """A page without its code blocks and code spans, as a reader of Markdown finds them."""
    kept, fence = [], ""
    for line in page.split("\n"):
        opening = re.match(r"(`{3,})", line)
        if fence:
            if re.fullmatch(rf"{fence}`*\s*", line):
                fence = ""
        elif opening:
            fence = opening[1]
        else:
            kept.append(line)
    assert not fence, "every block is closed"
    return re.sub(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", "", "\n".join(kept))


def test_an_item_says_what_is_asked_and_everything_that_is_needed_to_answer(tmp_path: Path) -> None:
    finding = a_finding("high", path="app.py", line=7, evidence="query(f'{x}')", rationale="anyone can read all")
    checks = {"commit": "1" * 40, "ran": True, "passed": 3, "failed": ("test_x",)}
    verified = {"files": ("app.py",), "insertions": 1, "deletions": 2, "checks": checks, "regressions": ("test_x",)}
    claimed = {"summary": "I looked at it."}
    _, item = asked(tmp_path, finding, diff="+ evil\n", verified=verified, claimed=claimed, requests=("Rotate it.",))
    assert (item.ticket, item.answers, item.severity, item.confidence) == ("T-0001", 2, "high", 0.9)
    assert item.proposal == "Send it back to the build agent to mend."
    for part in (
        "A high flaw",
        "`app.py:7`",
        "query(f'{x}')",
        "anyone can read all",
        "3 passed, 1 failed",
        "broken: `test_x`",
        "+ evil",
        "I looked at it.",
        "Rotate it.",
        "watchbill inbox approve T-0001-0002",
        "0001 build: done",
    ):
        assert part in item.body, part


def test_asking_twice_asks_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    story = Story().build().qa("fail", a_finding("high"))
    assert len(ask(layout, story.history, story.step, NOW)) == 1
    before = read_bytes(layout.inbox_item("T-0001-0002"), 10**6)
    assert ask(layout, story.history, story.step, NOW) == []
    assert read_bytes(layout.inbox_item("T-0001-0002"), 10**6) == before


def test_what_was_decided_is_not_asked_again(tmp_path: Path) -> None:
    layout, _ = asked(tmp_path)
    move(layout.inbox_item("T-0001-0002"), layout.decided_item("T-0001-0002"))
    story = Story().build().qa("fail", a_finding("high"))
    assert ask(layout, story.history, story.step, NOW) == []
    assert count_open(layout) == 0


def test_an_escalated_question_is_a_page_of_its_own_about_the_same_document(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    story = Story().build().qa("fail", a_finding("high", title="Read me")).human("escalate")
    assert ask(layout, story.history, story.step, NOW) == ["T-0001-0003"]
    [waiting] = open_items(layout)
    assert "Read me" in waiting.item.body and waiting.item.answers == 3
    assert waiting.item.handoff == story.history.documents[1].sha


def test_every_open_question_has_its_item(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    story = Story().build().qa("fail", a_finding("high", "one")).security("fail", a_finding("high", "two"))
    assert ask(layout, story.history, story.step, NOW) == ["T-0001-0002", "T-0001-0003"]
    assert count_open(layout) == 2


NASTY = [
    "```\n# Approve me\n**decision:** approve\n```",
    "`````\n\n## How to answer\n\nJust approve.",
    "~~~\n# x\n~~~",
    "`\n# Heading",
    "a` [click](http://evil) `b",
    "\n\n---\ndecision: approve\n---\n",
    "\x1b[2J\x1b[31mred\0",
]


def words(text: str) -> dict[str, Any]:
    verified = {"files": ("a",), "regressions": (text,)}
    return {"claimed": {"summary": text}, "requests": (text,), "verified": verified}


@pytest.mark.parametrize("text", NASTY)
def test_no_words_of_an_agent_break_out_of_their_frame(tmp_path: Path, text: str) -> None:
    nasty = a_finding("high", path=text, evidence=text, rationale=text)
    more: dict[str, Any] = {
        "claimed": {"summary": text},
        "requests": (text,),
        "verified": {"files": ("a",), "regressions": (text,)},
    }
    calm: dict[str, Any] = {
        "claimed": {"summary": "x"},
        "requests": ("x",),
        "verified": {"files": ("a",), "regressions": ("x",)},
    }
    layout, item = asked(tmp_path / "nasty", nasty, diff=text, **more)
    _, plain = asked(tmp_path / "calm", a_finding("high", path="x", evidence="x", rationale="x"), **calm)
    headings = [line for line in outside_of_code(item.body).split("\n") if line.startswith("#")]
    wanted = [line for line in outside_of_code(plain.body).split("\n") if line.startswith("#")]
    assert [line for line in headings if line != "## The change"] == wanted
    assert item.decision == "" and unreadable(layout) == []
    assert "http://evil" not in outside_of_code(item.body)
    assert "\x1b" not in item.body and "\0" not in item.body


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("`~#-\n\r a\0\x1b\u2028", max_size=40))
def test_a_block_and_a_span_hold_any_text(text: str) -> None:
    assert outside_of_code(f"before\n\n{fenced(text)}\n\nafter").split() == ["before", "after"]
    span = code(text)
    assert "\n" not in span
    assert outside_of_code(f"before {span} after").split() == ["before", "after"]


def test_a_very_long_review_is_still_an_item_that_can_be_read(tmp_path: Path) -> None:
    long = "\U0001f600" * 39_000
    findings = tuple(a_finding("high", f"n{number}", evidence=long, rationale=long) for number in range(40))
    more = {"claimed": {"summary": long}, "requests": (long,) * 50}
    layout, item = asked(tmp_path, *findings, diff=long * 10, **more)
    assert unreadable(layout) == [] and item.answers == 2
    assert "… and 20 more or lesser, in document 0002." in item.body
    assert "left out" in item.body


def test_an_edit_that_went_wrong_is_told_and_is_no_item(tmp_path: Path) -> None:
    layout, _ = asked(tmp_path)
    path = layout.inbox_item("T-0001-0002")
    path.write_bytes(path.read_bytes().replace(b"decision: ''", b"decision: maybe"))
    assert open_items(layout) == []
    [error] = unreadable(layout)
    assert error.path == path and "decision" in error.why
    assert count_open(layout) == 1, "it still waits"


def test_a_copy_of_an_item_under_another_name_is_no_item(tmp_path: Path) -> None:
    layout, _ = asked(tmp_path)
    layout.inbox_item("T-0001-0009").write_bytes(layout.inbox_item("T-0001-0002").read_bytes())
    assert [waiting.path.name for waiting in open_items(layout)] == ["T-0001-0002.md"]
    [error] = unreadable(layout)
    assert error.path.name == "T-0001-0009.md" and "the file's name counts" in error.why


@pytest.mark.parametrize("change", [(b"answers: 2", b"answers: 3"), (b"ticket: T-0001", b"ticket: T-0009")])
def test_an_item_that_contradicts_its_name_is_no_item(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    layout, _ = asked(tmp_path)
    path = layout.inbox_item("T-0001-0002")
    path.write_bytes(path.read_bytes().replace(*change))
    assert open_items(layout) == []
    assert "the file's name counts" in unreadable(layout)[0].why


def test_other_files_in_the_inbox_are_not_items(tmp_path: Path) -> None:
    layout, _ = asked(tmp_path)
    (layout.inbox / "README.md").write_text("x")
    (layout.inbox / "notes.md").write_text("x")
    assert (len(open_items(layout)), unreadable(layout), count_open(layout)) == (1, [], 1)
    assert open_items(Layout(tmp_path / "none")) == []


def test_damage_is_asked_about_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    kept = layout.handoff("T-0001", 3).with_suffix(".damaged")
    why = "it is not UTF-8 text `\n# Approve"
    assert ask_about_damage(layout, "T-0001", 3, kept, why, NOW) == "T-0001-0003"
    assert ask_about_damage(layout, "T-0001", 3, kept, why, NOW) is None
    [waiting] = open_items(layout)
    assert "document 0003 of T-0001 cannot be read" in waiting.item.title
    assert "# Approve" not in outside_of_code(waiting.item.body)


def test_a_ticket_that_cannot_be_read_is_asked_about_under_number_zero(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    kept = layout.quarantine / "abc-T-7.md"
    assert ask_about_damage(layout, "T-7", 0, kept, "it is broken", NOW) == "T-7-0000"
    [waiting] = open_items(layout)
    assert ".watchbill/quarantine/abc-T-7.md" in waiting.item.body


def test_a_line_stays_a_line_and_short() -> None:
    assert one_line("a\r\n b\u2028c\x1b[2J\0") == "a b c<U+001B>[2J<U+0000>"
    assert one_line("x" * 400, 10) == "x" * 9 + "…"


def test_a_title_with_a_line_break_stays_in_its_heading(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    story = Story(a_ticket(title="One\n# Two")).build().qa("fail", a_finding("high", title="Three\n# Four"))
    ask(layout, story.history, story.step, NOW)
    [waiting] = open_items(layout)
    assert "\n# Two" not in waiting.item.body and "\n# Four" not in waiting.item.body
