"""What a cron expression of five fields means.

Owns the reading of `minute hour day-of-month month day-of-week` and the question "does it fire at this
minute". It never looks at a clock and writes no scheduler's format: the renderers beside it do that.

The two day fields follow cron itself (Vixie cron, cronie, BusyBox): when both are restricted, either one is
enough (`0 2 1 * mon` fires on the first of the month *and* on every Monday). When one of them begins with `*`,
`*/2` included, both must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from watchbill.errors import Misconfigured

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# 29 February comes back after at most 8 years; together with a weekday, after at most 40.
HORIZON_DAYS = 41 * 366


@dataclass(frozen=True)
class Field:
    """One field: the values it allows (sorted), its text with names turned into numbers, and whether it is full."""

    values: tuple[int, ...]
    text: str
    full: bool

    @property
    def starred(self) -> bool:
        return self.text.startswith("*")

    @property
    def restriction(self) -> tuple[int, ...] | None:
        """The values, or None when every value is allowed."""
        return None if self.full else self.values


@dataclass(frozen=True)
class DayRule:
    """Days of the month and weekdays (0 = Sunday) that must *both* hold; None allows every day."""

    days: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None


@dataclass(frozen=True)
class CronTimes:
    """The minutes at which an expression fires, in the local time of the machine."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        """The expression with single spaces and numbers for names, which every cron reads."""
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def day_rules(self) -> tuple[DayRule, ...]:
        """The alternatives for the day: it fires on a day for which at least one of them holds."""
        days, weekdays = self.day.restriction, self.weekday.restriction
        if self.day.starred or self.weekday.starred:
            return (DayRule(days, weekdays),)
        if days is None or weekdays is None:
            return (DayRule(None, None),)
        return (DayRule(days, None), DayRule(None, weekdays))

    def matches(self, moment: datetime) -> bool:
        """Does it fire in the minute that `moment` lies in?"""
        return moment.minute in self.minute.values and moment.hour in self.hour.values and self._falls_on(moment)

    def next_after(self, moment: datetime) -> datetime:
        """The first minute after `moment` at which it fires; keeps the time zone of `moment`."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        for _ in range(HORIZON_DAYS):
            if self._falls_on(day):
                for hour in self.hour.values:
                    for minute in self.minute.values:
                        candidate = day.replace(hour=hour, minute=minute)
                        if candidate > moment:
                            return candidate
            day += timedelta(days=1)
        raise Misconfigured(f'The schedule "{self.text}" never comes round.', "Choose a day that its month has.")

    def _falls_on(self, day: datetime) -> bool:
        return day.month in self.month.values and any(_holds(rule, day) for rule in self.day_rules)


def parse(expression: str) -> CronTimes:
    """Read a cron expression; raises Misconfigured naming the field that is wrong."""
    parts = expression.split()
    if len(parts) != 5:
        raise Misconfigured(
            f'The schedule "{expression}" has {len(parts)} fields; a schedule has five.',
            'Write minute, hour, day of month, month and day of week, such as "30 2 * * 1-5".',
        )
    times = CronTimes(
        minute=_field("minute", parts[0], 0, 59, {}, expression),
        hour=_field("hour", parts[1], 0, 23, {}, expression),
        day=_field("day of month", parts[2], 1, 31, {}, expression),
        month=_field("month", parts[3], 1, 12, {name: n for n, name in enumerate(MONTHS, 1)}, expression),
        weekday=_weekday_field(parts[4], expression),
    )
    _must_come_round(times, expression)
    return times


def _holds(rule: DayRule, day: datetime) -> bool:
    if rule.days is not None and day.day not in rule.days:
        return False
    return rule.weekdays is None or day.isoweekday() % 7 in rule.weekdays


def _must_come_round(times: CronTimes, expression: str) -> None:
    for rule in times.day_rules:
        if rule.days is None or any(rule.days[0] <= LONGEST_MONTH[month - 1] for month in times.month.values):
            return
    raise Misconfigured(
        f'The schedule "{expression}" never comes round: its day of month is in none of its months.',
        "Choose a day that the month has.",
    )


def _weekday_field(text: str, expression: str) -> Field:
    names = {name: n for n, name in enumerate(WEEKDAYS)}
    field = _field("day of week", text, 0, 7, names, expression)
    values = tuple(sorted({value % 7 for value in field.values}))
    return Field(values, field.text, full=len(values) == 7)


def _field(name: str, text: str, low: int, high: int, names: Mapping[str, int], expression: str) -> Field:
    reader = _FieldReader(name, low, high, names, expression)
    values: set[int] = set()
    texts: list[str] = []
    for item in text.split(","):
        item_values, item_text = reader.item(item)
        values.update(item_values)
        texts.append(item_text)
    return Field(tuple(sorted(values)), ",".join(texts), full=len(values) == high - low + 1)


@dataclass(frozen=True)
class _FieldReader:
    name: str
    low: int
    high: int
    names: Mapping[str, int]
    expression: str

    def item(self, item: str) -> tuple[range, str]:
        """One element of a list (`*`, `5`, `1-5`, `*/2`, `1-9/2`): its values and its text in numbers."""
        span, slash, step_text = item.partition("/")
        step = self._step(item, step_text) if slash else 1
        if span == "*":
            # 0 and 7 are both Sunday; `*/2` must not count it twice.
            last = 6 if self.name == "day of week" else self.high
            return range(self.low, last + 1, step), item
        first_text, dash, last_text = span.partition("-")
        first = self._number(item, first_text)
        if not dash:
            if slash:
                raise self._refusal(item, f'Write "{first_text}-{self.high}/{step_text}".')
            return range(first, first + 1), str(first)
        last = self._number(item, last_text)
        if self.name == "day of week" and last == 0 and first > 0:
            last = 7
        if last < first:
            raise self._refusal(item, "A range runs from the smaller value to the larger; list the two parts.")
        return range(first, last + 1, step), f"{first}-{last}" + (f"/{step}" if slash else "")

    def _step(self, item: str, text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:4]) <= self.high:
            raise self._refusal(item, f"The step after / is a whole number from 1 to {self.high}.")
        return int(text[:4])

    def _number(self, item: str, text: str) -> int:
        named = self.names.get(text.lower())
        if named is not None:
            return named
        if text.isascii() and text.isdigit() and len(text) <= 2 and self.low <= int(text) <= self.high:
            return int(text)
        example = f", or a name such as {next(iter(self.names))}" if self.names else ""
        raise self._refusal(item, f"It takes values from {self.low} to {self.high}{example}.")

    def _refusal(self, item: str, hint: str) -> Misconfigured:
        return Misconfigured(f'The {self.name} "{item}" of the schedule "{self.expression}" is not valid.', hint)
