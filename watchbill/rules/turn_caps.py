"""How many turns are left, and what that means for the next request.

Owns the soft and the hard cap. One turn is one message requested from the model; a retry of the transport spends
from the same budget, so the number of requests can never pass the cap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pace = Literal["work", "wrap up", "last", "stop"]


@dataclass(frozen=True)
class Caps:
    """A soft and a hard cap, in turns."""

    soft: int
    hard: int

    @property
    def wraps_up_at(self) -> int:
        """The turn from which on nothing but handing over works: the soft cap, but never only the last turn."""
        return min(self.soft, max(1, self.hard - 1))


def entry_caps(turns: int, soft_turns: int, hard_turns: int) -> Caps:
    """The caps of one ticket within a session: the soft cap stands in the same proportion as the session's.

    At least one turn lies between the two, so that there is always one for handing over.
    """
    soft = min(turns * soft_turns // hard_turns, turns - 1)
    return Caps(max(1, soft), turns)


def pace(entry_spent: int, entry: Caps, session_spent: int, session: Caps) -> Pace:
    """What the next request may be, after so many were made for this ticket and in this session."""
    left = min(entry.hard - entry_spent, session.hard - session_spent)
    if left <= 0:
        return "stop"
    if left == 1:
        return "last"
    if entry_spent >= entry.soft or session_spent >= session.soft:
        return "wrap up"
    return "work"


def may_start(session_spent: int, session: Caps) -> bool:
    """Whether a session begins another ticket: not past its soft cap."""
    return session_spent < session.soft


def share_out(tickets: int, turns_per_ticket: int, hard_turns: int) -> list[int]:
    """The turns of each ticket in order; fewer numbers than tickets when the budget does not reach.

    A ticket gets its full share or what is left, but never so little that it could only begin, unless that is all
    that there is.
    """
    least = max(1, min(turns_per_ticket, hard_turns, 4))
    shares: list[int] = []
    left = hard_turns
    while len(shares) < tickets and left >= least:
        share = min(turns_per_ticket, left)
        shares.append(share)
        left -= share
    return shares
