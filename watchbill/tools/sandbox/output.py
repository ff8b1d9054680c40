"""Output of foreign commands, made safe and small.

Owns how much is kept, how it is decoded, and which characters reach a terminal. It never judges the words.
"""

from __future__ import annotations

import re
from collections import deque

# Sequences are removed whole only where they end; a lone introducer goes with the other control characters, so
# that output cannot hide what follows it. No pattern crosses a line, and none backs up: time is linear.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]+[0-~]"  # character sets
    r"|\x1b[0-Z\\^-~]"  # two-character escapes
)
_NOTICE = re.compile(r"\n\[\.\.\. [\d,]+ (?:bytes|characters) and more were cut here \.\.\.\]\n")
_LONGEST_WORD = 256
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean_text(data: bytes) -> str:
    """`data` as text: UTF-8 with replacement, without control sequences; of C0 and C1 only newline and tab remain.

    A carriage return becomes a newline: what it would have overwritten stays visible.
    """
    text = data.decode("utf-8", errors="replace")
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text)


def cut_middle(text: str, limit: int) -> str:
    """`text` in at most `limit` characters: beginning and end with a notice between them, or unchanged if it fits."""
    if len(text) <= limit:
        return text
    notice = _notice(len(text) - limit, "characters")
    room = limit - len(notice)
    if room < 2:
        return text[: max(limit, 0)]
    head = room // 2
    return text[:head] + notice + text[len(text) - (room - head) :]


def without_cut_words(text: str) -> str:
    """`text` without the words that a cut left half: a half of a key has no shape by which it could be known."""
    notice = _NOTICE.search(text)
    if notice is None:
        return text
    start, end = notice.span()
    while start > max(0, notice.start() - _LONGEST_WORD) and not text[start - 1].isspace():
        start -= 1
    while end < min(len(text), notice.end() + _LONGEST_WORD) and not text[end].isspace():
        end += 1
    return text[:start] + notice[0] + text[end:]


def _notice(count: int, unit: str) -> str:
    return f"\n[... {count:,} {unit} and more were cut here ...]\n"


class Capture:
    """Keeps the first and the last part of a stream, `limit` bytes together, however long it is."""

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, 0)
        self._head_room = self._limit // 2
        self._tail_room = self._limit - self._head_room
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._total = 0

    @property
    def truncated(self) -> bool:
        return self._total > self._limit

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the stream."""
        self._total += len(chunk)
        taken = self._head_room - len(self._head)
        if taken > 0:
            self._head += chunk[:taken]
            chunk = chunk[taken:]
        if not chunk:
            return
        self._tail.append(chunk)
        self._tail_size += len(chunk)
        while self._tail and self._tail_size - len(self._tail[0]) >= self._tail_room:
            self._tail_size -= len(self._tail.popleft())

    def text(self) -> str:
        """What was kept, clean, with a notice where something is missing; about `limit` characters at most."""
        tail = b"".join(self._tail)
        if not self.truncated:
            return clean_text(bytes(self._head) + tail)
        tail = tail[len(tail) - self._tail_room :] if self._tail_room else b""
        return clean_text(bytes(self._head)) + _notice(self._total - self._limit, "bytes") + clean_text(tail)
