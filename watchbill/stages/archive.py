"""Archive: pack the histories of tickets that ended long ago.

Owns which histories are packed, and that a loose document is removed only after it was read back from its pack. The
documents stay byte for byte what they were, so `verify` reads them as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from watchbill.documents.handoff import Handoff
from watchbill.errors import Damaged
from watchbill.files.archive import ArchivedStore, range_of, write_pack
from watchbill.files.document import read_bytes
from watchbill.files.locks import held
from watchbill.files.publish import disk_trouble
from watchbill.files.store import LocalStore
from watchbill.history import read_history
from watchbill.layout import AGENTS, Layout
from watchbill.overview import overview_of
from watchbill.rules.card import Card
from watchbill.workspace import Workspace

ENDED = ("merged", "closed", "rejected")
# So many documents go into one pack; a pack is read whole.
MOST = 5_000


@dataclass(frozen=True)
class Packed:
    """What was packed: `packs` are relative to the workspace, `removed` counts loose documents that are packed now."""

    tickets: tuple[str, ...]
    documents: int
    packs: tuple[str, ...]
    removed: int


def archive(workspace: Workspace, older_than: timedelta, now: datetime, dry_run: bool = False) -> Packed:
    """Pack the history of every ticket that ended longer ago than that. Raises `TryLater` while anybody works."""
    layout = workspace.layout
    with ExitStack() as locks:
        if not dry_run:
            # Nobody may take a history that is being moved for one that is not there.
            for name in ("plan", "merge", *AGENTS):
                locks.enter_context(held(layout.lock(name), name))
        ended = [card for card in overview_of(workspace).cards.values() if _ended_before(card, now - older_than)]
        loose = {card.ticket: found for card in ended if (found := _documents(layout, card))}
        count = sum(len(documents) for documents in loose.values())
        if dry_run:
            return Packed(tuple(loose), count, (), 0)
        packs = [write_pack(layout.archive / place, documents) for place, documents in _by_pack(layout, loose)]
        removed = sum(_remove_what_is_packed(layout, ticket, documents) for ticket, documents in loose.items())
        return Packed(tuple(loose), count, tuple(pack.relative_to(layout.root).as_posix() for pack in packs), removed)


def _ended_before(card: Card, moment: datetime) -> bool:
    return card.ended in ENDED and bool(card.latest) and datetime.fromisoformat(card.latest) < moment


def _documents(layout: Layout, card: Card) -> dict[str, bytes]:
    """The loose documents of a ticket, by name. None of a history that is not in order, or where strangers lie."""
    folder = layout.history_of(card.ticket)
    history = read_history(layout, card.ticket, None)
    if history.damaged_files or history.missing or history.changed or not folder.is_dir() or folder.is_symlink():
        return {}
    known = {recorded.path.name for recorded in history.documents}
    if any(path.name not in known for path in folder.iterdir()):
        return {}
    names = sorted(path.name for path in folder.iterdir())
    return {f"{card.ticket}/{name}": read_bytes(folder / name, Handoff.limit) for name in names}


def _by_pack(layout: Layout, loose: dict[str, dict[str, bytes]]) -> Iterable[tuple[str, dict[str, bytes]]]:
    """What goes into each new pack. What a run that died has packed already does not go into another."""
    places: dict[str, dict[str, bytes]] = {}
    for ticket, documents in loose.items():
        for name, data in documents.items():
            if not _is_packed(layout, name, data):
                places.setdefault(range_of(ticket), {})[name] = data
    for place, documents in sorted(places.items()):
        names = sorted(documents)
        for start in range(0, len(names), MOST):
            yield place, {name: documents[name] for name in names[start : start + MOST]}


def _is_packed(layout: Layout, name: str, data: bytes) -> bool:
    nothing_loose = LocalStore(layout.archive / "nothing lies loose here")
    with suppress(Damaged):
        return ArchivedStore(nothing_loose, layout.archive).read(name) == data
    return False


def _remove_what_is_packed(layout: Layout, ticket: str, documents: dict[str, bytes]) -> int:
    removed = 0
    folder = layout.history_of(ticket)
    with disk_trouble(folder, "remove"):
        for name, data in documents.items():
            if _is_packed(layout, name, data):
                Path(layout.handoffs, name).unlink(missing_ok=True)
                removed += 1
        with suppress(OSError):
            folder.rmdir()
    return removed
