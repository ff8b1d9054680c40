"""Everything on disk about one ticket, read in one pass.

Owns the reading of the backlog and of histories, and the appending of one document to a history. Never decides
what should happen next, and never moves or repairs a file: damage is reported to the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from watchbill.documents.handoff import Handoff
from watchbill.documents.ticket import Ticket
from watchbill.errors import Damaged
from watchbill.files.archive import ArchivedStore, packs_in, tickets_in
from watchbill.files.document import read_bytes
from watchbill.files.publish import sha256
from watchbill.files.store import LocalStore, Store
from watchbill.layout import DAMAGED_SUFFIX, DOCUMENT_NUMBER, Layout


@dataclass(frozen=True)
class TicketFile:
    """A ticket as it stands in the backlog. `sha` names its content."""

    ticket: Ticket
    path: Path
    sha: str


@dataclass(frozen=True)
class Backlog:
    """All tickets by id; the files that could not be read; the ids that several files claim."""

    tickets: dict[str, TicketFile]
    damaged: tuple[Damaged, ...] = ()
    duplicates: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def get(self, ticket: str) -> TicketFile | None:
        """The file of `ticket`, if exactly one claims that id."""
        return self.tickets.get(ticket)


@dataclass(frozen=True)
class Recorded:
    """One published document: `sha` names its bytes."""

    handoff: Handoff
    sha: str
    path: Path


@dataclass(frozen=True)
class History:
    """One ticket and its documents in order.

    `damage` says what of it cannot be read or is missing, as long as no human has answered under that number, and what
    is not as it was published; `missing` are the numbers that are not there at all, `changed` those of documents that
    were changed or replaced, which no answer can settle. `void` are the decisions that do not count, by number, each
    with the reason: they stand in the history and move nothing.
    """

    id: str
    ticket: Ticket | None
    ticket_sha: str | None
    documents: tuple[Recorded, ...] = ()
    damage: tuple[str, ...] = ()
    damaged_files: tuple[Damaged, ...] = ()
    missing: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    void: Mapping[int, str] = field(default_factory=dict)

    @property
    def handoffs(self) -> tuple[Handoff, ...]:
        return tuple(recorded.handoff for recorded in self.documents)

    @property
    def counted(self) -> tuple[Handoff, ...]:
        """The handoffs without the decisions that do not count."""
        return tuple(handoff for handoff in self.handoffs if handoff.seq not in self.void)

    @property
    def next_seq(self) -> int:
        """The number of the next document: one more than the highest that was ever seen, or is known to be missing."""
        highest = max((recorded.handoff.seq for recorded in self.documents), default=0)
        damaged = [int(match[1]) for item in self.damaged_files if (match := DOCUMENT_NUMBER.fullmatch(item.path.name))]
        return max([highest, *damaged, *self.missing]) + 1

    @property
    def head(self) -> str:
        """The hash that the next document names as its parent."""
        if self.documents:
            return self.documents[-1].sha
        return self.ticket_sha or "0" * 64

    def document(self, seq: int) -> Recorded | None:
        """The document with that number."""
        return next((recorded for recorded in self.documents if recorded.handoff.seq == seq), None)

    def last(self, *senders: str) -> Handoff | None:
        """The newest handoff from any of `senders`."""
        return next((handoff for handoff in reversed(self.handoffs) if handoff.sender in senders), None)


def read_backlog(layout: Layout) -> Backlog:
    """Read every ticket. A file that cannot be read is in `damaged`; an id claimed twice is nobody's."""
    tickets: dict[str, TicketFile] = {}
    claims: dict[str, list[Path]] = {}
    damaged: list[Damaged] = []
    for path in sorted(ticket_files(layout)):
        try:
            found = read_ticket(path)
        except Damaged as error:
            damaged.append(error)
            continue
        claims.setdefault(found.ticket.id.upper(), []).append(path)
        tickets[found.ticket.id] = found
    duplicates: dict[str, tuple[Path, ...]] = {}
    for ticket in sorted(tickets):
        paths = claims[ticket.upper()]
        if len(paths) > 1:
            duplicates[ticket] = tuple(paths)
            del tickets[ticket]
    return Backlog(tickets, tuple(damaged), duplicates)


def ticket_files(layout: Layout) -> Iterable[Path]:
    """The files that claim to be tickets: every *.md but the folder's README and what begins with a dot."""
    if not layout.tickets.is_dir():
        return []
    names = (path for path in layout.tickets.iterdir() if path.suffix == ".md")
    return [path for path in names if path.name != "README.md" and not path.name.startswith(".")]


def read_ticket(path: Path) -> TicketFile:
    """Read one ticket. Raises `Damaged`."""
    data = read_bytes(path, Ticket.limit)
    return TicketFile(Ticket.parse(data, path), path, sha256(data))


def read_history(layout: Layout, ticket: str, file: TicketFile | None, store: Store | None = None) -> History:
    """Read the documents of one ticket, in order, and say what is damaged or missing.

    They are kept in `store`; by default that is the workspace's own folder.
    """
    store = store or histories_of(layout)
    documents: list[Recorded] = []
    damaged: list[Damaged] = []
    try:
        names = store.list(ticket)
    except Damaged as error:
        # Nobody can say what happened to the ticket: it must not be taken for a new one.
        why = f"{error.path.relative_to(layout.root)} cannot be read: {error.why}"
        return History(ticket, file.ticket if file else None, file.sha if file else None, damage=(why,))
    for path in _numbered(layout, names):
        try:
            documents.append(_read_document(store, path, ticket))
        except Damaged as error:
            damaged.append(error)
    damaged.sort(key=lambda error: error.path.name)
    settled = _settled(documents)
    missing = _missing(documents, damaged, settled)
    changed = tuple(_changed(documents, settled))
    return History(
        id=ticket,
        ticket=file.ticket if file else None,
        ticket_sha=file.sha if file else None,
        documents=tuple(documents),
        damage=tuple(_what_is_wrong(settled, damaged, missing, changed)),
        damaged_files=tuple(damaged),
        missing=missing,
        changed=changed,
    )


def read_end(layout: Layout, ticket: str, store: Store) -> Recorded | None:
    """The last document of a history of which nothing is missing or set aside, without reading the others; else None.

    Raises `Damaged` when it cannot be read.
    """
    paths = _numbered(layout, store.list(ticket))
    if not paths or [path.name for path in paths] != [f"{seq:04}.md" for seq in range(1, len(paths) + 1)]:
        return None
    return _read_document(store, paths[-1], ticket)


def histories_of(layout: Layout) -> Store:
    """Where all histories are: loose, and packed."""
    return ArchivedStore(LocalStore(layout.handoffs), layout.archive)


def voided(history: History, void: Mapping[int, str]) -> History:
    """The same history, in which the decisions `void` do not count: they settle no damage either."""
    if not void:
        return history
    counted = [item for item in history.documents if item.handoff.seq not in void]
    damaged = list(history.damaged_files)
    missing = _missing(list(history.documents), damaged, _settled(counted))
    damage = tuple(_what_is_wrong(_settled(counted), damaged, missing, history.changed))
    return replace(history, void=void, missing=missing, damage=damage)


def with_missing(history: History, numbers: Iterable[int]) -> History:
    """The same history, of which somebody knows that it went on for these numbers."""
    missing = (*history.missing, *numbers)
    wrong = (_about_a_gap(seq) for seq in missing[len(history.missing) :])
    return replace(history, missing=missing, damage=(*history.damage, *wrong))


def with_changed(history: History, seq: int) -> History:
    """The same history, of which somebody knows that document `seq` is not what was published."""
    if seq in history.changed:
        return history
    return replace(history, changed=(*history.changed, seq), damage=(*history.damage, _about_a_change(seq)))


def histories_on_disk(layout: Layout) -> list[str]:
    """The ids of all tickets that have a history. Those in a pack that is not whole are not among them."""
    found: set[str] = set()
    if layout.handoffs.is_dir():
        found.update(path.name for path in layout.handoffs.iterdir() if path.is_dir())
    for pack in archived_packs(layout):
        with suppress(Damaged):
            found.update(tickets_in(pack))
    return sorted(found)


def archived_packs(layout: Layout) -> list[Path]:
    """All packs of the archive."""
    folders = sorted(layout.archive.iterdir()) if layout.archive.is_dir() else []
    return [pack for folder in folders for pack in packs_in(folder)]


def append(layout: Layout, history: History, handoff: Handoff, store: Store | None = None) -> History:
    """Publish the next document of a history. Raises `Stale` when somebody else published that number first."""
    data = handoff.render()
    path = layout.handoff(history.id, handoff.seq)
    (store or histories_of(layout)).publish(_name(path), data)
    recorded = Recorded(handoff, sha256(data), path)
    return replace(history, documents=(*history.documents, recorded))


def _numbered(layout: Layout, names: Iterable[str]) -> list[Path]:
    paths = [layout.handoffs / name for name in names]
    found = [(int(match[1]), path) for path in paths if (match := DOCUMENT_NUMBER.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _name(path: Path) -> str:
    """What a store calls a document: its last folder and its number."""
    return f"{path.parent.name}/{path.name}"


def _read_document(store: Store, path: Path, ticket: str) -> Recorded:
    if path.suffix == DAMAGED_SUFFIX:
        raise Damaged(path, "it was set aside as damaged")
    try:
        data = store.read(_name(path), Handoff.limit)
    except Damaged as error:
        raise Damaged(path, error.why) from error  # a pack is damaged under its own name
    handoff = Handoff.parse(data, path)
    if handoff.ticket != ticket or f"{handoff.seq:04}.md" != path.name:
        raise Damaged(path, f"it says that it is document {handoff.seq} of {handoff.ticket}")
    return Recorded(handoff, sha256(data), path)


def _what_is_wrong(
    settled: set[int], damaged: list[Damaged], missing: Iterable[int], changed: Iterable[int]
) -> Iterable[str]:
    """What of a history a human has not yet looked at: each damaged or missing number needs an answer of its own."""
    for error in damaged:
        match = DOCUMENT_NUMBER.fullmatch(error.path.name)
        if match and int(match[1]) not in settled:
            yield f"document {error.path.name} cannot be read: {error.why}"
    yield from map(_about_a_gap, missing)
    yield from map(_about_a_change, changed)


def _about_a_gap(seq: int) -> str:
    return f"document {seq:04} is missing"


def _about_a_change(seq: int) -> str:
    return f"document {seq:04} is not what was published"


def _changed(documents: list[Recorded], settled: set[int]) -> Iterable[int]:
    """The documents that the one after them does not name. One that was lost, and put back after a human had let the
    ticket go on without it, is named by none."""
    for index in range(1, len(documents)):
        before, after = documents[index - 1], documents[index].handoff
        if after.seq != before.handoff.seq + 1 or after.parent == before.sha:
            continue
        earlier = documents[index - 2].sha if index > 1 else None
        if before.handoff.seq not in settled or after.parent != earlier:
            yield before.handoff.seq


def _missing(documents: list[Recorded], damaged: list[Damaged], settled: set[int]) -> tuple[int, ...]:
    known = {item.handoff.seq for item in documents}
    known |= {int(match[1]) for error in damaged if (match := DOCUMENT_NUMBER.fullmatch(error.path.name))}
    return tuple(seq for seq in range(1, max(known, default=0)) if seq not in known and seq not in settled)


def _settled(documents: list[Recorded]) -> set[int]:
    """The numbers that a later human decision answers."""
    return {
        handoff.answers
        for handoff in (item.handoff for item in documents)
        if handoff.sender == "human" and handoff.answers is not None and handoff.answers < handoff.seq
    }
