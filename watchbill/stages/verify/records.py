"""The documents around the histories: manifests, inbox items, session records.

Owns the checks that each can be read, is where its own id says, and agrees with the histories that name it or that it
names. It never writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from watchbill.documents.handoff import Handoff
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.manifest import Manifest
from watchbill.documents.session import SessionRecord
from watchbill.errors import Damaged
from watchbill.files.locks import is_held
from watchbill.history import History, Recorded
from watchbill.layout import AGENTS, MANIFEST_ID, TICKET_ID, Layout, item_id
from watchbill.rules.next_step import Step
from watchbill.stages.verify.report import Findings

Kind = TypeVar("Kind")

_REFERENCE = re.compile(rf"({TICKET_ID.pattern})/([0-9]{{4,6}})")
_ARTIFACT = re.compile(rf"({TICKET_ID.pattern}): ([0-9a-f]{{40}})")


@dataclass(frozen=True)
class Records:
    """Everything readable, by the file it lies in."""

    manifests: Mapping[Path, Manifest]
    waiting: Mapping[Path, InboxItem]
    decided: Mapping[Path, InboxItem]
    sessions: Mapping[Path, SessionRecord]


def read_records(layout: Layout, found: Findings) -> Records:
    """Read every record. What cannot be read is a violation.

    To be read before the histories: a decision is published before its item is filed, so then none seems to be missing.
    """
    return Records(
        manifests=_read(_files(layout.manifests, ".json"), Manifest.load, found),
        waiting=_read(_files(layout.inbox, ".md"), InboxItem.load, found),
        decided=_read(_files(layout.decided, ".md"), InboxItem.load, found),
        sessions=_read(_files(layout.sessions, ".md"), SessionRecord.load, found),
    )


def check_manifests(
    records: Records, histories: Mapping[str, History], unread: Collection[str], layout: Layout, found: Findings
) -> None:
    """Each manifest is in order within itself, and the handoffs that it names exist.

    What is said of the tickets that are `unread` is passed over, here and below.
    """
    for path, manifest in records.manifests.items():
        for why in _what_a_manifest_gets_wrong(path, manifest):
            found.violation(path, why)
        for reference in (text for entry in manifest.entries for text in entry.read):
            match = _REFERENCE.fullmatch(reference)
            if match and match[1] in unread:
                continue
            if match is None or not _was_there(histories.get(match[1]), int(match[2]), layout):
                found.violation(path, f"it names the handoff {reference}, which is missing")
        for entry in manifest.entries:
            if (
                entry.approval is not None
                and entry.ticket not in unread
                and not _is_decision(histories.get(entry.ticket), entry.approval)
            ):
                what = f"it names {entry.ticket}/{entry.approval:04} as an approval, which is no decision of a human"
                found.violation(path, what)


def check_origin(history: History, records: Records, layout: Layout, found: Findings) -> None:
    """What the agents' handoffs say of their manifest is what that manifest says."""
    for recorded in history.documents:
        name = recorded.handoff.manifest
        if name is None:
            continue
        manifest = _manifest(records, layout, name)
        if manifest is None:
            found.violation(recorded.path, f"its manifest {name} is missing or cannot be read")
        else:
            for why in _what_disagrees(recorded, manifest):
                found.violation(recorded.path, why)


def check_items(
    records: Records,
    histories: Mapping[str, History],
    unread: Collection[str],
    asked: Collection[str],
    layout: Layout,
    found: Findings,
) -> None:
    """Each item asks about a document that is there, and what lies among the decided was decided. `asked` are the items
    whose questions are open, perhaps after a first answer of several."""
    for path, item in {**records.waiting, **records.decided}.items():
        if item.id != path.stem or item.id != item_id(item.ticket, item.answers):
            found.violation(path, f"it says that it is {item.id}, about document {item.answers:04} of {item.ticket}")
            continue
        history = histories.get(item.ticket)
        if item.handoff is not None and item.ticket not in unread and not _names_a_document(history, item.handoff):
            found.violation(path, "the document that it is about is missing or was changed")
    for path, item in records.decided.items():
        if item.ticket in unread:
            continue
        _check_filed(path, item, histories.get(item.ticket), found)
    for path, item in records.waiting.items():
        if item.answers and path.stem not in asked and _answer_to(histories.get(item.ticket), item.answers):
            found.note(path, "it is answered already; the next run files it")
        if layout.decided_item(path.stem) in records.decided:
            found.note(path, "it lies among the decided items too; the next run tidies it up")


def check_questions(history: History, step: Step, layout: Layout, found: Findings) -> None:
    """Every question that is open has its item."""
    for question in step.questions:
        item = item_id(history.id, question.seq)
        if not layout.inbox_item(item).exists() and not layout.decided_item(item).exists():
            asking = layout.handoff(history.id, question.seq)
            found.note(asking, f"it asks a human, but there is no item {item} yet; the next run makes it")


def check_sessions(
    records: Records, histories: Mapping[str, History], unread: Collection[str], layout: Layout, found: Findings
) -> None:
    """Each record belongs to a manifest, and what it says was handed over is in the histories."""
    for path, record in records.sessions.items():
        if record.id != path.stem:
            found.violation(path, f"it says that it is the record of {record.id}")
        manifest = _manifest(records, layout, record.manifest)
        if manifest is None:
            found.violation(path, f"its manifest {record.manifest} is missing or cannot be read")
        elif manifest.agent != record.agent:
            found.violation(path, f"it is of {record.agent}, but its manifest {record.manifest} is of {manifest.agent}")
        for ticket, commit in _handed_over(record):
            if ticket not in unread and not _holds_work(histories.get(ticket), record.id, commit):
                found.violation(path, f"the handoff of {commit[:10]} for {ticket}, which it tells of, is missing")


def check_ends(histories: Mapping[str, History], layout: Layout, found: Findings) -> None:
    """Every session that handed something over left a record, unless it died or still goes on."""
    sessions = {
        (recorded.handoff.session, recorded.handoff.sender)
        for history in histories.values()
        for recorded in history.documents
        if recorded.handoff.session and recorded.handoff.sender in AGENTS
    }
    for session, agent in sorted(sessions):
        path = layout.sessions / f"{Path(session).name}.md"
        if not path.exists() and not is_held(layout.lock(agent)):
            found.note(path, "the session handed work over and left no record: it died, or the record was removed")


def _read(paths: Iterable[Path], load: Callable[[Path], Kind], found: Findings) -> dict[Path, Kind]:
    read: dict[Path, Kind] = {}
    for path in paths:
        try:
            read[path] = load(path)
        except Damaged as error:
            found.violation(path, f"it cannot be read: {error.why}")
        except FileNotFoundError:
            # An item that a run filed at this very moment.
            continue
        except OSError as error:
            found.violation(path, f"it cannot be read: {error.strerror}")
    return read


def _files(folder: Path, suffix: str) -> list[Path]:
    if not folder.is_dir():
        return []
    names = (path for path in folder.iterdir() if path.suffix == suffix and not path.name.startswith("."))
    return sorted(path for path in names if path.name != "README.md")


def _what_a_manifest_gets_wrong(path: Path, manifest: Manifest) -> Iterable[str]:
    match = MANIFEST_ID.fullmatch(manifest.id)
    if manifest.id != path.stem or match is None or match[1] != manifest.agent:
        yield f"it says that it is {manifest.id}, for {manifest.agent}"
    if [entry.order for entry in manifest.entries] != list(range(1, len(manifest.entries) + 1)):
        yield "its entries are not numbered in order"
    tickets = [entry.ticket for entry in manifest.entries]
    if len(set(tickets)) < len(tickets):
        yield "a ticket stands in it twice"
    both = sorted(set(tickets) & {skipped.ticket for skipped in manifest.skipped})
    if both:
        yield f"{both[0]} is both worked on and skipped in it"
    if manifest.soft_turns > manifest.hard_turns:
        yield "its soft cap is above its hard cap"
    if sum(entry.turns for entry in manifest.entries) > manifest.hard_turns:
        yield "its entries have more turns than its hard cap allows"


def _what_disagrees(recorded: Recorded, manifest: Manifest) -> Iterable[str]:
    handoff = recorded.handoff
    if handoff.sender != manifest.agent:
        yield f"it is from {handoff.sender}, but its manifest {manifest.id} is for {manifest.agent}"
    entry = next((entry for entry in manifest.entries if entry.ticket == handoff.ticket), None)
    if entry is None:
        yield f"its manifest {manifest.id} does not list {handoff.ticket}"
    elif handoff.turns > entry.turns:
        yield f"it used {handoff.turns} turns, but its manifest {manifest.id} allows {entry.turns}"
    if handoff.session is not None and not handoff.session.startswith(f"{manifest.id}-"):
        yield f"its session {handoff.session} is not one of its manifest {manifest.id}"


def _check_filed(path: Path, item: InboxItem, history: History | None, found: Findings) -> None:
    """An item about a ticket's own file (answers 0) is filed without a handoff: there is no history to add it to."""
    if item.answers == 0:
        return
    answer = _answer_to(history, item.answers)
    if answer is None:
        if not _was_ended(history):
            found.violation(
                path, f"it is filed as decided, but the history of {item.ticket} holds no decision about it"
            )
    elif item.decision and item.decision != answer.decision:
        found.note(path, f"it says {item.decision}, but {answer.decision} was decided, in document {answer.seq:04}")


def _manifest(records: Records, layout: Layout, name: str) -> Manifest | None:
    """A manifest by its id; read now when it was published after the others were read."""
    path = layout.manifest(name)
    if path in records.manifests or not MANIFEST_ID.fullmatch(name):
        return records.manifests.get(path)
    try:
        return Manifest.load(path)
    except (Damaged, OSError):
        return None


def _was_there(history: History | None, seq: int, layout: Layout) -> bool:
    """Whether a document is there, or is known to be damaged."""
    if history is None:
        return False
    path = layout.handoff(history.id, seq)
    damaged = {error.path for error in history.damaged_files}
    return history.document(seq) is not None or path in damaged or layout.damaged_handoff(path) in damaged


def _is_decision(history: History | None, seq: int) -> bool:
    recorded = history.document(seq) if history else None
    return recorded is not None and recorded.handoff.sender == "human"


def _names_a_document(history: History | None, sha: str) -> bool:
    """Whether a document has that content. Where one is damaged, that is said of it already."""
    if history is None:
        return False
    return bool(history.damaged_files) or any(recorded.sha == sha for recorded in history.documents)


def _answer_to(history: History | None, seq: int) -> Handoff | None:
    answers = (item for item in history.counted if item.sender == "human" and item.answers == seq) if history else ()
    return next(iter(answers), None)


def _was_ended(history: History | None) -> bool:
    return history is not None and any(handoff.decision in ("close", "reject") for handoff in history.counted)


def _handed_over(record: SessionRecord) -> Iterable[tuple[str, str]]:
    """The tickets and commits that a build session's record names as its work."""
    matches = (_ARTIFACT.fullmatch(text) for text in record.artifacts if record.agent == "build")
    return [(match[1], match[2]) for match in matches if match]


def _holds_work(history: History | None, session: str, commit: str) -> bool:
    """Whether a document of that session names that commit. Where one is damaged, that is said of it already."""
    if history is None:
        return False
    if history.damaged_files:
        return True
    return any(handoff.session == session and handoff.commit == commit for handoff in history.handoffs)
