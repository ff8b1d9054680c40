"""The order that tickets ask of each other.

Owns what is unknown, what is circular, and how deep a ticket stands. Reports, never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Dependencies:
    """`depth` of every ticket whose dependencies can be put in order; `faults` of every other, in words."""

    depth: dict[str, int]
    faults: dict[str, str]


def read(wanted: Mapping[str, Sequence[str]]) -> Dependencies:
    """Put tickets in order. `wanted` maps each ticket to the tickets that it waits for."""
    faults: dict[str, str] = {}
    for ticket, needs in wanted.items():
        unknown = sorted(need for need in needs if need not in wanted)
        if unknown:
            faults[ticket] = f"depends on {', '.join(unknown)}, which is not in the backlog"
    depth, stuck = _depths(wanted)
    for ticket in stuck:
        faults.setdefault(ticket, _circle(ticket, wanted, stuck))
    return Dependencies(depth, faults)


def _depths(wanted: Mapping[str, Sequence[str]]) -> tuple[dict[str, int], set[str]]:
    waiting = {ticket: {need for need in needs if need in wanted} for ticket, needs in wanted.items()}
    dependants: dict[str, list[str]] = {}
    for ticket, needs in waiting.items():
        for need in needs:
            dependants.setdefault(need, []).append(ticket)
    depth = {ticket: 0 for ticket, needs in waiting.items() if not needs}
    ready = list(depth)
    while ready:
        done = ready.pop()
        for ticket in dependants.get(done, ()):
            waiting[ticket].discard(done)
            depth[ticket] = max(depth.get(ticket, 0), depth[done] + 1)
            if not waiting[ticket]:
                ready.append(ticket)
    stuck = {ticket for ticket, needs in waiting.items() if needs}
    return {ticket: value for ticket, value in depth.items() if ticket not in stuck}, stuck


def _circle(ticket: str, wanted: Mapping[str, Sequence[str]], stuck: set[str]) -> str:
    """Follow the smallest stuck dependency until a ticket comes twice."""
    path: list[str] = []
    current = ticket
    while current not in path:
        path.append(current)
        current = min(need for need in wanted[current] if need in stuck)
    circle = path[path.index(current) :]
    if ticket in circle:
        return f"is in a circle of dependencies: {' → '.join([*circle, circle[0]])}"
    return f"waits for {current}, which is in a circle of dependencies"
