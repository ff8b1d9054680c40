"""Sessions that are killed again and again: what they spent stays spent, and the ticket comes to a human."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.crash.holds import spending, violations
from tests.crash.kit import Resident
from tests.sessions import CHECK, PLAIN, Stage, bash, program_environment, stage, take, turns
from tests.workspaces import change_settings, make_workspace
from watchbill.session_records import records
from watchbill.workspace import Workspace

CAP = 6
SESSIONS = 5
SLOWLY = 0.05
RUN = ("run", "build")


@pytest.fixture(scope="module")
def resident() -> Iterator[Resident]:
    """The process that runs the sessions, each in a fork."""
    made = Resident()
    yield made
    made.close()


def a_workspace(folder: Path, max_attempts: int) -> Workspace:
    workspace = make_workspace(
        folder,
        {"T-0001": "Do it"},
        CHECK,
        PLAIN,
        {"sandbox": {"mode": "none", "read": []}, "limits": {"max_attempts": max_attempts}},
    )
    others = {agent: turns(40, 60, 15) | {"schedule": "0 4 * * *"} for agent in ("qa", "security")}
    build = turns(20, 30, CAP) | {"schedule": "0 2 * * *"}
    change_settings(workspace, {"agents": {"build": build, **others}})
    return Workspace(workspace.root)


@contextmanager
def endless(folder: Path, max_attempts: int) -> Iterator[Stage]:
    """A ticket whose model never comes to an end, planned."""
    reply = bash("echo again >> notes.txt").model_copy(update={"delay_seconds": SLOWLY})
    with stage(a_workspace(folder, max_attempts), *[take("build", "T-0001", *[reply] * 30)] * SESSIONS) as on:
        on.plan("build")
        yield on


def run_and_kill(resident: Resident, on: Stage, requests: int, later: float, patch: str = "") -> int:
    """A session that is killed `later` seconds after so many requests of its own, unless it ends before. Its code."""
    before, out = len(on.requests), str(on.workspace.root.parent / "out")
    env = program_environment(on.model.url, on.workspace)
    order = {"args": list(RUN), "env": env, "cwd": str(on.workspace.root), "out": out, "err": out}
    pid = resident.ask(do="start", patch=patch, **order)["pid"]
    resident.ask(do="go", pid=pid)
    until = time.monotonic() + 60
    while len(on.requests) < before + requests and is_running(pid):
        assert time.monotonic() < until, "it hangs"
        time.sleep(0.005)
    time.sleep(later)
    os.kill(pid, signal.SIGKILL)
    code: int = resident.ask(do="wait", pid=pid)["code"]
    return code


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


KILLS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0.0, 0.02, 0.06, 0.15])), min_size=2, max_size=SESSIONS - 1
)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(KILLS)
def test_no_row_of_crashes_buys_an_entry_more_requests_than_its_cap(
    resident: Resident, kills: list[tuple[int, float]]
) -> None:
    assert overspent(resident, kills) == []


def overspent(resident: Resident, kills: list[tuple[int, float]], patch: str = "") -> list[str]:
    """What is wrong with the spending after sessions that were killed so, and one that came to its end."""
    with tempfile.TemporaryDirectory() as folder, endless(Path(folder), max_attempts=50) as on:
        for requests, later in [*kills, (99, 0.0)]:
            run_and_kill(resident, on, requests, later, patch)
        under = Counter(request.session.rpartition("-")[0] for request in on.requests)
        wrong = [f"{name} got {number} requests" for name, number in under.items() if number > CAP]
        return [*wrong, *spending(on), *violations(on.workspace)]


def test_an_engine_that_writes_a_turn_down_after_it_is_caught(resident: Resident) -> None:
    assert overspent(resident, [(4, 0.0), (4, 0.0)], "tests.crash.breaks:with_the_turn_counted_after_the_call")


def test_a_ticket_that_kills_its_session_every_time_comes_to_a_human_with_what_is_known(
    resident: Resident, tmp_path: Path
) -> None:
    with endless(tmp_path, max_attempts=2) as on:
        for _ in range(2):
            assert run_and_kill(resident, on, 2, 0.0) == -signal.SIGKILL
        made = len(on.requests)
        assert run_and_kill(resident, on, 99, 0.0) == 0
        assert len(on.requests) == made, "nobody worked on it any more"
        first, second = on.documents()
        assert (first.outcome, second.outcome, second.to) == ("deferred", "deferred", ("human",))
        assert all("the session died" in one.reason for one in (first, second))
        assert on.items() == ["T-0001-0002"]
        page = on.workspace.layout.inbox_item("T-0001-0002").read_text("utf-8")
        assert "2 attempts and still not done" in page
        assert page.count("the session died") > 2, "the question, and what happened each time"
        assert [record.outcome for record in records(on.workspace.layout, "build")] == ["stopped", "stopped"]
        assert list(violations(on.workspace)) == []
        on.decide("T-0001-0002", "approve")
        assert on.step().to == ("build",)
