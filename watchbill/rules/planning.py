"""What one session of one agent should work on.

Owns the order of work, the sharing out of turns, and the reason why every other ticket is left alone. The same
inputs give the same manifest, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from heapq import nsmallest
from pathlib import Path

from watchbill.documents.manifest import Agent, Entry, Manifest, Skipped
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.documents.ticket import PRIORITIES
from watchbill.errors import Damaged
from watchbill.layout import handoff_ref
from watchbill.rules import dependencies
from watchbill.rules.card import Card
from watchbill.rules.turn_caps import share_out

_NUMBER = re.compile(r"[0-9]+")
_URGENCY = {priority: place for place, priority in enumerate(PRIORITIES)}
_DIGITS = 20
NO_DAY = "9999-12-31"


@dataclass(frozen=True)
class Situation:
    """Everything that planning looks at.

    `cards` are the tickets that can be read, by id; `damaged` the files that cannot, `duplicates` the ids that several
    files claim. `waiting` counts the items in the inbox.
    """

    cards: Mapping[str, Card]
    waiting: int
    max_waiting: int
    damaged: tuple[Damaged, ...] = ()
    duplicates: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    @cached_property
    def order(self) -> dependencies.Dependencies:
        """The depth of every ticket, and what is wrong with its dependencies. What a finished ticket once waited for
        holds nothing up."""
        wanted = {ticket: card.needs for ticket, card in self.cards.items()}
        order = dependencies.read(wanted)
        if not order.faults:
            return order
        unfinished = {ticket: () if self.cards[ticket].is_finished else needs for ticket, needs in wanted.items()}
        pruned = dependencies.read(unfinished)
        return dependencies.Dependencies({**pruned.depth, **order.depth}, pruned.faults)

    @cached_property
    def unreadable(self) -> tuple[Skipped, ...]:
        """What cannot be planned at all, and why."""
        found = [Skipped(_shown(error.path), f"cannot be read: {error.why}") for error in self.damaged]
        for ticket, paths in self.duplicates.items():
            *names, last = (_shown(path) for path in paths)
            found.append(Skipped(ticket, f"{len(paths)} files claim this id: {', '.join(names)} and {last}"))
        return tuple(found)

    @cached_property
    def places(self) -> dict[str, int]:
        """Everything that a manifest may name, in the order of a list."""
        names = {*self.cards, *(skipped.ticket for skipped in self.unreadable)}
        return {name: place for place, name in enumerate(sorted(names, key=natural))}


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
    cards, places = situation.cards, situation.places
    skipped = list(situation.unreadable)
    ready: list[Card] = []
    for ticket, card in cards.items():
        why_not = _why_not(card, heading.agent, situation)
        if why_not:
            skipped.append(Skipped(ticket, why_not))
        else:
            ready.append(card)
    shares = share_out(len(ready), settings.turns_per_ticket, settings.hard_turns)
    first = in_order(ready, situation, len(shares))
    chosen = {card.ticket for card in first}
    too_many = f"no turns are left for it in this session (hard_turns = {settings.hard_turns})"
    skipped += [Skipped(card.ticket, too_many) for card in ready if card.ticket not in chosen]
    return Manifest(
        id=f"{heading.agent}-{heading.number:04}",
        agent=heading.agent,
        created=heading.created,
        base=heading.base,
        playbook=heading.playbook,
        agent_version=heading.agent_version,
        soft_turns=settings.soft_turns,
        hard_turns=settings.hard_turns,
        entries=tuple(
            _entry(place, card, turns, heading.agent)
            for place, (card, turns) in enumerate(zip(first, shares, strict=True), start=1)
        ),
        skipped=tuple(sorted(skipped, key=lambda item: (places[item.ticket], item.reason))),
    )


def in_order(cards: list[Card], situation: Situation, most: int) -> list[Card]:
    """The first of these tickets: the more urgent first, then the less deep, the older, and the lower number."""
    depth, places = situation.order.depth, situation.places

    def rank(card: Card) -> tuple[int, int, str, int]:
        return _URGENCY[card.priority], depth.get(card.ticket, 0), card.created or NO_DAY, places[card.ticket]

    return nsmallest(most, cards, key=rank)


def natural(name: str) -> str:
    """A key that puts T-2 before T-10, and tells T-2 from T-02."""
    head, dash, tail = name.partition("-")
    if head.isalpha() and tail.isdecimal() and tail.isascii():
        return f"{head}{dash}{tail.rjust(_DIGITS, '0')}\0{name}"
    return f"{_NUMBER.sub(lambda digits: digits[0].rjust(_DIGITS, '0'), name)}\0{name}"


def _shown(path: Path) -> str:
    """The name of a file, whose bytes need not be text."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _why_not(card: Card, agent: str, situation: Situation) -> str:
    if card.ended:
        return card.reason
    if "human" in card.to:
        return f"waits for a human: {card.reason}"
    fault = situation.order.faults.get(card.ticket)
    if fault:
        return fault
    if agent not in card.to:
        return "waits for the merge" if "merge" in card.to else f"waits for {' and '.join(card.to)}"
    if card.needs:
        waits = [need for need in card.needs if not situation.cards[need].is_finished]
        if waits:
            return f"waits for {_with_state(situation.cards[min(waits, key=natural)])}"
    if agent == "build" and not card.documents and situation.waiting >= situation.max_waiting:
        return f"{situation.waiting} items wait in the inbox, so no new work starts (max_waiting)"
    return ""


def _with_state(card: Card) -> str:
    if card.ended:
        return f"{card.ticket}, which was {card.ended}"
    return f"{card.ticket}, which waits for {' and '.join(card.to)}"


def _entry(place: int, card: Card, turns: int, agent: str) -> Entry:
    return Entry(
        ticket=card.ticket,
        order=place,
        reason=card.reason,
        turns=turns,
        read=tuple(handoff_ref(card.ticket, seq) for seq in dict(card.reads).get(agent, ())),
        approval=card.approval,
    )
