"""What goes out to the model's server: a request without secrets.

Owns which parts of a request are words (the system prompt, messages, tool results, the model's own replies on their way
back to it) and which are not: names, ids, schemas, and what the server has signed and would not take back changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

WORDS = ("system", "messages")
# A block's own keys that are no words, and kinds of block that the server wants back as it gave them.
NOT_WORDS = frozenset({"type", "id", "tool_use_id", "name", "role", "cache_control", "signature", "media_type"})
SIGNED = frozenset({"thinking", "redacted_thinking"})


class Outgoing:
    """Redacts the requests of one conversation. Each grows out of the one before, so what was searched is kept."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._known: dict[str, str] = {}

    def redacted(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request with its words redacted. Raises what `redact` raises: then it is not to be sent."""
        return {key: self.words(value) if key in WORDS else value for key, value in body.items()}

    def words(self, value: Any) -> Any:
        """The content of messages, redacted."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list | tuple):
            return [self.words(item) for item in value]
        if isinstance(value, Mapping):
            if value.get("type") in SIGNED:
                return value
            return {key: item if key in NOT_WORDS else self._inner(key, item) for key, item in value.items()}
        return value

    def _inner(self, key: str, value: Any) -> Any:
        return self._everything(value) if key == "input" else self.words(value)

    def _everything(self, value: Any) -> Any:
        """What the model gave to a tool: its keys are its own words, too."""
        if isinstance(value, Mapping):
            return {self._text(str(key)): self._everything(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._everything(item) for item in value]
        return self.words(value)

    def _text(self, text: str) -> str:
        if text not in self._known:
            self._known[text] = self._redact(text)
        return self._known[text]
