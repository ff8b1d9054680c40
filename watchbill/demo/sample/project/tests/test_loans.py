from datetime import date

import pytest

from ladderlog.loans import NotPossible, give_back, lend, overdue

MONDAY = date(2026, 3, 2)
DUE = date(2026, 3, 16)


def test_a_tool_is_lent_for_two_weeks():
    assert lend([], 1, "Ada", MONDAY).due == DUE


def test_a_tool_that_is_out_cannot_be_lent_again():
    loans = []
    lend(loans, 1, "Ada", MONDAY)
    with pytest.raises(NotPossible, match="with Ada until 2026-03-16"):
        lend(loans, 1, "Ben", MONDAY)


def test_a_tool_that_came_home_can_be_lent_again():
    loans = []
    lend(loans, 1, "Ada", MONDAY)
    give_back(loans, 1, DUE)
    assert lend(loans, 1, "Ben", DUE).neighbour == "Ben"


def test_only_what_is_out_can_come_back():
    with pytest.raises(NotPossible, match="is not out"):
        give_back([], 1, MONDAY)


def test_a_tool_is_overdue_from_the_day_after_its_due_day():
    loans = []
    loan = lend(loans, 1, "Ada", MONDAY)
    assert overdue(loans, DUE) == []
    assert overdue(loans, date(2026, 3, 17)) == [loan]
    assert loan.days_late(date(2026, 3, 17)) == 1
