"""Histories that have ended, packed: many small documents in one write-once file, which `unzip` opens too.

Owns the packs: how they are made, found and read, and that what is packed and what lies loose read as one. A pack is
never changed. The packs of a range of tickets lie in a folder of their own, so that one ticket is found without
opening all of them.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from watchbill.errors import Damaged, Stale
from watchbill.files.document import read_bytes
from watchbill.files.publish import passing_trouble, publish
from watchbill.files.store import Absent, LocalStore

if TYPE_CHECKING:
    import zipfile

_NUMBER = re.compile(r"([0-9]{4,9})\.zip")
# How many tickets' numbers share a folder.
RANGE = 1_000
# The same on every machine: a pack says nothing about when it was made.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def range_of(ticket: str) -> str:
    """The folder in which a ticket's packs lie: T-12345 is in T-12000. Empty for what is no ticket's id."""
    prefix, _, rest = ticket.partition("-")
    number = rest.partition(".")[0]
    return f"{prefix}-{int(number) // RANGE * RANGE:04}" if number.isdecimal() else ""


def packs_in(folder: Path) -> list[Path]:
    """The packs of one range, oldest first."""
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _NUMBER.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def tickets_in(pack: Path) -> Iterable[str]:
    """The tickets of which a pack holds documents. Raises `Damaged` or `TryLater`."""
    return _opened(pack).documents.keys()


def documents_in(pack: Path) -> Iterable[tuple[str, bytes]]:
    """Every document of a pack with its name, each held against its checksum. Raises `Damaged` or `TryLater`."""
    opened = _opened(pack)
    for names in opened.documents.values():
        for name in names:
            yield name, opened.read(name, None)


def write_pack(folder: Path, documents: Mapping[str, bytes]) -> Path:
    """Publish a pack of these documents under the next free number. Raises `TryLater`."""
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packing:
        for name, data in documents.items():
            entry = zipfile.ZipInfo(name, _NO_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            packing.writestr(entry, data)
    known = packs_in(folder)
    number = int(known[-1].stem) + 1 if known else 1
    while True:
        path = folder / f"{number:04}.zip"
        try:
            publish(path, buffer.getvalue())
            return path
        except Stale:
            number += 1


@dataclass(frozen=True)
class ArchivedStore:
    """Loose documents below `loose.root`, and those in the packs below `archive`, as one store.

    Besides what a store raises, a pack that is not whole is `Damaged`: then nobody can say what its tickets' histories
    are.
    """

    loose: LocalStore
    archive: Path

    def publish(self, name: str, data: bytes) -> None:
        packed = self._packed(name, None)
        if packed is None:
            self.loose.publish(name, data)
        elif packed != data:
            raise Stale(f"{name.rpartition('/')[2]} was published by somebody else first")

    def read(self, name: str, limit: int | None = None) -> bytes:
        try:
            return self.loose.read(name, limit)
        except Absent:
            packed = self._packed(name, limit)
            if packed is None:
                raise
            return packed

    def list(self, folder: str) -> tuple[str, ...]:
        # The loose ones first: what is packed meanwhile is then found in its pack.
        names = set(self.loose.list(folder))
        for pack in self._packs(folder):
            names.update(pack.documents.get(folder, ()))
        return tuple(sorted(names))

    def _packs(self, ticket: str) -> Iterator[_Pack]:
        place = range_of(ticket)
        for path in packs_in(self.archive / place) if place else ():
            yield _opened(path)

    def _packed(self, name: str, limit: int | None) -> bytes | None:
        ticket = name.partition("/")[0]
        for pack in self._packs(ticket):
            if name in pack.documents.get(ticket, ()):
                return pack.read(name, limit)
        return None


@dataclass(frozen=True)
class _Pack:
    """An open pack. `documents` are the names in it, by ticket."""

    path: Path
    packed: zipfile.ZipFile
    documents: dict[str, tuple[str, ...]]

    def read(self, name: str, limit: int | None) -> bytes:
        """A document, held against its checksum unless it is longer than `limit`."""
        with _whole(self.path), self.packed.open(name) as document:
            return document.read(-1 if limit is None else limit + 1)


def _opened(path: Path) -> _Pack:
    with passing_trouble(path):
        try:
            status = path.stat()
        except OSError as error:
            raise Damaged(path, f"it cannot be read ({error.strerror})") from error
    return _open(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _open(path: Path, *_stamp: int) -> _Pack:
    import zipfile

    data = read_bytes(path)
    with _whole(path):
        packed = zipfile.ZipFile(io.BytesIO(data))
    documents: dict[str, tuple[str, ...]] = {}
    for name in packed.namelist():
        ticket = name.partition("/")[0]
        documents[ticket] = (*documents.get(ticket, ()), name)
    return _Pack(path, packed, documents)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Whatever is wrong inside a pack is `Damaged`."""
    from zipfile import BadZipFile

    try:
        yield
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Damaged(path, f"it is no whole pack ({error}): put it back from a backup") from error
