"""What becomes of a session when the model is silent, odd, broken or not there."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.sessions import (
    CHECK,
    PLAIN,
    bash,
    builds,
    calls,
    environment,
    fails,
    hands_over,
    reviews,
    says,
    stage,
    take,
    writes,
)
from tests.workspaces import make_workspace, write_ticket
from watchbill.documents.manifest import Agent
from watchbill.documents.script import Reply, Said
from watchbill.stages.run import trouble_as_error
from watchbill.workspace import Workspace

PAGE = "<html><body>Welcome to the hotel's network</body></html>"
SPENT = {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}


REVIEWS: tuple[tuple[Agent, str], ...] = (("qa", "T-0001-0002"), ("security", "T-0001-0004"))


def plain(folder: Path, *tickets: str, **settings: dict[str, Any]) -> Workspace:
    names = {id: f"Do {id}" for id in tickets or ("T-0001", "T-0002")}
    return make_workspace(folder, names, CHECK, PLAIN, settings)


ENDINGS = {
    "silent": (says("I think that is all."), "ended its answer without a handoff"),
    "nothing": (Said(content=()), "ended its answer without a handoff"),
    "refusal": (says("I cannot help with that.", "refusal"), "refused"),
    "max_tokens": (says("And then", "max_tokens"), "max_tokens"),
    "full": (says("…", "model_context_window_exceeded"), "context window"),
    "unknown": (says("?", "tired"), "unknown reason (tired)"),
    "no tool": (says("I call a tool now.", "tool_use"), "called none"),
    "cut call": (calls(("bash", {"command": "touch never"}), stop="max_tokens"), "max_tokens"),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_answer_without_a_handoff_is_deferred_with_its_reason_and_the_next_is_worked(
    tmp_path: Path, kind: str
) -> None:
    reply, reason = ENDINGS[kind]
    with stage(plain(tmp_path), take("build", "T-0001", writes("kept.txt", "x\n"), reply), builds("T-0002")) as on:
        session = on.run("build")
        first = on.last()
        assert (first.outcome, first.to, first.turns) == ("deferred", ("build",), 2)
        assert reason in first.reason
        assert on.files() == ("kept.txt",)
        assert (on.last("T-0002").outcome, session.trouble) == ("done", None)


@pytest.mark.parametrize("kind", ["silent", "refusal", "unknown"])
def test_a_review_without_a_handoff_is_no_pass(tmp_path: Path, kind: str) -> None:
    with stage(plain(tmp_path, "T-0001"), builds("T-0001"), take("qa", "T-0001", ENDINGS[kind][0])) as on:
        on.run("build")
        on.run("qa")
        assert (on.last().outcome, on.last().degraded) == ("deferred", False)
        assert on.step().to == ("qa", "security")


def test_a_pause_of_the_model_goes_on(tmp_path: Path) -> None:
    replies = (says("Let me think.", "pause_turn"), writes("a.txt", "x\n"), hands_over())
    with stage(plain(tmp_path, "T-0001"), take("build", "T-0001", *replies)) as on:
        on.run("build")
        assert (on.last().outcome, len(on.requests)) == ("done", 3)


def test_odd_calls_are_answered_and_the_conversation_goes_on(tmp_path: Path) -> None:
    odd: list[Reply] = [
        calls(("fly", {"to": "the moon"})),
        calls(("bash", {})),
        calls(("bash", {"command": 7})),
        calls(("bash", "ls")),
        calls(("bash", {"command": "echo \0"})),
        calls(("read", {"path": 1})),
        calls(("write", {"file_path": "../../../escaped.txt", "content": "x"})),
        calls(("read", {"file_path": "/etc/passwd"})),
        calls(("edit", None)),
        calls(("write", {"file_path": "a.txt", "content": "x\n"})),
    ]
    with stage(plain(tmp_path, "T-0001"), take("build", "T-0001", *odd, hands_over())) as on:
        on.run("build")
        assert on.last().outcome == "done"
        for number in range(1, 10):
            (result,) = on.requests[number].body["messages"][-1]["content"]
            assert result.get("is_error"), f"call {number}: {result}"
        assert not list(tmp_path.rglob("escaped.txt"))
        assert on.changes(on.last().commit or "") == {"a.txt": "A"}


FAILURES: dict[str, tuple[list[Reply], str, int]] = {
    "401": ([fails(401)], "does not accept the API key", 2),
    "403": ([fails(403)], "may not use this model", 2),
    "404": ([fails(404)] * 2, "does not know the model", 2),
    "HTML 404": ([fails(404, PAGE)], "a page", 75),
    "HTML 200": ([fails(200, PAGE)], "does not speak the Messages API", 75),
    "HTML 502": ([fails(502, PAGE)] * 6, "failed (502)", 75),
    "garbage": ([fails(200, "{nonsense", **{"content-type": "application/json"})], "does not speak", 75),
    "no message": ([fails(200, {"ok": True})], "does not speak", 75),
    "529": ([fails(529)] * 6, "overloaded", 75),
    "wait an hour": ([fails(529, **{"retry-after": "3600"})] * 2, "asks to wait 3600 seconds", 75),
    "spent": ([fails(400, SPENT)], "spending limit", 75),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failing_model_builds_nothing_and_leaves_the_queue_as_it_is(tmp_path: Path, kind: str) -> None:
    replies, reason, code = FAILURES[kind]
    workspace = plain(tmp_path)
    with stage(workspace, take("build", "T-0001", *replies), builds("T-0001"), builds("T-0002", "b.txt")) as on:
        session = on.run("build")
        assert session.trouble is not None
        assert reason in session.trouble.reason
        assert trouble_as_error(session.trouble, "build").exit_code == code
        assert on.documents() == on.documents("T-0002") == ()
        assert {request.ticket for request in on.requests} == {"T-0001"}
        assert len(on.requests) == len(replies)
        on.run("build")
        assert on.last().outcome == on.last("T-0002").outcome == "done"


def test_nobody_listening_builds_nothing(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with stage(plain(tmp_path)) as on, environment(url, "a-key"):
            session = on.run("build")
            assert session.trouble is not None
            assert session.trouble.kind == "unreachable"
            assert trouble_as_error(session.trouble, "build").exit_code == 75
            assert on.documents() == ()


def test_work_that_was_begun_is_kept_when_the_model_goes_away(tmp_path: Path) -> None:
    with stage(plain(tmp_path), take("build", "T-0001", writes("a.txt", "x\n"), fails(401))) as on:
        on.run("build")
        assert on.last().outcome == "deferred"
        assert on.changes(on.last().commit or "") == {"a.txt": "A"}
        assert on.documents("T-0002") == ()


def test_a_request_that_is_refused_counts_as_an_attempt_and_the_next_ticket_is_worked(tmp_path: Path) -> None:
    with stage(plain(tmp_path), take("build", "T-0001", fails(413)), builds("T-0002")) as on:
        session = on.run("build")
        assert session.outcomes == {"T-0001": "deferred", "T-0002": "done"}
        assert "too large" in on.last().reason


def test_an_overloaded_model_is_followed_by_the_next_in_the_same_conversation(tmp_path: Path) -> None:
    replies: tuple[Reply, ...] = (writes("a.txt", "x\n"), *[fails(529)] * 3, hands_over())
    with stage(plain(tmp_path, "T-0001"), take("build", "T-0001", *replies)) as on:
        on.run("build")
        models = [request.body["model"] for request in on.requests]
        primary, fallback = on.workspace.settings.model.primary, on.workspace.settings.model.fallbacks[0]
        assert models == [primary] * 4 + [fallback]
        assert [turn["role"] for turn in on.requests[-1].body["messages"]] == ["user", "assistant", "user"]
        assert (on.last().outcome, on.last().model) == ("done", fallback)


def test_without_a_key_reviewers_do_the_machines_part_and_a_human_is_asked(tmp_path: Path) -> None:
    with stage(plain(tmp_path, "T-0001"), builds("T-0001")) as on:
        on.run("build")
        for agent, item in REVIEWS:
            with environment(on.model.url, None):
                on.run(agent)
            review = on.last()
            assert (review.outcome, review.degraded, review.claimed, review.turns) == ("pass", True, None, 0)
            assert "no API key" in review.reason
            assert on.items() == [item]
            on.decide(item, "approve")
        qa, security = on.documents()[1], on.documents()[3]
        assert qa.verified is not None and qa.verified.checks is not None and qa.verified.checks.ran
        assert security.verified is not None and security.verified.scanners
        assert [result.outcome for result in on.merge()] == ["merged"]


def test_a_degraded_pass_merges_where_the_table_says_so(tmp_path: Path) -> None:
    workspace = plain(tmp_path, "T-0001")
    text = workspace.layout.routing.read_text()
    workspace.layout.routing.write_text(text.replace("may_merge = false", "may_merge = true"))
    with stage(workspace, builds("T-0001")) as on:
        on.run("build")
        with environment(on.model.url, None):
            on.review()
        assert on.items() == []
        assert [result.outcome for result in on.merge()] == ["merged"]


@pytest.mark.parametrize("kind", ["401", "HTML 200", "529"])
def test_reviewers_degrade_when_the_model_fails_and_ask_it_only_once(tmp_path: Path, kind: str) -> None:
    replies = FAILURES[kind][0]
    workspace = plain(tmp_path)
    with stage(workspace, builds("T-0001"), builds("T-0002", "b.txt"), take("qa", "T-0001", *replies)) as on:
        on.run("build")
        built = len(on.requests)
        session = on.run("qa")
        assert len(on.requests) == built + len(replies)
        assert session.outcomes == {"T-0001": "pass", "T-0002": "pass"}
        assert on.last().degraded and on.last("T-0002").degraded


def test_a_degraded_review_still_fails_what_the_machine_sees(tmp_path: Path) -> None:
    with stage(plain(tmp_path, "T-0001"), builds("T-0001", content="bad\n")) as on:
        on.run("build")
        with environment(on.model.url, None):
            on.run("qa")
        assert (on.last().outcome, on.last().degraded) == ("fail", True)
        assert on.step().to == ("build",)


def test_the_whole_watch_without_a_key_still_reviews_and_merges(tmp_path: Path) -> None:
    workspace = plain(tmp_path, "T-0001")
    with stage(workspace, builds("T-0001"), *reviews("T-0001")) as on:
        on.run("build")
        on.review()
        write_ticket(workspace, "T-0002", "Another")
        with environment(on.model.url, None):
            night = on.go_round()
        assert [merge.outcome for merge in night.merges] == ["merged"]
        assert night.troubles["build"].kind == "key"
        assert on.documents("T-0002") == ()


def test_a_model_that_writes_half_characters_costs_its_own_ticket_only(tmp_path: Path) -> None:
    workspace = plain(tmp_path, "T-0001", "T-0002")
    broken = take("build", "T-0001", bash("echo \ud800"), hands_over())
    with stage(workspace, broken, builds("T-0002")) as on:
        session = on.run("build")
        assert session.outcomes["T-0002"] == "done"
        assert "broken characters" in on.last("T-0001").reason
