"""The one door through which every actor adds a document to a history.

Owns numbering, the `to` of a document, the race for a number, that no secret stands in what is published, and that the
question to a human is published right after the document that raises it. What is published is noted, for `verify`, in
a journal outside the histories. Never judges the content of a document.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from watchbill.documents.handoff import Handoff
from watchbill.documents.redacted import redacted
from watchbill.errors import Stale, TryLater
from watchbill.gate import holds
from watchbill.heads import note_intended, note_published
from watchbill.history import History, Recorded, append
from watchbill.inbox import ask
from watchbill.rules.next_step import Step, next_step
from watchbill.workspace import Workspace

TRIES = 20


def hand_over(
    workspace: Workspace,
    ticket: str,
    fields: dict[str, Any],
    now: datetime,
    still_valid: Callable[[History, Step], bool],
    diff: Callable[[Handoff], str] = lambda _: "",
) -> tuple[Handoff, Step]:
    """Publish the next document of `ticket` and the questions that follow from it.

    `fields` are a handoff's without ticket, seq, created, parent and to. When another writer takes the number
    first, the history is read again and `still_valid` is asked whether the work still makes sense; `Stale` if not.
    Returns the document and the step that follows.
    """
    for _ in range(TRIES):
        history = workspace.history(ticket)
        if not still_valid(history, step_of(workspace, history)):
            raise Stale(f"{ticket} has moved on meanwhile", "Nothing was published; run it again.")
        handoff = _numbered(workspace, history, fields, now)
        note_intended(workspace.layout, handoff)
        try:
            history = append(workspace.layout, history, handoff, workspace.histories)
        except Stale:
            continue
        with suppress(TryLater):  # it is published: that nobody can note it any more takes nothing back
            note_published(workspace.layout, handoff)
        step = step_of(workspace, history)
        gate = holds(workspace.settings, workspace.root, now)
        ask(workspace.layout, history, step, now, _diff_for(step, history, diff), gate)
        return handoff, step
    raise Stale(f"{ticket} is written to by too many at once", "Run it again.")


def step_of(workspace: Workspace, history: History) -> Step:
    """The next step of a ticket under this workspace's routing and limits."""
    settings = workspace.settings
    return next_step(history, workspace.routing, settings.limits.max_attempts, settings.gate)


def _numbered(workspace: Workspace, history: History, fields: dict[str, Any], now: datetime) -> Handoff:
    whole = Handoff.model_validate(
        {
            "ticket": history.id,
            "seq": history.next_seq,
            "created": now,
            "to": ("nobody",),
            "parent": history.head,
            "playbook": workspace.playbook_hash,
            **fields,
        }
    )
    draft = redacted(whole).fitting()
    unpublished = Recorded(draft, "0" * 64, workspace.layout.handoff(draft.ticket, draft.seq))
    after = replace(history, documents=(*history.documents, unpublished))
    return draft.model_copy(update={"to": step_of(workspace, after).to})


def _diff_for(step: Step, history: History, diff: Callable[[Handoff], str]) -> str:
    if not step.questions:
        return ""
    work = history.document(step.work) if step.work else None
    return diff(work.handoff) if work else ""
