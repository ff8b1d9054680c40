"""The chain of one ticket: contiguous numbers, each document naming the hash of the one before, the last as noted.

Owns what counts as a break of the chain, and when a human has taken note of one. It reads no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from watchbill.errors import Damaged
from watchbill.heads import Head
from watchbill.history import History, Recorded
from watchbill.layout import DOCUMENT_NUMBER, Layout
from watchbill.stages.verify.report import Findings

_NOT_PUBLISHED = "it is not what was published: .watchbill/journals/heads.jsonl notes another hash"


@dataclass(frozen=True)
class Lost:
    """A document that is missing or cannot be read."""

    seq: int
    path: Path
    what: str


def check_chain(history: History, layout: Layout, found: Findings) -> None:
    """Check one history's numbers and hashes."""
    lost = lost_documents(history, layout)
    for one in lost:
        if _is_accepted(one, history):
            found.note(one.path, f"{one.what}; a human let the ticket go on without it")
        else:
            found.violation(one.path, one.what)
    gone = {one.seq for one in lost} | set(_damaged_numbers(history))
    for index, recorded in enumerate(history.documents):
        _check_parent(history, index, recorded, gone, found)


def check_head(ticket: str, highest: int, last: Recorded | None, head: Head, layout: Layout, found: Findings) -> None:
    """Check the end of one history against what was noted of it. `highest` is the number of its newest document, which
    is `last` if it can be read."""
    if head.published > highest:
        path = layout.handoff(ticket, head.published)
        found.violation(path, "it was published, as .watchbill/journals/heads.jsonl says, and is missing")
    elif head.intended > highest:
        path = layout.handoff(ticket, head.intended)
        found.note(path, "it was about to be published and is not there: a run died just then, or it was removed")
    # An edited last document may be followed by one that was never published: both are told.
    if last is not None and head.denies(last.handoff.seq, last.sha):
        if head.published >= last.handoff.seq:
            found.violation(last.path, _NOT_PUBLISHED)
        else:
            # The line that is left may be of a run that died over this number, and a power cut took the winner's.
            found.note(last.path, f"{_NOT_PUBLISHED}, but not that it was published")


def check_earlier(documents: Iterable[Recorded], head: Head, found: Findings) -> None:
    """Check the documents that others follow and name: what came after was written, or forged, upon a changed one."""
    for recorded, after in pairwise(documents):
        is_named = after.handoff.parent == recorded.sha
        if is_named and head.published >= recorded.handoff.seq and head.denies(recorded.handoff.seq, recorded.sha):
            found.violation(recorded.path, _NOT_PUBLISHED)


def highest_there(history: History) -> int:
    """The number of the newest document of which something lies on the disk."""
    return max([*(recorded.handoff.seq for recorded in history.documents), *_damaged_numbers(history)], default=0)


def lost_documents(history: History, layout: Layout) -> list[Lost]:
    """What of a history is missing or cannot be read, by number. A file that was mended and put back is not lost."""
    readable = {recorded.handoff.seq for recorded in history.documents}
    damaged = {seq: error for seq, error in _damaged_by_number(history) if seq not in readable}
    highest = highest_there(history)
    lost = [Lost(seq, error.path, f"it cannot be read: {error.why}") for seq, error in damaged.items()]
    lost += [
        Lost(seq, layout.handoff(history.id, seq), "it is missing: later documents of the ticket are there")
        for seq in range(1, highest + 1)
        if seq not in readable and seq not in damaged
    ]
    return sorted(lost, key=lambda one: one.seq)


def _check_parent(history: History, index: int, recorded: Recorded, gone: set[int], found: Findings) -> None:
    seq, parent = recorded.handoff.seq, recorded.handoff.parent
    before = history.documents[index - 1] if index else None
    if seq == 1:
        _check_ticket(history, recorded, found)
    elif before is None or before.handoff.seq != seq - 1 or parent == before.sha:
        # What stands before a lost document is looked at by `_is_accepted`.
        return
    elif seq - 1 in gone and _answered(history, seq - 1) and parent == _sha_before(history, index - 1):
        found.note(before.path, "it was mended and put back after a human had let the ticket go on without it")
    else:
        what = f"it is not what document {seq:04} names as the one before it: one of the two was changed or replaced"
        found.violation(before.path, what)


def _check_ticket(history: History, first: Recorded, found: Findings) -> None:
    if history.ticket is None:
        found.note(first.path.parent, f"the ticket {history.id} is no longer in the backlog, or cannot be read")
    elif first.handoff.parent != history.ticket_sha:
        found.note(first.path.parent, f"the ticket {history.id} was edited since its first handoff")


def _is_accepted(lost: Lost, history: History) -> bool:
    """Whether a human answered for it, and what came next was written by somebody who knew that it is lost."""
    after = next((index for index, item in enumerate(history.documents) if item.handoff.seq > lost.seq), None)
    if after is None or not _answered(history, lost.seq):
        return False
    expected = _sha_before(history, after)
    return expected is None or history.documents[after].handoff.parent == expected


def _sha_before(history: History, index: int) -> str | None:
    return history.documents[index - 1].sha if index else None


def _answered(history: History, seq: int) -> bool:
    return any(handoff.sender == "human" and handoff.answers == seq for handoff in history.counted)


def _damaged_numbers(history: History) -> Iterator[int]:
    return (seq for seq, _ in _damaged_by_number(history))


def _damaged_by_number(history: History) -> Iterator[tuple[int, Damaged]]:
    for error in history.damaged_files:
        match = DOCUMENT_NUMBER.fullmatch(error.path.name)
        if match:
            yield int(match[1]), error
