"""A document without secrets: its texts change, and nothing on which something is decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from tests.leaks import ALL, AWS, GITHUB, OWN_KEY, TOKEN, leaks_in
from tests.stories import Story, a_finding
from watchbill.documents.handoff import Claimed, Criterion, Handoff, Verified
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.redacted import STRUCTURE, redacted
from watchbill.documents.session import SessionRecord
from watchbill.files.document import Strict

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
# Beside a word like "key" each of these would be taken for a secret.
ID = "k3yQz81mWn2pRt5v"
PATH = f"x/token={ID}.pem"
COMMIT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"


def a_handoff(text: str = ALL) -> Handoff:
    finding = a_finding(title=text[:300], rule=text[:120], evidence=text, rationale=text, path=PATH)
    claimed = Claimed(
        outcome="done",
        summary=text,
        next=text,
        open_questions=(text, "a question"),
        criteria=(Criterion(criterion=text, met=True, evidence=text),),
    )
    verified = Verified(files=(PATH,), regressions=(f"test[{text}]",), scanners_failed=(text,))
    more = {"claimed": claimed, "verified": verified, "reason": text, "requests": (text,), "body": text}
    story = Story().add("build", "done", commit=COMMIT, base=COMMIT, findings=(finding,), session=f"key={ID}", **more)
    return story.history.documents[-1].handoff


@pytest.fixture(autouse=True)
def _held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", OWN_KEY)
    monkeypatch.setenv("SOME_SERVICE_TOKEN", TOKEN)


def test_every_text_is_redacted_and_the_structure_is_as_it_was() -> None:
    before = a_handoff()
    after = redacted(before)
    assert leaks_in(before.render().decode()) != []
    assert leaks_in(after.render().decode()) == []
    for name in STRUCTURE & set(Handoff.model_fields):
        assert getattr(after, name) == getattr(before, name), name
    assert after.findings[0].fingerprint == before.findings[0].fingerprint
    assert after.findings[0].path == before.findings[0].path
    assert after.verified and before.verified
    assert after.verified.files == before.verified.files
    assert after.claimed and after.claimed.open_questions[1] == "a question"
    assert redacted(after) == after


def test_a_clean_document_is_the_very_same() -> None:
    clean = a_handoff("nothing to hide")
    assert redacted(clean) is clean


def test_a_secret_at_the_seam_of_two_texts_is_seen_and_two_texts_make_none() -> None:
    seam = a_handoff("nothing").model_copy(update={"requests": ("the token:", "k3yQz81mWn2pRt5vXb7")})
    assert redacted(seam) is seam
    hidden = seam.model_copy(update={"body": "the token: k3yQz81mWn2pRt5vXb7"})
    assert redacted(hidden).body == "the token: [redacted: generic-api-key]"


def test_what_has_become_too_long_is_cut_and_can_be_read_again() -> None:
    url = "a://b:hid@"
    long = a_finding(title=(url * 30), evidence=url * 4_000)
    before = a_handoff("x").model_copy(update={"findings": (long,)})
    after = redacted(before)
    assert len(after.findings[0].title) == 300
    assert len(after.findings[0].evidence) == 40_000
    assert Handoff.model_validate(after.model_dump(by_alias=True)) == after
    assert "hid@" not in after.render().decode()


def test_records_and_inbox_items_are_redacted_too() -> None:
    record = SessionRecord.model_validate(
        {"id": "build-0001-1", "agent": "build", "manifest": "build-0001", "start_date": NOW, "end_date": NOW}
        | {"outcome": "done", "turns": 1, "tokens": {}, "title": AWS, "summary": ALL, "decisions": (ALL,)}
        | {"artifacts": (f"API-7: {COMMIT}",), "open_questions": (GITHUB,), "body": ALL}
    )
    assert leaks_in(redacted(record).render().decode()) == []
    assert redacted(record).artifacts == (f"API-7: {COMMIT}",)
    item = InboxItem.model_validate(
        {"id": "T-0001-0001", "ticket": "T-0001", "answers": 1, "created": NOW, "title": AWS, "asked_by": "qa"}
        | {"proposal": ALL, "body": ALL, "commit": COMMIT}
    )
    assert leaks_in(redacted(item).render().decode()) == []
    assert redacted(item).commit == COMMIT


class Odd(Strict):
    """A document with a part of a kind that the redaction does not know."""

    parts: Mapping[str, str]


def test_a_part_of_an_unknown_kind_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match="parts: a dict in a document cannot be searched"):
        redacted(Odd(parts={"x": AWS}))
