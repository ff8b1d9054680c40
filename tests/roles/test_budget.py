"""Counting turns: journalled before they are sent, remembered across crashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watchbill.errors import TryLater
from watchbill.files import journal
from watchbill.roles.budget import CapReached, SessionBudget, TicketBudget
from watchbill.rules.turn_caps import Caps

ROOT = Path(__file__).parents[2]
WIDE = Caps(1_000, 1_000)


def opened(path: Path, session: str = "build-0001-1", caps: Caps = WIDE) -> SessionBudget:
    return SessionBudget.open(path, session, caps)


def spend(budget: TicketBudget, turns: int) -> None:
    for _ in range(turns):
        budget.reserve(is_retry=False)


def test_a_request_is_in_the_journal_before_it_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "build-0001.jsonl"
    budget = TicketBudget(opened(path), "T-1", Caps(2, 4))
    budget.reserve(is_retry=False)
    [line] = journal.read(path)
    assert (line["event"], line["ticket"], line["session"]) == ("turn", "T-1", "build-0001-1")
    assert (budget.spent, budget.turns) == (1, 1)


def test_the_hard_cap_refuses_the_next_request_and_journals_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    budget = TicketBudget(opened(path), "T-1", Caps(1, 3))
    spend(budget, 3)
    for is_retry in (False, True):
        with pytest.raises(CapReached):
            budget.reserve(is_retry)
    assert len(journal.read(path)) == 3
    assert budget.pace() == "stop"


def test_a_retry_counts_towards_the_cap_but_is_no_turn(tmp_path: Path) -> None:
    session = opened(tmp_path / "a.jsonl")
    budget = TicketBudget(session, "T-1", Caps(2, 3))
    budget.reserve(is_retry=False)
    budget.reserve(is_retry=True)
    budget.reserve(is_retry=True)
    assert (budget.turns, budget.spent, session.retries, session.spent) == (1, 3, 2, 3)
    with pytest.raises(CapReached):
        budget.reserve(is_retry=True)


def test_a_new_session_of_the_manifest_counts_what_a_dead_one_spent(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    spend(TicketBudget(opened(path), "T-1", Caps(3, 5)), 4)
    again = opened(path, "build-0001-2")
    budget = TicketBudget(again, "T-1", Caps(3, 5))
    assert (again.spent, budget.spent, budget.turns, budget.pace()) == (4, 4, 0, "last")
    spend(budget, 1)
    assert TicketBudget(opened(path), "T-1", Caps(3, 5)).pace() == "stop"


def test_a_session_killed_after_journalling_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    program = """
import os, signal, sys
from pathlib import Path
from watchbill.roles.budget import SessionBudget, TicketBudget
from watchbill.rules.turn_caps import Caps
budget = TicketBudget(SessionBudget.open(Path(sys.argv[1]), "s", Caps(9, 9)), "T-1", Caps(9, 9))
budget.reserve(False); budget.reserve(True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program, str(path)], env=environment, timeout=60, check=False)
    assert opened(path).spent == 2


def test_tickets_are_counted_apart_and_the_session_together(tmp_path: Path) -> None:
    session = opened(tmp_path / "a.jsonl", caps=Caps(4, 5))
    one, other = TicketBudget(session, "T-1", Caps(3, 4)), TicketBudget(session, "T-2", Caps(3, 4))
    spend(one, 3)
    assert session.may_start()
    spend(other, 1)
    assert not session.may_start()
    assert (one.spent, other.spent, session.spent, other.pace()) == (3, 1, 4, "last")
    spend(other, 1)
    assert (one.pace(), other.pace()) == ("stop", "stop")


def test_the_wait_for_the_wrap_up_counts_down_to_the_turn_whose_tools_are_refused(tmp_path: Path) -> None:
    for caps in (Caps(3, 5), Caps(4, 4)):
        session = opened(tmp_path / f"{caps.soft}.jsonl")
        budget = TicketBudget(session, "T-1", caps)
        told = []
        for _ in range(caps.hard):
            budget.reserve(is_retry=False)
            told.append((budget.until_wrap_up(), budget.pace() == "work"))
        first_refused = [works for _, works in told].index(False)
        for turn, (left, works) in enumerate(told):
            if works:
                assert left == first_refused - turn - 1


def test_lines_that_are_not_ours_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    journal.append(path, {"event": "begin", "ticket": "T-1"})
    journal.append(path, {"no": "event"})
    assert opened(path).spent == 0


def test_a_disk_that_does_not_take_the_line_stops_the_request(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    session = opened(path)
    budget = TicketBudget(session, "T-1", Caps(2, 4))
    path.mkdir()
    with pytest.raises(TryLater):
        budget.reserve(is_retry=False)
    assert budget.turns == 0, "no message was asked for"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(st.sampled_from(["T-1", "T-2"]), st.booleans()), max_size=6), max_size=4),
    st.integers(1, 4),
    st.integers(1, 6),
)
def test_no_series_of_crashes_and_restarts_passes_a_cap(
    tmp_path_factory: pytest.TempPathFactory, lives: list[list[tuple[str, bool]]], each: int, whole: int
) -> None:
    path = tmp_path_factory.mktemp("journals") / "a.jsonl"
    sent = {"T-1": 0, "T-2": 0}
    for life, requests in enumerate(lives):
        session = opened(path, f"build-0001-{life}", Caps(whole, whole))
        budgets = {ticket: TicketBudget(session, ticket, Caps(each, each)) for ticket in sent}
        for ticket, is_retry in requests:
            try:
                budgets[ticket].reserve(is_retry)
            except CapReached:
                continue
            sent[ticket] += 1
    assert max(sent.values()) <= each
    assert sum(sent.values()) <= whole
