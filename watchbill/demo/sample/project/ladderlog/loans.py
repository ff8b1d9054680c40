"""Who has what, since when, and until when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta

TERM = timedelta(days=14)


class NotPossible(ValueError):
    """A loan that cannot begin, or a return that cannot be."""


@dataclass(frozen=True)
class Loan:
    """One tool with one neighbour; ``back`` is the day on which it came home."""

    tool: int
    neighbour: str
    out: date
    due: date
    back: date | None = None

    def days_late(self, today: date) -> int:
        """How many days after its due day the tool was kept."""
        return max(0, (today - self.due).days)


def open_loan(loans: list[Loan], tool: int) -> Loan | None:
    """The loan that the tool is out on, if it is out."""
    return next((loan for loan in loans if loan.tool == tool and loan.back is None), None)


def lend(loans: list[Loan], tool: int, neighbour: str, today: date) -> Loan:
    """Begin a loan, and write it down in ``loans``."""
    holder = open_loan(loans, tool)
    if holder is not None:
        raise NotPossible(f"tool {tool} is with {holder.neighbour} until {holder.due}")
    loan = Loan(tool, neighbour, out=today, due=today + TERM)
    loans.append(loan)
    return loan


def give_back(loans: list[Loan], tool: int, today: date) -> Loan:
    """End the open loan of a tool."""
    loan = open_loan(loans, tool)
    if loan is None:
        raise NotPossible(f"tool {tool} is not out")
    ended = replace(loan, back=today)
    loans[loans.index(loan)] = ended
    return ended


def overdue(loans: list[Loan], today: date) -> list[Loan]:
    """The loans that are still out after their due day."""
    return [loan for loan in loans if loan.back is None and today > loan.due]
