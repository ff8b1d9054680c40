"""A run's temporary files: one folder in the workspace, which the run holds by a lock for as long as it lives.

Owns where the run's own temporary files and folders are made, and the telling of a living run's from a dead one's. It
never removes what another run made.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchbill.files.publish import FOLDER_MODE, disk_trouble, make_folder


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder of this process's own below `folder`, in which it makes all that it makes with `tempfile`.

    It is gone afterwards. Raises `TryLater` when the disk does not take it.
    """
    own = folder / f"{os.getpid()}-{secrets.token_hex(4)}"
    before = tempfile.tempdir
    make_folder(folder)
    with disk_trouble(own), _locked(folder):
        own.mkdir(mode=FOLDER_MODE)
        held = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        tempfile.tempdir = str(own)
        yield own
    finally:
        tempfile.tempdir = before
        shutil.rmtree(own, ignore_errors=True)
        os.close(held)


def abandoned(folder: Path) -> list[Path]:
    """What lies in `folder` and no living run holds."""
    if not folder.is_dir():
        return []
    # A folder is made and held under this lock: what is found without a holder will never have one again.
    with _locked(folder):
        return [path for path in sorted(folder.iterdir()) if not _is_held(path)]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
