from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.errors import Misconfigured
from watchbill.schedule.cron_times import parse


def test_a_field_takes_stars_lists_ranges_steps_and_names() -> None:
    times = parse("*/20 9-17/4,23 1,15 jan,MAR-may *")
    assert times.minute.values == (0, 20, 40)
    assert times.hour.values == (9, 13, 17, 23)
    assert times.day.values == (1, 15)
    assert times.month.values == (1, 3, 4, 5)
    assert times.weekday.full


def test_names_become_numbers_that_every_cron_reads() -> None:
    assert parse("0  2 *   feb mon-fri").text == "0 2 * 2 1-5"


@pytest.mark.parametrize("text", ["0", "7", "sun", "Sun"])
def test_sunday_has_two_numbers_and_a_name(text: str) -> None:
    assert parse(f"0 2 * * {text}").weekday.values == (0,)


def test_a_weekend_may_run_up_to_sunday() -> None:
    assert parse("0 2 * * fri-sun").weekday.values == (0, 5, 6)
    assert parse("0 2 * * fri-sun").text == "0 2 * * 5-7"


def test_every_second_weekday_counts_sunday_once() -> None:
    assert parse("0 2 * * */2").weekday.values == (0, 2, 4, 6)
    assert parse("0 2 * * */7").weekday.values == (0,)


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 2 * * *", "minute"),
        ("-1 2 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 2 0 * *", "day of month"),
        ("0 2 32 * *", "day of month"),
        ("0 2 * 13 *", "month"),
        ("0 2 * janvier *", "month"),
        ("0 2 * mon *", "month"),
        ("0 2 * * 8", "day of week"),
        ("0 2 * * fri-mon", "day of week"),
        ("0 9-8 * * *", "hour"),
        ("*/0 2 * * *", "minute"),
        ("*/x 2 * * *", "minute"),
        ("*/ 2 * * *", "minute"),
        ("5/15 2 * * *", "minute"),
        ("1, 2 * * *", "minute"),
        ("1-2-3 2 * * *", "minute"),
        ("٣ 2 * * *", "minute"),
        ("*/99999999999999999999 2 * * *", "minute"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(expression: str, field: str) -> None:
    with pytest.raises(Misconfigured, match=f"^The {field} ") as refusal:
        parse(expression)
    assert refusal.value.hint


@pytest.mark.parametrize("expression", ["", "0 2 * *", "0 2 * * * *", "@daily"])
def test_anything_but_five_fields_is_refused(expression: str) -> None:
    with pytest.raises(Misconfigured, match="five"):
        parse(expression)


@pytest.mark.parametrize("expression", ["0 2 30 2 *", "0 2 31 4,6,9,11 *"])
def test_a_time_that_never_comes_round_is_refused(expression: str) -> None:
    with pytest.raises(Misconfigured, match="never comes round"):
        parse(expression)


def test_the_last_of_february_comes_round() -> None:
    assert parse("0 2 29 2 *").next_after(datetime(2026, 11, 20)) == datetime(2028, 2, 29, 2)


def test_either_day_is_enough_when_both_are_restricted() -> None:
    times = parse("0 2 1 * mon")
    assert times.matches(datetime(2026, 12, 1, 2))  # a Tuesday, the first
    assert times.matches(datetime(2026, 12, 7, 2))  # a Monday
    assert not times.matches(datetime(2026, 12, 8, 2))


def test_both_days_must_hold_when_one_begins_with_a_star() -> None:
    times = parse("0 2 */2 * mon")
    assert times.matches(datetime(2026, 12, 7, 2))
    assert not times.matches(datetime(2026, 12, 14, 2))
    assert not times.matches(datetime(2026, 12, 1, 2))


def test_the_next_time_is_later_and_keeps_its_zone() -> None:
    times = parse("0,30 2 * * *")
    start = datetime(2026, 12, 31, 2, 30, tzinfo=UTC)
    assert times.next_after(start) == datetime(2027, 1, 1, 2, 0, tzinfo=UTC)
    assert times.next_after(start.replace(minute=29, second=59)) == start


@given(
    st.sampled_from(["*/7 * * * *", "0 2 1 * mon", "15,45 3-9/3 */5 2-8 fri-sun", "59 23 31 * *", "0 0 * * 0"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2032, 1, 1)),
)
def test_the_next_time_always_matches(expression: str, moment: datetime) -> None:
    times = parse(expression)
    found = times.next_after(moment)
    assert found > moment
    assert times.matches(found)
