"""Scripts of a model: what is read, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.documents.script import (
    Failed,
    Said,
    Script,
    ScriptBuilder,
    Take,
    Text,
    ToolUse,
    Usage,
    parse,
    render,
    said,
)
from watchbill.errors import Damaged

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
BLOCKS = st.builds(Text, text=TEXT) | st.builds(ToolUse, name=TEXT.filter(bool), input=JSON)
REPLIES = st.builds(
    Said,
    content=st.lists(BLOCKS, max_size=3).map(tuple),
    stop_reason=st.none() | st.just("max_tokens"),
    usage=st.none() | st.builds(Usage, input_tokens=st.integers(0, 10**6)),
    delay_seconds=st.just(0) | st.floats(0, 9),
) | st.builds(
    Failed,
    status=st.integers(200, 599),
    headers=st.just({}) | st.just({"Retry-After": "1"}),
    body=st.none() | TEXT | st.dictionaries(TEXT, JSON, max_size=2) | st.lists(JSON, max_size=2),
)
TAKES = st.builds(
    Take,
    agent=st.sampled_from(["build", "qa", "security"]),
    ticket=st.sampled_from(["T-0001", "BUG-7.2"]),
    replies=st.lists(REPLIES, min_size=1, max_size=3).map(tuple),
)


@given(st.builds(Script, title=TEXT, takes=st.lists(TAKES, max_size=3).map(tuple)))
def test_what_is_rendered_parses_to_the_same_script(script: Script) -> None:
    text = render(script)
    assert parse(text) == script
    assert render(parse(text)) == text


def test_the_form_on_disk_is_the_one_that_is_documented() -> None:
    document = {
        "schema": "watchbill/script/1",
        "title": "A quiet night",
        "takes": [
            {
                "agent": "build",
                "ticket": "T-0001",
                "replies": [
                    {
                        "content": [
                            {"type": "text", "text": "Let me look."},
                            {"type": "tool_use", "name": "bash", "input": {"command": "ls"}},
                        ],
                        "usage": {"input_tokens": 10, "output_tokens": 3},
                    },
                    {"status": 529, "headers": {"retry-after": "1"}, "body": {"error": "busy"}, "delay_seconds": 0.5},
                    {"status": 200, "body": "<html></html>"},
                    {"content": [], "stop_reason": "max_tokens"},
                ],
            }
        ],
    }
    script = parse(json.dumps(document))
    assert json.loads(render(script)) == document
    assert [type(reply).__name__ for reply in script.takes[0].replies] == ["Said", "Failed", "Failed", "Said"]


def test_why_it_stopped_follows_from_what_was_said() -> None:
    text, call = Text(text="x"), ToolUse(name="bash")
    assert Said(content=(text,)).why_it_stopped == "end_turn"
    assert Said(content=(text, call)).why_it_stopped == "tool_use"
    assert Said(content=(call,), stop_reason="refusal").why_it_stopped == "refusal"


TAKE: dict[str, Any] = {"agent": "build", "ticket": "T-0001", "replies": [{"content": []}]}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"schema": "watchbill/script/2", "title": "x", "takes": []},
        {"schema": "watchbill/script/1", "title": "x", "takes": [], "more": 1},
        {"title": "x", "takes": [{**TAKE, "replies": []}]},
        {"title": "x", "takes": [{**TAKE, "ticket": "../T-1"}]},
        {"title": "x", "takes": [{**TAKE, "agent": "Build agent"}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"content": [{"type": "image"}]}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"content": [], "status": 500}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"status": 99}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"status": "500"}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"status": 500, "headers": {"a": "b\r\nc: d"}}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"status": 500, "headers": {"Content-Length": "1"}}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"status": 500, "delay_seconds": -1}]}]},
        {"title": "x", "takes": [{**TAKE, "replies": [{"content": [], "usage": {"input_tokens": -1}}]}]},
    ],
)
def test_what_is_not_a_script_is_damaged_and_says_where(document: object) -> None:
    with pytest.raises(Damaged) as caught:
        parse(json.dumps(document), Path("night.json"))
    assert caught.value.path == Path("night.json")
    assert caught.value.why.startswith("not a script: ")


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"title": "x", "title": "y"}', '{"title": NaN}', "[" * 100_000, '{"title": "\\ud800"}'],
    ids=["empty", "cut", "twice", "nan", "deep", "half a character"],
)
def test_what_is_not_clean_json_is_damaged(text: str) -> None:
    with pytest.raises(Damaged):
        parse(text)


def test_a_recording_has_one_take_for_each_session_and_ticket() -> None:
    builder = ScriptBuilder("last night")
    for number, (session, ticket) in enumerate([("s1", "T-1"), ("s2", "T-1"), ("s1", "T-1"), ("s1", "T-2")]):
        builder.add("build", ticket, session, Said(content=(Text(text=str(number)),)))
    script = builder.script()
    assert script.title == "last night"
    heard = [(take.ticket, [_words(reply) for reply in take.replies]) for take in script.takes]
    assert heard == [("T-1", ["0", "2"]), ("T-1", ["1"]), ("T-2", ["3"])]
    assert parse(render(script)) == script


def _words(reply: Said | Failed) -> str:
    assert isinstance(reply, Said) and isinstance(reply.content[0], Text)
    return reply.content[0].text


def test_a_real_message_becomes_a_reply_without_thinking_or_ids() -> None:
    reply = said(
        {
            "id": "msg_1",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "text", "text": "Let me look.", "citations": None},
                {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}},
            ],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 4, "output_tokens": 2, "cache_read_input_tokens": None, "service_tier": "x"},
        }
    )
    assert reply == Said(
        content=(Text(text="Let me look."), ToolUse(name="bash", input={"command": "ls"})),
        stop_reason="tool_use",
        usage=Usage(input_tokens=4, output_tokens=2),
    )


def test_a_message_without_its_usage_can_be_recorded() -> None:
    assert said({"content": None, "stop_reason": None, "usage": None}) == Said(content=())
