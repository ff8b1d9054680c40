"""Report: how the whole workspace stands, for five minutes at breakfast.

Owns the gathering of the status and of the brief that ends a run. Reads only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbill.documents.session import SessionRecord
from watchbill.files.quarantine import reasons
from watchbill.hand_over import step_of
from watchbill.inbox import Waiting, open_items, unreadable
from watchbill.pause import why_paused
from watchbill.rules import dependencies
from watchbill.rules.planning import natural
from watchbill.session_records import records
from watchbill.workspace import Workspace


@dataclass(frozen=True)
class Standing:
    """One ticket in the status. `state` is who acts next, or how it ended; `why` is one sentence."""

    ticket: str
    title: str
    state: str
    why: str
    documents: int
    merged: str | None


@dataclass(frozen=True)
class Status:
    """The whole workspace at one moment."""

    name: str
    paused: str | None
    tickets: tuple[Standing, ...]
    waiting: tuple[Waiting, ...]
    quarantined: tuple[dict[str, str], ...]
    sessions: tuple[SessionRecord, ...]
    troubles: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(standing.state for standing in self.tickets))

    def as_json(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "name": self.name,
            "paused": self.paused,
            "counts": self.counts,
            "tickets": [vars(standing) for standing in self.tickets],
            "inbox": [waiting.item.id for waiting in self.waiting],
            "quarantined": list(self.quarantined),
            "troubles": list(self.troubles),
            "sessions": [session_json(record) for record in self.sessions[-10:]],
        }


def status(workspace: Workspace) -> Status:
    """How everything stands now."""
    backlog = workspace.backlog()
    faults = dependencies.read({name: file.ticket.dependencies for name, file in backlog.tickets.items()}).faults
    standings = []
    for ticket in sorted(backlog.tickets, key=natural):
        history = workspace.history(ticket, backlog)
        step = step_of(workspace, history)
        merged = history.last("merge")
        fault = faults.get(ticket, "") if not step.ended else ""
        standings.append(
            Standing(
                ticket=ticket,
                title=backlog.tickets[ticket].ticket.title,
                state="stuck" if fault else step.ended or " and ".join(step.to),
                why=fault or step.reason,
                documents=len(history.documents),
                merged=merged.merged if merged else None,
            )
        )
    damaged = (*backlog.damaged, *unreadable(workspace.layout))
    troubles = [f"{error.path.relative_to(workspace.root)} cannot be read: {error.why}" for error in damaged]
    troubles += [f"inbox/{error.path.name} cannot be read: {error.why}" for error in unreadable(workspace.layout)]
    for ticket, paths in backlog.duplicates.items():
        troubles.append(f"two files claim the id {ticket}: {' and '.join(path.name for path in paths)}")
    return Status(
        name=workspace.settings.project.name,
        paused=why_paused(workspace.layout),
        tickets=tuple(standings),
        waiting=tuple(open_items(workspace.layout)),
        quarantined=tuple(reasons(workspace.layout.quarantine)),
        sessions=tuple(records(workspace.layout)),
        troubles=tuple(troubles),
    )


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
        history = workspace.history(standing.ticket)
        fresh = [handoff for handoff in history.handoffs if handoff.created >= since.replace(microsecond=0)]
        last = history.last("merge")
        if standing.state == "merged" and last and last in fresh and last.merged:
            merged.append((standing.ticket, standing.title, last.merged))
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
        waiting=(
            *((waiting.item.id, waiting.item.title) for waiting in now.waiting),
            *((error.path.stem, f"its file cannot be read: {error.why}") for error in unreadable(workspace.layout)),
        ),
        deferred=tuple(deferred),
        untouched=tuple(untouched),
        requests=sum(record.turns + record.retries for record in sessions),
        tokens_in=sum(r.tokens.input + r.tokens.cache_read + r.tokens.cache_write for r in sessions),
        tokens_out=sum(record.tokens.output for record in sessions),
        cost=None if any(cost is None for cost in costs) else sum(cost for cost in costs if cost is not None),
    )


def session_json(record: SessionRecord) -> dict[str, Any]:
    """A record as JSON."""
    return record.model_dump(mode="json", by_alias=True, exclude={"body"}, exclude_none=True)
