"""Decide: publish a human's answer to an inbox item.

Owns the way from an answer (given by command or written into the item's file) to a handoff `from: human`. Only the
question's number, the decision, the note and the name are taken from the item; the rest is looked up in the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from watchbill.documents.inbox_item import InboxItem
from watchbill.errors import Damaged, Refused, Stale, WatchbillError
from watchbill.files.publish import move
from watchbill.files.quarantine import set_aside
from watchbill.hand_over import hand_over, step_of
from watchbill.history import History
from watchbill.inbox import open_items, unreadable
from watchbill.layout import ITEM_ID
from watchbill.rules.next_step import Step
from watchbill.workspace import Workspace

DECISIONS = ("approve", "dismiss", "reject", "escalate")
_OUTCOMES = {"approve": "pass", "dismiss": "pass", "reject": "fail", "escalate": "blocked", "close": "done"}


@dataclass(frozen=True)
class Decided:
    """An answer that was published. `step` is what happens next to the ticket."""

    item: str
    ticket: str
    decision: str
    step: Step | None


def decide(workspace: Workspace, item: str, decision: str, note: str, by: str, now: datetime) -> Decided:
    """Answer an inbox item. Raises `Refused` when there is no such open question."""
    match = ITEM_ID.fullmatch(item)
    if match is None:
        raise Refused(f"{item!r} is not the name of an inbox item", "See what waits with: watchbill inbox list")
    ticket, seq = match[1], int(match[2])
    if seq == 0:
        _require_waiting(workspace, item)
        _file(workspace, item, now)
        return Decided(item, ticket, decision, None)
    _, step = hand_over(
        workspace,
        ticket,
        {
            "from": "human",
            "outcome": _OUTCOMES[decision],
            "decision": decision,
            "answers": seq,
            "by": by[:200],
            "reason": note[:20_000],
            "commit": _commit_asked_about(workspace, ticket, seq),
            "body": note[:20_000],
        },
        now,
        still_valid=lambda history, step: _is_asked(history, step, seq, item),
    )
    _file(workspace, item, now)
    if step.ended:
        _file_all(workspace, ticket, now)
    return Decided(item, ticket, decision, step)


def close(workspace: Workspace, ticket: str, note: str, by: str, now: datetime) -> Step:
    """Close a ticket by a human's word: nothing more happens to it. Raises `Refused`."""
    if workspace.ticket_file(ticket) is None:
        raise Refused(f"there is no ticket {ticket}", "See them with: watchbill ticket list")

    def is_open(_history: History, step: Step) -> bool:
        if step.ended:
            raise Refused(f"{ticket} has ended already: {step.reason}")
        return True

    fields = {"from": "human", "outcome": "done", "decision": "close", "by": by[:200], "reason": note[:20_000]}
    _, step = hand_over(workspace, ticket, fields, now, is_open)
    _file_all(workspace, ticket, now)
    return step


def pick_up(workspace: Workspace, now: datetime) -> tuple[list[Decided], list[str]]:
    """Publish every answer that was written into an item's file. Returns what was decided, and what could not be."""
    decided: list[Decided] = []
    troubles: list[str] = []
    for waiting in open_items(workspace.layout):
        if not waiting.item.decision:
            continue
        try:
            decided.append(_from_file(workspace, waiting.item, waiting.path.stem, now))
        except (Refused, Stale, Damaged) as error:
            troubles.append(f"{waiting.path.name}: {error.reason}")
    return decided, troubles


def _from_file(workspace: Workspace, item: InboxItem, name: str, now: datetime) -> Decided:
    by = item.by or "whoever edited the inbox file"
    return decide(workspace, name, item.decision, item.note, by, now)


def _is_asked(history: History, step: Step, seq: int, item: str) -> bool:
    if any(question.seq == seq for question in step.questions):
        return True
    if history.damage and "human" in step.to:
        return True
    answer = next((handoff for handoff in history.handoffs if handoff.answers == seq), None)
    if answer is not None:
        raise Refused(f"{item} was answered already: {answer.decision} by {answer.by}, document {answer.seq:04}")
    raise Refused(f"nothing of {history.id} waits under {item}", "See what waits with: watchbill inbox list")


def _commit_asked_about(workspace: Workspace, ticket: str, seq: int) -> str | None:
    step = step_of(workspace, workspace.history(ticket))
    return step.commit if any(question.seq == seq for question in step.questions) else None


def _require_waiting(workspace: Workspace, item: str) -> None:
    if not workspace.layout.inbox_item(item).is_file():
        raise Refused(f"there is no item {item} in the inbox", "See what waits with: watchbill inbox list")


def _file_all(workspace: Workspace, ticket: str, now: datetime) -> None:
    """Of a ticket that has ended nothing is asked any more."""
    for waiting in open_items(workspace.layout):
        if waiting.item.ticket == ticket and waiting.item.answers:
            _file(workspace, waiting.path.stem, now)


def _file(workspace: Workspace, item: str, now: datetime) -> None:
    """Move an answered item to `inbox/decided/`. Left undone by a crash, the next run does it."""
    layout = workspace.layout
    path = layout.inbox_item(item)
    if not path.exists():
        return
    try:
        if any(error.path == path for error in unreadable(layout)):
            # An edit went wrong. The answer is in the history; the spoilt page is kept, but not as a document.
            set_aside(
                path, "it could not be read; its question was answered by command", layout.quarantine, layout.root, now
            )
        else:
            move(path, layout.decided_item(item))
    except WatchbillError as error:
        raise Stale(f"{item} is decided, but its file could not be moved: {error.reason}") from error
