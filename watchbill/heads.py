"""What each history ends with, noted outside the histories.

Each document names the hash of the one before, so every document but the last is held by the next. Owns the journal
that holds the last one: a line with its hash before it is published, and a line once it is. The lines are not synced,
which would double the price of a document: after a power cut the last of them may be missing, and the documents that
they were about are then held only by what comes after them. Never reads a document.

A history whose last document is missing, or not what was published, is damaged to whoever would act on it: the next
document names the hash of what it finds, and so would cover the change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from watchbill.documents.handoff import Handoff
from watchbill.files import journal
from watchbill.files.publish import sha256
from watchbill.history import History, with_changed, with_missing
from watchbill.layout import Layout

FEW = 20


@dataclass
class Head:
    """What is known of one history: the highest number that was published, and the hashes under which each document
    was to be: several, where writers raced for a number or died before they had it."""

    published: int = 0
    shas: dict[int, set[str]] = field(default_factory=dict)

    @property
    def intended(self) -> int:
        """The highest number that was to be published."""
        return max(self.shas, default=0)

    def denies(self, seq: int, sha: str) -> bool:
        """Whether document `seq` was noted, and never under that hash."""
        return sha not in self.shas.get(seq, {sha})


def note_intended(layout: Layout, handoff: Handoff) -> None:
    """Say what is about to be published. Raises `TryLater` when the disk does not take it: then nothing is published.

    A run that dies in between leaves a line about a document that never was, never a document without a line.
    """
    sha = sha256(handoff.render())
    journal.jot(layout.heads, {"ticket": handoff.ticket, "seq": handoff.seq, "sha": sha})


def note_published(layout: Layout, handoff: Handoff) -> None:
    """Say that it is there. Raises `TryLater` when the disk does not take it."""
    journal.jot(layout.heads, {"ticket": handoff.ticket, "published": handoff.seq})


def read_heads(layout: Layout) -> dict[str, Head]:
    """What was noted of all histories, by ticket; nothing in a workspace of an earlier version.

    Raises `TryLater` when the journal is there and cannot be read. What is no line of ours is passed over.
    """
    return _read(journal.read(layout.heads))


def read_head(layout: Layout, ticket: str) -> Head:
    """What was noted of one history, without reading the lines about others. Raises `TryLater` as `read_heads` does."""
    return _read(journal.read_those(layout.heads, f'"ticket": "{ticket}"}}')).get(ticket, Head())


class Heads:
    """What was noted, for who asks about many histories at one moment: of a few each is looked for, of more all are
    read once."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._asked = layout, 0

    def of(self, ticket: str) -> Head:
        """What was noted of one history. Raises `TryLater` as `read_heads` does."""
        self._asked += 1
        return read_head(self._layout, ticket) if self._asked <= FEW else self._all.get(ticket, Head())

    @cached_property
    def _all(self) -> dict[str, Head]:
        return read_heads(self._layout)


def held(history: History, head: Head) -> History:
    """The history, damaged if its last document is not what was published, or is missing."""
    if head.published >= history.next_seq:
        history = with_missing(history, range(history.next_seq, head.published + 1))
    last = history.documents[-1] if history.documents else None
    if last is not None and head.published >= last.handoff.seq and head.denies(last.handoff.seq, last.sha):
        history = with_changed(history, last.handoff.seq)
    return history


def _read(lines: Iterable[dict[str, Any]]) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    for line in lines:
        ticket, seq, sha, published = (line.get(key) for key in ("ticket", "seq", "sha", "published"))
        if not isinstance(ticket, str):
            continue
        head = heads.setdefault(ticket, Head())
        if isinstance(published, int):
            head.published = max(head.published, published)
        if isinstance(seq, int) and isinstance(sha, str):
            head.shas.setdefault(seq, set()).add(sha)
    return heads
