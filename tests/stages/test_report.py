"""The brief that ends a run: what it did, and what that cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.bare_workspaces import bare_workspace, built
from tests.stories import a_ticket
from watchbill.documents.session import SessionRecord, Tokens
from watchbill.hand_over import hand_over
from watchbill.session_records import publish_record
from watchbill.stages.report import brief

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
