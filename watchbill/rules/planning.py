"""What one session of one agent should work on.

Owns the order of work, the sharing out of turns, and the reason why every other ticket is left alone. The same
inputs give the same manifest, byte for byte.
"""

from __future__ import annotations

import marshal
import re
from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from heapq import nsmallest
from pathlib import Path

from watchbill.documents.manifest import Agent, Entry, Manifest, Skipped
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.documents.ticket import PRIORITIES
from watchbill.errors import Damaged
from watchbill.layout import handoff_ref
from watchbill.rules import dependencies
from watchbill.rules.card import BY_VALUE, Card
from watchbill.rules.turn_caps import share_out

_NUMBER = re.compile(r"[0-9]+")
_URGENCY = {priority: place for place, priority in enumerate(PRIORITIES)}
_DIGITS = 20
NO_DAY = "9999-12-31"


@dataclass(frozen=True)
class Situation:
    """Everything that planning looks at.

    `cards` are the tickets that can be read, by id, in the order of a list (see `listed`); `damaged` the files that
    cannot, `duplicates` the ids that several files claim. `waiting` counts the items in the inbox.
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
    def unreadable(self) -> tuple[tuple[str, str], ...]:
        """What cannot be planned at all, and why."""
        found = [(_shown(error.path), f"cannot be read: {error.why}") for error in self.damaged]
        for ticket, paths in self.duplicates.items():
            *names, last = (_shown(path) for path in paths)
            found.append((ticket, f"{len(paths)} files claim this id: {', '.join(names)} and {last}"))
        return tuple(found)

    @cached_property
    def stands(self) -> list[tuple[Card, str, str]]:
        """Every ticket in the order of a list, what keeps everybody from it, and what keeps those from it whose turn it
        is; both may be empty."""
        faults = self.order.faults
        finished = {ticket for ticket, card in self.cards.items() if card.is_finished}
        return [
            (
                card,
                (_why_nobody(card) if card.ended or "human" in card.to else "") or faults.get(ticket, ""),
                self._why_not_yet(card, finished) if card.needs else "",
            )
            for ticket, card in self.cards.items()
        ]

    def _why_not_yet(self, card: Card, finished: set[str]) -> str:
        """The first ticket that it waits for, in words."""
        waits = [need for need in card.needs if need not in finished and need in self.cards]
        if not waits:
            return ""
        return f"waits for {_with_state(self.cards[min(waits, key=natural) if len(waits) > 1 else waits[0]])}"


@dataclass(frozen=True)
class Heading:
    """What a manifest carries besides its tickets."""

    number: int
    agent: Agent
    created: datetime
    base: str | None
    playbook: str
    agent_version: str


@dataclass(frozen=True)
class Decision:
    """What one session should work on, and, in the order of a list, why not on the other tickets."""

    entries: tuple[Entry, ...]
    skipped: list[tuple[str, str]]

    @property
    def in_bytes(self) -> bytes:
        """All of it: the same bytes, the same decision, whatever words are in it."""
        return marshal.dumps(([entry.model_dump_json() for entry in self.entries], self.skipped), BY_VALUE)


def plan(heading: Heading, situation: Situation, settings: AgentSettings) -> Manifest:
    """The manifest of one session."""
    return manifest_of(heading, decide(heading.agent, situation, settings), settings)


def decide(agent: Agent, situation: Situation, settings: AgentSettings) -> Decision:
    """What one session of the agent should work on, and why not on the rest."""
    reasons = _why_not(agent, situation)
    ready = [card for card, why_not in zip(situation.cards.values(), reasons, strict=True) if not why_not]
    shares = share_out(len(ready), settings.turns_per_ticket, settings.hard_turns)
    first = in_order(ready, situation, len(shares))
    chosen = {card.ticket for card in first}
    too_many = f"no turns are left for it in this session (hard_turns = {settings.hard_turns})"
    skipped = [
        (ticket, why_not or too_many)
        for ticket, why_not in zip(situation.cards, reasons, strict=True)
        if why_not or ticket not in chosen
    ]
    for one in situation.unreadable:
        insort(skipped, one, key=lambda item: (natural(item[0]), item[1]))
    entries = (
        _entry(place, card, turns, agent)
        for place, (card, turns) in enumerate(zip(first, shares, strict=True), start=1)
    )
    return Decision(tuple(entries), skipped)


def manifest_of(heading: Heading, decision: Decision, settings: AgentSettings) -> Manifest:
    """The document that says so."""
    return Manifest(
        id=f"{heading.agent}-{heading.number:04}",
        agent=heading.agent,
        created=heading.created,
        base=heading.base,
        playbook=heading.playbook,
        agent_version=heading.agent_version,
        soft_turns=settings.soft_turns,
        hard_turns=settings.hard_turns,
        entries=decision.entries,
        skipped=tuple(Skipped(ticket, reason) for ticket, reason in decision.skipped),
    )


def in_order(cards: list[Card], situation: Situation, most: int) -> list[Card]:
    """The first of these tickets, which are in the order of a list: the more urgent first, then the less deep, the
    older, and the lower number."""
    depth = situation.order.depth

    def rank(card: Card) -> tuple[int, int, str]:
        return _URGENCY[card.priority], depth.get(card.ticket, 0), card.created or NO_DAY

    return nsmallest(most, cards, key=rank)


def listed(cards: Iterable[Card]) -> dict[str, Card]:
    """Cards by id, in the order of a list."""
    return {card.ticket: card for card in sorted(cards, key=lambda card: natural(card.ticket))}


def natural(name: str) -> str:
    """A key that puts T-2 before T-10, and tells T-2 from T-02."""
    head, dash, tail = name.partition("-")
    if head.isalpha() and tail.isdecimal() and tail.isascii():
        return f"{head}{dash}{tail.rjust(_DIGITS, '0')}\0{name}"
    return f"{_NUMBER.sub(lambda digits: digits[0].rjust(_DIGITS, '0'), name)}\0{name}"


def _shown(path: Path) -> str:
    """The name of a file, whose bytes need not be text."""
    return path.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _why_nobody(card: Card) -> str:
    return card.reason if card.ended else f"waits for a human: {card.reason}"


def _why_not(agent: Agent, situation: Situation) -> list[str]:
    """Why the agent leaves each ticket alone, in the order of a list; empty where it need not."""
    full = ""
    if agent == "build" and situation.waiting >= situation.max_waiting:
        full = f"{situation.waiting} items wait in the inbox, so no new work starts (max_waiting)"
    return [
        why_nobody
        or (_whose_turn(card.to) if agent not in card.to else why_not_yet or (full if not card.documents else ""))
        for card, why_nobody, why_not_yet in situation.stands
    ]


@lru_cache(256)
def _whose_turn(to: tuple[str, ...]) -> str:
    return "waits for the merge" if "merge" in to else f"waits for {' and '.join(to)}"


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
