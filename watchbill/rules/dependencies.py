"""The order that tickets ask of each other.

Owns what is unknown, what is circular, and how deep a ticket stands. Reports, never guesses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHOWN = 20


@dataclass(frozen=True)
class Dependencies:
    """`depth` of every ticket whose dependencies can be put in order; `faults` of every other, in words."""

    depth: dict[str, int]
    faults: dict[str, str]


def read(wanted: Mapping[str, Sequence[str]]) -> Dependencies:
    """Put tickets in order. `wanted` maps each ticket to the tickets that it waits for."""
    faults: dict[str, str] = {}
    depth = {ticket: 0 for ticket, needs in wanted.items() if not needs}
    later: dict[str, Sequence[str]] = {}
    for ticket, needs in wanted.items():
        if not needs:
            continue
        try:
            # Most tickets wait for older ones, which were reached before them.
            depth[ticket] = max([depth[need] for need in needs]) + 1
        except KeyError:
            later[ticket] = needs
    for ticket, needs in later.items():
        unknown = sorted(need for need in needs if need not in wanted)
        if unknown:
            faults[ticket] = f"depends on {', '.join(unknown)}, which is not in the backlog"
    stuck = _reach(later, depth)
    for ticket, why in _circles(later, stuck).items():
        faults.setdefault(ticket, why)
    return Dependencies(depth, faults)


def _reach(later: Mapping[str, Sequence[str]], depth: dict[str, int]) -> set[str]:
    """Add the depth of every ticket that can be reached, and return the others. An unknown one is no obstacle."""
    waiting = {ticket: {need for need in needs if need in later} for ticket, needs in later.items()}
    dependants: dict[str, list[str]] = {}
    for ticket, needs in waiting.items():
        for need in needs:
            dependants.setdefault(need, []).append(ticket)
    ready = [ticket for ticket, needs in waiting.items() if not needs]
    while ready:
        done = ready.pop()
        depth[done] = max([depth[need] + 1 for need in later[done] if need in depth], default=0)
        for ticket in dependants.get(done, ()):
            waiting[ticket].discard(done)
            if not waiting[ticket]:
                ready.append(ticket)
    return {ticket for ticket, needs in waiting.items() if needs}


def _circles(wanted: Mapping[str, Sequence[str]], stuck: set[str]) -> dict[str, str]:
    """What to say of every stuck ticket: from each, follow the smallest stuck dependency until one comes twice."""
    follow = {ticket: min(need for need in wanted[ticket] if need in stuck) for ticket in stuck}
    circle_of: dict[str, tuple[str, ...]] = {}
    for start in sorted(stuck):
        path: dict[str, int] = {}
        current = start
        while current not in path and current not in circle_of:
            path[current] = len(path)
            current = follow[current]
        if current not in circle_of:
            circle = tuple(path)[path[current] :]
            circle_of.update(dict.fromkeys(circle, circle))
        circle_of.update(dict.fromkeys(path.keys() - circle_of.keys(), circle_of[current]))
    return {ticket: _in_words(ticket, circle_of[ticket], follow) for ticket in stuck}


def _in_words(ticket: str, circle: tuple[str, ...], follow: Mapping[str, str]) -> str:
    if ticket not in circle:
        return f"waits for {circle[0]}, which is in a circle of dependencies"
    path, current = [ticket], follow[ticket]
    while current != ticket and len(path) < SHOWN:
        path.append(current)
        current = follow[current]
    left = len(circle) - len(path)
    more = [f"… {left} more …"] if left else []
    return f"is in a circle of dependencies: {' → '.join([*path, *more, ticket])}"
