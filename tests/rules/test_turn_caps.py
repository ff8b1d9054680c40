"""How many turns are left, and what the next request may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchbill.rules.turn_caps import Caps, entry_caps, may_start, pace, share_out

WIDE = Caps(1_000, 1_000)
COUNTS = st.integers(1, 60)


def test_the_pace_goes_from_work_to_wrap_up_to_last_to_stop() -> None:
    paces = [pace(spent, Caps(2, 4), spent, WIDE) for spent in range(6)]
    assert paces == ["work", "work", "wrap up", "last", "stop", "stop"]


def test_the_sessions_caps_bind_as_well_as_the_tickets() -> None:
    paces = [pace(0, WIDE, spent, Caps(2, 4)) for spent in range(6)]
    assert paces == ["work", "work", "wrap up", "last", "stop", "stop"]


def test_a_single_turn_is_the_last_one() -> None:
    assert pace(0, Caps(1, 1), 0, WIDE) == "last"


def test_a_tickets_soft_cap_stands_where_the_sessions_does() -> None:
    assert entry_caps(30, 60, 80) == Caps(22, 30)


def test_there_is_always_a_turn_between_the_soft_and_the_hard_cap() -> None:
    assert entry_caps(5, 80, 80) == Caps(4, 5)
    assert entry_caps(1, 80, 80) == Caps(1, 1)


@given(COUNTS, COUNTS, COUNTS)
def test_caps_are_in_order_whatever_the_settings(turns: int, soft: int, more: int) -> None:
    caps = entry_caps(turns, soft, soft + more - 1)
    assert 1 <= caps.soft <= caps.hard == turns
    assert turns == 1 or caps.soft < caps.hard


def test_a_session_begins_no_ticket_past_its_soft_cap() -> None:
    assert may_start(1, Caps(2, 9))
    assert not may_start(2, Caps(2, 9))


def test_turns_are_shared_out_in_full_shares_until_they_are_used_up() -> None:
    assert share_out(5, 30, 80) == [30, 30, 20]
    assert share_out(2, 30, 80) == [30, 30]


def test_nobody_gets_a_share_that_is_only_enough_to_begin() -> None:
    assert share_out(3, 30, 62) == [30, 30]


def test_a_small_budget_still_works_one_ticket() -> None:
    assert share_out(3, 30, 2) == [2]
    assert share_out(3, 1, 2) == [1, 1]


@given(st.integers(0, 50), COUNTS, COUNTS)
def test_what_is_shared_out_never_passes_the_hard_cap(tickets: int, each: int, hard: int) -> None:
    shares = share_out(tickets, each, hard)
    assert sum(shares) <= hard
    assert len(shares) <= tickets
    assert all(1 <= share <= each for share in shares)
    assert bool(shares) == bool(tickets)
