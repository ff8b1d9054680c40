"""What a scripted model says: the document behind the demo, the tests and `run --record`.

Owns the format `watchbill/script/1`: its model, how it is read and how it is written. A *take* is one session's
conversation about one ticket, as the list of the model's replies. It never plays a script (`demo.server` does that),
and never talks to a model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, ValidationError, field_validator

from watchbill import strict_json
from watchbill.documents.types import TicketId
from watchbill.errors import Damaged

MAX_BYTES = 32 * 1024 * 1024
AGENT_NAME = r"^[a-z][a-z0-9_-]{0,31}$"
_FRAMING_HEADERS = frozenset({"connection", "content-length", "transfer-encoding"})


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Part):
    """A block of prose."""

    type: Literal["text"] = "text"
    text: str


class ToolUse(_Part):
    """A call of a tool. `input` is what the model sent, right or wrong; the id is made when it is played."""

    type: Literal["tool_use"] = "tool_use"
    name: Annotated[str, Field(min_length=1)]
    input: JsonValue = Field(default_factory=dict)


Block = Annotated[Text | ToolUse, Field(discriminator="type")]
Tokens = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)]


class Usage(_Part):
    """What the reply cost, in tokens."""

    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    cache_creation_input_tokens: Tokens = 0
    cache_read_input_tokens: Tokens = 0


class Said(_Part):
    """A reply that arrived. Without a `stop_reason` it is `tool_use` where a tool is called, else `end_turn`."""

    content: tuple[Block, ...]
    stop_reason: Annotated[str, Field(min_length=1)] | None = None
    usage: Usage | None = None
    delay_seconds: Seconds = 0

    @property
    def why_it_stopped(self) -> str:
        if self.stop_reason is not None:
            return self.stop_reason
        return "tool_use" if any(isinstance(block, ToolUse) for block in self.content) else "end_turn"


class Failed(_Part):
    """A reply that went wrong on the way, or a page that is not from a model at all.

    `status` is the HTTP status. `body`: an object or list is sent as JSON, a string as it is (text/html unless
    `headers` say otherwise), nothing stands for the usual error body of that status.
    """

    status: Annotated[int, Field(ge=200, le=599)]
    headers: dict[str, str] = Field(default_factory=dict)
    body: dict[str, JsonValue] | list[JsonValue] | str | None = None
    delay_seconds: Seconds = 0

    @field_validator("headers")
    @classmethod
    def _headers_can_be_sent(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not name or not (name + value).isprintable() or not (name + value).isascii():
                raise ValueError(f"the header {name!r} cannot be sent: printable ASCII only")
            if name.lower() in _FRAMING_HEADERS:
                raise ValueError(f"the header {name!r} is the server's own")
        return headers


def _kind_of_reply(value: object) -> str:
    failed = isinstance(value, Failed) or (isinstance(value, Mapping) and "status" in value)
    return "failed" if failed else "said"


Reply = Annotated[Annotated[Said, Tag("said")] | Annotated[Failed, Tag("failed")], Discriminator(_kind_of_reply)]


class Take(_Part):
    """One session's conversation about one ticket: the model's replies, in order."""

    agent: Annotated[str, Field(pattern=AGENT_NAME)]
    ticket: TicketId
    replies: Annotated[tuple[Reply, ...], Field(min_length=1)]


class Script(BaseModel):
    """A whole script. Takes of the same agent and ticket are played in the order in which they stand here."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["watchbill/script/1"] = Field(default="watchbill/script/1", alias="schema")
    title: str
    takes: tuple[Take, ...] = ()


def parse(text: str, path: Path = Path("script.json")) -> Script:
    """The script in `text`. `path` is only for the message.

    Raises Damaged when it is too large, is not JSON, repeats a key, or is not of the schema.
    """
    if len(text) > MAX_BYTES:
        raise Damaged(path, f"a script is at most {MAX_BYTES} characters long")
    try:
        strict_json.check(text)
        return Script.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise Damaged(path, f"not a script: {where}: {first['msg']}") from error
    except ValueError as error:
        raise Damaged(path, f"not a script: {error}") from error


def render(script: Script) -> str:
    """The script as JSON: the same script always gives the same bytes, and `parse` gives the script back."""
    takes = [
        {"agent": take.agent, "ticket": take.ticket, "replies": [_rendered(reply) for reply in take.replies]}
        for take in script.takes
    ]
    document = {"schema": script.schema_, "title": script.title, "takes": takes}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def said(message: Mapping[str, Any]) -> Said:
    """The reply in a response of the Messages API, given as a plain mapping (`BetaMessage.model_dump()`).

    Keeps text and tool calls; thinking is left out, for it is signed for one conversation and cannot be replayed.
    """
    stop_reason = message.get("stop_reason")
    return Said(
        content=tuple(block for block in map(_block, message.get("content") or ()) if block is not None),
        stop_reason=stop_reason if isinstance(stop_reason, str) and stop_reason else None,
        usage=_usage(message.get("usage")),
    )


class ScriptBuilder:
    """Collects the replies of real sessions, one take for each session and ticket, in order of first appearance."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._replies: dict[tuple[str, str, str], list[Said | Failed]] = {}

    def add(self, agent: str, ticket: str, session: str, reply: Said | Failed) -> None:
        self._replies.setdefault((agent, ticket, session), []).append(reply)

    def script(self) -> Script:
        """What was collected so far. Raises pydantic's ValidationError for an agent or ticket with an odd name."""
        takes = (
            Take(agent=agent, ticket=ticket, replies=tuple(replies))
            for (agent, ticket, _session), replies in self._replies.items()
        )
        return Script(title=self._title, takes=tuple(takes))


def _rendered(reply: Said | Failed) -> dict[str, Any]:
    if isinstance(reply, Failed):
        return reply.model_dump(mode="json", exclude_defaults=True)
    # A block's `type` is its default, yet the reader needs it: so blocks are dumped whole.
    rest = reply.model_dump(mode="json", exclude_defaults=True, exclude={"content"})
    return {"content": [block.model_dump(mode="json") for block in reply.content], **rest}


def _block(block: Mapping[str, Any]) -> Text | ToolUse | None:
    if block.get("type") == "text" and isinstance(block.get("text"), str):
        return Text(text=block["text"])
    if block.get("type") == "tool_use" and isinstance(block.get("name"), str):
        return ToolUse(name=block["name"], input=block.get("input"))
    return None


def _usage(usage: Mapping[str, Any] | None) -> Usage | None:
    if usage is None:
        return None
    counts = {name: usage.get(name) for name in Usage.model_fields}
    return Usage.model_validate({name: count for name, count in counts.items() if isinstance(count, int)})
