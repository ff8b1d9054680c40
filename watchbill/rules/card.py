"""A ticket on one card: what planning, the status and every list need to know of it, and nothing else.

Owns what stands on a card and how it follows from a ticket and its history. A card is plain values only, so that a
hundred thousand of them fit into memory and into one file. No commit is ever judged by a card.
"""

from __future__ import annotations

from datetime import UTC
from typing import NamedTuple

from watchbill.documents.handoff import Handoff
from watchbill.documents.ticket import Gist, Ticket
from watchbill.history import History
from watchbill.layout import AGENTS
from watchbill.rules.next_step import Question, Step

BY_VALUE = 2
"""The newest form of marshal in which equal values are equal bytes: later ones also tell which objects are shared."""


class Card(NamedTuple):
    """One ticket. `created` is a day such as 2026-11-20, `latest` the time of the newest document; both may be empty.

    `to`, `reason`, `ended` and `approval` are its step's. `reads` are the documents that each agent of `to` reads
    first, `questions` the documents that a human is asked about, `merged` the commit that landed, `void` the decisions
    that do not count, each with the reason. `asked` says of each question the document, when it was asked, and what it
    waits for besides one answer of anybody's.
    """

    ticket: str
    title: str
    priority: str
    created: str
    needs: tuple[str, ...]
    to: tuple[str, ...]
    reason: str
    ended: str
    approval: int | None
    reads: tuple[tuple[str, tuple[int, ...]], ...]
    questions: tuple[int, ...]
    documents: int
    latest: str
    merged: str | None
    void: tuple[tuple[int, str], ...] = ()
    asked: tuple[tuple[int, str, str], ...] = ()

    @property
    def state(self) -> str:
        """Who acts next, or how it ended."""
        return self.ended or " and ".join(self.to)

    @property
    def is_finished(self) -> bool:
        """Whether it holds nothing up that depends on it: merged, or closed by a human."""
        return self.ended in ("merged", "closed")


_STAND = Card._fields.index("to")
"""Before it a card says what the ticket's gist says, in the same order; from it on how the ticket stands."""


def card_of(ticket: Ticket, history: History, step: Step) -> Card:
    """The card of a ticket as it stands now."""
    handoffs, counted = history.handoffs, history.counted
    merge = history.last("merge")
    agents = [agent for agent in AGENTS if agent in step.to]
    return Card(
        ticket=ticket.id,
        title=ticket.title,
        priority=ticket.priority,
        created=ticket.created_date.isoformat() if ticket.created_date else "",
        needs=ticket.dependencies,
        to=step.to,
        reason=step.reason,
        ended=step.ended,
        approval=step.approval,
        reads=tuple((agent, tuple(to_read(counted, agent, step))) for agent in agents) if counted else (),
        questions=tuple(question.seq for question in step.questions),
        documents=len(handoffs),
        latest=max(handoff.created for handoff in handoffs).astimezone(UTC).isoformat() if handoffs else "",
        merged=merge.merged if merge else None,
        void=tuple(sorted(history.void.items())),
        asked=tuple(_asked(history, question) for question in step.questions),
    )


def card_like(first: Card, gist: Gist) -> Card:
    """The card of a ticket that has no document, like `first`, whose status it shares."""
    return Card._make((*gist[:_STAND], *first[_STAND:]))


def _asked(history: History, question: Question) -> tuple[int, str, str]:
    recorded = history.document(question.seq)
    asked = recorded.handoff.created.astimezone(UTC).isoformat() if recorded else ""
    return question.seq, asked, question.waiting if question.needs > 1 or question.waits_for else ""


def to_read(handoffs: tuple[Handoff, ...], agent: str, step: Step) -> list[int]:
    """The documents that a session reads first: from the last build on, and what the agent itself said last."""
    if agent == "build":
        builds = [handoff.seq for handoff in handoffs if handoff.sender == "build"]
        start = builds[-1] if builds else 1
        return [handoff.seq for handoff in handoffs if handoff.seq >= start]
    own = [handoff.seq for handoff in handoffs if handoff.sender == agent][-1:]
    work = [step.work] if step.work else []
    decisions = [handoff.seq for handoff in handoffs if handoff.sender == "human"][-2:]
    return sorted({*own, *work, *decisions})
