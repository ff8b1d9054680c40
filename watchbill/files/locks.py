"""Locks that the kernel releases when their holder dies.

Owns mutual exclusion of whole verbs (one build session, one planner, one merge at a time). Does not wait: a
lock that is held is somebody else's turn.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchbill.errors import TryLater
from watchbill.files.publish import FILE_MODE, disk_trouble, make_folder

GLANCES = 20
GLANCE_SECONDS = 0.005


@contextmanager
def held(path: Path, doing: str) -> Iterator[None]:
    """Hold the lock at `path` while `doing` goes on; raises `TryLater` when another process has it.

    The descriptor is closed on exec (Python's default), so no child keeps the lock alive.
    """
    make_folder(path.parent)
    with disk_trouble(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        with disk_trouble(path):
            if not _taken(descriptor):
                holder = os.read(descriptor, 100).decode(errors="replace").strip()
                by = f" (process {holder})" if holder.isdigit() else ""
                raise TryLater(f"another {doing} is under way{by}", "It is safe to run this again later.")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Whether the lock is ours now. Somebody who only looks (`is_held`) has it for an instant, which is waited out."""
    for _ in range(GLANCES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(GLANCE_SECONDS)
        else:
            return True
    return False


def is_held(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
