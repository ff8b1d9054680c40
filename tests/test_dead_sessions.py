"""A session that was killed is written down, counts as an attempt, and its turns stay spent."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.sessions import CHECK, PLAIN, builds, hands_over, stage, take, writes
from tests.workspaces import NOW, make_workspace
from watchbill.files import journal
from watchbill.session_records import records
from watchbill.stages import run as running
from watchbill.stages.verify import verify
from watchbill.workspace import Workspace

AT = "2026-11-20T02:00:00Z"


def a_workspace(folder: Path, **settings: Mapping[str, object]) -> Workspace:
    return make_workspace(folder, {"T-0001": "Do it"}, CHECK, PLAIN, settings)


def dies(workspace: Workspace, manifest: str, turns: int, number: int = 1) -> None:
    """What a killed session leaves: its journal, and nothing else."""
    path = workspace.layout.journal(manifest)
    session = f"{manifest}-{number}"
    journal.append(path, {"event": "open", "session": session, "at": AT})
    for _ in range(turns):
        journal.append(path, {"event": "turn", "ticket": "T-0001", "session": session, "at": AT})


def test_the_next_session_records_the_dead_one_and_goes_on_with_its_manifest(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path)
    with stage(workspace, builds("T-0001")) as on:
        on.plan("build")
        dies(workspace, "build-0001", 3)
        session = on.run("build", plan=False)
        assert session.id == "build-0001-2"
        dead, alive = records(workspace.layout, "build")
        assert (dead.id, dead.turns, dead.outcome) == ("build-0001-1", 3, "stopped")
        assert dead.tags == ("build", "died", "unfinished")
        assert (alive.id, alive.turns) == ("build-0001-2", 2)
        first, second = on.documents("T-0001")
        assert (first.outcome, first.session, first.turns) == ("deferred", "build-0001-1", 3)
        assert "died" in first.reason
        assert second.outcome == "done"
        assert verify(workspace, NOW).violations == ()


def test_a_ticket_that_kills_its_sessions_comes_to_a_human(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path, limits={"max_attempts": 2})
    with stage(workspace) as on:
        on.plan("build")
        dies(workspace, "build-0001", 1, 1)
        dies(workspace, "build-0001", 1, 2)
        assert running.run(workspace, "build", on.sandbox, on.log) is None
        assert on.last("T-0001").to == ("human",)
        assert on.requests == []


def test_the_whole_watch_keeps_its_cap_over_a_death(tmp_path: Path) -> None:
    small = {"build": _agent(soft=4, hard=5, per_ticket=5)}
    workspace = a_workspace(tmp_path, agents=small)
    endless = [take("build", "T-0001", *[writes(f"{n}.txt", "x\n") for n in range(9)])] * 3
    with stage(workspace, *endless) as on:
        on.plan("build")
        dies(workspace, "build-0001", 3)
        on.go_round()
        built = [request for request in on.requests if request.agent == "build"]
        assert len(built) == 2, "three of the five were spent by the session that died"


def test_a_session_that_ended_is_not_dead(tmp_path: Path) -> None:
    workspace = a_workspace(tmp_path)
    with stage(workspace, take("build", "T-0001", hands_over("blocked", requests=["What?"]))) as on:
        on.run("build")
        before = [record.id for record in records(workspace.layout)]
        on.plan("build")
        assert running.run(workspace, "build", on.sandbox, on.log) is None
        assert [record.id for record in records(workspace.layout)] == before


def _agent(soft: int, hard: int, per_ticket: int) -> dict[str, object]:
    return {"schedule": "0 2 * * *", "soft_turns": soft, "hard_turns": hard, "turns_per_ticket": per_ticket}
