"""The index: all tickets on their cards, without reading again what has not changed.

Owns the `Overview`, which the planner, the status and every list are made from. It is derived: each file is verified
by its name, inode, times and size before what is kept of it is believed, and a workspace without the index only takes
longer. No commit is judged by it: sessions and merges read the documents themselves.
"""

from __future__ import annotations

import gc
import os
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from watchbill.documents.ticket import gist
from watchbill.errors import Damaged
from watchbill.files.archive import tickets_in
from watchbill.files.open_folder import OpenFolder
from watchbill.heads import Head, held
from watchbill.history import History, TicketFile, read_history, read_ticket
from watchbill.index import kept as keeping
from watchbill.index.kept import Kept
from watchbill.index.scan import STAMP, Seen, differing, is_same, see, see_tickets
from watchbill.layout import TICKET_ID, Layout
from watchbill.rules.card import Card, card_like, card_of
from watchbill.rules.next_step import Step
from watchbill.rules.planning import natural

# So many changes are read again rather than kept: writing the whole index would take longer.
FEW = 20
OF_ALL = 200


@dataclass(frozen=True)
class Overview:
    """Every ticket at one moment.

    `name` stands for all that is planned from: the same name, the same plan. `size` counts the ticket files. `damaged`
    are those that cannot be read, `duplicates` the ids that several files claim, `troubled` the histories with
    documents that are damaged, missing or changed, `strays` temporary files among the histories, `broken` packs of the
    archive that cannot be read.
    """

    name: str
    size: int
    by_file: Callable[[], dict[str, Card]] = field(repr=False)
    damaged: tuple[Damaged, ...]
    troubled: tuple[History, ...]
    strays: tuple[Path, ...]
    broken: tuple[Damaged, ...]

    @cached_property
    def cards(self) -> dict[str, Card]:
        """The cards by id, in the order of a list. An id that several files claim is nobody's."""
        claimed = {ticket.upper() for ticket in self.duplicates}
        cards = (card for card in self._by_file.values() if not claimed or card.ticket.upper() not in claimed)
        return {card.ticket: card for card in cards}

    @cached_property
    def duplicates(self) -> dict[str, tuple[str, ...]]:
        """The files that claim an id which another claims too, by that id. T-1 and t-1 are one folder on some disks."""
        if len({card.ticket.upper() for card in self._by_file.values()}) == len(self._by_file):
            return {}
        claims: dict[str, list[str]] = {}
        for file, card in self._by_file.items():
            claims.setdefault(card.ticket.upper(), []).append(file)
        several = [files for files in claims.values() if len(files) > 1]
        return {self._by_file[file].ticket: tuple(sorted(files)) for files in several for file in sorted(files)}

    @property
    def documents(self) -> int:
        """How many documents the tickets have."""
        return sum(card.documents for card in self._by_file.values())

    @cached_property
    def _by_file(self) -> dict[str, Card]:
        return self.by_file()


def overview(
    layout: Layout,
    rules: str,
    step_of: Callable[[History], Step],
    judged: Callable[[History], History],
    noted: Callable[[str], Head],
) -> Overview:
    """See every ticket. `rules` names everything besides the files themselves that a step depends on, and that `judged`
    depends on, which says of a history what in it does not count. `noted` tells what was noted of a history."""
    with collector_at_rest():
        return _Pass(layout, rules, step_of, judged, noted).overview()


def ticket_file(layout: Layout, ticket: str) -> TicketFile | None:
    """The file of `ticket`, read now, if exactly one claims that id."""
    wanted = ticket.upper()
    seen = see_tickets(layout)
    known = _believe(keeping.load(layout.index), seen)
    claims = [place for place, claimed in enumerate(known.tickets) if claimed.upper() == wanted]
    claims += [place for place in known.unread if _id_in(layout.tickets / seen.names[place]).upper() == wanted]
    if len(claims) != 1:
        return None
    try:
        found = read_ticket(layout.tickets / seen.names[claims[0]])
    except Damaged:
        return None
    return found if found.ticket.id == ticket else None


def _id_in(path: Path) -> str:
    try:
        return read_ticket(path).ticket.id
    except Damaged:
        return ""


@dataclass
class _Known:
    """What is known of each file that was seen: its ticket, the name of its card. `unread` are the places to read."""

    tickets: list[str]
    names: bytearray
    unread: list[int]

    def learn(self, place: int, ticket: str, name: bytes) -> None:
        self.tickets[place] = ticket
        self.names[keeping.NAME * place : keeping.NAME * (place + 1)] = name


def _believe(kept: Kept, seen: Seen) -> _Known:
    """Believe what is kept of the files that are as they were."""
    if kept.files == seen.names:
        unread = list(differing(seen.stamps, kept.stamps))
        known = _Known(list(kept.tickets), bytearray(kept.names), unread)
    else:
        known = _believe_by_name(kept, seen)
    for place in known.unread:
        known.learn(place, "", bytes(keeping.NAME))
    return known


def _believe_by_name(kept: Kept, seen: Seen) -> _Known:
    """The same, where files came or went: each is looked for by its name."""
    before = {file: place for place, file in enumerate(kept.files)}
    known = _Known([""] * len(seen.names), bytearray(keeping.NAME * len(seen.names)), [])
    for place, file in enumerate(seen.names):
        old = before.get(file)
        if old is None or not is_same(seen.stamps, place, kept.stamps, old):
            known.unread.append(place)
        else:
            known.learn(place, kept.tickets[old], kept.names[keeping.NAME * old : keeping.NAME * (old + 1)])
    return known


class _Pass:
    """One pass: what is kept and still true stands, and the rest is read."""

    def __init__(
        self,
        layout: Layout,
        rules: str,
        step_of: Callable[[History], Step],
        judged: Callable[[History], History],
        noted: Callable[[str], Head],
    ) -> None:
        self.layout, self.rules, self.step_of, self.judged = layout, rules, step_of, judged
        self.noted = noted
        kept = keeping.load(layout.index)
        self.kept = kept if kept.rules == rules else Kept(pasts=kept.pasts, packs=kept.packs)
        self.seen = see(layout)
        self.packs: dict[str, tuple[bytes, str]] = {}
        self.broken: list[Damaged] = []
        for pack, state in self.seen.packs.items():
            self._look_into(pack, state)
        if self.broken:
            # Whose histories were in it, nobody knows: every one is read.
            self.kept = Kept()
        self.known = _believe(self.kept, self.seen)
        self.moved = _moved(self.kept, self.seen)
        self.folder = layout.tickets
        self.news: dict[str, Card] = {}
        self.first_cards: dict[str, Card] = {}
        self.damaged: list[Damaged] = []
        self.troubled: list[History] = []

    def _look_into(self, pack: Path, state: bytes) -> None:
        """Let the tickets of a pack have a past, whose state follows from the pack's as well."""
        name = pack.relative_to(self.layout.root).as_posix()
        before = self.kept.packs.get(name)
        try:
            joined = before[1] if state and before and before[0] == state else keeping.join(tickets_in(pack))
        except Damaged as error:
            self.broken.append(error)
            return
        self.packs[name] = (state, joined)
        pasts = self.seen.pasts
        for ticket in keeping.split(joined):
            loose = pasts.get(ticket, state)
            pasts[ticket] = blake2b(loose + state, digest_size=16).digest() if loose and state else b""

    def overview(self) -> Overview:
        if self.moved:
            # Histories that are not as they were make their tickets' cards old.
            self.known.unread += [place for place, ticket in enumerate(self.known.tickets) if ticket in self.moved]
        with OpenFolder(self.folder) as folder:
            for place in self.known.unread:
                self._read(place, folder)
        if self.moved:
            self._look_at_histories_without_a_ticket()
        if len(self.known.unread) + len(self.moved) > max(FEW, len(self.seen.names) // OF_ALL):
            keeping.save(self.layout.index, self._to_keep())
        strays = tuple(sorted(self.seen.strays))
        return Overview(
            name=self._name(),
            size=len(self.seen.names),
            by_file=lambda: self.cards,
            damaged=tuple(self.damaged),
            troubled=tuple(self.troubled),
            strays=strays,
            broken=tuple(self.broken),
        )

    def _read(self, place: int, folder: OpenFolder) -> None:
        file = self.seen.names[place]
        card = self._card_at_once(folder.read(file, self.seen.size(place))) or self._card_with_care(file)
        if card is None:
            self.known.learn(place, "", bytes(keeping.NAME))
        else:
            self.news[file] = card
            self.known.learn(place, card.ticket, keeping.name_of(card))

    def _card_at_once(self, data: bytes | None) -> Card | None:
        """The card of a ticket without a past whose file is in the engine's own form; None leaves it to care."""
        found = gist(data) if data else None
        if found is None or self._may_have_a_past(found.id):
            return None
        first = self.first_cards.get(found.status)
        return card_like(first, found) if first else None

    def _card_with_care(self, file: str) -> Card | None:
        path = self.folder / file
        try:
            found = read_ticket(path)
        except Damaged as error:
            if os.path.lexists(path):  # or else its owner took it away just now
                self.damaged.append(error)
            return None
        return self._card(found)

    def _card(self, file: TicketFile) -> Card:
        ticket = file.ticket
        if self._may_have_a_past(ticket.id):
            history = self._history(ticket.id, file)
            return card_of(ticket, history, self.step_of(history))
        nothing_yet = History(ticket.id, ticket, file.sha)
        card = card_of(ticket, nothing_yet, self.step_of(nothing_yet))
        # Without a document there is nothing that two tickets of one status could differ by.
        self.first_cards.setdefault(ticket.status, card)
        return card

    def _may_have_a_past(self, ticket: str) -> bool:
        """Whether documents of it lie there, may lie in a broken pack, or were published and are not seen."""
        return bool(ticket in self.seen.pasts or self.broken or self.noted(ticket).published)

    def _look_at_histories_without_a_ticket(self) -> None:
        for ticket in sorted(self.moved.difference(self.known.tickets)):
            if ticket in self.seen.pasts and TICKET_ID.fullmatch(ticket):
                self._history(ticket, None)

    def _history(self, ticket: str, file: TicketFile | None) -> History:
        """The history as it counts. One that is not sound is kept in mind."""
        # Read before the documents: one that is published in between is not taken for missing.
        head = self.noted(ticket)
        history = held(self.judged(read_history(self.layout, ticket, file)), head)
        if history.damaged_files or history.missing or history.changed:
            self.troubled.append(history)
        return history

    @cached_property
    def cards(self) -> dict[str, Card]:
        """The cards by file name, in the order of a list."""
        with collector_at_rest():
            old = self.kept.cards
            if not self.news and len(old) == len(self.seen.names) - len(self.damaged):
                return old
            readable = {file for file, ticket in zip(self.seen.names, self.known.tickets, strict=True) if ticket}
            return _put_in(self.news, {file: card for file, card in old.items() if file in readable})

    def _name(self) -> str:
        name = blake2b(self.rules.encode(), digest_size=16)
        name.update(self.known.names)
        name.update(repr([(error.path.name, error.why) for error in self.damaged]).encode("utf-8", "backslashreplace"))
        return name.hexdigest()

    def _to_keep(self) -> Kept:
        """What may be believed the next time. What is fresh, damaged or in disorder is read again."""
        seen, known = self.seen, self.known
        places = [place for place, ticket in enumerate(known.tickets) if ticket and seen.is_settled(place)]
        files = [seen.names[place] for place in places]
        cards = self.cards
        settled = set(files)
        unsound = {history.id for history in self.troubled}
        return Kept(
            rules=self.rules,
            joined_files=keeping.join(files),
            stamps=b"".join([seen.stamps[STAMP * place : STAMP * (place + 1)] for place in places]),
            joined_tickets=keeping.join(known.tickets[place] for place in places),
            names=b"".join([known.names[keeping.NAME * place : keeping.NAME * (place + 1)] for place in places]),
            pasts={ticket: state for ticket, state in seen.pasts.items() if state and ticket not in unsound},
            packs={name: pack for name, pack in self.packs.items() if pack[0]},
            packed=keeping.pack({file: card for file, card in cards.items() if file in settled}),
        )


def _put_in(news: dict[str, Card], old: dict[str, Card]) -> dict[str, Card]:
    """All cards by file name, in the order of a list, in which `old` is already."""
    if all(file in old and old[file].ticket == card.ticket for file, card in news.items()):
        return {**old, **news}
    cards = [item for item in old.items() if item[0] not in news]
    if len(news) > len(cards) // OF_ALL:
        return dict(sorted((*cards, *news.items()), key=_place))
    for item in news.items():
        insort(cards, item, key=_place)
    return dict(cards)


def _place(item: tuple[str, Card]) -> str:
    return natural(item[1].ticket)


def _moved(kept: Kept, seen: Seen) -> set[str]:
    """The tickets whose histories are not known to be as they were."""
    moved = {ticket for ticket, state in seen.pasts.items() if not state or kept.pasts.get(ticket) != state}
    return moved | (kept.pasts.keys() - seen.pasts.keys())


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Without the collection of cycles, of which a hundred thousand cards make none: it would walk them all, often."""
    was_at_work = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_at_work:
            gc.enable()
