"""Making what git wrote survive a power cut.

Owns the one call that waits until a file system has everything. It never decides when that is needed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from watchbill.errors import TryLater


def sync_file_system(folder: Path) -> None:
    """Return once everything written so far to the file system of `folder` is on the disk. Raises TryLater."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _sync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise TryLater(
            f"The disk under {folder} did not confirm what was written: {error.strerror}.",
            "Look at the disk; what was not confirmed is not used.",
        ) from error


def _sync(handle: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return
    import fcntl

    os.sync()
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(handle)
    else:
        fcntl.fcntl(handle, full_sync)
