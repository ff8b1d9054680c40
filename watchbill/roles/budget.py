"""The turns that one session spends, ticket by ticket.

Owns the counting: a request is journalled, on disk, before it is sent, so that a crash cannot forget it. The caps
themselves are `rules/turn_caps`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from watchbill.files import journal
from watchbill.files.document import stamp
from watchbill.rules.turn_caps import Caps, Pace, may_start, pace


class CapReached(Exception):
    """Not one request more."""


@dataclass
class SessionBudget:
    """What a session may spend and has spent. `journal_path` is the journal of its manifest."""

    journal_path: Path
    session: str
    caps: Caps
    spent: int = 0
    by_ticket: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    turns: int = 0

    @classmethod
    def open(cls, path: Path, session: str, caps: Caps) -> SessionBudget:
        """Continue the count where an earlier session of the same manifest, perhaps a dead one, left it."""
        budget = cls(path, session, caps)
        for line in journal.read(path):
            if line.get("event") in ("turn", "retry"):
                budget.spent += 1
                budget.by_ticket[str(line.get("ticket"))] += 1
        return budget

    def may_start(self) -> bool:
        """Whether another ticket may be begun."""
        return may_start(self.spent, self.caps)


@dataclass
class TicketBudget:
    """The turns of one ticket within a session. `turns` counts the messages that this session asked for."""

    whole: SessionBudget
    ticket: str
    caps: Caps
    turns: int = 0

    @property
    def spent(self) -> int:
        """All requests under this manifest entry, those of dead sessions and retries included."""
        return self.whole.by_ticket[self.ticket]

    def pace(self) -> Pace:
        """What the next request may be."""
        return pace(self.spent, self.caps, self.whole.spent, self.whole.caps)

    def until_wrap_up(self) -> int:
        """How many turns come before the one whose tools are refused."""
        return min(self.caps.wraps_up_at - self.spent, self.whole.caps.wraps_up_at - self.whole.spent) - 1

    def reserve(self, is_retry: bool) -> None:
        """Journal the request that is about to be sent. Raises `CapReached` when there may be none."""
        if self.pace() == "stop":
            raise CapReached
        event = "retry" if is_retry else "turn"
        self.whole.spent += 1
        self.whole.by_ticket[self.ticket] += 1
        line = {"event": event, "ticket": self.ticket, "session": self.whole.session, "at": stamp(datetime.now(UTC))}
        journal.append(self.whole.journal_path, line)
        if is_retry:
            self.whole.retries += 1
        else:
            self.turns += 1
            self.whole.turns += 1
