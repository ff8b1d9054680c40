"""What each history ends with, noted outside the histories.

Each document names the hash of the one before, so every document but the last is held by the next. Owns the journal
that holds the last one: a line with its hash before it is published, and a line once it is. The lines are not synced,
which would double the price of a document: after a power cut the last of them may be missing, and the documents that
they were about are then held only by what comes after them. Never reads a document.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from watchbill.documents.handoff import Handoff
from watchbill.files import journal
from watchbill.files.publish import sha256
from watchbill.layout import Layout


@dataclass
class Head:
    """What is known of the end of one history: the highest number that was published, and the hashes under which that
    one and later ones were to be: several, where writers raced for a number or died before they had it."""

    published: int = 0
    shas: dict[int, set[str]] = field(default_factory=dict)

    @property
    def intended(self) -> int:
        """The highest number that was to be published."""
        return max(self.shas, default=0)


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
    """The ends of all histories that were noted, by ticket; none in a workspace of an earlier version.

    Raises `TryLater` when the journal is there and cannot be read. What is no line of ours is passed over.
    """
    heads: dict[str, Head] = {}
    for line in journal.read(layout.heads):
        ticket, seq, sha, published = (line.get(key) for key in ("ticket", "seq", "sha", "published"))
        if not isinstance(ticket, str):
            continue
        head = heads.setdefault(ticket, Head())
        if isinstance(published, int):
            head.published = max(head.published, published)
            head.shas = {number: shas for number, shas in head.shas.items() if number >= head.published}
        if isinstance(seq, int) and isinstance(sha, str):
            head.shas.setdefault(seq, set()).add(sha)
    return heads
