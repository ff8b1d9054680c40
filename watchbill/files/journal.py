"""An append-only file of JSON lines, each on disk before `append` returns.

Owns the order and durability of lines. `jot` adds one that a power cut may lose. A line torn by a crash is the last one
and is passed over when reading: its writer died before it could act on it.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watchbill import strict_json
from watchbill.errors import TryLater
from watchbill.files.publish import FILE_MODE, disk_trouble, make_folder, sync, sync_folder


def append(path: Path, entry: dict[str, Any]) -> None:
    """Add one line and sync it. Raises `TryLater` when the disk does not take it."""
    _add(path, entry, is_synced=True)


def jot(path: Path, entry: dict[str, Any]) -> None:
    """Add one line without a sync: it outlives this process, not a power cut. Raises `TryLater` as `append` does."""
    _add(path, entry, is_synced=False)


def _add(path: Path, entry: dict[str, Any], is_synced: bool) -> None:
    make_folder(path.parent)
    line = json.dumps(entry, ensure_ascii=True, sort_keys=True).encode() + b"\n"
    with disk_trouble(path):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
        try:
            # An empty one may be new, or its maker died before its name was durable.
            is_new = os.fstat(descriptor).st_size == 0
            if not _ends_whole(descriptor):
                line = b"\n" + line
            view = memoryview(line)
            while view:
                view = view[os.write(descriptor, view) :]
            if is_synced:
                sync(descriptor)
        finally:
            os.close(descriptor)
        if is_synced and is_new:
            sync_folder(path.parent)


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines in order; none when there is no file. Raises `TryLater` when it cannot be read."""
    with _reading(path):
        return _entries(path.read_bytes().split(b"\n"))
    return []


def read_those(path: Path, ending: str) -> list[dict[str, Any]]:
    """The whole lines that end with `ending`, without looking into the others. Raises `TryLater` as `read` does."""
    with _reading(path), path.open("rb") as file:
        if os.fstat(file.fileno()).st_size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
                return _entries(_lines(whole, ending.encode() + b"\n"))
    return []


def _lines(whole: mmap.mmap, ending: bytes) -> Iterator[bytes]:
    found = whole.find(ending)
    while found >= 0:
        yield whole[whole.rfind(b"\n", 0, found) + 1 : found + len(ending)]
        found = whole.find(ending, found + 1)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """A journal that is not there holds no line; one that cannot be read says nothing that may be relied on."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        hint = "Put it right, or move it away; what it counts is then forgotten."
        raise TryLater(f"cannot read {path}: {error.strerror}", hint) from error


def _entries(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    entries = []
    for line in lines:
        try:
            entry = strict_json.read(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _ends_whole(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
