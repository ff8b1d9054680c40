"""What a process is told before its verb begins.

Owns patches for `tests.crash.resident`: each is called in the process that is about to run a verb. The first number
that an open file gets is 3, after the standard streams.
"""

from __future__ import annotations

import os
import resource
import time
from datetime import UTC, datetime


def two_open_files() -> None:
    """Enough for a verb that opens a folder, and its files one after the other."""
    _numbers_below(5)


def five_open_files() -> None:
    """Not enough for a verb that starts a program."""
    _numbers_below(8)


def seven_open_files() -> None:
    """Enough to start a program, but not to hold a few things open meanwhile."""
    _numbers_below(10)


def years_ago() -> None:
    """Somebody has set the clock back."""
    _from(datetime(2021, 3, 4, 5, 6, 7, tzinfo=UTC))


def last_second_of_the_leap_day() -> None:
    """The day ends, and March begins, a moment later."""
    _from(datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC))


def second_before_summer_time_ends() -> None:
    """In Berlin it is two o'clock again in a tenth of a second."""
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    _from(datetime(2026, 10, 25, 0, 59, 59, 900_000, tzinfo=UTC))


def _numbers_below(most: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _from(moment: datetime) -> None:
    from freezegun import freeze_time

    freeze_time(moment, tick=True, real_asyncio=True).start()
