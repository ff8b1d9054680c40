"""What the last pass learned, kept in one file beside the workspace's other derived things.

Owns that file: its shape, and that a torn, foreign or older one counts as none. It may be deleted at any time, and
nothing waits for it to be on the disk: it is only ever a shorter way to what the documents say.
"""

from __future__ import annotations

import marshal
import os
import secrets
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from zlib import crc32

from watchbill.files.publish import FILE_MODE, FOLDER_MODE, TEMPORARY_SUFFIX
from watchbill.rules.card import BY_VALUE, Card

FORMAT = 3
NAME = 12
"""Bytes of the name of what a card says."""


@dataclass(frozen=True)
class Kept:
    """What is known from before, as columns: of each ticket file its name, its stamp, its ticket, its card's name.

    `pasts` are the states of histories that were in order, `packs` the state of each pack and the tickets in it.
    `rules` names the rules by which the cards were made; under other rules they say nothing. `packed` are the cards
    themselves, in the order of a list.
    """

    rules: str = ""
    joined_files: str = ""
    stamps: bytes = b""
    joined_tickets: str = ""
    names: bytes = b""
    pasts: dict[str, bytes] = field(default_factory=dict)
    packs: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    packed: bytes = b""

    @cached_property
    def files(self) -> list[str]:
        return split(self.joined_files)

    @cached_property
    def tickets(self) -> list[str]:
        return split(self.joined_tickets)

    @cached_property
    def cards(self) -> dict[str, Card]:
        """The cards by file name, in the order of a list."""
        files, *columns = marshal.loads(self.packed) if self.packed else ((),)
        return dict(zip(files, map(partial(tuple.__new__, Card), zip(*columns, strict=True)), strict=True))


def name_of(card: Card) -> bytes:
    """A short name for what a card says."""
    return blake2b(marshal.dumps(tuple(card), BY_VALUE), digest_size=NAME).digest()


def join(words: Iterable[str]) -> str:
    """A column of names: none of them holds a NUL."""
    return "\0".join(words)


def pack(cards: dict[str, Card]) -> bytes:
    """Cards by file name, as they are kept: as columns, in which what comes often stands once."""
    return marshal.dumps((tuple(cards), *zip(*cards.values(), strict=True)))


def load(path: Path) -> Kept:
    """What is kept at `path`; nothing when it is not there or not whole."""
    try:
        data = path.read_bytes()
    except OSError:
        return Kept()
    head = _head()
    start = len(head) + 4
    if data[: len(head)] != head or int.from_bytes(data[len(head) : start], "big") != crc32(memoryview(data)[start:]):
        return Kept()
    return Kept(*marshal.loads(memoryview(data)[start:]))


def save(path: Path, kept: Kept) -> None:
    """Keep it, if the disk takes it: one that is full or read-only only makes the next pass longer."""
    columns = (kept.rules, kept.joined_files, kept.stamps, kept.joined_tickets, kept.names, kept.pasts, kept.packs)
    payload = marshal.dumps((*columns, kept.packed))
    temporary = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    try:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_head() + crc32(payload).to_bytes(4, "big") + payload)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        print(f"the index could not be kept ({error.strerror}); everything works without it", file=sys.stderr)


def split(column: str) -> list[str]:
    """The names of a column."""
    return column.split("\0") if column else []


def _head() -> bytes:
    """What the first bytes must be: the shape of the file, and the Python whose form of values it is."""
    return f"watchbill index {FORMAT} {sys.hexversion:x} {marshal.version}\n".encode()
