"""What being late costs. All amounts are in cents."""

from __future__ import annotations

from datetime import date

from ladderlog.loans import Loan

FREE_DAYS = 1
PER_DAY = 50
AT_MOST = 1000


def late_fee(loan: Loan, today: date) -> int:
    """What one loan costs: nothing for the first day late, then a little for each day, up to a limit."""
    charged = max(0, loan.days_late(today) - FREE_DAYS)
    return min(AT_MOST, charged * PER_DAY)


def money(cents: int) -> str:
    """An amount as it is written on the notice board, such as 3.50."""
    return f"{cents // 100}.{cents % 100:02d}"
