"""Report: how the whole workspace stands, for five minutes at breakfast.

Owns the gathering of the status and of the brief that ends a run. Reads only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from watchbill.documents.handoff import Handoff
from watchbill.documents.session import SessionRecord
from watchbill.files.quarantine import reasons
from watchbill.gate import holds
from watchbill.history import read_history
from watchbill.inbox import Listed, listed
from watchbill.layout import item_id
from watchbill.overview import Overview, overview_of
from watchbill.pause import why_paused
from watchbill.rules import dependencies
from watchbill.rules.card import Card
from watchbill.rules.decisions import overdue
from watchbill.session_records import records
from watchbill.workspace import Workspace


@dataclass(frozen=True)
class Standing:
    """One ticket in the status. `state` is who acts next, or how it ended; `why` is one sentence; `latest` is the time
    of its newest document."""

    ticket: str
    title: str
    state: str
    why: str
    documents: int
    merged: str | None
    latest: str


@dataclass(frozen=True)
class Status:
    """The whole workspace at one moment."""

    name: str
    gate: str
    paused: str | None
    tickets: tuple[Standing, ...]
    waiting: tuple[Listed, ...]
    quarantined: tuple[dict[str, str], ...]
    sessions: tuple[SessionRecord, ...]
    troubles: tuple[str, ...]
    reminders: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(standing.state for standing in self.tickets))

    def as_json(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "name": self.name,
            "gate": self.gate,
            "paused": self.paused,
            "counts": self.counts,
            "tickets": [vars(standing) for standing in self.tickets],
            "inbox": [line.id for line in self.waiting],
            "waiting": [vars(line) for line in self.waiting],
            "quarantined": list(self.quarantined),
            "troubles": list(self.troubles),
            "reminders": list(self.reminders),
            "sessions": [session_json(record) for record in self.sessions[-10:]],
        }


def status(workspace: Workspace, now: datetime | None = None) -> Status:
    """How everything stands now. `now` is what the age of a question is measured by; without it nothing is overdue."""
    seen = overview_of(workspace)
    faults = dependencies.read({ticket: card.needs for ticket, card in seen.cards.items()}).faults
    damaged = (*seen.damaged, *seen.broken)
    troubles = [f"{error.path.relative_to(workspace.root)} cannot be read: {error.why}" for error in damaged]
    for ticket, files in seen.duplicates.items():
        troubles.append(f"{len(files)} files claim the id {ticket}: {' and '.join(files)}")
    for history in seen.troubled:
        changed = (f"handoffs/{history.id}/{seq:04}.md is not what was published" for seq in history.changed)
        troubles += [f"{what}; put it back, or: watchbill ticket close {history.id}" for what in changed]
    return Status(
        name=workspace.settings.project.name,
        gate=holds(workspace.settings, workspace.root, now or datetime.now(UTC)).words,
        paused=why_paused(workspace.layout),
        tickets=tuple(_standing(card, faults.get(card.ticket, "")) for card in seen.cards.values()),
        waiting=tuple(waiting(workspace, seen)),
        quarantined=tuple(reasons(workspace.layout.quarantine)),
        sessions=tuple(records(workspace.layout)),
        troubles=(*troubles, *(line for card in seen.cards.values() for line in _void(card))),
        reminders=tuple(reminders(workspace, now, seen)),
    )


def waiting(workspace: Workspace, seen: Overview | None = None) -> list[Listed]:
    """Every question that waits, also one whose page is spoilt, or lies elsewhere until the next run."""
    lines = {line.id: line for line in listed(workspace.layout, workspace.settings.gate.require == "signature")}
    for card in (seen or overview_of(workspace)).cards.values():
        for seq in card.questions:
            item = item_id(card.ticket, seq)
            line = lines.get(item, Listed(item, "", "", "its page is not in the inbox until the next run"))
            lines[item] = line if line.title else replace(line, title=card.reason)
    return [lines[item] for item in sorted(lines)]


def _void(card: Card) -> Iterator[str]:
    return (f"document {seq:04} of {card.ticket} does not count: {why}" for seq, why in card.void)


def _standing(card: Card, fault: str) -> Standing:
    is_stuck = bool(fault) and not card.ended
    return Standing(
        ticket=card.ticket,
        title=card.title,
        state="stuck" if is_stuck else card.state,
        why=fault if is_stuck else card.reason,
        documents=card.documents,
        merged=card.merged,
        latest=card.latest,
    )


def reminders(workspace: Workspace, now: datetime | None, seen: Overview | None = None) -> list[str]:
    """What the open questions wait for, where that is more than one answer; and those that wait for too long."""
    found: list[str] = []
    for card in (seen or overview_of(workspace)).cards.values():
        for seq, asked, waiting in card.asked:
            item = item_id(card.ticket, seq)
            if waiting:
                found.append(f"{item} {waiting}")
            late = overdue(datetime.fromisoformat(asked), workspace.settings.gate, now) if now else ""
            if late:
                found.append(f"{item} is {late}")
    return found


@dataclass(frozen=True)
class Brief:
    """What a run did: what was merged, what waits, what was deferred and why, and what it cost."""

    merged: tuple[tuple[str, str, str], ...]
    waiting: tuple[tuple[str, str], ...]
    deferred: tuple[tuple[str, str], ...]
    untouched: tuple[tuple[str, str], ...]
    requests: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def as_json(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "merged": [{"ticket": ticket, "title": title, "commit": commit} for ticket, title, commit in self.merged],
            "waiting": [{"item": item, "why": why} for item, why in self.waiting],
            "deferred": [{"ticket": ticket, "why": why} for ticket, why in self.deferred],
            "untouched": [{"ticket": ticket, "why": why} for ticket, why in self.untouched],
            "requests": self.requests,
            "tokens": {"input": self.tokens_in, "output": self.tokens_out},
            "cost": self.cost,
        }


def brief(workspace: Workspace, since: datetime) -> Brief:
    """What happened since a moment, and how it left things."""
    now = status(workspace)
    merged, deferred, untouched = [], [], []
    for standing in now.tickets:
        fresh = _since(workspace, standing, since.replace(microsecond=0))
        landed = [handoff.merged for handoff in fresh if handoff.merged]
        if standing.state == "merged" and landed:
            merged.append((standing.ticket, standing.title, landed[-1]))
        put_off = [handoff for handoff in fresh if handoff.outcome == "deferred"]
        if put_off:
            often = f" ({len(put_off)} sessions)" if len(put_off) > 1 else ""
            after = "; finished since" if standing.state == "merged" else ""
            deferred.append((standing.ticket, f"{put_off[-1].reason or 'by the agent itself'}{often}{after}"))
        if standing.state not in ("merged", "human", "closed", "rejected"):
            untouched.append((standing.ticket, standing.why))
    sessions = [record for record in now.sessions if record.start_date >= since.replace(microsecond=0)]
    costs = [record.cost for record in sessions if record.turns]
    return Brief(
        merged=tuple(merged),
        waiting=(*((line.id, "; ".join(part for part in (line.title, line.mark) if part)) for line in now.waiting),),
        deferred=tuple(deferred),
        untouched=tuple(untouched),
        requests=sum(record.turns + record.retries for record in sessions),
        tokens_in=sum(r.tokens.input + r.tokens.cache_read + r.tokens.cache_write for r in sessions),
        tokens_out=sum(record.tokens.output for record in sessions),
        cost=None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None),
    )


def _since(workspace: Workspace, standing: Standing, moment: datetime) -> list[Handoff]:
    """The documents of a ticket from a moment on. One with none is not opened."""
    if not standing.latest or datetime.fromisoformat(standing.latest) < moment:
        return []
    history = read_history(workspace.layout, standing.ticket, None)
    return [handoff for handoff in history.handoffs if handoff.created >= moment]


def session_json(record: SessionRecord) -> dict[str, Any]:
    """A record as JSON."""
    return record.model_dump(mode="json", by_alias=True, exclude={"body"}, exclude_none=True)
