"""Two ways of doing the same, timed one right after the other, again and again.

Owns the pairing and the line that is printed. The result is the median of the pairs' ratios, so a machine that slows
down half way slows down both.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

LEAST = 5


@dataclass(frozen=True)
class Measured:
    """Seconds of each pair: what it is compared with, and ours."""

    name: str
    goal: float | None
    seconds: tuple[tuple[float, float], ...]

    @property
    def ratio(self) -> float:
        return median(ours / theirs for theirs, ours in self.seconds)


def measure(
    name: str,
    goal: float | None,
    theirs: Callable[[], object],
    ours: Callable[[], object],
    pairs: int = LEAST,
    before: Callable[[], object] = lambda: None,
) -> Measured:
    """Time `theirs` and `ours`, pair after pair. `before` makes each of ours begin anew, and is not timed."""
    seconds = []
    for _ in range(pairs):
        first = _time(theirs)
        before()
        seconds.append((first, _time(ours)))
    return Measured(name, goal, tuple(seconds))


def print_heading(first: str) -> None:
    print(f"{first:<52} {'compared':>10} {'ours':>10} {'ratio':>8} {'goal':>6}")


def print_row(measured: Measured) -> None:
    theirs, ours = (median(column) for column in zip(*measured.seconds, strict=True))
    goal = f"{measured.goal:g}" if measured.goal is not None else "-"
    missed = measured.goal is not None and measured.ratio > measured.goal
    row = f"{measured.name:<52} {theirs * 1000:7.0f} ms {ours * 1000:7.0f} ms {measured.ratio:8.2f} {goal:>6}"
    print(row + ("  missed" if missed else ""), flush=True)


def _time(act: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start
