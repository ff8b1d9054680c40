"""Page: one inbox item as it is to be read now.

Owns what a reader is shown in place of what an old page says: the gate that holds now, what became of the question,
and the trouble with a page that an edit has spoilt. Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watchbill.documents.inbox_item import InboxItem
from watchbill.errors import Damaged, Refused
from watchbill.files.document import read_bytes
from watchbill.gate import counted_answers, holds
from watchbill.hand_over import step_of
from watchbill.inbox import HOW, how_to_answer_now, with_part
from watchbill.layout import ITEM_ID, item_id
from watchbill.workspace import Workspace


@dataclass(frozen=True)
class Page:
    """An item's page. `item` is None where its file cannot be read; `trouble` says why."""

    id: str
    body: str
    item: InboxItem | None
    trouble: str = ""


def page_of(workspace: Workspace, item: str, now: datetime) -> Page:
    """The page of an item, open or answered. Raises `Refused` when there is none."""
    match = ITEM_ID.fullmatch(item)
    places = (workspace.layout.inbox_item(item), workspace.layout.decided_item(item)) if match else ()
    path = next((place for place in places if place.is_file()), None)
    if match is None or path is None:
        raise Refused(f"there is no item {item} in the inbox", "See what waits with: watchbill inbox list")
    try:
        found = InboxItem.load(path)
    except Damaged as error:
        text = read_bytes(path, InboxItem.limit).decode("utf-8", "replace")
        return Page(item, text, None, f"{path} cannot be read: {error.why}. Correct it and save it again.")
    part = _how_it_stands(workspace, match[1], int(match[2]), path, now)
    return Page(item, with_part(found.body, part) if part else found.body, found)


def _how_it_stands(workspace: Workspace, ticket: str, seq: int, path: Path, now: datetime) -> str:
    """How to answer now, or what became of the question; "" where the history does not say."""
    history = workspace.history(ticket)
    questions = {question.seq: question for question in step_of(workspace, history).questions}
    item = item_id(ticket, seq)
    if seq in questions:
        return how_to_answer_now(item, questions[seq], holds(workspace.settings, workspace.root, now), path)
    answers = [recorded.handoff for recorded in counted_answers(history, seq)]
    if not answers:
        return ""
    said = ", ".join(f"{answer.decision} by {answer.by} (document {answer.seq:04})" for answer in answers)
    again = [item_id(ticket, answer.seq) for answer in answers if answer.seq in questions]
    onward = "".join(f" It goes on as {name}: `watchbill inbox show {name}`." for name in again)
    return f"{HOW}\n\nIt was answered: {said}.{onward}"
