"""A conversation with a model, against a real loopback server and with the real SDK."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from watchbill.demo.server import ScriptedModel
from watchbill.documents.script import Failed, Said, Script, Take, Text, ToolUse, Usage
from watchbill.errors import Misconfigured
from watchbill.tools.model import ModelTrouble, Reply, Tool, ToolRefused
from watchbill.tools.model.conversation import Access, Conversation
from watchbill.tools.model.keys import find_key

SECRET = "sk-ant-secret-key-0123456789"
HEADERS = {"x-watchbill-agent": "build", "x-watchbill-ticket": "T-0001", "x-watchbill-session": "s1"}
NO_RETRY = {"x-should-retry": "false"}


def says(text: str, stop_reason: str | None = None) -> Said:
    return Said(content=(Text(text=text),), stop_reason=stop_reason)


def calls(name: str, **given: Any) -> Said:
    return Said(content=(ToolUse(name=name, input=given),))


@dataclass
class Talk:
    """One conversation as a session holds it: attempts are counted, a tool notes what it is told."""

    attempts: list[bool] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    forbid_from: int = 10**9

    def before_attempt(self, is_retry: bool) -> None:
        if len(self.attempts) >= self.forbid_from:
            raise Forbidden
        self.attempts.append(is_retry)

    def tools(self) -> list[Tool]:
        async def note(given: Any) -> str:
            if given == {"text": "no"}:
                raise ToolRefused("Not that.")
            self.notes.append(given)
            return "noted"

        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        return [Tool("note", "Write down.", schema, note), Tool("submit_handoff", "End.", schema, note, strict=True)]


class Forbidden(Exception):
    pass


def hold(
    url: str,
    script: Callable[[Conversation], Awaitable[Any]],
    talk: Talk,
    models: tuple[str, ...] = ("one",),
    timeout: float = 10,
    key: str = SECRET,
) -> Any:
    """Hold a conversation with the server at `url`, as `script` goes. Never longer than ten seconds."""

    async def run() -> Any:
        access = Access(key, models, 1_000, timeout)
        async with Conversation(
            access, "You are build.", "Begin.", talk.tools(), HEADERS, talk.before_attempt, talk.replies.append
        ) as conversation:
            return await asyncio.wait_for(script(conversation), 10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_BASE_URL", url)
        return asyncio.run(run())


async def one(conversation: Conversation) -> Reply:
    return await conversation.ask()


def to_the_end(turns: int) -> Callable[[Conversation], Awaitable[list[Reply]]]:
    async def script(conversation: Conversation) -> list[Reply]:
        replies = []
        for _ in range(turns):
            replies.append(await conversation.ask())
            if replies[-1].stop_reason == "tool_use":
                await conversation.run_tools()
        return replies

    return script


def playing(*replies: Said | Failed) -> ScriptedModel:
    return ScriptedModel(Script(title="x", takes=(Take(agent="build", ticket="T-0001", replies=replies),)))


def trouble(talk: Talk, *replies: Said | Failed, models: tuple[str, ...] = ("one",)) -> ModelTrouble:
    with playing(*replies) as server, pytest.raises(ModelTrouble) as caught:
        hold(server.url, one, talk, models)
    return caught.value


# Replies


def test_a_reply_is_its_words_its_tools_and_its_usage() -> None:
    usage = Usage(input_tokens=7, output_tokens=5, cache_creation_input_tokens=3, cache_read_input_tokens=2)
    said = Said(content=(Text(text="Let me see."), ToolUse(name="note", input={"text": "x"})), usage=usage)
    talk = Talk()
    with playing(said) as server:
        reply = hold(server.url, one, talk)
    assert (reply.text, reply.tools, reply.stop_reason, reply.model) == ("Let me see.", ("note",), "tool_use", "one")
    assert (reply.usage.input, reply.usage.output, reply.usage.cache_write, reply.usage.cache_read) == (7, 5, 3, 2)
    assert talk.replies == [reply] and talk.attempts == [False]


def test_tools_run_once_and_their_results_go_out_with_the_next_request() -> None:
    talk = Talk()
    with playing(calls("note", text="a"), calls("note", text="no"), says("done")) as server:
        replies = hold(server.url, to_the_end(3), talk)
        last = server.requests[-1].body["messages"]
    assert talk.notes == [{"text": "a"}]
    assert [turn["role"] for turn in last] == ["user", "assistant", "user", "assistant", "user"]
    assert last[2]["content"][0]["content"] == "noted"
    refused = last[4]["content"][0]
    assert (refused["is_error"], refused["content"]) == (True, "Not that.")
    assert replies[-1].text == "done" and talk.attempts == [False] * 3


def test_an_unknown_tool_and_a_malformed_input_are_told_to_the_model_and_break_nothing() -> None:
    wrong = Said(content=(ToolUse(name="nope", input={}), ToolUse(name="note", input=["not", "an", "object"])))
    talk = Talk()
    with playing(wrong, says("done")) as server:
        hold(server.url, to_the_end(2), talk)
        results = server.requests[-1].body["messages"][2]["content"]
    assert results[0]["is_error"] and "nope" in str(results[0]["content"])
    assert len(results) == 2


def test_every_request_carries_who_asks_and_the_same_tools_and_prompt() -> None:
    talk = Talk()
    with playing(calls("note", text="a"), says("done")) as server:
        hold(server.url, to_the_end(2), talk)
        requests = server.requests
    assert {(request.agent, request.ticket, request.session) for request in requests} == {("build", "T-0001", "s1")}
    assert requests[0].body["tools"] == requests[1].body["tools"]
    assert requests[0].body["system"] == requests[1].body["system"] == "You are build."
    assert [tool["name"] for tool in requests[0].body["tools"]] == ["note", "submit_handoff"]
    assert requests[0].body["tools"][1]["strict"] is True
    for gone in ("temperature", "top_p", "top_k", "stream"):
        assert not requests[0].body.get(gone)


def test_the_last_request_demands_the_handoff_and_its_tool_runs_once() -> None:
    talk = Talk()

    async def script(conversation: Conversation) -> None:
        await conversation.ask()
        conversation.force_next("submit_handoff")
        await conversation.run_tools()
        await conversation.ask()
        await conversation.run_tools()

    with playing(calls("note", text="a"), calls("submit_handoff", text="b")) as server:
        hold(server.url, script, talk)
        choices = [request.body.get("tool_choice") for request in server.requests]
    assert choices == [None, {"type": "tool", "name": "submit_handoff"}]
    assert talk.notes == [{"text": "a"}, {"text": "b"}]


def test_the_very_first_request_can_be_the_last() -> None:
    async def script(conversation: Conversation) -> None:
        conversation.force_next("submit_handoff")
        await conversation.ask()

    with playing(calls("submit_handoff", text="b")) as server:
        hold(server.url, script, Talk())
        assert server.requests[0].body["tool_choice"] == {"type": "tool", "name": "submit_handoff"}


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "model_context_window_exceeded", "something_new"])
def test_an_unusual_end_is_a_reply_like_any_other(stop_reason: str) -> None:
    with playing(says("…", stop_reason)) as server:
        assert hold(server.url, one, Talk()).stop_reason == stop_reason


def test_a_paused_turn_is_sent_again_as_it_is() -> None:
    with playing(says("thinking", "pause_turn"), says("done")) as server:
        replies = hold(server.url, to_the_end(2), Talk())
    assert [reply.text for reply in replies] == ["thinking", "done"]


# Trouble


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "rejected"),
        (401, "key"),
        (402, "spent"),
        (403, "key"),
        (404, "no such model"),
        (413, "rejected"),
        (429, "busy"),
        (500, "busy"),
        (503, "busy"),
        (529, "busy"),
    ],
)
def test_a_refusing_server_is_trouble_of_its_kind(status: int, kind: str) -> None:
    talk = Talk()
    found = trouble(talk, Failed(status=status, headers=NO_RETRY))
    assert found.kind == kind
    assert str(status) in found.reason and "The script says so." in found.reason
    assert talk.attempts == [False]


def test_a_spending_limit_arrives_as_a_400() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low"}}
    assert trouble(Talk(), Failed(status=400, body=error)).kind == "spent"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html><body>Log in to the hotel's network</body></html>"),
        (200, ""),
        (200, '{"id": '),
        (200, "null"),
        (200, "[]"),
        (200, "{}"),
        (200, '"text"'),
        (200, '{"type": "message", "role": "assistant", "content": null, "stop_reason": "end_turn"}'),
        (200, '{"type": "message", "role": "assistant", "content": "text", "stop_reason": "end_turn"}'),
        (200, '{"type": "error", "error": {"type": "x", "message": "y"}}'),
        (404, "<html>404</html>"),
    ],
)
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_what_is_not_the_messages_api_is_foreign(status: int, body: str, kind: str) -> None:
    talk = Talk()
    found = trouble(talk, Failed(status=status, headers={"content-type": kind}, body=body), models=("one", "two"))
    assert (found.kind, len(talk.attempts)) == ("foreign", 1)
    assert len(found.reason) < 600 and "\n" not in found.reason


def test_a_page_instead_of_an_error_stays_short_and_on_one_line() -> None:
    found = trouble(Talk(), Failed(status=502, headers=NO_RETRY, body="<html>\n" + "x" * 10_000 + "</html>"))
    assert found.kind == "busy" and len(found.reason) < 600 and "\n" not in found.reason


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    talk = Talk()
    with pytest.raises(ModelTrouble) as caught:
        hold(url, one, talk)
    assert caught.value.kind == "unreachable"
    assert talk.attempts == [False, True, True], "each attempt was announced"


def test_a_server_that_never_answers_is_tried_again_and_then_unreachable() -> None:
    silent = (Failed(status=200, body="{}", delay_seconds=20) for _ in range(3))
    with playing(*silent) as server:
        with pytest.raises(ModelTrouble) as caught:
            hold(server.url, one, Talk(), timeout=0.3)
        assert len(server.requests) > 1
    assert caught.value.kind == "unreachable"


def test_a_forbidden_attempt_after_a_timeout_is_not_sent() -> None:
    talk = Talk(forbid_from=1)
    silent = Failed(status=200, body="{}", delay_seconds=20)
    with playing(silent) as server, pytest.raises(Forbidden):
        hold(server.url, one, talk, timeout=0.3)
    assert talk.attempts == [False]


# Attempts and retries


def test_every_retry_is_announced_before_it_is_sent() -> None:
    talk = Talk()
    quick = {"retry-after-ms": "1"}
    with playing(Failed(status=529, headers=quick), Failed(status=500, headers=quick), says("done")) as server:
        assert hold(server.url, one, talk).text == "done"
        assert len(server.requests) == 3
    assert talk.attempts == [False, True, True]


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_forbidden_attempt_is_not_sent(allowed: int) -> None:
    talk = Talk(forbid_from=allowed)
    quick = {"retry-after-ms": "1"}
    with playing(*(Failed(status=529, headers=quick) for _ in range(5))) as server:
        with pytest.raises(Forbidden):
            hold(server.url, one, talk, models=("one", "two"))
        assert len(server.requests) == allowed


def test_a_forbidden_attempt_after_a_lost_connection_is_not_sent_either() -> None:
    with hanging_up() as (url, accepted):
        with pytest.raises(Forbidden):
            hold(url, one, Talk(forbid_from=1))
        assert len(accepted) == 1


@contextmanager
def hanging_up() -> Iterator[tuple[str, list[int]]]:
    """A server that takes a request and hangs up."""
    accepted: list[int] = []

    class Rude(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            accepted.append(1)
            self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rude)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", accepted
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [429, 500, 503, 529])
@pytest.mark.parametrize(
    "header",
    [
        {"retry-after": "3600"},
        {"retry-after-ms": "3600000"},
        {"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)},
        {"retry-after": "1e9"},
    ],
    ids=["seconds", "milliseconds", "date", "huge"],
)
def test_a_server_that_asks_for_an_hour_is_busy_and_nobody_waits(status: int, header: dict[str, str]) -> None:
    talk = Talk()
    found = trouble(talk, Failed(status=status, headers=header), says("too late"))
    assert (found.kind, talk.attempts) == ("busy", [False])


@pytest.mark.parametrize("header", [{"retry-after": "soon"}, {"retry-after": "-5"}, {"retry-after": "nan"}])
def test_a_wait_that_makes_no_sense_is_passed_over(header: dict[str, str]) -> None:
    talk = Talk()
    with playing(Failed(status=529, headers=header), says("done")) as server:
        assert hold(server.url, one, talk).text == "done"


# Other models


@pytest.mark.parametrize("status", [529, 404])
def test_another_model_goes_on_with_the_whole_transcript(status: int) -> None:
    talk = Talk()
    with playing(
        calls("note", text="a"), Failed(status=status, headers=NO_RETRY), calls("note", text="b"), says("done")
    ) as server:
        replies = hold(server.url, to_the_end(3), talk, models=("one", "two"))
        requests = server.requests
    assert [request.body["model"] for request in requests] == ["one", "one", "two", "two"]
    assert requests[2].body["messages"] == requests[1].body["messages"]
    assert talk.notes == [{"text": "a"}, {"text": "b"}], "no tool ran twice"
    assert [reply.model for reply in replies] == ["one", "two", "two"]
    assert talk.attempts == [False] * 4


def test_the_demand_for_the_handoff_holds_for_another_model_too() -> None:
    talk = Talk()

    async def script(conversation: Conversation) -> None:
        await conversation.ask()
        conversation.force_next("submit_handoff")
        await conversation.run_tools()
        await conversation.ask()

    with playing(
        calls("note", text="a"), Failed(status=529, headers=NO_RETRY), calls("submit_handoff", text="b")
    ) as server:
        hold(server.url, script, talk, models=("one", "two"))
        choices = [request.body.get("tool_choice") for request in server.requests]
    assert choices[1:] == [{"type": "tool", "name": "submit_handoff"}] * 2


def test_after_the_last_model_there_is_trouble() -> None:
    talk = Talk()
    failed = Failed(status=529, headers=NO_RETRY)
    assert trouble(talk, failed, failed, says("no"), models=("one", "two")).kind == "busy"
    assert len(talk.attempts) == 2


@pytest.mark.parametrize("status", [400, 401, 402, 413])
def test_no_other_model_is_asked_where_it_would_not_help(status: int) -> None:
    talk = Talk()
    trouble(talk, Failed(status=status, headers=NO_RETRY), says("no"), models=("one", "two"))
    assert len(talk.attempts) == 1


def test_a_model_that_is_named_twice_is_asked_once() -> None:
    talk = Talk()
    failed = Failed(status=404, headers=NO_RETRY)
    trouble(talk, failed, failed, says("no"), models=("one", "one"))
    assert len(talk.attempts) == 1


# The key


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 200])
def test_the_key_never_stands_in_an_error(status: int) -> None:
    told = {"type": "error", "error": {"type": "x", "message": f"I do not like your key {SECRET}!"}}
    found = trouble(Talk(), Failed(status=status, headers=NO_RETRY, body=told))
    assert SECRET not in found.reason and SECRET not in str(found) and SECRET not in repr(found)


def test_the_key_does_not_stand_in_the_representation_of_what_holds_it() -> None:
    assert SECRET not in repr(Access(SECRET, ("one",), 1, 1))


def test_a_key_that_cannot_be_a_header_is_no_key_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for bad in ("sk-ant\nsecret-0123", "sk-ant-\u2026secret-0123", "sk ant secret-0123", "sk\x00secret-0123"):
        path = tmp_path / "key"
        path.write_text(bad, "utf-8")
        path.chmod(0o600)
        monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
        with pytest.raises(Misconfigured) as caught:
            find_key(path)
        assert "secret-0123" not in caught.value.reason + caught.value.hint


def test_the_key_comes_from_the_environment_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    (tmp_path / "key").chmod(0o600)
    monkeypatch.setenv("ANTHROPIC_API_KEY", " from-environment ")
    assert find_key(tmp_path / "key") == "from-environment"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    assert find_key(tmp_path / "key") == "from-file"
    assert find_key(None) is None


def test_a_key_file_that_others_can_read_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (tmp_path / "key").write_text("from-file")
    for mode in (0o640, 0o604, 0o644):
        (tmp_path / "key").chmod(mode)
        with pytest.raises(Misconfigured, match="can be read by others"):
            find_key(tmp_path / "key")
    with pytest.raises(Misconfigured, match="cannot be read"):
        find_key(tmp_path / "none")
    (tmp_path / "empty").touch(0o600)
    assert find_key(tmp_path / "empty") is None
