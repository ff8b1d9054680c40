"""The brief that ends a run: what it did, and what that cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.bare_workspaces import bare_workspace, built
from tests.stages.waiting_workspace import ask_something, make_workspace, with_answer
from tests.stories import a_ticket
from watchbill.documents.session import SessionRecord, Tokens
from watchbill.hand_over import hand_over
from watchbill.inbox import listed
from watchbill.session_records import publish_record
from watchbill.stages.report import brief, status, waiting

# A run begins within a second; documents know whole ones.
BEGUN = datetime(2026, 11, 20, 2, 0, 0, 700_000, tzinfo=UTC)


def test_what_happened_in_the_second_in_which_the_run_began_is_on_its_bill(tmp_path: Path) -> None:
    workspace = bare_workspace(tmp_path, a_ticket())
    record = SessionRecord(
        id="build-0001-1", agent="build", manifest="build-0001", start_date=BEGUN, end_date=BEGUN, outcome="deferred",
        turns=3, tokens=Tokens(input=30, output=6), cost=0.5, title="A session", summary="It worked.",
    )  # fmt: skip
    publish_record(workspace.layout, record)
    put_off = built(outcome="deferred", reason="the hard cap was reached")
    hand_over(workspace, a_ticket().id, put_off, BEGUN, lambda *_: True)
    bill = brief(workspace, BEGUN)
    assert (bill.requests, bill.tokens_in, bill.tokens_out, bill.cost) == (3, 30, 6, 0.5)
    assert bill.deferred == ((a_ticket().id, "the hard cap was reached"),)


def test_what_waits_is_listed_whatever_is_the_matter_with_its_page(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    spoilt, answered, gone, plain = (ask_something(workspace, f"T-000{number}") for number in range(1, 5))
    spoilt.write_text(with_answer(spoilt, "aprove"), "utf-8")
    answered.write_text(with_answer(answered, "approve"), "utf-8")
    gone.unlink()
    lines = waiting(workspace)
    assert [line.id for line in lines] == [f"T-000{number}-0001" for number in range(1, 5)]
    assert {line.title for line in lines} == {"the specification contradicts itself"}
    assert lines[0].mark.startswith("its file cannot be read: decision: ")
    assert [line.mark for line in lines[1:]] == [
        "approve stands in its file; the next run takes it up",
        "its page is not in the inbox until the next run",
        "",
    ]
    assert [line.id for line in listed(workspace.layout, signed=True)] == [spoilt.stem, answered.stem, plain.stem]
    marks = [line.mark for line in listed(workspace.layout, signed=True)]
    assert marks[1] == "approve stands in its file, but not signed; sign it with: watchbill inbox sign"
    seen = status(workspace)
    assert (len(seen.waiting), seen.counts, seen.troubles) == (4, {"human": 4}, ())
