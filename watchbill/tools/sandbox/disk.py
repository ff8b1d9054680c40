"""How much a running command has put on the disk.

Owns the two questions: did what it changed grow beyond its limit, and is the disk nearly full. They are asked now and
then, so a command can overshoot by what it writes in between. Nothing here stops anything.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from watchbill.tools.sandbox.contract import MIB

_EVERY_SECONDS = 0.2
_SCAN_SECONDS = 2.0
# A walk that takes long is made so much more rarely.
_SHARE = 20
_BLOCK = 512
_LEAST_PER_FILE = 4096
_MOST_ENTRIES = 500_000
_RESERVE = 512 * MIB
# Clocks of file systems run behind by a tick.
_TICK_NS = 20_000_000


class DiskWatch:
    """Looks after `folders` while a command writes there. `limit` is how many bytes it may add to them together."""

    def __init__(self, folders: Sequence[Path], limit: int) -> None:
        self._folders = list(folders)
        self._limit = limit
        self._since = time.time_ns() - _TICK_NS
        self._free = {folder: _free(folder) for folder in self._folders}
        self._next_look = time.monotonic() + _EVERY_SECONDS
        self._next_scan = time.monotonic() + _SCAN_SECONDS

    def exceeded(self) -> str:
        """What was exceeded, as a sentence; "" while all is well, and most of the time without looking."""
        now = time.monotonic()
        if now < self._next_look:
            return ""
        self._next_look = now + _EVERY_SECONDS
        looks_written = now >= self._next_scan
        for folder, (free_before, reserve) in self._free.items():
            free = _free(folder)[0]
            if free < reserve and free < free_before:
                return f"the disk is nearly full ({free // MIB} MiB are left)"
            looks_written = looks_written or free_before - free > self._limit
        # Walking through a large tree takes longer than most commands: it is done when the file system looks as if
        # something had been written, or when it was done long ago.
        if looks_written:
            if self._written() > self._limit:
                return f"the limit of {self._limit // MIB} MiB written to the disk was reached"
            took = time.monotonic() - now
            self._next_scan = now + max(_SCAN_SECONDS, _SHARE * took)
            self._next_look = now + max(_EVERY_SECONDS, _SHARE * took)
        return ""

    def _written(self) -> int:
        """Bytes in files that were changed since the beginning. A file that only grew a little counts whole."""
        seen: set[tuple[int, int]] = set()
        total = 0
        for status in _files(self._folders):
            if status.st_ctime_ns >= self._since and (status.st_dev, status.st_ino) not in seen:
                if status.st_nlink > 1:
                    seen.add((status.st_dev, status.st_ino))
                total += max(status.st_blocks * _BLOCK, _LEAST_PER_FILE)
                if total > self._limit:
                    break
        return total


def _free(folder: Path) -> tuple[int, int]:
    """Bytes that are free where `folder` lies, counting files that can still be made, and how many must stay free."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0, 0
    free = status.f_bavail * status.f_frsize
    if status.f_files:
        free = min(free, status.f_favail * _LEAST_PER_FILE)
    return free, min(_RESERVE, status.f_blocks * status.f_frsize // 20)


def _files(folders: Sequence[Path]) -> Iterator[os.stat_result]:
    left = [os.fspath(folder) for folder in folders]
    entries = 0
    while left:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as scan:
            for entry in scan:
                entries += 1
                if entries > _MOST_ENTRIES:
                    return
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    yield entry.stat(follow_symlinks=False)
