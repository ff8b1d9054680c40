from datetime import date

from ladderlog.book import Book
from ladderlog.catalogue import Tool
from ladderlog.loans import Loan
from ladderlog.report import overdue_lines, shelf_lines

BOOK = Book(
    tools=[Tool(1, "Long ladder", "B2"), Tool(2, "Cordless drill", "A1")],
    loans=[Loan(1, "Ada", date(2026, 3, 2), date(2026, 3, 16))],
)


def test_the_shelf_list_says_who_has_what():
    assert shelf_lines(BOOK) == ["A1    2  Cordless drill (home)", "B2    1  Long ladder (with Ada)"]


def test_the_overdue_list_names_the_tool_and_the_neighbour():
    [line] = overdue_lines(BOOK, date(2026, 3, 17))
    assert line.startswith("Long ladder: Ada")
    assert "1 day late" in line


def test_nothing_overdue_is_said_in_words():
    assert overdue_lines(BOOK, date(2026, 3, 16)) == ["Everything is home in time."]
