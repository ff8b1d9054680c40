"""What is printed for the notice board by the shed's door."""

from __future__ import annotations

from datetime import date

from ladderlog.book import Book
from ladderlog.catalogue import by_number
from ladderlog.loans import open_loan, overdue


def shelf_lines(book: Book) -> list[str]:
    """Every tool by shelf, and where it is."""
    lines = []
    for tool in sorted(book.tools, key=lambda tool: (tool.shelf, tool.name)):
        loan = open_loan(book.loans, tool.number)
        where = f"with {loan.neighbour}" if loan else "home"
        lines.append(f"{tool.shelf}  {tool.number:>3}  {tool.name} ({where})")
    return lines


def overdue_lines(book: Book, today: date) -> list[str]:
    """One line for each tool that should be home by now."""
    lines = []
    for loan in overdue(book.loans, today):
        tool = by_number(book.tools, loan.tool)
        lines.append(f"{tool.name}: {loan.neighbour}, {_days(loan.days_late(today))} late")
    return lines or ["Everything is home in time."]


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
