"""Several people at the gate: how many must sign, who may, and what they read of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.signatures import Person, build, finds, let_sign, passes, person, revoke, signed_workspace
from tests.stages.waiting_workspace import NOW, SETTINGS, ask_something, make_workspace, with_answer
from watchbill.cli import begin
from watchbill.errors import Refused
from watchbill.hand_over import step_of
from watchbill.rules.next_step import Step
from watchbill.settle import settle
from watchbill.signer import Signing
from watchbill.stages.decide import Decided, answered_in_files, close, decide, pick_up
from watchbill.stages.report import reminders, status
from watchbill.stages.verify import verify
from watchbill.workspace import Workspace

ITEM = "T-0001-0002"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Person]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: person(folder, name) for name in ("ada", "grace", "linus")}


def workspace_of(folder: Path, people: dict[str, Person], more: str) -> Workspace:
    workspace = signed_workspace(folder / "w", *people.values(), more=more)
    assert finds(workspace) == ITEM
    return workspace


def answer(
    workspace: Workspace, one: Person, decision: str = "approve", item: str = ITEM, days: float = 0, to: str = ""
) -> Decided:
    at = NOW + timedelta(days=days)
    return decide(workspace, item, decision, "so be it", one.name, at, one.signs(at), to)


def with_gate(workspace: Workspace, before: str, after: str) -> Workspace:
    """The same workspace, after its owner has changed `[gate]`."""
    text = workspace.layout.settings.read_text("utf-8")
    assert before in text
    workspace.layout.settings.write_text(text.replace(before, after), "utf-8")
    return Workspace(workspace.root)


def step(workspace: Workspace) -> Step:
    return step_of(workspace, workspace.history("T-0001"))


def wrong(workspace: Workspace) -> list[str]:
    """What `verify` has against the decisions; there is no repository here, and no session's record."""
    found = verify(workspace, NOW + timedelta(days=100)).violations
    return [one.what for one in found if "decision" in one.what or "answer" in one.what]


# Several people.


def test_the_item_waits_for_the_second_signature(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "approvals = 2")
    first = answer(workspace, people["ada"])
    assert (first.waits, workspace.layout.inbox_item(ITEM).exists()) == (
        "waits; 1 of 2 agree (approve by ada)",
        True,
    )
    settle(workspace, NOW)
    assert workspace.layout.inbox_item(ITEM).exists(), "the next run does not file it either"
    assert reminders(workspace, NOW) == [f"{ITEM} waits; 1 of 2 agree (approve by ada)"]
    with pytest.raises(Refused, match="ada said so already"):
        answer(workspace, people["ada"])
    second = answer(workspace, people["grace"])
    assert (second.waits, step(workspace).to, workspace.layout.inbox_item(ITEM).exists()) == ("", ("build",), False)
    assert wrong(workspace) == []


@pytest.mark.parametrize("many", ["approvals = 2", 'approvals = 2\napprovals_for = ["high"]'])
def test_what_two_people_decided_stays_right_when_one_is_enough(
    tmp_path: Path, people: dict[str, Person], many: str
) -> None:
    workspace = workspace_of(tmp_path, people, many)
    answer(workspace, people["ada"])
    assert not [note for note in verify(workspace, NOW).notes if "answered already" in note], "half is not all"
    answer(workspace, people["grace"])
    workspace = with_gate(workspace, many, "approvals = 1")
    assert (step(workspace).to, wrong(workspace)) == (("build",), [])


def test_an_item_waits_again_when_more_have_to_agree(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "approvals = 1")
    answer(workspace, people["ada"])
    workspace = with_gate(workspace, "approvals = 1", "approvals = 2")
    assert settle(workspace, NOW) == [f"{ITEM} waits again: it waits; 1 of 2 agree (approve by ada)"]
    assert (workspace.layout.inbox_item(ITEM).exists(), settle(workspace, NOW), wrong(workspace)) == (True, [], [])
    answer(workspace, people["grace"])
    assert (step(workspace).to, workspace.layout.inbox_item(ITEM).exists()) == (("build",), False)


def test_one_key_under_two_names_is_one_person(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "approvals = 2")
    let_sign(workspace, f"ada {people['ada'].public}", f"eve {people['ada'].public}")
    answer(workspace, people["ada"])
    with pytest.raises(Refused, match="has answered already, as ada"):
        answer(workspace, replace(people["ada"], name="eve"))
    assert step(workspace).to == ("human",)


def test_one_no_ends_the_ticket(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "approvals = 2")
    answer(workspace, people["ada"])
    answer(workspace, people["grace"], "reject")
    assert (step(workspace).ended, workspace.layout.inbox_item(ITEM).exists()) == ("rejected", False)


def test_a_revoked_key_takes_its_approval_back(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "approvals = 2")
    answer(workspace, people["ada"])
    answer(workspace, people["grace"])
    revoke(workspace, people["ada"].public)
    assert step(workspace).questions[0].given == (("approve", "grace"),)
    settle(workspace, NOW)
    assert workspace.layout.inbox_item(ITEM).exists()


def test_two_people_by_the_folder_are_two_names(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w", SETTINGS + "[gate]\napprovals = 2\n")
    item = ask_something(workspace)
    decide(workspace, item.stem, "approve", "", "ada", NOW)
    assert item.exists()
    item.write_text(with_answer(item, "approve").replace("by: ''", "by: grace"), "utf-8")
    decided, troubles = pick_up(workspace, NOW)
    assert ([one.waits for one in decided], troubles, item.exists()) == ([""], [], False)


# Escalation.


def test_an_escalated_item_waits_for_that_one(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "")
    answer(workspace, people["ada"], "escalate", to="grace")
    again = "T-0001-0003"
    assert "It waits for grace." in workspace.layout.inbox_item(again).read_text()
    for other in ("ada", "linus"):
        never = Signing(other, lambda _statement: pytest.fail("nobody is to be asked to sign it"), lambda: NOW)
        with pytest.raises(Refused, match=f"it waits for grace, not for {other}"):
            decide(workspace, again, "approve", "", other, NOW, never)
        with pytest.raises(Refused, match="it waits for grace"):
            answer(workspace, people[other], "reject", item=again)
    answer(workspace, people["grace"], item=again)
    assert (step(workspace).to, wrong(workspace)) == (("build",), [])


def test_an_escalated_item_that_takes_two_needs_that_one_first(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "approvals = 2")
    answer(workspace, people["ada"], "escalate", to="grace")
    answer(workspace, people["grace"], item="T-0001-0003")
    answer(workspace, people["linus"], item="T-0001-0003")
    assert (step(workspace).to, wrong(workspace)) == (("build",), [])


def test_an_item_that_nobody_answers_reaches_the_next_by_its_age(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, 'escalate_after_days = 2\nescalate_to = ["linus"]')
    answer(workspace, people["ada"], "escalate", to="grace")
    again = "T-0001-0003"
    with pytest.raises(Refused, match="it waits for grace, not for linus"):
        answer(workspace, people["linus"], item=again, days=1.9)
    late = NOW + timedelta(days=5)
    assert f"{again} is unanswered for 5 days, so it went on to linus" in reminders(workspace, late)
    assert f"{again} is unanswered for 5 days, so it went on to linus" in status(workspace, late).reminders
    assert step(workspace).to == ("human",), "age alone decides nothing"
    answer(workspace, people["linus"], item=again, days=5)
    assert (step(workspace).to, wrong(workspace)) == (("build",), [])


def test_every_verb_says_what_waits_for_too_long(
    tmp_path: Path, people: dict[str, Person], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = workspace_of(tmp_path, people, 'escalate_after_days = 0.5\nescalate_to = ["linus"]')
    begin.take_answers(workspace)
    assert f"{ITEM} is unanswered for" in capsys.readouterr().err


def test_an_escalation_names_somebody_who_can_sign(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "")
    with pytest.raises(Refused, match="not a name"):
        answer(workspace, people["ada"], "escalate", to="-rf *")
    with pytest.raises(Refused, match="not among"):
        answer(workspace, people["ada"], "escalate", to="nobody")
    with pytest.raises(Refused, match="only an escalation"):
        answer(workspace, people["ada"], "approve", to="grace")


# Protected paths.


def test_a_protected_path_waits_for_a_signature(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = signed_workspace(tmp_path / "w", *people.values())
    ask_something(workspace)
    close(workspace, "T-0001", "", "ada", NOW, people["ada"].signs())
    (workspace.layout.tickets / "T-0002.md").write_text("---\nid: T-0002\ntitle: CI\n---\n\nSo.\n", "utf-8")
    build(workspace, "T-0002", "3" * 40, ".github/workflows/ci.yml")
    passes(workspace, "T-0002", "3" * 40)
    (item,) = workspace.layout.inbox.glob("*.md")
    text = item.read_text()
    assert "`.github/workflows/ci.yml`" in text
    assert "watchbill inbox sign" in text
    assert "\nasked_by: security\n" in text, "whose pass let it come this far"
    assert "gate: decisions are signed; ADVISORY only: a key without a passphrase" in text
    answer(workspace, people["ada"], item=item.stem)
    assert step_of(workspace, workspace.history("T-0002")).to == ("merge",)


# What a person reads.


def test_the_answers_in_files_are_those_to_sign(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "")
    assert answered_in_files(workspace, []) == []
    with pytest.raises(Refused, match="has no answer"):
        answered_in_files(workspace, [ITEM])
    page = workspace.layout.inbox_item(ITEM)
    page.write_text(with_answer(page, "dismiss"), "utf-8")
    assert [one.decision for one in answered_in_files(workspace, [ITEM])] == ["dismiss"]


def test_the_status_says_which_gate_holds_and_what_does_not_count(tmp_path: Path, people: dict[str, Person]) -> None:
    workspace = workspace_of(tmp_path, people, "")
    answer(workspace, people["ada"])
    assert "decisions are signed; ADVISORY" in status(workspace).gate
    revoke(workspace, people["ada"].public)
    (trouble,) = status(workspace).troubles
    assert trouble == "document 0003 of T-0001 does not count: the key of ada that signed it is revoked"
    folder = make_workspace(tmp_path / "other")
    assert status(folder).gate == "gate: an edit of the inbox folder decides"
