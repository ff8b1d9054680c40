"""The caps of a session: not one request more, whatever the model, the server or the machine does."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.sessions import (
    CHECK,
    PLAIN,
    Stage,
    bash,
    builds,
    calls,
    command,
    fails,
    handing_over,
    hands_over,
    program_environment,
    stage,
    take,
    turns,
    writes,
)
from tests.workspaces import change_settings, make_workspace
from watchbill.documents.manifest import Manifest
from watchbill.documents.script import Reply, Take
from watchbill.files import journal
from watchbill.workspace import Workspace

FOREVER = 60


def runaway(ticket: str, *first: Reply) -> Take:
    """A model that calls tools for ever."""
    return take("build", ticket, *first, *[bash("echo again >> notes.txt")] * FOREVER)


def plain(folder: Path, tickets: int = 1, soft: int = 20, hard: int = 30, per_ticket: int = 6) -> Workspace:
    names = {f"T-{number:04}": f"Do {number}" for number in range(1, tickets + 1)}
    workspace = make_workspace(folder, names, CHECK, PLAIN)
    others = {agent: turns(40, 60, 15) | {"schedule": "0 4 * * *"} for agent in ("qa", "security")}
    build = turns(soft, hard, per_ticket) | {"schedule": "0 2 * * *"}
    change_settings(workspace, {"agents": {"build": build, **others}})
    return Workspace(workspace.root)


def by_ticket(on: Stage) -> Counter[str]:
    return Counter(request.ticket for request in on.requests)


def test_a_runaway_model_gets_exactly_the_turns_of_its_entry(tmp_path: Path) -> None:
    with stage(plain(tmp_path), runaway("T-0001")) as on:
        session = on.run("build")
        assert (len(on.requests), session.turns) == (6, 6)
        deferred = on.last()
        assert (deferred.outcome, deferred.turns, deferred.to) == ("deferred", 6, ("build",))
        assert "hard cap" in deferred.reason
        assert on.read(deferred.commit or "", "notes.txt") == "good" + "\nagain" * 3


def test_at_the_soft_cap_every_tool_but_the_last_refuses_and_was_announced(tmp_path: Path) -> None:
    every = [
        ("bash", {"command": "echo too late > late.txt"}),
        ("read", {"file_path": "notes.txt"}),
        ("write", {"file_path": "late.txt", "content": "x"}),
        ("edit", {"file_path": "notes.txt", "old_string": "good", "new_string": "late"}),
        ("glob", {"pattern": "*"}),
        ("grep", {"pattern": "good"}),
    ]
    replies = (bash("true"), bash("true"), bash("true"), calls(*every), hands_over("deferred"))
    with stage(plain(tmp_path), take("build", "T-0001", *replies)) as on:
        on.run("build")
        notices = [
            ("One more turn" in on.results(n), "only submit_handoff works: hand over now" in on.results(n))
            for n in (1, 2, 3)
        ]
        assert notices == [(False, False), (True, False), (False, True)]
        refusals = on.requests[4].body["messages"][-1]["content"]
        assert len(refusals) == len(every)
        assert all(result["is_error"] and "soft cap" in json.dumps(result["content"]) for result in refusals)
        assert on.last().outcome == "deferred"
        assert on.files() == ()


def test_a_tool_that_fails_announces_the_soft_cap_as_well(tmp_path: Path) -> None:
    wrong = calls(("edit", {"file_path": "nowhere.txt", "old_string": "a", "new_string": "b"}))
    with stage(plain(tmp_path), take("build", "T-0001", *[wrong] * FOREVER)) as on:
        on.run("build")
        assert "One more turn" in on.results(2)
        assert "hand over now" in on.results(3)


def test_the_last_request_forces_the_handoff_and_no_other_does(tmp_path: Path) -> None:
    late = take("build", "T-0001", writes("a.txt", "x\n"), *[bash("true")] * 4, hands_over())
    with stage(plain(tmp_path), late) as on:
        on.run("build")
        forced = [request.body.get("tool_choice") for request in on.requests]
        assert forced == [None] * 5 + [{"type": "tool", "name": "submit_handoff"}]
        assert on.last().outcome == "done"
        assert len({json.dumps(request.body["tools"]) for request in on.requests}) == 1


def test_one_turn_is_one_forced_request(tmp_path: Path) -> None:
    with stage(plain(tmp_path, per_ticket=1), take("build", "T-0001", hands_over("deferred"))) as on:
        on.run("build")
        assert [request.body["tool_choice"]["name"] for request in on.requests] == ["submit_handoff"]


def test_retries_spend_from_the_same_budget(tmp_path: Path) -> None:
    busy: list[Reply] = [fails(529), fails(529), bash("true")] * FOREVER
    with stage(plain(tmp_path), take("build", "T-0001", *busy)) as on:
        session = on.run("build")
        assert len(on.requests) == 6
        assert (session.turns, session.retries) == (2, 4)
        assert "hard cap" in on.last().reason


def test_a_retry_past_the_cap_is_never_sent(tmp_path: Path) -> None:
    replies: list[Reply] = [*[bash("true")] * 5, *[fails(529)] * FOREVER]
    with stage(plain(tmp_path), take("build", "T-0001", *replies)) as on:
        on.run("build")
        assert len(on.requests) == 6
        assert on.last().outcome == "deferred"


def test_the_session_has_a_cap_of_its_own_and_starts_nothing_past_the_soft_one(tmp_path: Path) -> None:
    workspace = plain(tmp_path, tickets=3, soft=6, hard=12, per_ticket=6)
    with stage(workspace, runaway("T-0001"), runaway("T-0002"), runaway("T-0003")) as on:
        session = on.run("build")
        assert by_ticket(on) == {"T-0001": 6}
        assert session.outcomes == {"T-0001": "deferred", "T-0002": "not started"}
        manifest = Manifest.load(workspace.layout.manifest(session.manifest))
        assert {skipped.ticket: "no turns are left" in skipped.reason for skipped in manifest.skipped} == {
            "T-0003": True
        }
        assert on.documents("T-0002") == ()


def test_the_next_manifest_takes_a_deferred_ticket_up_again(tmp_path: Path) -> None:
    finish = take("build", "T-0001", writes("end.txt", "end\n"), hands_over())
    with stage(plain(tmp_path), runaway("T-0001"), finish) as on:
        first = on.run("build")
        second = on.run("build")
        assert first.manifest != second.manifest
        done = on.last()
        assert done.verified is not None
        assert (done.outcome, done.verified.files) == ("done", ("end.txt", "notes.txt"))
        assert "hard cap" in on.first_message(6)


def test_several_tickets_at_once_keep_every_cap_and_their_own_worktrees(tmp_path: Path) -> None:
    workspace = plain(tmp_path, tickets=4, soft=13, hard=14, per_ticket=4)
    takes = [runaway(f"T-{n:04}", writes(f"own-{n}.txt", "x\n"), bash("ls")) for n in (1, 2, 3, 4)]
    with stage(workspace, *takes) as on:
        session = on.run("build", jobs=3)
        assert len(on.requests) <= 14
        assert max(by_ticket(on).values()) <= 4
        for number in (1, 2, 3):
            assert on.files(f"T-{number:04}") == (f"own-{number}.txt",)
        order = [request.ticket for request in on.requests]
        ended = len(order) - order[::-1].index(order[0])
        assert len(set(order[:ended])) > 1, "others are begun before the first has ended"
        assert session.turns == len(on.requests)


def test_a_crowd_at_the_end_of_the_session_shares_what_is_left(tmp_path: Path) -> None:
    workspace = plain(tmp_path, tickets=3, soft=3, hard=12, per_ticket=4)
    with stage(workspace, *[runaway(f"T-{n:04}") for n in (1, 2, 3)]) as on:
        on.run("build", jobs=3)
        assert len(on.requests) <= 12


def test_a_killed_session_spends_from_what_it_left(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    slow = [reply.model_copy(update={"delay_seconds": 0.3}) for reply in [bash("echo again >> notes.txt")] * FOREVER]
    with stage(workspace, take("build", "T-0001", *slow), runaway("T-0001")) as on:
        on.plan("build")
        killed = subprocess.Popen(command("run", "build"), env=program_environment(on.model.url, workspace))
        try:
            deadline = time.monotonic() + 60
            while len(on.requests) < 3:
                assert killed.poll() is None and time.monotonic() < deadline, "the session made too few requests"
                time.sleep(0.02)
        finally:
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        before = len(on.requests)
        session = on.run("build", plan=False)
        lines = journal.read(workspace.layout.journal(session.manifest))
        assert before < 6
        assert len(on.requests) <= 6
        assert sum(line["event"] in ("turn", "retry") for line in lines) == 6
        assert "again" in on.read(on.last().commit or "", "notes.txt")


def test_a_session_whose_budget_died_with_its_predecessor_makes_no_request(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    with stage(workspace, builds("T-0001")) as on:
        on.plan("build")
        for _ in range(6):
            line = {"event": "turn", "ticket": "T-0001", "session": "build-0001-1"}
            journal.append(workspace.layout.journal("build-0001"), line)
        on.run("build", plan=False)
        assert on.requests == []
        assert on.last().outcome == "deferred"


def test_a_handoff_in_a_message_with_other_tools_ends_there(tmp_path: Path) -> None:
    both = calls(("write", {"file_path": "a.txt", "content": "x\n"}), ("submit_handoff", handing_over()))
    with stage(plain(tmp_path), take("build", "T-0001", both)) as on:
        on.run("build")
        assert len(on.requests) == 1
        assert on.changes(on.last().commit or "") == {"a.txt": "A"}
