"""What one session of one agent should work on.

Owns the order of work, the sharing out of turns, and the reason why every other ticket is left alone. The same
inputs give the same manifest, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from watchbill.documents.handoff import Handoff
from watchbill.documents.manifest import Agent, Entry, Manifest, Skipped
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.documents.ticket import PRIORITIES, Ticket
from watchbill.history import Backlog, History
from watchbill.layout import handoff_ref
from watchbill.rules import dependencies
from watchbill.rules.next_step import Step
from watchbill.rules.turn_caps import share_out


@dataclass(frozen=True)
class Situation:
    """Everything that planning looks at. `waiting` counts the items in the inbox."""

    backlog: Backlog
    histories: Mapping[str, History]
    steps: Mapping[str, Step]
    waiting: int
    max_waiting: int


@dataclass(frozen=True)
class Heading:
    """What a manifest carries besides its tickets."""

    number: int
    agent: Agent
    created: datetime
    base: str | None
    playbook: str
    agent_version: str


def plan(heading: Heading, situation: Situation, settings: AgentSettings) -> Manifest:
    """The manifest of one session."""
    skipped = _unreadable(situation.backlog)
    order = _order(situation)
    ready: list[str] = []
    for ticket in situation.backlog.tickets:
        why_not = _why_not(ticket, heading.agent, situation, order)
        if why_not:
            skipped.append(Skipped(ticket=ticket, reason=why_not))
        else:
            ready.append(ticket)
    ready.sort(key=lambda ticket: _rank(situation.backlog.tickets[ticket].ticket, order.depth.get(ticket, 0)))
    shares = share_out(len(ready), settings.turns_per_ticket, settings.hard_turns)
    entries = [
        _entry(place, ticket, turns, heading.agent, situation)
        for place, (ticket, turns) in enumerate(zip(ready, shares, strict=False), start=1)
    ]
    for ticket in ready[len(shares) :]:
        reason = f"no turns are left for it in this session (hard_turns = {settings.hard_turns})"
        skipped.append(Skipped(ticket=ticket, reason=reason))
    return Manifest(
        id=f"{heading.agent}-{heading.number:04}",
        agent=heading.agent,
        created=heading.created,
        base=heading.base,
        playbook=heading.playbook,
        agent_version=heading.agent_version,
        soft_turns=settings.soft_turns,
        hard_turns=settings.hard_turns,
        entries=tuple(entries),
        skipped=tuple(sorted(skipped, key=lambda item: (natural(item.ticket), item.reason))),
    )


def _order(situation: Situation) -> dependencies.Dependencies:
    """The depth of every ticket, and what is wrong with its dependencies. What a finished ticket once waited for
    holds nothing up."""
    wanted = {ticket: file.ticket.dependencies for ticket, file in situation.backlog.tickets.items()}
    order = dependencies.read(wanted)
    if not order.faults:
        return order
    unfinished = {ticket: () if is_finished(ticket, situation) else needs for ticket, needs in wanted.items()}
    pruned = dependencies.read(unfinished)
    return dependencies.Dependencies({**pruned.depth, **order.depth}, pruned.faults)


def natural(ticket: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """A key that puts T-2 before T-10, and tells T-2 from T-02."""
    parts = (part for part in re.split(r"([0-9]+)", ticket) if part)
    return tuple((int(part), "") if part[0] in "0123456789" else (-1, part) for part in parts), ticket


def _rank(ticket: Ticket, depth: int) -> tuple[int, int, date, tuple[tuple[tuple[int, str], ...], str]]:
    return (
        PRIORITIES.index(ticket.priority),
        depth,
        ticket.created_date or date.max,
        natural(ticket.id),
    )


def _unreadable(backlog: Backlog) -> list[Skipped]:
    found = [Skipped(ticket=_shown(error.path), reason=f"cannot be read: {error.why}") for error in backlog.damaged]
    for ticket, paths in backlog.duplicates.items():
        *names, last = (_shown(path) for path in paths)
        reason = f"{len(paths)} files claim this id: {', '.join(names)} and {last}"
        found.append(Skipped(ticket=ticket, reason=reason))
    return found


def _shown(path: Path) -> str:
    """The name of a file, whose bytes need not be text."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _why_not(ticket: str, agent: str, situation: Situation, order: dependencies.Dependencies) -> str:
    step = situation.steps[ticket]
    if step.ended:
        return step.reason
    if "human" in step.to:
        return f"waits for a human: {step.reason}"
    if ticket in order.faults:
        return order.faults[ticket]
    if agent not in step.to:
        return "waits for the merge" if "merge" in step.to else f"waits for {' and '.join(step.to)}"
    needs = situation.backlog.tickets[ticket].ticket.dependencies
    waits = sorted((need for need in needs if not is_finished(need, situation)), key=natural)
    if waits:
        return f"waits for {_with_state(waits[0], situation)}"
    is_new = not situation.histories[ticket].documents
    if agent == "build" and is_new and situation.waiting >= situation.max_waiting:
        return f"{situation.waiting} items wait in the inbox, so no new work starts (max_waiting)"
    return ""


def is_finished(ticket: str, situation: Situation) -> bool:
    """Whether a dependency holds nothing up: merged, or closed by a human."""
    return situation.steps[ticket].ended in ("merged", "closed")


def _with_state(ticket: str, situation: Situation) -> str:
    step = situation.steps[ticket]
    if step.ended:
        return f"{ticket}, which was {step.ended}"
    return f"{ticket}, which waits for {' and '.join(step.to)}"


def _entry(place: int, ticket: str, turns: int, agent: str, situation: Situation) -> Entry:
    step = situation.steps[ticket]
    return Entry(
        ticket=ticket,
        order=place,
        reason=step.reason,
        turns=turns,
        read=tuple(handoff_ref(ticket, seq) for seq in to_read(situation.histories[ticket].handoffs, agent, step)),
        approval=step.approval,
    )


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
