"""Disks that can be filled, locked and made whole again.

Owns their making and their end: whatever happens, they are unmounted. Needs root.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_ENVIRONMENT = {**os.environ, "PATH": _PATH}


class MemoryDisk:
    """A tmpfs at `place`. It holds 400 MiB at most, and never more than is written."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        call("mount", "-t", "tmpfs", "-o", "size=400m,nr_inodes=200k,nodev,nosuid", "tmpfs", str(place))

    def fill(self, room: int = 0) -> None:
        """Leave `room` bytes."""
        about = os.statvfs(self.place)
        used = (about.f_blocks - about.f_bfree) * about.f_frsize
        self._remount(f"size={max(used + room, about.f_frsize)}")

    def fill_with_names(self, room: int = 0) -> None:
        """Leave room for so many new files, however small."""
        about = os.statvfs(self.place)
        self._remount(f"nr_inodes={about.f_files - about.f_ffree + room}")

    def lock(self) -> None:
        """Nothing can be written any more."""
        self._remount("ro")

    def mend(self) -> None:
        """Whatever was wrong with it is over."""
        self._remount("rw,size=400m,nr_inodes=200k")

    def unmount(self) -> None:
        unmount(self.place)

    def _remount(self, how: str) -> None:
        call("mount", "-o", f"remount,{how}", str(self.place))


@contextmanager
def mounted(disk: MemoryDisk) -> Iterator[None]:
    """Unmount it at the end."""
    try:
        yield
    finally:
        disk.unmount()


def unmount(place: Path) -> None:
    """Raises AssertionError when something holds it for seconds; then it goes as soon as nobody does."""
    said = ""
    for _ in range(50):
        done = subprocess.run(["umount", place], capture_output=True, text=True, timeout=30, env=_ENVIRONMENT)
        if done.returncode == 0:
            return
        said = done.stderr
        time.sleep(0.1)
    subprocess.run(["umount", "--lazy", place], capture_output=True, timeout=30, env=_ENVIRONMENT)
    raise AssertionError(f"{place} could not be unmounted: {said}")


def call(*command: str) -> str:
    """Run a program of the system, which must work."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_ENVIRONMENT)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
