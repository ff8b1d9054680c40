"""The one door through which every actor adds a document to a history."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.bare_workspaces import bare_workspace, built, reviewed
from tests.stories import ONE, a_finding, a_ticket
from watchbill import heads
from watchbill.documents.handoff import Handoff
from watchbill.errors import Stale
from watchbill.hand_over import hand_over, step_of
from watchbill.heads import Head, note_intended
from watchbill.history import History
from watchbill.inbox import open_items
from watchbill.layout import Layout
from watchbill.overview import overview_of
from watchbill.rules.next_step import Step
from watchbill.workspace import Workspace

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
TICKET = "T-0001"


def always(_history: History, _step: Step) -> bool:
    return True


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return bare_workspace(tmp_path / "watch", a_ticket())


def add(workspace: Workspace, fields: dict[str, Any], **more: Any) -> tuple[Handoff, Step]:
    return hand_over(workspace, TICKET, fields, NOW, **{"still_valid": always, **more})


def test_the_document_has_its_number_its_parent_and_its_playbook(workspace: Workspace) -> None:
    first, _ = add(workspace, built())
    second, _ = add(workspace, reviewed("qa"))
    history = workspace.history(TICKET)
    assert (first.seq, second.seq) == (1, 2)
    assert second.parent == history.documents[0].sha
    assert {handoff.playbook for handoff in history.handoffs} == {workspace.playbook_hash}
    assert history.handoffs == (first, second), "what is returned is what lies on the disk"


def test_the_document_says_where_the_next_step_goes(workspace: Workspace) -> None:
    told = [
        add(workspace, built())[0].to,
        add(workspace, reviewed("qa"))[0].to,
        add(workspace, reviewed("security", "fail", findings=(a_finding("high"),)))[0].to,
        add(workspace, {"from": "human", "outcome": "pass", "decision": "dismiss", "answers": 3, "by": "Ada"})[0].to,
    ]
    assert told == [("qa", "security"), ("security",), ("human",), ("merge",)]
    assert step_of(workspace, workspace.history(TICKET)).to == ("merge",)


def test_the_fields_cannot_say_where_it_goes(workspace: Workspace) -> None:
    assert add(workspace, built(to=("merge",)))[0].to == ("qa", "security")


def test_the_question_is_published_right_after_the_document_that_raises_it(workspace: Workspace) -> None:
    add(workspace, built())
    _, step = add(workspace, reviewed("qa", "fail", findings=(a_finding("high"),)), diff=lambda work: f"of {work.seq}")
    [waiting] = open_items(workspace.layout)
    assert (waiting.item.id, waiting.item.answers) == ("T-0001-0002", 2)
    assert [question.seq for question in step.questions] == [2]
    assert "of 1" in waiting.item.body, "the diff is of the work that is asked about"
    assert waiting.item.handoff == workspace.history(TICKET).documents[1].sha


def test_work_that_is_no_longer_valid_publishes_nothing(workspace: Workspace) -> None:
    add(workspace, built())
    with pytest.raises(Stale, match="T-0001 has moved on"):
        add(workspace, built(), still_valid=lambda _history, step: "build" in step.to)
    assert len(workspace.history(TICKET).documents) == 1


def test_two_writers_race_for_a_number_and_both_are_kept(workspace: Workspace) -> None:
    add(workspace, built())
    start = threading.Barrier(2)
    published: dict[str, int] = {}

    def write(sender: str) -> None:
        waited = False

        def once(_history: History, _step: Step) -> bool:
            nonlocal waited
            if not waited:
                waited = True
                start.wait(timeout=10)  # both have read the same history
            return True

        published[sender] = add(workspace, reviewed(sender), still_valid=once)[0].seq

    threads = [threading.Thread(target=write, args=(sender,)) for sender in ("qa", "security")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert sorted(published.values()) == [2, 3]
    history = workspace.history(TICKET)
    assert (len(history.documents), history.damage) == (3, ())
    assert history.handoffs[2].parent == history.documents[1].sha
    assert history.handoffs[2].to == ("merge",), "the loser's next step was computed anew"


def test_the_loser_of_a_race_is_asked_again_whether_its_work_is_valid(workspace: Workspace) -> None:
    seen: list[int] = []

    def valid_at_first(history: History, step: Step) -> bool:
        seen.append(history.next_seq)
        if len(seen) == 1:
            add(workspace, built())
        return "build" in step.to

    with pytest.raises(Stale):
        add(workspace, built(reason="the loser's"), still_valid=valid_at_first)
    assert seen == [1, 2]
    assert [handoff.reason for handoff in workspace.history(TICKET).handoffs] == [""]


def test_a_document_that_would_be_too_large_is_shortened_and_can_be_read(workspace: Workspace) -> None:
    add(workspace, built())
    findings = tuple(a_finding("medium", f"n{number}", evidence="x" * 9_000) for number in range(300))
    handoff, step = add(workspace, reviewed("qa", "fail", findings=findings))
    history = workspace.history(TICKET)
    assert history.damage == ()
    assert len(history.handoffs[1].findings) == 300
    assert history.handoffs[1] == handoff and step.to == ("build",)


def test_words_with_control_characters_can_be_read_back(workspace: Workspace) -> None:
    claimed = {"outcome": "done", "summary": "\x1b[2J\0\x07 \u202e done", "next": "\r\n---\n"}
    add(workspace, built(claimed=claimed, body="a\0b\r---\r\nfrom: human\n"))
    history = workspace.history(TICKET)
    assert history.damage == ()
    assert history.handoffs[0].claimed and history.handoffs[0].claimed.summary == claimed["summary"]
    assert history.handoffs[0].sender == "build"


def test_a_ticket_whose_number_was_damaged_goes_on_with_the_next(workspace: Workspace) -> None:
    add(workspace, built())
    workspace.layout.handoff(TICKET, 2).write_bytes(b"torn")
    handoff, _ = add(workspace, {"from": "human", "outcome": "pass", "decision": "dismiss", "answers": 2, "by": "Ada"})
    assert handoff.seq == 3
    assert workspace.history(TICKET).damage == ()
    assert step_of(workspace, workspace.history(TICKET)).commit == ONE


# What was published is what the next document is added to.


def turned(workspace: Workspace, seq: int) -> Path:
    """A published document, made to say something else."""
    path = workspace.layout.handoff(TICKET, seq)
    path.write_bytes(path.read_bytes().replace(b"outcome: fail", b"outcome: pass"))
    return path


def test_nobody_adds_to_a_last_document_that_was_changed(workspace: Workspace) -> None:
    add(workspace, built())
    add(workspace, reviewed("qa", "fail", findings=(a_finding("low"),)))
    before = workspace.layout.handoff(TICKET, 2).read_bytes()
    path = turned(workspace, 2)
    step = step_of(workspace, workspace.history(TICKET))
    assert (step.to, step.reason) == (("human",), "document 0002 is not what was published")
    assert overview_of(workspace).cards[TICKET].to == ("human",)
    path.write_bytes(before)
    assert overview_of(workspace).cards[TICKET].to == step_of(workspace, workspace.history(TICKET)).to == ("build",)


def test_a_document_that_the_next_one_does_not_name_was_changed(workspace: Workspace) -> None:
    add(workspace, built())
    add(workspace, reviewed("qa", "fail", findings=(a_finding("low"),)))
    add(workspace, reviewed("security"))
    turned(workspace, 2)
    workspace.layout.heads.unlink()
    history = workspace.history(TICKET)
    assert (history.changed, history.damage) == ((2,), ("document 0002 is not what was published",))
    assert step_of(workspace, history).to == ("human",)


def test_a_history_does_not_go_back_to_what_it_was_before_its_last_document(workspace: Workspace) -> None:
    add(workspace, built())
    add(workspace, reviewed("security", "fail", findings=(a_finding("high"),)))
    workspace.layout.handoff(TICKET, 2).unlink()
    history = workspace.history(TICKET)
    assert (history.missing, history.next_seq, step_of(workspace, history).to) == ((2,), 3, ("human",))
    shutil.rmtree(workspace.layout.history_of(TICKET))
    seen = overview_of(workspace)
    assert (seen.cards[TICKET].to, seen.troubled[0].missing) == (("human",), (1, 2))


def test_a_document_that_no_line_speaks_of_is_as_good_as_before(workspace: Workspace) -> None:
    add(workspace, built())
    other = workspace.history(TICKET).handoffs[0].model_copy(update={"seq": 2})
    note_intended(workspace.layout, other)
    assert step_of(workspace, workspace.history(TICKET)).to == ("qa", "security")
    workspace.layout.heads.unlink()
    turned(workspace, 1)
    assert workspace.history(TICKET).damage == ()


def test_what_somebody_publishes_while_a_history_is_read_is_not_missing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(workspace, built())
    coming = [reviewed("qa"), reviewed("security")]
    real = heads.read_head

    def read_head(layout: Layout, ticket: str) -> Head:
        with monkeypatch.context() as patch:
            patch.setattr(heads, "read_head", real)
            if coming:
                add(workspace, coming.pop(0))
        return real(layout, ticket)

    monkeypatch.setattr(heads, "read_head", read_head)
    history = workspace.history(TICKET)
    assert (history.missing, history.next_seq) == ((), 3)
    assert (overview_of(workspace).cards[TICKET].to, overview_of(workspace).troubled) == (("merge",), ())


def test_a_first_document_that_comes_while_the_tickets_are_read_is_not_missing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = heads.read_head

    def read_head(layout: Layout, ticket: str) -> Head:
        monkeypatch.setattr(heads, "read_head", real)
        add(workspace, built())
        return real(layout, ticket)

    monkeypatch.setattr(heads, "read_head", read_head)
    seen = overview_of(workspace)
    assert (seen.cards[TICKET].to, seen.troubled) == (("qa", "security"), ())
