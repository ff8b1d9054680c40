from datetime import date

from ladderlog.fees import late_fee, money
from ladderlog.loans import Loan

LOAN = Loan(1, "Ada", out=date(2026, 3, 2), due=date(2026, 3, 16))


def test_in_time_costs_nothing():
    assert late_fee(LOAN, date(2026, 3, 16)) == 0


def test_the_first_day_late_is_free():
    assert late_fee(LOAN, date(2026, 3, 17)) == 0


def test_each_day_after_that_costs_fifty_cents():
    assert late_fee(LOAN, date(2026, 3, 19)) == 100


def test_a_fee_stops_at_ten():
    assert late_fee(LOAN, date(2026, 12, 24)) == 1000


def test_money_is_written_with_two_places():
    assert money(5) == "0.05"
    assert money(350) == "3.50"
