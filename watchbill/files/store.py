"""Where write-once documents are kept: publish one if its name is free, read one, list a folder of them.

Owns the contract that history is built on, on a local disk and in memory; another place (an object store with
conditional puts, a table with a unique key) needs these three verbs and must pass the same tests. Nothing here replaces
or removes a document, and nothing knows what one means.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from watchbill.errors import Damaged, Stale
from watchbill.files.document import read_bytes
from watchbill.files.publish import disk_trouble, publish

# What every file system, object store and database spells alike: no two of these names are ever the same one.
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class Absent(Damaged):
    """No document has that name."""


class Store(Protocol):
    """A place for documents. Names are relative and have folders: `T-0012/0001.md`.

    A name is parts of ASCII letters, digits, `.`, `_` and `-`, divided by `/`, each beginning with a letter or a
    digit. Publishing or reading under any other raises `ValueError`.
    """

    def publish(self, name: str, data: bytes) -> None:
        """Make `name` hold `data`, durably, if it is free. The same content again counts as published.

        Of several writers at once exactly one wins. Raises `Stale` when the name is taken by other content, and
        `TryLater` when the place does not take it; then the name may be published or not, but never half.
        """

    def read(self, name: str, limit: int | None = None) -> bytes:
        """The document; with a `limit`, one byte more than it at most. Raises `Absent`, `Damaged` or `TryLater`."""

    def list(self, folder: str) -> tuple[str, ...]:
        """The names that stand in `folder`, in order; none when there is no such folder.

        Only what can be read whole stands there, or what somebody else put in a document's place.
        """


def is_name(name: str) -> bool:
    """Whether a document can have that name."""
    return all(_PART.fullmatch(part) for part in name.split("/"))


@dataclass(frozen=True)
class LocalStore:
    """Documents as files below `root`, on a POSIX file system."""

    root: Path

    def publish(self, name: str, data: bytes) -> None:
        publish(self._path(name), data)

    def read(self, name: str, limit: int | None = None) -> bytes:
        path = self._path(name)
        if not os.path.lexists(path):
            raise Absent(path, "there is no such document")
        return read_bytes(path, limit)

    def list(self, folder: str) -> tuple[str, ...]:
        if not is_name(folder):
            return ()
        path = self._path(folder)
        with disk_trouble(path, "read"):
            try:
                found = [entry.name for entry in path.iterdir()]
            except (FileNotFoundError, NotADirectoryError):
                return ()
        return _in_order(folder, found)

    def _path(self, name: str) -> Path:
        return self.root / _checked(name)


@dataclass(frozen=True)
class MemoryStore:
    """Documents in this process, gone with it: for trying out what is built on a store."""

    documents: dict[str, bytes] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def publish(self, name: str, data: bytes) -> None:
        with self._one_at_a_time:
            kept = self.documents.setdefault(_checked(name), data)
        if kept != data:
            raise Stale(f"{name.rpartition('/')[2]} was published by somebody else first")

    def read(self, name: str, limit: int | None = None) -> bytes:
        data = self.documents.get(_checked(name))
        if data is None:
            raise Absent(Path(name), "there is no such document")
        return data if limit is None else data[: limit + 1]

    def list(self, folder: str) -> tuple[str, ...]:
        if not is_name(folder):
            return ()
        with self._one_at_a_time:
            names = [name.rpartition("/") for name in self.documents]
        return _in_order(folder, [last for parent, _, last in names if parent == folder])


def _checked(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"no document can be called {name!r}")
    return name


def _in_order(folder: str, found: list[str]) -> tuple[str, ...]:
    return tuple(sorted(f"{folder}/{last}" for last in found if _PART.fullmatch(last)))
