"""The scripted model, asked by the real client."""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import pytest
from anthropic import beta_async_tool
from anthropic.lib.tools import BetaAsyncFunctionTool

from watchbill.demo.server import ScriptedModel
from watchbill.documents.script import Failed, Said, Script, Take, Text, ToolUse, Usage


def script(*takes: Take) -> Script:
    return Script(title="a test", takes=takes)


def take(*replies: Said | Failed, agent: str = "build", ticket: str = "T-0001") -> Take:
    return Take(agent=agent, ticket=ticket, replies=replies)


def says(text: str, stop_reason: str | None = None) -> Said:
    return Said(content=(Text(text=text),), stop_reason=stop_reason)


def calls(name: str, **arguments: Any) -> Said:
    return Said(content=(ToolUse(name=name, input=arguments),))


def headers(session: str = "s1", agent: str = "build", ticket: str = "T-0001") -> dict[str, str]:
    return {"x-watchbill-agent": agent, "x-watchbill-ticket": ticket, "x-watchbill-session": session}


class Notebook:
    """A tool that really does something: it writes down what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def tool(self) -> BetaAsyncFunctionTool[Any]:
        @beta_async_tool
        async def note(text: str) -> str:
            """Write something down."""
            self.notes.append(text)
            return f"noted: {text}"

        return note


def ask(
    model: ScriptedModel, question: Callable[[anthropic.AsyncAnthropic], Awaitable[Any]], max_retries: int = 0
) -> Any:
    async def talk() -> Any:
        async with anthropic.AsyncAnthropic(base_url=model.url, api_key="none", max_retries=max_retries) as client:
            return await question(client)

    return asyncio.run(talk())


async def one(client: anthropic.AsyncAnthropic, **who: str) -> Any:
    return await client.beta.messages.create(
        model="m", max_tokens=100, messages=[{"role": "user", "content": "hi"}], extra_headers=headers(**who)
    )


async def loop(client: anthropic.AsyncAnthropic, tools: list[Any], **who: str) -> list[Any]:
    runner = client.beta.messages.tool_runner(
        model="m",
        max_tokens=100,
        messages=[{"role": "user", "content": "hi"}],
        tools=tools,
        thread=False,
        extra_headers=headers(**who),
    )
    return [message async for message in runner]


def raw(model: ScriptedModel, method: str, path: str, body: bytes | None = None, **more: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(model.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, body=body, headers={**headers(), **more})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_text_is_a_whole_message_of_the_api() -> None:
    usage = Usage(input_tokens=7, output_tokens=5, cache_creation_input_tokens=3, cache_read_input_tokens=2)
    reply = Said(content=(Text(text="hello"),), usage=usage)
    with ScriptedModel(script(take(reply))) as model:
        message = ask(model, one)
    assert (message.type, message.role, message.model) == ("message", "assistant", "m")
    assert [(block.type, block.text) for block in message.content] == [("text", "hello")]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert message.usage.input_tokens == 7 and message.usage.output_tokens == 5
    assert message.usage.cache_creation_input_tokens == 3 and message.usage.cache_read_input_tokens == 2
    assert message.usage.cache_creation.ephemeral_5m_input_tokens == 3


def test_the_answer_is_valid_by_the_clients_own_model() -> None:
    from anthropic.types.beta import BetaMessage

    from watchbill.demo.server import message

    reply = Said(content=(Text(text="hello"), ToolUse(name="note", input={"text": "x"})))
    assert BetaMessage.model_validate(message(reply, "m", "01_01"), strict=True).id == "msg_01_01"


def test_a_conversation_with_a_real_tool_goes_on_over_several_turns() -> None:
    notebook = Notebook()
    with ScriptedModel(script(take(calls("note", text="a"), calls("note", text="b"), says("done")))) as model:
        messages = ask(model, lambda client: loop(client, [notebook.tool()]))
        assert [message.stop_reason for message in messages] == ["tool_use", "tool_use", "end_turn"]
        assert notebook.notes == ["a", "b"]
        last = model.requests[-1].body["messages"]
        assert [turn["role"] for turn in last] == ["user", "assistant", "user", "assistant", "user"]
        assert last[-1]["content"][0]["content"] == "noted: b"
        assert model.unused() == []


def test_the_ids_of_tool_calls_are_all_different_and_the_same_every_time() -> None:
    two = Said(content=(ToolUse(name="note", input={"text": "a"}), ToolUse(name="note", input={"text": "b"})))
    seen = []
    for _ in range(2):
        with ScriptedModel(script(take(two, calls("note", text="c"), says("done")))) as model:
            messages = ask(model, lambda client: loop(client, [Notebook().tool()]))
        seen.append([block.id for message in messages for block in message.content if block.type == "tool_use"])
    assert seen[0] == seen[1] and len(set(seen[0])) == 3


def test_a_request_is_kept_with_who_asked_and_without_the_key() -> None:
    with ScriptedModel(script(take(says("hello")))) as model:
        body = json.dumps({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}).encode()
        secrets = {"Authorization": "Bearer sk-secret", "X-Api-Key": "sk-secret"}
        raw(model, "POST", "/v1/messages", body, **secrets, **{"anthropic-version": "x"})
        [request] = model.requests
    assert (request.agent, request.ticket, request.session) == ("build", "T-0001", "s1")
    assert request.body["messages"] == [{"role": "user", "content": "hi"}]
    assert request.headers["anthropic-version"]
    assert "sk-secret" not in "".join(request.headers.values())


def test_an_overloaded_model_that_recovers_is_asked_again_by_the_client() -> None:
    with ScriptedModel(script(take(Failed(status=529, headers={"retry-after-ms": "5"}), says("hello")))) as model:
        message = ask(model, one, max_retries=2)
        assert message.content[0].text == "hello"
        assert [request.headers["x-stainless-retry-count"] for request in model.requests] == ["0", "1"]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, anthropic.BadRequestError, "invalid_request_error"),
        (401, anthropic.AuthenticationError, "authentication_error"),
        (403, anthropic.PermissionDeniedError, "permission_error"),
        (404, anthropic.NotFoundError, "not_found_error"),
        (429, anthropic.RateLimitError, "rate_limit_error"),
        (500, anthropic.InternalServerError, "api_error"),
        (529, anthropic.InternalServerError, "overloaded_error"),
    ],
)
def test_a_failure_is_the_clients_error_for_it(status: int, error: type[anthropic.APIStatusError], kind: str) -> None:
    with ScriptedModel(script(take(Failed(status=status)))) as model, pytest.raises(error) as caught:
        ask(model, one)
    assert caught.value.status_code == status
    assert isinstance(caught.value.body, dict) and caught.value.body["error"]["type"] == kind


def test_a_failure_may_have_a_body_and_headers_of_its_own() -> None:
    failed = Failed(status=429, headers={"X-Reason": "tea"}, body={"error": {"type": "tea", "message": "later"}})
    with ScriptedModel(script(take(failed))) as model, pytest.raises(anthropic.RateLimitError) as caught:
        ask(model, one)
    assert caught.value.response.headers["x-reason"] == "tea"
    assert caught.value.body == {"error": {"type": "tea", "message": "later"}}


def test_a_page_in_place_of_a_model_is_sent_as_html() -> None:
    page = script(take(Failed(status=200, body="<html>Log in</html>")))
    # What the client makes of it is an accident; that it fails is what matters.
    with ScriptedModel(page) as model, pytest.raises(AttributeError):
        ask(model, lambda client: loop(client, []))
    gateway = script(take(Failed(status=502, body="<html>Bad gateway</html>")))
    with ScriptedModel(gateway) as model, pytest.raises(anthropic.InternalServerError) as caught:
        ask(model, one)
    assert caught.value.response.headers["content-type"].startswith("text/html")
    assert caught.value.body == "<html>Bad gateway</html>"


def test_a_broken_body_can_be_sent_as_json() -> None:
    broken = Failed(status=200, headers={"Content-Type": "application/json"}, body='{"id": "m')
    with ScriptedModel(script(take(broken, broken))) as model:
        with pytest.raises(json.JSONDecodeError):
            ask(model, one)
        body = json.dumps({"model": "m", "max_tokens": 1, "messages": [USER]}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{model.url}/v1/messages", body, headers())) as response:
            assert response.headers.get_all("content-type") == ["application/json"]


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded", "stop_sequence"])
def test_a_stop_reason_is_told_and_ends_the_conversation(reason: str) -> None:
    notebook = Notebook()
    cut = Said(content=(ToolUse(name="note", input={"text": "a"}),), stop_reason=reason)
    with ScriptedModel(script(take(cut, says("never")))) as model:
        messages = ask(model, lambda client: loop(client, [notebook.tool()]))
        assert [message.stop_reason for message in messages] == [reason]
        assert notebook.notes == []
        assert [leftover.played for leftover in model.unused()] == [1]


def test_a_delay_is_waited_for() -> None:
    slow = Said(content=(Text(text="at last"),), delay_seconds=5)
    with ScriptedModel(script(take(slow))) as model:

        async def impatient(client: anthropic.AsyncAnthropic) -> Any:
            return await one(client.with_options(timeout=0.3))

        with pytest.raises(anthropic.APITimeoutError):
            ask(model, impatient)
        assert len(model.requests) == 1


def test_the_end_does_not_wait_for_a_delay_or_for_a_client_that_holds_on() -> None:
    before = set(threading.enumerate())
    slow = Said(content=(Text(text="at last"),), delay_seconds=3600)
    with ScriptedModel(script(take(slow))) as model:
        port = int(model.url.rpartition(":")[2])
        body = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}'
        who = "".join(f"{name}: {value}\r\n" for name, value in headers().items())
        asking = socket.create_connection(("127.0.0.1", port))
        asking.sendall(f"POST /v1/messages HTTP/1.1\r\n{who}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        idle = socket.create_connection(("127.0.0.1", port))
        until(lambda: len(model.requests) == 1)
    with asking, idle:
        assert idle.recv(1) == b""
        until(lambda: set(threading.enumerate()) <= before)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("who", [{"agent": "qa"}, {"ticket": "T-0002"}])
def test_a_take_that_is_missing_is_a_400_that_names_it(who: dict[str, str]) -> None:
    with ScriptedModel(script(take(says("hello")))) as model, pytest.raises(anthropic.BadRequestError) as caught:
        ask(model, lambda client: one(client, **who), max_retries=2)
    names = {"agent": "build", "ticket": "T-0001", **who}
    assert f"agent {names['agent']}, ticket {names['ticket']}, session s1: reply 1" in str(caught.value)


def test_a_reply_that_is_missing_is_a_400_that_names_it() -> None:
    with ScriptedModel(script(take(calls("note", text="a")))) as model:
        with pytest.raises(anthropic.BadRequestError) as caught:
            ask(model, lambda client: loop(client, [Notebook().tool()]))
        assert "agent build, ticket T-0001, session s1 has 1 replies: reply 2" in str(caught.value)
        assert len(model.requests) == 2
        assert model.unused() == []


def test_a_request_without_our_headers_is_a_400_that_says_so() -> None:
    with ScriptedModel(script(take(says("hello")))) as model:
        body = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}'
        gone = dict.fromkeys(headers(), "")
        status, answer = raw(model, "POST", "/v1/messages", body, **gone)
    assert status == 400 and b"agent (none), ticket (none), session (none)" in answer


def test_two_sessions_at_once_get_takes_of_their_own() -> None:
    takes = [take(*(calls("note", text=f"{name}{turn}") for turn in range(5)), says(name)) for name in "abcd"]

    async def all_at_once(client: anthropic.AsyncAnthropic) -> list[list[str]]:
        async def session(name: str) -> list[str]:
            notebook = Notebook()
            messages = await loop(client, [notebook.tool()], session=name)
            return [*notebook.notes, messages[-1].content[0].text]

        return list(await asyncio.gather(*(session(f"s{number}") for number in range(4))))

    with ScriptedModel(script(*takes)) as model:
        heard = ask(model, all_at_once)
        assert sorted(heard) == [[*(f"{name}{turn}" for turn in range(5)), name] for name in "abcd"]
        assert model.unused() == []


def test_one_session_works_each_ticket_in_a_take_of_its_own_and_comes_back_to_it() -> None:
    takes = (take(says("a"), says("b")), take(says("x"), ticket="T-0002"), take(says("c")))
    with ScriptedModel(script(*takes)) as model:
        heard = []
        for ticket in ("T-0001", "T-0002", "T-0001"):
            heard.append(ask(model, functools.partial(one, ticket=ticket)))
        assert [message.content[0].text for message in heard] == ["a", "x", "b"]
        [left] = model.unused()
        assert str(left) == "build on T-0001: 0 of 1 replies played"
        assert ask(model, lambda client: one(client, session="s2")).content[0].text == "c"


def test_a_streamed_answer_tells_the_same_message() -> None:
    reply = Said(
        content=(Text(text="héllo"), ToolUse(name="note", input={"text": "a\nb"})), usage=Usage(output_tokens=9)
    )

    async def stream(client: anthropic.AsyncAnthropic) -> Any:
        async with client.beta.messages.stream(
            model="m", max_tokens=100, messages=[{"role": "user", "content": "hi"}], extra_headers=headers()
        ) as events:
            kinds = [event.type async for event in events]
            return kinds, await events.get_final_message()

    with ScriptedModel(script(take(reply), take(reply))) as model:
        kinds, streamed = ask(model, stream)
        whole = ask(model, lambda client: one(client, session="s2"))
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert [
        (block.type, getattr(block, "text", None), getattr(block, "input", None)) for block in streamed.content
    ] == [
        ("text", "héllo", None),
        ("tool_use", None, {"text": "a\nb"}),
    ]
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


def test_a_query_is_read_past() -> None:
    with ScriptedModel(script(take(says("hello")))) as model:
        body = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}'
        status, answer = raw(model, "POST", "/v1/messages?beta=true", body)
    assert status == 200 and json.loads(answer)["content"][0]["text"] == "hello"


def test_anything_else_is_answered_politely() -> None:
    with ScriptedModel(script()) as model:
        assert raw(model, "GET", "/")[0] == 200
        assert raw(model, "HEAD", "/") == (200, b"")
        assert raw(model, "GET", "/v1/models")[0] == 404
        assert raw(model, "POST", "/v1/complete", b"{}")[0] == 404
        assert raw(model, "DELETE", "/v1/messages")[0] == 404
        assert raw(model, "POST", "/v1/messages", b"not json")[0] == 400
        assert raw(model, "POST", "/v1/messages", b"[" * 100_000)[0] == 400
        assert raw(model, "POST", "/v1/messages", b"", **{"Content-Length": "-1"})[0] == 411
        assert raw(model, "POST", "/v1/messages", b"", **{"Content-Length": "999999999999"})[0] == 413
        assert model.requests == []


USER, CALL = {"role": "user", "content": "hi"}, {"type": "tool_use", "id": "t1", "name": "note", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "at least one message"),
        ([{"role": "robot", "content": "hi"}], "role"),
        ([{"role": "user"}], "content"),
        ([USER, {"role": "assistant", "content": [CALL]}], "without `tool_result`"),
        ([USER, {"role": "assistant", "content": [CALL]}, USER], "without `tool_result`"),
        ([{"role": "user", "content": [RESULT]}], "without its `tool_use`"),
    ],
)
def test_what_the_real_api_would_refuse_is_refused_and_plays_nothing(messages: list[Any], why: str) -> None:
    with ScriptedModel(script(take(says("hello")))) as model:
        body = json.dumps({"model": "m", "max_tokens": 1, "messages": messages}).encode()
        status, answer = raw(model, "POST", "/v1/messages", body)
        assert status == 400 and why in json.loads(answer)["error"]["message"]
        assert [left.played for left in model.unused()] == [0]


def test_a_forced_tool_must_be_among_the_tools() -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [USER], "tool_choice": {"type": "tool", "name": "note"}}
    with ScriptedModel(script(take(says("hello")))) as model:
        assert raw(model, "POST", "/v1/messages", json.dumps(body).encode())[0] == 400
        body["tools"] = [{"name": "note", "input_schema": {"type": "object"}}]
        assert raw(model, "POST", "/v1/messages", json.dumps(body).encode())[0] == 200


def test_a_client_that_goes_away_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    large = says("x" * 20_000_000)
    with ScriptedModel(script(take(large), take(says("hello")))) as model:
        port = int(model.url.rpartition(":")[2])
        body = b'{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}'
        who = "".join(f"{name}: {value}\r\n" for name, value in headers("gone").items())
        with socket.create_connection(("127.0.0.1", port)) as asking:
            asking.sendall(f"POST /v1/messages HTTP/1.1\r\n{who}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert asking.recv(1)
        assert ask(model, one).content[0].text == "hello"
    assert capfd.readouterr().err == ""


def test_it_listens_on_the_loopback_only_and_has_an_address_only_while_it_runs() -> None:
    model = ScriptedModel(script())
    with pytest.raises(RuntimeError):
        _ = model.url
    with model:
        assert model.url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError):
        _ = model.url
