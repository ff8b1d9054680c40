"""What passes through the door to the model: tools, replies, usage, trouble. No SDK here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

TroubleKind = Literal["key", "no such model", "busy", "unreachable", "foreign", "rejected", "spent"]


class ModelTrouble(Exception):
    """No answer came. `kind` says whose it is to mend, `reason` is a sentence for a person.

    key: the server does not take the key. no such model: it does not know the model (or the path). busy: it is
    overloaded. unreachable: no connection. foreign: what answered does not speak the Messages API. rejected: it
    refuses this very request. spent: the account's limit is reached.
    """

    def __init__(self, kind: TroubleKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: TroubleKind = kind
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """What a tool answers. `words` are not the engine's own (a file's, a command's) and `source` says whose they are;
    `blocks` are pictures and the like, as foreign as words. `engine` is what the engine itself says."""

    engine: str = ""
    words: str = ""
    source: str = ""
    blocks: tuple[dict[str, Any], ...] = ()


class ToolRefused(Exception):
    """A tool's answer to a call that it does not carry out; the model reads the reason. `words` that are not the
    engine's own, such as names of files, are kept apart from it, and `source` says whose they are."""

    def __init__(self, reason: str, words: str = "", source: str = "") -> None:
        super().__init__(f"{reason} ({words})" if words else reason)
        self.reason = reason
        self.words = words
        self.source = source


@dataclass(frozen=True)
class Tool:
    """A tool as the model sees it, and what happens when it is called. `call` gets the raw input, whatever it is.

    On a bench it answers with an `Answer`; what goes out to the model is a text or a list of blocks.
    """

    name: str
    description: str
    schema: dict[str, Any]
    call: Callable[[Any], Awaitable[Any]]
    strict: bool = False

    def definition(self) -> dict[str, Any]:
        """What is sent. The same bytes for every ticket of a session, so that the prompt's cache holds."""
        made = {"name": self.name, "description": self.description, "input_schema": self.schema}
        return {**made, "strict": True} if self.strict else made


@dataclass(frozen=True)
class Usage:
    """Tokens, as the server reported them."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.output + other.output,
        )


@dataclass(frozen=True)
class Reply:
    """One message of the model. `tools` names the tools that it called, in order."""

    stop_reason: str
    text: str
    tools: tuple[str, ...]
    model: str
    usage: Usage
    content: tuple[dict[str, Any], ...] = field(repr=False, default=())
