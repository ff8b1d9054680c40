"""A ticket's history told document by document, for tests of the rules.

Owns short ways to say what an actor handed over. Everything stays in memory; the documents are the real models.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchbill.documents.handoff import Finding, Handoff
from watchbill.documents.routing import Routing
from watchbill.documents.settings import Gate
from watchbill.documents.ticket import Ticket
from watchbill.history import History, Recorded
from watchbill.rules.next_step import ONE_ANSWER, Step, next_step

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40
CANDIDATE = "c" * 40


def a_finding(severity: str = "medium", name: str = "flaw", **more: Any) -> Finding:
    """A finding; `name` makes its fingerprint."""
    values = {
        "fingerprint": f"{name:_<16}"[:16],
        "severity": severity,
        "confidence": 0.9,
        "rule": "off-by-one",
        "title": f"A {severity} {name}",
        "source": "qa",
    }
    return Finding.model_validate({**values, **more})


def a_ticket(ticket: str = "T-0001", **more: Any) -> Ticket:
    """A ticket of the backlog."""
    return Ticket.model_validate({"id": ticket, "title": f"The work of {ticket}", **more})


class Story:
    """A history that grows by one document with each call; every method returns the story itself."""

    def __init__(
        self,
        ticket: Ticket | None = None,
        routing: Routing | None = None,
        max_attempts: int = 3,
        known: bool = True,
        gate: Gate = ONE_ANSWER,
    ) -> None:
        own = ticket or a_ticket()
        self.routing = routing or Routing()
        self.max_attempts = max_attempts
        self.gate = gate
        self.history = History(id=own.id, ticket=own if known else None, ticket_sha="0" * 64)

    def add(self, sender: str, outcome: str, **more: Any) -> Story:
        """Any document at all."""
        fields = {
            "ticket": self.history.id,
            "seq": self.history.next_seq,
            "created": NOW,
            "from": sender,
            "to": ("nobody",),
            "outcome": outcome,
            "parent": self.history.head,
            **more,
        }
        handoff = Handoff.model_validate(fields)
        recorded = Recorded(handoff, f"{handoff.seq:064}", Path(f"{handoff.seq:04}.md"))
        self.history = replace(self.history, documents=(*self.history.documents, recorded))
        return self

    def build(self, outcome: str = "done", commit: str | None = ONE, **more: Any) -> Story:
        return self.add("build", outcome, commit=commit, **{"session": "build-0001-1", **more})

    def review(self, sender: str, outcome: str = "pass", commit: str = ONE, *findings: Finding, **more: Any) -> Story:
        fields = {"candidate": CANDIDATE, "confidence": 0.9, "session": f"{sender}-0001-1", "findings": findings}
        return self.add(sender, outcome, commit=commit, **{**fields, **more})

    def qa(self, outcome: str = "pass", *findings: Finding, commit: str = ONE, **more: Any) -> Story:
        return self.review("qa", outcome, commit, *findings, **more)

    def security(self, outcome: str = "pass", *findings: Finding, commit: str = ONE, **more: Any) -> Story:
        return self.review("security", outcome, commit, *findings, **more)

    def merge(self, outcome: str = "done", *findings: Finding, commit: str = ONE, **more: Any) -> Story:
        fields: dict[str, Any] = {"commit": commit, "findings": findings}
        if outcome == "done":
            fields |= {"candidate": CANDIDATE, "merged": CANDIDATE}
        return self.add("merge", outcome, **{**fields, **more})

    def conflict(self, commit: str = ONE) -> Story:
        finding = a_finding("medium", "conflict", rule="merge-conflict", source="merge")
        return self.merge("fail", finding, commit=commit, reason="it conflicts with what was merged meanwhile")

    def human(self, decision: str, answers: int | None = None, by: str = "Ada", **more: Any) -> Story:
        """A human's answer, to the newest document if nothing else is said."""
        seq = self.history.next_seq - 1 if answers is None else answers
        return self.add("human", "pass", decision=decision, answers=seq, by=by, **more)

    @property
    def step(self) -> Step:
        return next_step(self.history, self.routing, self.max_attempts, self.gate)

    @property
    def asked(self) -> list[int]:
        """The numbers of the documents that a human is asked about."""
        return [question.seq for question in self.step.questions]


def passed() -> Story:
    """A story in which both reviewers passed the work."""
    return Story().build().qa().security()
