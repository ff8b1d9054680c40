"""Facts about verification: an honest workspace has no violation, and each way to tamper with one is found.

The histories are made through the engine's own doors on a real repository, and then damaged by hand.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.repositories import commit_files, git
from tests.workspaces import NOW, change_settings, make_workspace
from watchbill.documents.handoff import Finding, Handoff, Verified
from watchbill.documents.manifest import Agent, Manifest
from watchbill.documents.session import SessionRecord
from watchbill.errors import Misconfigured
from watchbill.files.locks import held
from watchbill.files.publish import sha256
from watchbill.files.quarantine import set_aside
from watchbill.hand_over import hand_over, step_of
from watchbill.history import append
from watchbill.integration import integration_head
from watchbill.layout import Layout, branch_of
from watchbill.roles.candidate import candidate_of
from watchbill.session_records import publish_record
from watchbill.settle import settle
from watchbill.stages.decide import close, decide
from watchbill.stages.init import schema_files
from watchbill.stages.merge import merge
from watchbill.stages.plan import plan
from watchbill.stages.verify import Report, verify
from watchbill.tools.git import Repository
from watchbill.tools.sandbox import Unconfined
from watchbill.workspace import Workspace

INTEGRATION = "watchbill/integration"


def a_finding(severity: str = "high", name: str = "a-flaw") -> Finding:
    return Finding.model_validate(
        {
            "fingerprint": f"{name:_<16}",
            "severity": severity,
            "confidence": 0.9,
            "rule": name,
            "title": f"A {severity} thing: {name}",
            "source": "security",
        }
    )


@dataclass(frozen=True)
class Team:
    """The actors of a workspace, doing by hand what a session does with a model."""

    workspace: Workspace

    @property
    def repo(self) -> Repository:
        return Repository.open(self.workspace.repo)

    def build(self, ticket: str, files: Mapping[str, str] | None = None, **more: Any) -> Handoff:
        """Commit `files` to the ticket's branch and hand over; with none, hand over what is there."""
        start = integration_head(self.workspace, self.repo)
        tree = self.repo.worktree(self.workspace.layout.worktree(ticket), branch_of(ticket), start)
        for name, text in (files or {}).items():
            (tree.path / name).write_text(text)
        commit = tree.commit_all(f"{ticket}: do it\n\nWatchbill-Ticket: {ticket}\n", NOW) or tree.head()
        return self._hand_over("build", ticket, {"outcome": "done", "base": start, "commit": commit, **more})

    def review(self, agent: str, ticket: str, outcome: str = "pass", *findings: Finding, **more: Any) -> Handoff:
        """Judge today's candidate."""
        start = integration_head(self.workspace, self.repo)
        history = self.workspace.history(ticket)
        step = step_of(self.workspace, history)
        candidate = candidate_of(self.repo, history, step, start).commit
        fields = {"outcome": outcome, "base": start, "commit": step.commit, "candidate": candidate}
        return self._hand_over(agent, ticket, {**fields, "findings": findings, "confidence": 0.9, **more})

    def pass_reviews(self, ticket: str) -> None:
        self.review("qa", ticket)
        self.review("security", ticket)

    def merge(self, *tickets: str) -> list[str]:
        order = list(tickets)
        sandbox = Unconfined()
        results = merge(self.workspace, lambda _: order, lambda _: sandbox, lambda: NOW, lambda *_: None)
        return [result.outcome for result in results]

    def travel(self, ticket: str) -> None:
        """The whole way, with nothing in between."""
        self.build(ticket, {f"{ticket}.txt": ticket})
        self.pass_reviews(ticket)
        assert self.merge(ticket) == ["merged"]

    def _hand_over(self, agent: str, ticket: str, fields: dict[str, Any]) -> Handoff:
        manifest = plan(self.workspace, NOW, (agent_named(agent),))[0]
        session = f"{manifest.id}-1"
        stamped = {"from": agent, "session": session, "manifest": manifest.id, "turns": 2, "verified": Verified()}
        handoff, _ = hand_over(self.workspace, ticket, {**stamped, **fields}, NOW, lambda *_: True)
        self._record(manifest, session, handoff)
        return handoff

    def _record(self, manifest: Manifest, session: str, handoff: Handoff) -> None:
        record = SessionRecord(
            id=session, agent=manifest.agent, manifest=manifest.id, start_date=NOW, end_date=NOW, outcome="done",
            turns=2, tickets=(handoff.ticket,), title="A session", summary="It worked.",
            artifacts=(f"{handoff.ticket}: {handoff.commit}",) if manifest.agent == "build" else (),
        )  # fmt: skip
        publish_record(self.workspace.layout, record)


def agent_named(name: str) -> Agent:
    agents: dict[str, Agent] = {"build": "build", "qa": "qa", "security": "security"}
    return agents[name]


def opened(root: Path) -> Team:
    return Team(Workspace(root))


def look(team: Team, now: datetime = NOW) -> Report:
    """Verify with nothing kept from before."""
    return verify(Workspace(team.workspace.root), now)


def violations(team: Team) -> list[str]:
    return [f"{violation.path}: {violation.what}" for violation in look(team).violations]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a night leaves: T-0001 merged at once, T-0002 merged after a finding was approved for mending, T-0003 merged
    after the branch had moved, T-0004 waiting for a human, T-0005 closed, T-0006 not begun.
    """
    folder = tmp_path_factory.mktemp("night")
    tickets = {f"T-{number:04}": f"Piece of work {number}" for number in range(1, 7)}
    team = Team(make_workspace(folder, tickets, test_command="true"))
    team.travel("T-0001")
    team.build("T-0002", {"two.txt": "wrong"})
    team.review("qa", "T-0002")
    team.review("security", "T-0002", "fail", a_finding())
    decide(team.workspace, "T-0002-0003", "approve", "mend it", "Ada", NOW)
    team.build("T-0002", {"two.txt": "right"}, approval=4)
    team.build("T-0003", {"three.txt": "3"})
    team.pass_reviews("T-0003")
    team.pass_reviews("T-0002")
    assert team.merge("T-0002", "T-0003") == ["merged", "merged"]
    team.build("T-0004", {"four.txt": "4"})
    team.review("qa", "T-0004")
    team.review("security", "T-0004", "fail", a_finding(name="another"))
    team.build("T-0005", {"five.txt": "5"})
    close(team.workspace, "T-0005", "not wanted", "Ada", NOW)
    plan(team.workspace, NOW)
    return folder


@pytest.fixture
def team(night: Path, tmp_path: Path) -> Team:
    shutil.copytree(night, tmp_path / "copy", symlinks=True)
    return opened(tmp_path / "copy" / "watch")


@pytest.fixture
def fresh(tmp_path: Path) -> Team:
    return Team(make_workspace(tmp_path, {"T-0001": "One", "T-0002": "Two"}, test_command="true"))


def handoff(team: Team, ticket: str, seq: int) -> Path:
    return team.workspace.layout.handoff(ticket, seq)


def edit(path: Path, pattern: str, by: str) -> None:
    text = path.read_text("utf-8")
    changed = re.sub(pattern, by, text, count=1, flags=re.MULTILINE)
    assert changed != text, f"{pattern} is not in {path.name}"
    path.write_text(changed, encoding="utf-8")


def forge(team: Team, ticket: str, **fields: Any) -> Handoff:
    """Add a document with a right number and parent, as somebody would who knows the format."""
    history = team.workspace.history(ticket)
    values = {"ticket": ticket, "seq": history.next_seq, "created": NOW, "to": "nobody", "parent": history.head}
    forged = Handoff.model_validate({**values, **fields})
    append(team.workspace.layout, history, forged)
    return forged


def rewrite(team: Team, ticket: str, change: Callable[[Handoff], Handoff | None]) -> None:
    """Write a whole history anew with right numbers and hashes: documents changed, or dropped where None is given."""
    history = team.workspace.history(ticket)
    shutil.rmtree(team.workspace.layout.history_of(ticket))
    parent, seq = history.ticket_sha or "", 0
    for document in history.handoffs:
        changed = change(document)
        if changed is not None:
            seq += 1
            data = changed.model_copy(update={"seq": seq, "parent": parent}).render()
            path = handoff(team, ticket, seq)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            parent = sha256(data)


# Honest workspaces


def test_a_new_workspace_has_neither_violations_nor_notes(fresh: Team) -> None:
    report = look(fresh)
    assert (report.violations, report.notes) == ((), ())


def test_an_untouched_night_has_no_violation(team: Team) -> None:
    report = look(team)
    assert report.violations == ()
    assert report.notes == ()
    assert (report.counts.tickets, report.counts.merges, report.counts.items) == (6, 3, 2)
    assert report.counts.documents == sum(1 for _ in team.workspace.layout.handoffs.glob("*/*.md"))
    assert report.counts.manifests == sum(1 for _ in team.workspace.layout.manifests.glob("*.json"))


def test_the_night_is_what_it_seems(team: Team) -> None:
    ends = {f"T-{n:04}": step_of(team.workspace, team.workspace.history(f"T-{n:04}")) for n in range(1, 7)}
    assert [ends[ticket].ended for ticket in sorted(ends)] == ["merged", "merged", "merged", "", "closed", ""]
    assert ends["T-0004"].to == ("human",)
    checked_again = [item for item in team.workspace.history("T-0003").handoffs if item.sender == "merge"]
    assert [item.outcome for item in checked_again] == ["pass", "done"]


def test_every_document_of_the_night_fits_its_published_schema(team: Team) -> None:
    import jsonschema
    import yaml

    layout = team.workspace.layout
    folders = {"handoff": layout.handoffs, "ticket": layout.tickets, "session": layout.sessions}
    for kind, folder in {**folders, "inbox_item": layout.inbox}.items():
        schema = json.loads(schema_files()[f"playbook/schemas/{kind}.json"])
        for path in folder.rglob("*-*.md") if kind != "handoff" else folder.rglob("0*.md"):
            jsonschema.validate(yaml.safe_load(path.read_text("utf-8").split("---\n")[1]), schema)
    schema = json.loads(schema_files()["playbook/schemas/manifest.json"])
    for path in layout.manifests.glob("*.json"):
        jsonschema.validate(json.loads(path.read_bytes()), schema)


def test_verification_writes_nothing(team: Team) -> None:
    def everything() -> dict[Path, bytes]:
        top = team.workspace.root.parent
        return {path: path.read_bytes() for path in top.rglob("*") if path.is_file() and not path.is_symlink()}

    before = everything()
    look(team)
    assert everything() == before


def test_commits_of_the_owner_that_came_by_way_of_the_base_are_fine(team: Team) -> None:
    repo = team.workspace.repo
    commit_files(repo, {"owner.txt": "mine"}, "My own work")
    assert violations(team) == []
    git(repo, "merge", "--quiet", "--no-edit", INTEGRATION)
    integration_head(team.workspace, team.repo)
    assert git(repo, "rev-parse", INTEGRATION) == git(repo, "rev-parse", "main")
    assert violations(team) == []
    commit_files(repo, {"owner.txt": "more"}, "My next work")
    team.travel("T-0006")
    assert violations(team) == []


def test_a_ticket_that_its_owner_edits_is_a_note(team: Team) -> None:
    edit(team.workspace.layout.tickets / "T-0001.md", "Do it", "Do it well")
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "T-0001" in note and "was edited since" in note]


def test_a_ticket_that_its_owner_closes_or_removes_is_a_note(team: Team) -> None:
    edit(team.workspace.layout.tickets / "T-0002.md", "^title:", "status: closed\ntitle:")
    (team.workspace.layout.tickets / "T-0001.md").unlink()
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "no longer in the backlog" in note]


def test_an_id_that_two_tickets_claim_is_a_note(team: Team) -> None:
    tickets = team.workspace.layout.tickets
    shutil.copy(tickets / "T-0006.md", tickets / "copy.md")
    report = look(team)
    assert report.violations == ()
    assert report.notes == ("tickets/T-0006.md: T-0006.md and copy.md all claim the id T-0006",)


def test_a_malformed_ticket_in_quarantine_is_a_note(team: Team) -> None:
    (team.workspace.layout.tickets / "T-0099.md").write_bytes(b"\xff\xfe")
    assert [note for note in look(team).notes if note.startswith("tickets/T-0099.md: it cannot be read")]
    settle(team.workspace, NOW)
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "tickets/T-0099.md was set aside" in note]


def test_anything_else_in_quarantine_is_a_violation(team: Team) -> None:
    layout = team.workspace.layout
    set_aside(layout.manifest("security-0001"), "it was torn", layout.quarantine, layout.root, NOW)
    assert any("manifests/security-0001.json was set aside: it was torn" in found for found in violations(team))


def test_a_stricter_routing_turns_old_merges_into_notes_not_violations(team: Team) -> None:
    edit(team.workspace.layout.routing, "^ask_below = .*$", "ask_below = 0.95")
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "under today's routing and limits it would not be merged" in note]


def test_who_asks_for_more_people_reads_one_note_of_the_merges_before(team: Team) -> None:
    decide(team.workspace, "T-0004-0003", "dismiss", "", "Ada", NOW)
    assert team.merge("T-0004") == ["merged"]
    change_settings(team.workspace, {"gate": {"approvals": 2}})
    report = verify(Workspace(team.workspace.root), NOW)
    assert report.violations == ()
    fewer = [note for note in report.notes if "by fewer people" in note]
    assert fewer == [
        "watchbill.toml: 2 merge(s) were approved by fewer people than [gate] asks for today, the first in T-0002/0008"
    ]
    assert not [note for note in report.notes if "would not be merged" in note or "answered already" in note]


def test_a_settings_file_that_cannot_be_read_is_told_as_such(team: Team) -> None:
    edit(team.workspace.layout.settings, r"^\[checks\]$", "[cheks]")
    with pytest.raises(Misconfigured, match="checks"):
        look(team)


# The chain


@pytest.mark.parametrize(("pattern", "by"), [("^confidence: 0.9$", "confidence: 0.8"), (r"\n\Z", "\n\n")])
def test_one_changed_byte_in_a_document_is_found(team: Team, pattern: str, by: str) -> None:
    edit(handoff(team, "T-0001", 2), pattern, by)
    (found,) = violations(team)
    assert found.startswith("handoffs/T-0001/0002.md: it is not what document 0003 names")


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_deleted_document_is_found(team: Team, seq: int) -> None:
    handoff(team, "T-0001", seq).unlink()
    assert any(found.startswith(f"handoffs/T-0001/{seq:04}.md: it is missing") for found in violations(team))


def test_a_deleted_word_of_the_merge_is_found_by_its_commit(team: Team) -> None:
    handoff(team, "T-0001", 4).unlink()
    found, noted = violations(team)
    assert found.startswith(f"git: {INTEGRATION}: ")
    assert "landed for T-0001, but no handoff says so" in found
    assert noted.startswith("handoffs/T-0001/0004.md: it was published")


def test_a_deleted_history_is_found(team: Team) -> None:
    shutil.rmtree(team.workspace.layout.history_of("T-0001"))
    assert any("was merged for T-0001, which has no history" in found for found in violations(team))


def test_a_deleted_last_document_is_found_by_those_that_name_it(team: Team) -> None:
    handoff(team, "T-0004", 3).unlink()
    found = violations(team)
    assert any(line.startswith("inbox/T-0004-0003.md: the document that it is about is missing") for line in found)
    shutil.rmtree(team.workspace.layout.history_of("T-0004"))
    assert any(re.match(r"sessions/build-.*T-0004, which it tells of, is missing", line) for line in violations(team))


def test_two_swapped_documents_are_found(team: Team) -> None:
    one, other = handoff(team, "T-0001", 2), handoff(team, "T-0001", 3)
    one.rename(one.with_name("aside"))
    other.rename(one)
    one.with_name("aside").rename(other)
    found = violations(team)
    assert "handoffs/T-0001/0002.md: it cannot be read: it says that it is document 3 of T-0001" in found
    assert "handoffs/T-0001/0003.md: it cannot be read: it says that it is document 2 of T-0001" in found


def test_two_documents_swapped_with_their_numbers_are_found(team: Team) -> None:
    one, other = handoff(team, "T-0001", 2), handoff(team, "T-0001", 3)
    first, second = one.read_text(), other.read_text()
    one.write_text(second.replace("seq: 3", "seq: 2"))
    other.write_text(first.replace("seq: 2", "seq: 3"))
    assert any("it is not what document 0003 names" in found for found in violations(team))


def test_a_renumbered_document_is_found(team: Team) -> None:
    edit(handoff(team, "T-0001", 4), "^seq: 4$", "seq: 5")
    handoff(team, "T-0001", 4).rename(handoff(team, "T-0001", 5))
    assert any(found.startswith("handoffs/T-0001/0004.md: it is missing") for found in violations(team))


def test_a_document_of_another_ticket_is_found(team: Team) -> None:
    shutil.copy(handoff(team, "T-0002", 2), handoff(team, "T-0001", 2))
    found = violations(team)
    assert "handoffs/T-0001/0002.md: it cannot be read: it says that it is document 2 of T-0002" in found


@pytest.mark.parametrize("content", [b"", b"---\n", b"\xff", b"---\nschema: watchbill/handoff/1\nmore: 1\n---\n"])
def test_a_document_that_does_not_parse_is_found(team: Team, content: bytes) -> None:
    handoff(team, "T-0001", 2).write_bytes(content)
    assert any(found.startswith("handoffs/T-0001/0002.md: it cannot be read") for found in violations(team))


def test_a_link_instead_of_a_document_or_a_history_is_found(team: Team, tmp_path: Path) -> None:
    path = handoff(team, "T-0001", 2)
    path.rename(tmp_path / "elsewhere.md")
    path.symlink_to(tmp_path / "elsewhere.md")
    folder = team.workspace.layout.history_of("T-0002")
    folder.rename(tmp_path / "T-0002")
    folder.symlink_to(tmp_path / "T-0002")
    found = violations(team)
    assert "handoffs/T-0001/0002.md: it cannot be read: it is not an ordinary file" in found
    assert any(line.startswith("handoffs/T-0002: it is a link") for line in found)


def test_a_document_that_was_set_aside_stays_a_violation_until_a_human_answers(team: Team) -> None:
    handoff(team, "T-0004", 3).write_bytes(b"torn")
    settle(team.workspace, NOW)
    damaged = "handoffs/T-0004/0003.damaged"
    assert [line for line in violations(team) if line.startswith(damaged)]
    decide(team.workspace, "T-0004-0003", "dismiss", "go on", "Ada", NOW)
    report = look(team)
    assert not [violation for violation in report.violations if violation.path == damaged]
    assert [note for note in report.notes if note.startswith(damaged) and "a human let the ticket go on" in note]


def test_a_damaged_document_that_was_mended_later_is_a_note(team: Team) -> None:
    path = handoff(team, "T-0004", 3)
    whole = path.read_bytes()
    path.write_bytes(b"torn")
    settle(team.workspace, NOW)
    decide(team.workspace, "T-0004-0003", "dismiss", "go on", "Ada", NOW)
    path.write_bytes(whole)
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if note.startswith("handoffs/T-0004/0003.md: it was mended and put back")]


def test_damage_after_a_human_answered_the_same_document_is_found_all_the_same(team: Team) -> None:
    handoff(team, "T-0002", 3).write_bytes(b"torn")
    assert any(line.startswith("handoffs/T-0002/0003.md: it cannot be read") for line in violations(team))


def test_the_history_of_no_ticket_is_found(team: Team) -> None:
    (team.workspace.layout.handoffs / "not a ticket").mkdir()
    assert violations(team) == ["handoffs/not a ticket: it is the history of no ticket"]


def test_a_strange_file_among_the_handoffs_is_a_note(team: Team) -> None:
    (team.workspace.layout.history_of("T-0001") / "0002.md.orig").write_text("mine")
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if note.startswith("handoffs/T-0001/0002.md.orig")]


def test_a_document_from_the_future_is_a_note(team: Team) -> None:
    report = look(team, now=NOW - timedelta(days=1))
    assert report.violations == ()
    assert [note for note in report.notes if "was written in the future" in note]


# Decisions


def decision(answers: int | None, **more: Any) -> dict[str, Any]:
    return {"from": "human", "outcome": "pass", "decision": "approve", "by": "Ada", "answers": answers, **more}


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (1, "answers document 0001, which asked nothing"),
        (9, "document 0009, which did not exist"),
        (None, "answers no"),
    ],
)
def test_a_forged_decision_without_a_question_is_found(team: Team, answers: int | None, why: str) -> None:
    forge(team, "T-0004", **decision(answers))
    (found,) = violations(team)
    assert found.startswith("handoffs/T-0004/0004.md: ")
    assert why in found


def test_an_item_made_up_for_a_document_that_asked_nothing_does_not_help(team: Team) -> None:
    layout = team.workspace.layout
    shutil.copy(layout.decided_item("T-0002-0003"), layout.decided_item("T-0004-0001"))
    forge(team, "T-0004", **decision(1))
    assert any("which asked nothing" in found for found in violations(team))


def test_a_second_decision_about_the_same_document_is_found(team: Team) -> None:
    decide(team.workspace, "T-0004-0003", "escalate", "", "Ada", NOW)
    assert violations(team) == []
    forge(team, "T-0004", **decision(3))
    assert violations(team) == ["handoffs/T-0004/0005.md: document 0003 was answered already, by document 0004"]


def test_a_second_approval_where_one_was_enough_is_found(team: Team) -> None:
    decide(team.workspace, "T-0004-0003", "approve", "", "Ada", NOW)
    forge(team, "T-0004", **decision(3, by="Grace"))
    assert violations(team) == ["handoffs/T-0004/0005.md: document 0003 was answered already, by document 0004"]


def test_an_answer_to_an_escalated_question_is_fine(team: Team) -> None:
    decide(team.workspace, "T-0004-0003", "escalate", "", "Ada", NOW)
    decide(team.workspace, "T-0004-0004", "dismiss", "", "Grace", NOW)
    assert team.merge("T-0004") == ["merged"]
    assert violations(team) == []


def test_a_decision_about_another_commit_is_found(team: Team) -> None:
    forge(team, "T-0004", **decision(3, commit=git(team.workspace.repo, "rev-parse", "main")))
    (found,) = violations(team)
    assert "was under review at that moment" in found


def test_a_build_that_names_no_real_approval_is_found(team: Team) -> None:
    commit = git(team.workspace.repo, "rev-parse", "main")
    forge(team, "T-0006", **{"from": "build", "outcome": "done", "commit": commit, "approval": 1})
    assert any("which is no decision of a human" in found for found in violations(team))


def test_a_deleted_rejection_is_found_by_its_item(team: Team) -> None:
    decide(team.workspace, "T-0004-0003", "reject", "", "Ada", NOW)
    assert violations(team) == []
    handoff(team, "T-0004", 4).unlink()
    noted, found = violations(team)
    assert noted.startswith("handoffs/T-0004/0004.md: it was published")
    assert found.startswith("inbox/decided/T-0004-0003.md: it is filed as decided")


def test_a_question_without_an_item_is_a_note(team: Team) -> None:
    team.workspace.layout.inbox_item("T-0004-0003").unlink()
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "there is no item T-0004-0003 yet" in note]


# Merges


def test_a_commit_made_by_hand_on_the_integration_branch_is_found(team: Team) -> None:
    repo = team.workspace.repo
    git(repo, "switch", "--quiet", INTEGRATION)
    commit_files(repo, {"sneaked.txt": "in"}, "Sneaked in")
    (found,) = violations(team)
    assert found.startswith(f"git: {INTEGRATION}: ")
    assert "(Sneaked in) was merged without a ticket" in found


def test_a_branch_merged_by_hand_is_found_even_with_borrowed_trailers(team: Team) -> None:
    repo = team.workspace.repo
    git(repo, "switch", "--quiet", INTEGRATION)
    message = "Merge\n\nWatchbill-Ticket: T-0004\nWatchbill-Handoff: T-0004/0001"
    git(repo, "merge", "--quiet", "--no-ff", "-m", message, branch_of("T-0004"))
    (found,) = violations(team)
    assert "was merged for T-0004 unapproved" in found


@pytest.mark.parametrize("ticket", ["T-0001", "T-0077", "../../T-0001"])
def test_trailers_of_another_ticket_do_not_help(team: Team, ticket: str) -> None:
    repo = team.workspace.repo
    git(repo, "switch", "--quiet", INTEGRATION)
    commit_files(repo, {"x": "y"}, f"Merge\n\nWatchbill-Ticket: {ticket}\nWatchbill-Handoff: T-0001/0001")
    (found,) = violations(team)
    assert found.startswith(f"git: {INTEGRATION}: ")


def test_a_history_that_was_rewritten_to_claim_a_merge_by_hand_is_found(team: Team) -> None:
    repo = team.workspace.repo
    base = git(repo, "rev-parse", INTEGRATION)
    git(repo, "switch", "--quiet", INTEGRATION)
    message = "Merge\n\nWatchbill-Ticket: T-0004\nWatchbill-Handoff: T-0004/0001"
    git(repo, "merge", "--quiet", "--no-ff", "-m", message, branch_of("T-0004"))
    landed, work = git(repo, "rev-parse", "HEAD"), git(repo, "rev-parse", branch_of("T-0004"))
    fields = {"base": base, "commit": work, "candidate": landed, "merged": landed}
    forge(team, "T-0004", **{"from": "merge", "outcome": "done", **fields})
    found = "\n".join(violations(team))
    assert "security failed it in document 0003, and no human decided otherwise" in found
    assert "qa passed the candidate" in found
    assert "document 0003 had given the ticket to human" in found


@pytest.mark.parametrize(
    ("forgery", "why"),
    [
        (lambda item: None if item.sender == "qa" else item, "qa never passed"),
        (lambda item: altered(item, "qa", candidate=item.commit), "qa passed the candidate"),
        (lambda item: altered(item, "qa", session="build-0001-1"), "was a session that wrote the change"),
        (lambda item: altered(item, "qa", verified=None), "the engine verified nothing"),
        (lambda item: altered(item, "security", findings=(a_finding("critical"),)), "was decided by no human"),
        (lambda item: altered(item, "security", to=("human",)), "had given the ticket to human"),
        (lambda item: altered(item, "build", outcome="deferred"), "no build had finished any work"),
        (lambda item: altered(item, "build", commit=item.base), "but the finished work was"),
        (lambda item: altered(item, "merge", outcome="fail"), "its outcome is 'fail'"),
        (lambda item: altered(item, "merge", candidate=item.base), "the candidate that it names is"),
        (lambda item: altered(item, "merge", base=item.commit), "are not the base and the commit that it names"),
    ],
)
def test_a_chain_that_was_written_anew_still_shows_an_unapproved_merge(
    team: Team, forgery: Callable[[Handoff], Handoff | None], why: str
) -> None:
    rewrite(team, "T-0001", lambda item: item)
    assert violations(team) == []
    rewrite(team, "T-0001", forgery)
    assert why in "\n".join(violations(team))


def altered(item: Handoff, sender: str, **changes: Any) -> Handoff:
    return item.model_copy(update=changes) if item.sender == sender else item


def test_a_chain_that_was_written_anew_without_an_early_document_no_longer_fits_its_commit(team: Team) -> None:
    rewrite(team, "T-0002", lambda item: None if item.seq == 2 else item)
    assert any("names T-0002/0005 as the work that it merges, which is not so" in found for found in violations(team))


def test_a_merge_after_the_branch_moved_needs_the_engines_second_check(team: Team) -> None:
    rewrite(team, "T-0003", lambda item: None if item.sender == "merge" and item.outcome == "pass" else item)
    assert any("qa passed the candidate" in found for found in violations(team))


def test_a_merge_that_is_no_longer_on_the_branch_is_found(team: Team) -> None:
    git(team.workspace.repo, "branch", "--force", INTEGRATION, f"{INTEGRATION}^1")
    (found,) = violations(team)
    assert found.startswith("handoffs/T-0003/0005.md: it says that")
    assert f"that is not on {INTEGRATION}" in found


def test_a_lost_integration_branch_is_found(team: Team) -> None:
    git(team.workspace.repo, "branch", "-D", INTEGRATION)
    assert len([found for found in violations(team) if f"that is not on {INTEGRATION}" in found]) == 3


def test_a_second_document_about_the_same_merge_is_found(team: Team) -> None:
    merged = team.workspace.history("T-0001").handoffs[-1]
    forge(team, "T-0004", **{"from": "merge", "outcome": "done", "merged": merged.merged, "candidate": merged.merged})
    assert any("says of the same commit that it was merged" in found for found in violations(team))


def test_a_merge_that_died_before_its_word_is_told_and_mended_by_the_next(fresh: Team) -> None:
    fresh.build("T-0001", {"one.txt": "1"})
    fresh.pass_reviews("T-0001")
    candidate = fresh.workspace.history("T-0001").handoffs[-1].candidate
    git(fresh.workspace.repo, "branch", "--force", INTEGRATION, candidate or "")
    (found,) = violations(fresh)
    assert "`watchbill merge` writes it" in found
    with held(fresh.workspace.layout.lock("merge"), "merge"):
        report = look(fresh)
    assert report.violations == ()
    assert [note for note in report.notes if "is being merged for T-0001 at this moment" in note]
    assert fresh.merge("T-0001") == ["merged"]
    assert violations(fresh) == []


@pytest.mark.parametrize("key", ["base", "commit"])
def test_a_commit_that_is_not_in_the_repository_is_found(team: Team, key: str) -> None:
    forge(team, "T-0006", **{"from": "build", "outcome": "deferred", key: "a" * 40})
    (found,) = violations(team)
    assert found == f"handoffs/T-0006/0001.md: its {key} aaaaaaaaaa is not in the repository"


def test_an_id_of_something_else_than_a_commit_counts_as_missing(team: Team) -> None:
    tree = git(team.workspace.repo, "rev-parse", "main^{tree}")
    forge(team, "T-0006", **{"from": "build", "outcome": "deferred", "commit": tree})
    assert any("is not in the repository" in found for found in violations(team))


def test_a_candidate_that_never_landed_and_that_git_cleared_away_is_a_note(team: Team) -> None:
    git(team.workspace.repo, "prune", "--expire=now")
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "never landed, and git keeps it no longer" in note]


def test_without_its_repository_everything_else_is_still_checked(team: Team) -> None:
    edit(handoff(team, "T-0001", 2), "^confidence: 0.9$", "confidence: 0.8")
    team.workspace.repo.rename(team.workspace.repo.with_name("moved"))
    found = violations(team)
    assert len(found) == 2
    assert found[0].startswith("handoffs/T-0001/0002.md")
    assert found[1].startswith("watchbill.toml: the repository cannot be checked")


def test_a_base_branch_that_is_gone_is_found(team: Team) -> None:
    change_settings(team.workspace, {"project": {"base": "gone"}})
    assert violations(team) == ["watchbill.toml: the repository has no branch 'gone'"]


# Manifests, items, records


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id": "build-0009"}, "it says that it is build-0009"),
        ({"agent": "qa"}, "it says that it is build-0001, for qa"),
        ({"entries": []}, "does not list T-0001"),
        ({"soft_turns": 99}, "its soft cap is above its hard cap"),
        ({"hard_turns": 61, "soft_turns": 1}, "more turns than its hard cap"),
        ({"more": 1}, "it cannot be read: more: this key is not known"),
    ],
)
def test_a_changed_manifest_is_found(team: Team, changes: dict[str, Any], why: str) -> None:
    change_json(team.workspace.layout.manifest("build-0001"), **changes)
    assert why in "\n".join(violations(team))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"turns": 1}, "it used 2 turns, but its manifest build-0001 allows 1"),
        ({"order": 7}, "its entries are not numbered in order"),
        ({"read": ["T-0001/0009"]}, "it names the handoff T-0001/0009, which is missing"),
        ({"read": ["../../etc"]}, "it names the handoff ../../etc, which is missing"),
        ({"approval": 1}, "which is no decision of a human"),
        ({"ticket": "T-0002"}, "a ticket stands in it twice"),
    ],
)
def test_a_changed_entry_of_a_manifest_is_found(team: Team, change: dict[str, Any], why: str) -> None:
    path = team.workspace.layout.manifest("build-0001")
    entries = json.loads(path.read_text())["entries"]
    change_json(path, entries=[{**entries[0], **change}, *entries[1:]])
    assert why in "\n".join(violations(team))


def test_a_ticket_both_worked_on_and_skipped_is_found(team: Team) -> None:
    change_json(team.workspace.layout.manifest("build-0001"), skipped=[{"ticket": "T-0001", "reason": "no"}])
    assert violations(team) == ["manifests/build-0001.json: T-0001 is both worked on and skipped in it"]


def test_a_record_that_the_disk_does_not_give_is_found(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> SessionRecord:
        raise PermissionError(13, "Permission denied", str(path))

    # A file that nobody may read is read by root all the same, so the disk's answer is made here.
    monkeypatch.setattr(SessionRecord, "load", denied)
    assert "sessions/qa-0001-1.md: it cannot be read: Permission denied" in violations(team)


def test_a_deleted_manifest_is_found(team: Team) -> None:
    team.workspace.layout.manifest("qa-0001").unlink()
    found = "\n".join(violations(team))
    assert "handoffs/T-0001/0002.md: its manifest qa-0001 is missing" in found
    assert "sessions/qa-0001-1.md: its manifest qa-0001 is missing" in found


def test_a_handoff_of_one_agent_under_anothers_manifest_is_found(team: Team) -> None:
    forge(team, "T-0004", **{"from": "qa", "outcome": "pass", "manifest": "build-0001", "session": "qa-0001-1"})
    found = "\n".join(violations(team))
    assert "it is from qa, but its manifest build-0001 is for build" in found
    assert "its session qa-0001-1 is not one of its manifest build-0001" in found


@pytest.mark.parametrize("item", ["inbox/T-0004-0003.md", "inbox/decided/T-0002-0003.md"])
def test_an_item_that_cannot_be_read_is_found(team: Team, item: str) -> None:
    (team.workspace.root / item).write_text("torn")
    assert any(found.startswith(f"{item}: it cannot be read") for found in violations(team))


@pytest.mark.parametrize(
    ("pattern", "by"),
    [("^answers: 3", "answers: 1"), ("^ticket: T-0004", "ticket: T-0001"), ("^id: .*", "id: T-1-0001")],
)
def test_an_item_that_was_turned_to_another_question_is_found(team: Team, pattern: str, by: str) -> None:
    edit(team.workspace.layout.inbox_item("T-0004-0003"), pattern, by)
    assert any(found.startswith("inbox/T-0004-0003.md: it says that it is") for found in violations(team))


def test_an_item_about_a_document_that_was_changed_is_found(team: Team) -> None:
    edit(handoff(team, "T-0004", 3), "severity: high", "severity: info")
    ended, found = violations(team)
    assert ended.startswith("handoffs/T-0004/0003.md: it is not what was published")
    assert found.startswith("inbox/T-0004-0003.md: the document that it is about is missing or was changed")


def test_an_answer_in_the_file_that_is_not_picked_up_yet_is_fine(team: Team) -> None:
    edit(team.workspace.layout.inbox_item("T-0004-0003"), "^decision: .*$", "decision: approve")
    report = look(team)
    assert (report.violations, report.notes) == ((), ())


def test_an_item_filed_by_hand_without_a_decision_is_found(team: Team) -> None:
    layout = team.workspace.layout
    layout.inbox_item("T-0004-0003").rename(layout.decided_item("T-0004-0003"))
    (found,) = violations(team)
    assert found.startswith("inbox/decided/T-0004-0003.md: it is filed as decided")


def test_an_answered_item_that_a_run_could_not_file_is_a_note(team: Team) -> None:
    layout = team.workspace.layout
    shutil.copy(layout.decided_item("T-0002-0003"), layout.inbox_item("T-0002-0003"))
    report = look(team)
    assert report.violations == ()
    assert len(report.notes) == 2


def test_a_filed_item_that_says_something_else_than_was_decided_is_a_note(team: Team) -> None:
    edit(team.workspace.layout.decided_item("T-0002-0003"), "^decision: .*$", "decision: dismiss")
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if "it says dismiss, but approve was decided, in document 0004" in note]


@pytest.mark.parametrize(
    ("pattern", "by", "why"),
    [
        ("^id: .*$", "id: build-0009-1", "it says that it is the record of build-0009-1"),
        ("^manifest: .*$", "manifest: build-0099", "its manifest build-0099 is missing"),
        ("^manifest: .*$", "manifest: ../../x", "its manifest ../../x is missing"),
        ("^agent: .*$", "agent: qa", "it is of qa, but its manifest build-0001 is of build"),
        ("^turns: .*$", "turns: -1", "it cannot be read: turns"),
        (r"T-0001: [0-9a-f]{40}", f"T-0001: {'a' * 40}", "the handoff of aaaaaaaaaa for T-0001"),
    ],
)
def test_a_changed_session_record_is_found(team: Team, pattern: str, by: str, why: str) -> None:
    edit(Layout(team.workspace.root).session("build-0001-1"), pattern, by)
    assert why in "\n".join(violations(team))


def test_a_session_without_a_record_is_a_note_unless_it_goes_on(team: Team) -> None:
    team.workspace.layout.session("qa-0001-1").unlink()
    with held(team.workspace.layout.lock("qa"), "qa session"):
        assert look(team).notes == ()
    report = look(team)
    assert report.violations == ()
    assert [note for note in report.notes if note.startswith("sessions/qa-0001-1.md: the session handed work over")]
