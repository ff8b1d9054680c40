"""What lies in the folders of tickets and histories: names, and by what a changed file is told from the same one.

Owns the one pass over the two folders. Reads no document; what it cannot be sure of is left for the reader to read.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from watchbill.files.publish import TEMPORARY_SUFFIX
from watchbill.history import archived_packs
from watchbill.layout import Layout

STAMP = 32
"""Bytes of a stamp: inode, time of the last write, time of the last change of any kind, size."""

# A file that was written so lately may be written again without a change of its times.
TOO_FRESH_NS = 2_000_000_000
_LARGEST = 2**63 - 1
_AT_ONCE = 512 * STAMP


@dataclass
class Seen:
    """What one pass saw. `names` are the ticket files in the folder's own order, `facts` four numbers of each.

    `pasts` name the state of each history, by ticket, and `packs` that of each pack of the archive; a state that
    cannot be told is an empty name, which equals no other. `strays` are temporary files. `at` is when the pass began,
    in nanoseconds.
    """

    at: int
    names: list[str] = field(default_factory=list)
    facts: array[int] = field(default_factory=lambda: array("q"))
    pasts: dict[str, bytes] = field(default_factory=dict)
    packs: dict[Path, bytes] = field(default_factory=dict)
    strays: list[Path] = field(default_factory=list)

    @cached_property
    def stamps(self) -> bytes:
        """The stamps of all files in a row."""
        return self.facts.tobytes()

    def size(self, place: int) -> int:
        """The bytes of the file at that place."""
        return self.facts[4 * place + 3]

    def is_settled(self, place: int) -> bool:
        """Whether the file at that place could not have been written again since without getting another stamp."""
        return max(self.facts[4 * place + 1], self.facts[4 * place + 2]) < self.at - TOO_FRESH_NS


def see_tickets(layout: Layout) -> Seen:
    """See the ticket files: every *.md but the folder's README and what begins with a dot."""
    seen = Seen(time.time_ns())
    facts: list[int] = []
    add_name, add_facts = seen.names.append, facts.extend
    try:
        entries = os.scandir(layout.tickets)
    except (FileNotFoundError, NotADirectoryError):
        return seen
    with entries:
        for entry in entries:
            name = entry.name
            if name[-3:] != ".md" or name[0] == "." or name == "README.md":
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            add_name(name)
            add_facts((status.st_ino & _LARGEST, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
    seen.facts = array("q", facts)
    return seen


def see(layout: Layout) -> Seen:
    """See the ticket files and the histories; the archive last, into which histories may move meanwhile."""
    seen = see_tickets(layout)
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(layout.handoffs) as entries:
        for entry in entries:
            if entry.is_dir():
                seen.pasts[entry.name] = b"" if entry.is_symlink() else _state(entry.path, seen)
    for pack in archived_packs(layout):
        status = pack.stat()
        is_fresh = max(status.st_mtime_ns, status.st_ctime_ns) >= seen.at - TOO_FRESH_NS
        facts = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        seen.packs[pack] = b"" if is_fresh else repr(facts).encode()
    return seen


def differing(one: bytes, other: bytes) -> Iterator[int]:
    """The places where two rows of stamps, of one length, differ."""
    for start in range(0, len(one), _AT_ONCE):
        if one[start : start + _AT_ONCE] != other[start : start + _AT_ONCE]:
            for place in range(start // STAMP, min(start + _AT_ONCE, len(one)) // STAMP):
                if not is_same(one, place, other, place):
                    yield place


def is_same(one: bytes, place: int, other: bytes, its_place: int) -> bool:
    """Whether the stamp at a place of one row is that at a place of another."""
    start, its_start = STAMP * place, STAMP * its_place
    return one[start : start + STAMP] == other[its_start : its_start + STAMP]


def _state(folder: str, seen: Seen) -> bytes:
    """A name for the state of one history: of every file its name, inode, times and size."""
    files = []
    newest = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                written, changed = status.st_mtime_ns, status.st_ctime_ns
                newest = max(newest, written, changed)
                files.append((entry.name, status.st_ino, written, changed, status.st_size))
    except OSError:
        return b""
    files.sort()
    if files and files[0][0][0] == ".":
        seen.strays += [
            Path(folder, file[0]) for file in files if file[0][0] == "." and file[0].endswith(TEMPORARY_SUFFIX)
        ]
    if newest >= seen.at - TOO_FRESH_NS:
        return b""
    return blake2b(repr(files).encode("utf-8", "backslashreplace"), digest_size=16).digest()
