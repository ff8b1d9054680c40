"""A human's answers: by command or in the item's file, each counted once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.sessions import CHECK, PLAIN, Stage, builds, found, hands_over, stage, take
from tests.signatures import finds
from tests.stages.waiting_workspace import make_workspace as workspace_of
from tests.workspaces import NOW, make_workspace
from watchbill.cli import show
from watchbill.documents.script import Said, Take
from watchbill.errors import Refused
from watchbill.files.front_matter import split
from watchbill.files.quarantine import reasons
from watchbill.rounds import ready_to_merge
from watchbill.settle import settle
from watchbill.stages.decide import close, decide, pick_up

ITEM = "T-0001-0002"
REVIEWERS = ("qa", "security")


@contextmanager
def asked(folder: Path, *more: Take) -> Iterator[Stage]:
    """A ticket whose QA found something high."""
    workspace = make_workspace(folder, {"T-0001": "Do it"}, CHECK, PLAIN)
    high = take("qa", "T-0001", hands_over("fail", findings=[found("high")]))
    with stage(workspace, builds("T-0001"), high, *more) as on:
        on.run("build")
        on.run("qa")
        assert on.items() == [ITEM]
        yield on


def write_answer(on: Stage, decision: str, item: str = ITEM, note: str = "") -> None:
    path = on.workspace.layout.inbox_item(item)
    text = re.sub(r"(?m)^decision:.*$", f"decision: {decision}", path.read_text(), count=1)
    path.write_text(re.sub(r"(?m)^note:.*$", f"note: {note}", text, count=1))


def filed(on: Stage) -> list[str]:
    return sorted(path.stem for path in on.workspace.layout.decided.glob("*.md"))


def test_an_approved_finding_is_built_as_human_approved(tmp_path: Path) -> None:
    with asked(tmp_path, builds("T-0001", content="good\nmended\n")) as on:
        on.decide(ITEM, "approve", "mend it")
        decision = on.last()
        assert (decision.sender, decision.decision, decision.answers, decision.by) == ("human", "approve", 2, "ada")
        assert (on.items(), filed(on)) == ([], [ITEM])
        session = on.run("build")
        (entry,) = on.workspace.layout.manifests.glob(f"{session.manifest}.json")
        assert '"approval": 3' in entry.read_text()
        assert on.last().approval == 3


def test_an_answer_in_the_file_counts_the_same(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        write_answer(on, "Approve", note="as the file says")
        decided, troubles = pick_up(on.workspace, datetime.now(UTC))
        assert ([answer.item for answer in decided], troubles) == ([ITEM], [])
        assert (on.last().decision, on.last().reason) == ("approve", "as the file says")
        assert (on.items(), filed(on)) == ([], [ITEM])
        assert pick_up(on.workspace, datetime.now(UTC)) == ([], [])


def test_a_spoilt_page_is_kept_in_quarantine_and_not_as_a_document_when_its_question_is_answered(
    tmp_path: Path,
) -> None:
    with asked(tmp_path) as on:
        layout = on.workspace.layout
        layout.inbox_item(ITEM).write_text("an edit that went wrong\n")
        on.decide(ITEM, "approve")
        assert (on.last().sender, on.last().decision) == ("human", "approve")
        assert (on.items(), filed(on)) == ([], [])
        (kept,) = layout.quarantine.glob(f"*{ITEM}.md")
        assert kept.read_text() == "an edit that went wrong\n"
        assert [entry["why"] for entry in reasons(layout.quarantine)] == [
            "it could not be read; its question was answered by command"
        ]


def test_dismissed_counts_as_a_pass(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        on.decide(ITEM, "dismiss")
        assert on.step().to == ("security",)


def test_reject_ends_the_ticket(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        on.decide(ITEM, "reject")
        assert (on.step().ended, on.step().to) == ("rejected", ("nobody",))
        assert ready_to_merge(on.workspace) == []


def test_escalate_asks_again_under_a_new_number(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        on.decide(ITEM, "escalate", "ask Grace")
        assert on.items() == ["T-0001-0003"]
        with pytest.raises(Refused, match="answered already: escalate by ada") as refused:
            on.decide(ITEM, "approve")
        assert refused.value.hint == "It goes on as T-0001-0003."
        on.decide("T-0001-0003", "dismiss")
        assert on.step().to == ("security",)


def test_answering_twice_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        on.decide(ITEM, "approve")
        with pytest.raises(Refused, match=r"answered already: approve by ada, document 0003"):
            on.decide(ITEM, "reject")
        assert len(on.documents()) == 3


def test_an_answer_in_the_file_of_an_answered_item_is_said_and_the_item_filed(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        page = on.workspace.layout.inbox_item(ITEM).read_bytes()
        on.decide(ITEM, "approve")
        on.workspace.layout.decided_item(ITEM).unlink()
        on.workspace.layout.inbox_item(ITEM).write_bytes(page)
        write_answer(on, "reject")
        decided, troubles = pick_up(on.workspace, datetime.now(UTC))
        assert decided == []
        assert "answered already" in troubles[0]
        assert on.step().to == ("build",)
        settle(on.workspace, datetime.now(UTC))
        assert (on.items(), filed(on)) == ([], [ITEM])


@pytest.mark.parametrize(
    "item", ["", "T-0001", "../T-0001-0002", "T-0001-0002.md", "T-0001-2", "T-0001-0002\n", "x" * 500]
)
def test_odd_names_of_items_are_refused(tmp_path: Path, item: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    with pytest.raises(Refused):
        decide(workspace, item, "approve", "", "ada", NOW)
    assert not workspace.layout.history_of("T-0001").exists()


@pytest.mark.parametrize("item", ["T-0001-0001", "T-0001-0000", "T-0009-0001", "T-0001-0099"])
def test_what_nobody_asked_cannot_be_answered(tmp_path: Path, item: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    with pytest.raises(Refused):
        decide(workspace, item, "approve", "", "ada", NOW)
    assert not workspace.layout.history_of("T-0009").exists()


def test_a_note_of_any_size_and_kind_is_kept_and_read_back(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        on.decide(ITEM, "approve", "---\nfrom: merge\n---\n" + "ü\x07\x00" * 9_000)
        assert on.workspace.history("T-0001").damage == ()
        meta, _ = split(on.workspace.layout.handoff("T-0001", 3).read_bytes())
        assert meta["from"] == "human"


@contextmanager
def asked_twice(folder: Path) -> Iterator[Stage]:
    """QA and security found something high at the same time: each began before the other had answered."""
    workspace = make_workspace(folder, {"T-0001": "Do it"}, CHECK, PLAIN)
    takes = [take(agent, "T-0001", slowly(hands_over("fail", findings=[found("high", agent)]))) for agent in REVIEWERS]
    with stage(workspace, builds("T-0001"), *takes) as on:
        on.run("build")
        on.go_round()
        yield on


def slowly(reply: Said) -> Said:
    return reply.model_copy(update={"delay_seconds": 2.0})


def test_a_ticket_that_is_rejected_once_asks_nothing_more(tmp_path: Path) -> None:
    with asked_twice(tmp_path) as on:
        items = on.items()
        assert len(items) == 2, "both reviewers asked"
        on.decide(items[0], "reject")
        assert on.items() == []
        assert filed(on) == items


def test_what_a_run_that_died_left_of_an_ended_ticket_is_filed(tmp_path: Path) -> None:
    with asked_twice(tmp_path) as on:
        items = on.items()
        page = on.workspace.layout.inbox_item(items[1]).read_bytes()
        on.decide(items[0], "reject")
        on.workspace.layout.decided_item(items[1]).unlink()
        on.workspace.layout.inbox_item(items[1]).write_bytes(page)
        assert any(items[1] in line for line in settle(on.workspace, NOW))
        assert (on.items(), filed(on)) == ([], items)


def test_a_closed_ticket_asks_nothing_and_is_not_closed_twice(tmp_path: Path) -> None:
    with asked(tmp_path) as on:
        step = close(on.workspace, "T-0001", "no longer wanted", "ada", NOW)
        assert (step.ended, on.items(), filed(on)) == ("closed", [], [ITEM])
        with pytest.raises(Refused, match="ended already"):
            close(on.workspace, "T-0001", "again", "ada", NOW)
        with pytest.raises(Refused, match="there is no ticket"):
            close(on.workspace, "T-0404", "what", "ada", NOW)


def test_an_answer_about_a_ticket_that_cannot_be_read_claims_to_do_nothing_but_put_the_page_away(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    (workspace.layout.tickets / "T-0002.md").write_bytes(b"\xff")
    settle(workspace, NOW)
    page = workspace.layout.inbox_item("T-0002-0000").read_text()
    assert "Mend a copy of the file and save it in tickets/" in page
    assert "put this page away, which is all that an answer does" in page
    assert "approve" not in page and "the proposal goes ahead" not in page
    said = show.decided(decide(workspace, "T-0002-0000", "approve", "", "ada", NOW))
    assert said == "T-0002-0000: the page is put away, and that is all; the ticket is back once its file is in tickets/"
    assert not workspace.layout.history_of("T-0002").exists()


@pytest.mark.parametrize(
    ("decision", "to", "said"),
    [
        ("approve", "", "T-0001-0002: approve; T-0001 goes to build"),
        ("reject", "", "T-0001-0002: reject; nothing more happens to T-0001"),
        ("escalate", "", "T-0001-0002: escalate; it waits for somebody else now, as T-0001-0003"),
        ("escalate", "grace", "T-0001-0002: escalate; it waits for grace now, as T-0001-0003"),
    ],
)
def test_an_answer_says_what_comes_of_it(tmp_path: Path, decision: str, to: str, said: str) -> None:
    workspace = workspace_of(tmp_path)
    finds(workspace)
    assert show.decided(decide(workspace, ITEM, decision, "", "ada", NOW, to=to)) == said
