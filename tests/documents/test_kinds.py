"""Every kind of document: what is written is read back as the same, and fits the published schema."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.documents.agent import AgentFile
from watchbill.documents.handoff import Claimed, Criterion, Finding, Handoff, Verified
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.manifest import Entry, Manifest, Skipped
from watchbill.documents.session import SessionRecord, Tokens
from watchbill.documents.ticket import Ticket
from watchbill.errors import Damaged
from watchbill.files.document import Document

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
ID = "a" * 40
SHA = "b" * 64
PATH = Path("x.md")

CHECKS = {"commit": ID, "ran": True, "exit_code": 1, "passed": 3, "failed": ("test_x",), "skipped": 1}
FINDING = Finding(
    fingerprint="f" * 16,
    severity="high",
    confidence=0.9,
    rule="sql-injection",
    title="A query is built from text",
    path="app.py",
    line=3,
    evidence="`execute(f'…')`\n---\n",
    rationale="& * ! {",
    source="security",
    breaks_build=True,
)
BUILD: dict[str, Any] = {
    "ticket": "T-0012",
    "seq": 3,
    "created": NOW,
    "from": "build",
    "to": ("qa", "security"),
    "outcome": "done",
    "parent": SHA,
    "reason": 'no: "reason"',
    "session": "build-0001-1",
    "manifest": "build-0001",
    "agent_version": SHA,
    "playbook": SHA,
    "model": "claude",
    "degraded": True,
    "turns": 7,
    "approval": 2,
    "base": ID,
    "commit": ID,
    "candidate": ID,
    "claimed": Claimed(outcome="done", summary="it\nworks", criteria=(Criterion(criterion="c", met=True),)),
    "verified": Verified.model_validate({"files": ("a.py",), "checks": CHECKS, "base_checks": CHECKS}),
    "confidence": 0.5,
    "findings": (FINDING,),
    "requests": ("a key?",),
    "body": "## What was done\n\nmuch",
}
HUMAN: dict[str, Any] = {
    "ticket": "T-0012",
    "seq": 4,
    "created": NOW,
    "from": "human",
    "to": ("build",),
    "outcome": "pass",
    "parent": SHA,
    "decision": "approve",
    "answers": 3,
    "by": "Ada",
    "signature": "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n",
}
MERGE = {**HUMAN, "from": "merge", "decision": None, "answers": None, "by": None, "signature": None, "merged": ID}
TICKET: dict[str, Any] = {
    "id": "T-0012",
    "title": "yes: a title",
    "type": "bug",
    "priority": "critical",
    "dependencies": ["T-0007", "T-7.2"],
    "labels": ["a", "no"],
    "created_date": date(2026, 11, 20),
    "body": "## Description\n\ntext",
}
ITEM: dict[str, Any] = {
    "id": "T-0012-0004",
    "ticket": "T-0012",
    "answers": 4,
    "created": NOW,
    "title": "security found: x",
    "asked_by": "security",
    "severity": "high",
    "confidence": 0.9,
    "handoff": SHA,
    "commit": ID,
    "candidate": ID,
    "proposal": "Send it back.",
    "decision": "approve",
    "note": "go\non",
    "by": "Ada",
    "body": "# x",
}
SESSION: dict[str, Any] = {
    "id": "build-0001-1",
    "agent": "build",
    "manifest": "build-0001",
    "start_date": NOW,
    "end_date": NOW,
    "outcome": "done",
    "turns": 3,
    "tokens": Tokens(input=1, output=2),
    "cost": 0.25,
    "tickets": ("T-0012",),
    "title": "one done",
    "summary": "one done",
    "tags": ("build",),
}
DOCUMENTS: list[Document] = [
    Handoff.model_validate(BUILD),
    Handoff.model_validate(HUMAN),
    Handoff.model_validate(MERGE),
    Ticket.model_validate(TICKET),
    Ticket(id="T-1", title="short"),
    InboxItem.model_validate(ITEM),
    InboxItem.model_validate({key: ITEM[key] for key in list(ITEM)[:6]} | {"proposal": "x"}),
    SessionRecord.model_validate(SESSION),
]
IDS = [f"{document.kind}-{number}" for number, document in enumerate(DOCUMENTS)]
MANIFEST = Manifest(
    id="qa-0007",
    agent="qa",
    created=NOW,
    base=ID,
    playbook=SHA,
    agent_version=SHA,
    soft_turns=2,
    hard_turns=3,
    entries=(Entry(ticket="T-1", order=1, reason="é", turns=3, read=("T-1/0001",), approval=2),),
    skipped=(Skipped(ticket="not an id.md", reason="cannot be read"),),
)


def front_matter(data: bytes) -> Any:
    return yaml.safe_load(data.decode().split("\n---\n")[0])


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_what_is_rendered_is_parsed_into_the_same(document: Document) -> None:
    assert type(document).parse(document.render(), PATH) == document
    assert type(document).parse(document.render(), PATH).render() == document.render()


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_the_front_matter_fits_the_published_schema(document: Document) -> None:
    schema = type(document).json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(front_matter(document.render()), schema)
    assert schema["$id"] == f"watchbill/{document.kind}/1"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**front_matter(document.render()), "extra": 1}, schema)


@pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)
def test_every_document_names_its_schema_and_another_version_is_damaged(document: Document) -> None:
    data = document.render()
    assert front_matter(data)["schema"] == f"watchbill/{document.kind}/1"
    newer = data.replace(b"/1\n", b"/2\n", 1)
    with pytest.raises(Damaged, match="schema"):
        type(document).parse(newer, PATH)


def test_a_manifest_comes_back_and_fits_its_schema(tmp_path: Path) -> None:
    (tmp_path / "qa-0007.json").write_bytes(MANIFEST.render())
    assert Manifest.load(tmp_path / "qa-0007.json") == MANIFEST
    jsonschema.validate(json.loads(MANIFEST.render()), Manifest.json_schema())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b'{"schema": "watchbill/manifest/2"}', b"\xff", b"[" * 100_000, b'{"id": 1}'],
    ids=range(8),
)
def test_what_is_no_manifest_is_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "qa-0007.json").write_bytes(data)
    with pytest.raises(Damaged):
        Manifest.load(tmp_path / "qa-0007.json")


def test_a_manifest_that_says_it_is_another_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "qa-0008.json").write_bytes(MANIFEST.render())
    with pytest.raises(Damaged, match="qa-0007"):
        Manifest.load(tmp_path / "qa-0008.json")


# Handoffs.


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ticket": "../T-1"}, "ticket"),
        ({"ticket": "T-1\n"}, "ticket"),
        ({"seq": 0}, "seq"),
        ({"commit": "HEAD"}, "commit"),
        ({"commit": "A" * 40}, "commit"),
        ({"parent": "x"}, "parent"),
        ({"to": ()}, "to"),
        ({"to": ("everybody",)}, "to"),
        ({"outcome": "approved"}, "outcome"),
        ({"confidence": 1.5}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"created": datetime(2026, 1, 1)}, "time zone"),
        ({"merged": ID}, "only a merge"),
        ({"decision": "approve"}, "only a human decides"),
        ({"findings": [{**FINDING.model_dump(), "severity": "urgent"}]}, "severity"),
        ({"findings": [{**FINDING.model_dump(), "line": -1}]}, "line"),
        ({"verified": {"trust": "me"}}, "trust"),
    ],
)
def test_a_handoff_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Handoff.model_validate({**BUILD, **change})


def test_the_worst_severity_is_the_worst_of_all() -> None:
    found = [FINDING.model_copy(update={"severity": severity}) for severity in ("low", "critical", "info")]
    assert Handoff.model_validate({**BUILD, "findings": found}).worst == "critical"
    assert Handoff.model_validate({**BUILD, "findings": ()}).worst is None


def test_a_handoff_that_would_be_too_large_to_be_read_is_shortened_and_keeps_every_finding() -> None:
    long = "\U0001f600" * 3_000
    findings = [
        FINDING.model_copy(update={"fingerprint": f"{number:016}", "evidence": "x" * 3_000, "rationale": "é" * 300})
        for number in range(500)
    ]
    claimed = Claimed(outcome="done", summary=long, next=long, open_questions=(long,) * 50)
    verified = Verified(files=tuple(f"{number}{'x' * 900}" for number in range(2_000)))
    texts = {"body": long, "requests": (long,) * 50}
    whole = Handoff.model_validate({**BUILD, "findings": findings, "claimed": claimed, "verified": verified, **texts})
    fitting = whole.fitting()
    assert len(fitting.render()) <= Handoff.limit
    assert Handoff.parse(fitting.render(), PATH) == fitting
    assert [item.fingerprint for item in fitting.findings] == [item.fingerprint for item in findings]
    assert fitting.commit == whole.commit and fitting.worst == whole.worst
    assert "left out" in fitting.body
    small = Handoff.model_validate(BUILD)
    assert small.fitting() is small


# Tickets.


def ticket(**keys: Any) -> Ticket:
    head = yaml.safe_dump({"id": "T-1", "title": "x", **keys}, allow_unicode=True)
    return Ticket.parse(f"---\n{head}---\n".encode(), PATH)


def test_a_file_of_backlog_md_works_as_it_is() -> None:
    text = """\
---
id: task-42.1
title: 'Fix: the login'
status: In Progress
assignee:
  - '@sara'
reporter: '@me'
created_date: '2026-06-01 10:30'
updated_date: '2026-06-02'
due_date: '2026-06-09'
labels: [auth, backend]
milestone: m-1
dependencies: []
parent_task_id: task-42
priority: High
ordinal: 1000
onStatusChange: 'echo $TASK_ID'
---

## Description

Text.

## Acceptance Criteria
<!-- AC:BEGIN -->
- [ ] #1 A wrong password is refused
- [x] #2 A right one is not
<!-- AC:END -->
"""
    found = Ticket.parse(text.encode(), PATH)
    assert (found.id, found.status, found.priority) == ("task-42.1", "open", "high")
    assert (found.created_date, found.labels) == (date(2026, 6, 1), ("auth", "backend"))
    assert found.criteria == ("A wrong password is refused", "A right one is not")
    assert Ticket.parse(found.render(), PATH).render() == found.render()


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("open", "open"),
        ("To Do", "open"),
        ("todo", "open"),
        ("IN PROGRESS", "open"),
        (" Done ", "closed"),
        ("closed", "closed"),
    ],
)
def test_a_status_is_open_or_closed(given: str, means: str) -> None:
    assert ticket(status=given).status == means


def test_an_unknown_status_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Damaged, match="'Blocked' is not a status; write open or closed"):
        ticket(status="Blocked")


@pytest.mark.parametrize(
    "bad",
    [
        *("../T-1", "T-1/../../x", "T-1/x", "/T-1", "T-1\n", "T-1 ", " T-1", "", "-1", "T-", "T-1.", "T 1", "T-1;rm"),
        *("É-1", "T-1111111111", "AAAAAAAAAAAAAAAAA-1", "--help", "T-1\0", "T-१"),
    ],
)
def test_an_id_that_is_no_plain_id_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="is not an id such as T-0012"):
        Ticket(id=bad, title="x")
    with pytest.raises(ValueError, match="is not an id such as T-0012"):
        Ticket(id="T-1", title="x", dependencies=(bad,))


@pytest.mark.parametrize("good", ["T-1", "T-0012", "task-42.1.3", "BUG7-999999999"])
def test_a_plain_id_is_taken(good: str) -> None:
    assert Ticket(id=good, title="x").id == good


def test_a_dependency_may_stand_alone_or_be_empty() -> None:
    assert ticket(dependencies="T-7").dependencies == ("T-7",)
    assert ticket(dependencies=None, labels=None).dependencies == ()


def test_an_empty_key_means_its_default() -> None:
    found = ticket(priority=None, type=None, status=None)
    assert (found.priority, found.type, found.status) == ("medium", "feature", "open")


@pytest.mark.parametrize("key", ["prioritiy", "sender", "decision"])
def test_an_unknown_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(Damaged, match=f"{key}: this key is not known"):
        ticket(**{key: "x"})


@pytest.mark.parametrize(
    "day", ["2026-11-20", date(2026, 11, 20), datetime(2026, 11, 20, 9, 30), "2026-11-20T09:30:00Z"]
)
def test_a_day_may_be_written_in_several_ways(day: Any) -> None:
    assert ticket(created_date=day).created_date == date(2026, 11, 20)


def test_a_ticket_of_ten_megabytes_is_not_read() -> None:
    with pytest.raises(Damaged, match="at most 262,144 are read"):
        Ticket.parse(b"---\nid: T-1\ntitle: x\n---\n" + b"x" * 10_000_000, PATH)


# Inbox items.


def item(**keys: Any) -> InboxItem:
    head = yaml.safe_dump({**front_matter(InboxItem.model_validate(ITEM).render()), **keys})
    return InboxItem.parse(f"---\n{head}---\n".encode(), PATH)


def test_what_a_human_writes_may_be_untidy() -> None:
    found = item(decision=" Approve ", note=None, by=None)
    assert (found.decision, found.note, found.by) == ("approve", "", "")
    assert item(decision=None).decision == ""


@pytest.mark.parametrize("word", ["yes", "close", "merge", "approved", 1])
def test_a_word_that_is_no_decision_is_refused(word: Any) -> None:
    with pytest.raises(Damaged, match="decision"):
        item(decision=word)


# Agents.


def test_an_agents_file_of_claude_code_works_as_it_is() -> None:
    head = "name: qa\ndescription: Judges.\ntools: Read, Grep, Bash\nmodel: inherit\nmaxTurns: 9\ncolor: red"
    text = f"---\n{head}\n---\nYou judge."
    found = AgentFile.parse(text.encode(), PATH)
    assert (found.tools, found.max_turns, found.body) == (("bash", "read", "grep"), 9, "You judge.")


def test_an_agent_without_tools_has_all_and_an_unknown_tool_is_refused() -> None:
    head = "---\nname: qa\ndescription: x\n"
    assert AgentFile.parse(f"{head}---\n".encode(), PATH).tools == ("bash", "read", "write", "edit", "glob", "grep")
    with pytest.raises(Damaged, match="'webfetch' is not a tool"):
        AgentFile.parse(f"{head}tools: Read, WebFetch\n---\n".encode(), PATH)


@pytest.mark.parametrize("name", ["build", "qa", "security"])
def test_the_delivered_agents_can_be_read(name: str) -> None:
    found = AgentFile.load(Path(__file__).parents[2] / "agents" / f"{name}.md")
    assert found.name == name and found.body


# Any words at all.

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=150, deadline=None)
@given(WORDS, WORDS, WORDS, WORDS)
def test_no_words_of_a_model_make_a_handoff_that_cannot_be_read(one: str, two: str, three: str, four: str) -> None:
    finding = FINDING.model_copy(update={"title": one, "path": two, "evidence": three})
    claimed = Claimed(summary=four, open_questions=(one,), next=two)
    handoff = Handoff.model_validate({**BUILD, "claimed": claimed, "findings": (finding,), "body": f"{one}\n{three}"})
    read = Handoff.parse(handoff.render(), PATH)
    assert read.model_copy(update={"body": ""}) == handoff.model_copy(update={"body": ""})
    assert (read.sender, read.decision, read.seq) == ("build", None, 3)
