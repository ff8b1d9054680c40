"""Two verbs at once: one stands still at its most delicate moment, another runs to its end, the first goes on."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from tests.crash.kit import Arena
from tests.overlap.holding import SCENE, after, before_publishing, held, kill_when_there, with_its_lock, wrong
from tests.repositories import git
from tests.sessions import Stage, bash, hands_over, take
from watchbill.documents.manifest import Manifest
from watchbill.files.locks import is_held

ASKED = "T-0005-0001"
BREAKS = "tests.crash.breaks"


def senders(on: Stage, ticket: str) -> list[str]:
    return [one.sender for one in on.workspace.history(ticket).handoffs]


def manifests(on: Stage) -> list[str]:
    return sorted(path.stem for path in on.workspace.layout.manifests.glob("*.json"))


def newest(on: Stage) -> str:
    return [name for name in manifests(on) if name.startswith("build")][-1]


def entries(on: Stage, manifest: str) -> list[str]:
    return [entry.ticket for entry in Manifest.load(on.workspace.layout.manifest(manifest)).entries]


def landed(on: Stage, ticket: str) -> bool:
    return f"Watchbill-Ticket: {ticket}" in git(on.workspace.repo, "log", "--format=%B", "watchbill/integration")


def answer_in_its_file(on: Stage, decision: str) -> None:
    path = on.workspace.layout.inbox_item(ASKED)
    path.write_text(path.read_text("utf-8").replace("decision: ''", f"decision: {decision}"), "utf-8")
    assert f"decision: {decision}" in path.read_text("utf-8")


def at_the_gate(number: int) -> tuple[str, ...]:
    """Where a merge has passed the gate (1), or has just moved the branch (2)."""
    return "-e", f"inject=syncfs:signal=STOP:when={number}"


# --- one at a time -------------------------------------------------------------------------------------------------


def test_of_two_planners_the_second_is_told_to_try_later(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        assert arena.run(on, ("ticket", "new", "Another")).code == 0
        before = manifests(on)
        with held(arena, on, ("plan",), with_its_lock(on, "plan")) as first:
            second = arena.run(on, ("plan",))
            assert (second.code, manifests(on)) == (75, before)
            assert f"another plan is under way (process {first.pid})" in second.err
            assert first.goes_on().code == 0
        planned = manifests(on)
        assert [name.rpartition("-")[0] for name in planned if name not in before] == ["build", "qa", "security"]
        assert arena.run(on, ("plan",)).code == 0
        assert manifests(on) == planned
        assert wrong(on) == []


def test_of_two_sessions_of_one_agent_the_second_makes_no_request(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("run", "build"), with_its_lock(on, "build")) as first:
            assert arena.run(on, ("run", "build")).code == 75
            assert on.requests == []
            assert first.goes_on().code == 0
        assert senders(on, "T-0004") == ["build"]
        assert wrong(on) == []


def test_of_two_merges_the_second_is_told_to_try_later(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("merge",), with_its_lock(on, "merge")) as first:
            assert arena.run(on, ("merge",)).code == 75
            assert first.goes_on().code == 0
        assert (on.step("T-0001").ended, on.step("T-0002").ended) == ("merged", "merged")
        assert wrong(on) == []


# --- side by side --------------------------------------------------------------------------------------------------


def test_sessions_of_two_agents_go_side_by_side_and_number_their_documents_in_turn(arena: Arena) -> None:
    verb = ("run", "qa")
    rule = before_publishing(arena, verb, "T-0006/0002.md")
    with arena.play(SCENE) as on:
        with held(arena, on, verb, rule) as first:
            assert arena.run(on, ("run", "security")).code == 0
            assert senders(on, "T-0006") == ["build", "security"]
            assert first.goes_on().code == 0
        assert senders(on, "T-0006") == ["build", "security", "qa"]
        assert on.step("T-0006").to == ("merge",)
        assert wrong(on) == []


def test_a_merge_goes_on_during_a_plan_and_the_next_plan_knows_of_it(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        assert arena.run(on, ("ticket", "new", "Another")).code == 0
        with held(arena, on, ("plan",), with_its_lock(on, "plan")) as first:
            assert arena.run(on, ("merge",)).code == 0
            assert first.goes_on().code == 0
        assert "T-0003" in entries(on, newest(on))
        assert wrong(on) == []


PLAN, ANOTHER = ("plan", "--agent", "build"), ("ticket", "new", "Another")


def plan_that_is_decided(arena: Arena) -> tuple[str, tuple[str, ...]]:
    """The manifest that a plan makes after another ticket came, and where it is decided and not yet published."""
    with arena.play(SCENE) as on:
        name = f"build-{len([one for one in manifests(on) if one.startswith('build')]) + 1:04}"
    return name, before_publishing(arena, PLAN, f"{name}.json", ANOTHER)


def test_a_plan_that_was_decided_before_a_merge_does_no_harm(arena: Arena) -> None:
    name, rule = plan_that_is_decided(arena)
    with arena.play(SCENE) as on:
        arena.run(on, ANOTHER)
        with held(arena, on, PLAN, rule) as first:
            assert arena.run(on, ("merge",)).code == 0
            assert first.goes_on().code == 0
        assert sorted(entries(on, name)) == ["T-0004", "T-0007"]
        assert arena.run(on, PLAN).code == 0
        assert "T-0003" in entries(on, newest(on))
        assert wrong(on) == []


def test_a_ticket_that_comes_during_a_plan_is_in_the_next_one(arena: Arena) -> None:
    name, rule = plan_that_is_decided(arena)
    with arena.play(SCENE) as on:
        arena.run(on, ANOTHER)
        with held(arena, on, PLAN, rule) as first:
            assert arena.run(on, ANOTHER).code == 0
            assert first.goes_on().code == 0
        assert sorted(entries(on, name)) == ["T-0004", "T-0007"]
        assert arena.run(on, PLAN).code == 0
        assert sorted(entries(on, newest(on))) == ["T-0004", "T-0007", "T-0008"]
        assert wrong(on) == []


def test_a_plan_during_a_merge_waits_for_nothing(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("merge",), at_the_gate(1)) as first:
            assert arena.run(on, ("plan",)).code == 0
            assert first.goes_on().code == 0
        assert on.step("T-0001").ended == "merged"
        assert arena.run(on, ("plan",)).code == 0
        assert "T-0003" in entries(on, newest(on))
        assert wrong(on) == []


def test_verify_and_status_during_a_merge_see_it_and_nothing_wrong(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("merge",), at_the_gate(2)) as first:
            verified = arena.run(on, ("verify",))
            assert (verified.code, landed(on, "T-0001")) == (0, True), verified.out
            assert "is being merged for T-0001 at this moment" in verified.out
            assert arena.run(on, ("status",)).code == 0
            assert first.goes_on().code == 0
        assert wrong(on) == []


# --- a human among them --------------------------------------------------------------------------------------------


def test_a_human_decides_during_a_merge(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("merge",), at_the_gate(1)) as first:
            assert arena.run(on, ("inbox", "approve", ASKED)).code == 0
            assert first.goes_on().code == 0
        assert (on.step("T-0001").ended, on.step("T-0005").to) == ("merged", ("build",))
        assert wrong(on) == []


def test_a_ticket_closed_before_its_merge_came_to_the_gate_is_not_merged(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("merge",), with_its_lock(on, "merge")) as first:
            assert arena.run(on, ("ticket", "close", "T-0001")).code == 0
            assert first.goes_on().code == 0
        assert (on.step("T-0001").ended, landed(on, "T-0001")) == ("closed", False)
        assert on.step("T-0002").ended == "merged"
        assert wrong(on) == []


def test_a_ticket_closed_after_its_merge_passed_the_gate_is_merged_and_says_so(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        with held(arena, on, ("merge",), at_the_gate(2)) as first:
            assert arena.run(on, ("ticket", "close", "T-0001")).code == 0
            assert first.goes_on().code == 0
        assert (on.step("T-0001").ended, landed(on, "T-0001")) == ("merged", True)
        assert senders(on, "T-0001")[-2:] == ["human", "merge"]
        assert wrong(on) == []


def test_of_two_humans_who_decide_the_same_item_the_second_hears_of_the_first(arena: Arena) -> None:
    verb = ("inbox", "approve", ASKED)
    rule = before_publishing(arena, verb, "T-0005/0002.md")
    with arena.play(SCENE) as on:
        with held(arena, on, verb, rule) as first:
            answer_in_its_file(on, "reject")
            picked_up = arena.run(on, ("watch", "--seconds", "1"))
            assert f"{ASKED}: reject (from the file)" in picked_up.err
            late = first.goes_on()
            assert late.code == 3
            assert f"{ASKED} was answered already: reject" in late.err
        assert [one.decision for one in on.documents("T-0005") if one.decision] == ["reject"]
        assert wrong(on) == []


def test_an_answer_in_the_file_that_comes_second_is_told_so(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        answer_in_its_file(on, "reject")
        rule = ("-P", str(on.workspace.layout.handoff("T-0005", 1)), "-e", "inject=openat:signal=STOP:when=2")
        with held(arena, on, ("run", "build"), rule) as first:
            assert arena.run(on, ("inbox", "approve", ASKED)).code == 0
            assert first.goes_on().code == 0
        assert [one.decision for one in on.documents("T-0005") if one.decision] == ["approve"]
        assert on.step("T-0005").to == ("build",)
        assert wrong(on) == []


def test_two_new_tickets_at_once_get_two_numbers(arena: Arena) -> None:
    verb = ("ticket", "new", "One thing")
    rule = before_publishing(arena, verb, "tickets/T-0007.md")
    with arena.play(SCENE) as on:
        with held(arena, on, verb, rule) as first:
            assert arena.run(on, ("ticket", "new", "Another thing")).code == 0
            assert first.goes_on().code == 0
        titles = {ticket: on.workspace.backlog().tickets[ticket].ticket.title for ticket in ("T-0007", "T-0008")}
        assert titles == {"T-0007": "Another thing", "T-0008": "One thing"}
        assert wrong(on) == []


def test_a_pause_during_a_session_lets_no_further_request_out(arena: Arena) -> None:
    with arena.play(SCENE) as on:
        journal = on.workspace.layout.journal(newest(on))
        with held(arena, on, ("run", "build"), after(journal, "write", 2)) as first:
            assert on.requests == [], "the first request is written down, and not yet sent"
            assert arena.run(on, ("pause", "-m", "stop")).code == 0
            first.goes_on()
        assert len(on.requests) == 1
        assert arena.run(on, ("run", "build")).code == 75
        assert arena.run(on, ("resume",)).code == 0
        assert arena.run(on, ("run", "build")).code == 0
        assert senders(on, "T-0004")[-1] == "build"
        assert wrong(on) == []


# --- what the dead leave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("broken", "is_free"), [("", True), ("with_a_lock_that_children_inherit", False)])
def test_a_child_that_outlives_its_killed_session_does_not_hold_the_lock(
    arena: Arena, broken: str, is_free: bool
) -> None:
    stays = take("build", "T-0004", bash("echo $$ > pid.txt; exec sleep 60"))
    ends = take("build", "T-0004", hands_over("blocked", requests=["Why?"]))
    with arena.play(replace(SCENE, takes=(stays, ends))) as on:
        said = on.workspace.layout.worktree("T-0004") / "pid.txt"
        kill_when_there(arena, on, ("run", "build"), said, f"{BREAKS}:{broken}" if broken else "")
        child = int(said.read_text("utf-8"))
        try:
            os.kill(child, 0)
            assert is_held(on.workspace.layout.lock("build")) != is_free
            if is_free:
                assert arena.run(on, ("run", "build")).code == 0
                assert [one.outcome for one in on.documents("T-0004")] == ["deferred", "blocked"]
        finally:
            os.kill(child, signal.SIGKILL)
        assert not is_free or wrong(on) == []


@pytest.mark.parametrize("whose", ["nobody", "somebody else"])
def test_a_lock_file_that_a_dead_run_left_is_no_obstacle(arena: Arena, whose: str) -> None:
    with arena.play(SCENE) as on:
        for name in ("plan", "merge", "build", "qa", "security"):
            path = on.workspace.layout.lock(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("4194399" if whose == "nobody" else str(os.getpid()), "utf-8")
        for verb in (("plan",), ("merge",), ("run", "qa")):
            assert arena.run(on, verb).code == 0
