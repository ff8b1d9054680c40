"""What of a request is redacted, and what goes out as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.leaks import AWS, GITHUB
from watchbill.tools.model.outgoing import Outgoing
from watchbill.tools.redaction import redact

GIVEN = {"command": f"echo {AWS}", GITHUB: {"id": AWS}}
BODY: dict[str, Any] = {
    "model": "one",
    "max_tokens": 5,
    "system": [{"type": "text", "text": f"the playbook says {AWS}"}],
    "tools": [{"name": "bash", "description": f"as {AWS}"}],
    "messages": [
        {"role": "user", "content": f"a ticket with {AWS}"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": f"hm {AWS}", "signature": "s"},
                {"type": "text", "text": f"I say {AWS}"},
                {
                    "type": "tool_use",
                    "id": AWS,
                    "name": "bash",
                    "input": GIVEN,
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": AWS, "content": [{"type": "text", "text": f"it is {AWS}"}]},
                {"type": "tool_result", "tool_use_id": AWS, "content": f"it is {AWS}", "is_error": True},
            ],
        },
    ],
}
MARK = "[redacted: aws-access-token]"


def test_words_are_redacted_and_what_the_server_needs_is_not() -> None:
    before = copy.deepcopy(BODY)
    body = Outgoing(redact).redacted(before)
    assert before == BODY
    assert {key: body[key] for key in ("model", "max_tokens", "tools")} == {
        key: BODY[key] for key in ("model", "max_tokens", "tools")
    }
    assert body["system"][0]["text"] == f"the playbook says {MARK}"
    first, said, results = body["messages"]
    assert first["content"] == f"a ticket with {MARK}"
    assert said["content"] == [
        BODY["messages"][1]["content"][0],
        {"type": "text", "text": f"I say {MARK}"},
        {
            "type": "tool_use",
            "id": AWS,
            "name": "bash",
            "input": {"command": f"echo {MARK}", "[redacted: github-pat]": {"id": MARK}},
        },
    ]
    assert [block["tool_use_id"] for block in results["content"]] == [AWS, AWS]
    assert results["content"][0]["content"][0]["text"] == results["content"][1]["content"] == f"it is {MARK}"
    assert results["content"][1]["is_error"] is True


def test_each_text_is_searched_once_in_a_conversation() -> None:
    searched: list[str] = []

    def search(text: str) -> str:
        searched.append(text)
        return redact(text)

    outgoing = Outgoing(search)
    assert outgoing.redacted(BODY) == outgoing.redacted(BODY)
    assert len(searched) == len(set(searched))


def test_what_cannot_be_searched_is_not_given_back() -> None:
    def fail(text: str) -> str:
        raise MemoryError(len(text))

    with pytest.raises(MemoryError):
        Outgoing(fail).redacted(BODY)
