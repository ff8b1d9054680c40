"""A small disk of its own whose power can be cut.

Owns the making, mounting and cutting of a file system in a file. Needs root; whatever happens, it is unmounted.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# The smallest that mkfs.xfs makes is 300 MiB. The file is sparse: it holds only what is written.
MEBIBYTES = {"ext4": 96, "xfs": 320}
_MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}
_PACKAGES = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_ENVIRONMENT = {**os.environ, "PATH": _PATH}


@dataclass
class Disk:
    """A file system of one kind in `image`, mounted at `place`."""

    image: Path
    place: Path
    kind: str

    def mount(self) -> None:
        _call("mount", "-o", "loop,nodev,nosuid", str(self.image), str(self.place))

    def cut_the_power(self, while_others_sync: bool = False) -> None:
        """From here on the disk is as it is: what is not on it, in its journal or in place, is gone.

        With `while_others_sync` another program has just synced a file of its own: the journal then holds every name
        that there is, also of files whose content is not on the disk yet.
        """
        if while_others_sync:
            other = os.open(self.place / "another-program", os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(other, b"!")
            os.fsync(other)
            os.close(other)
        descriptor = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, ctypes.c_uint32(_NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def come_back(self) -> None:
        """The machine starts again."""
        self.unmount()
        # A sandbox that is just being made elsewhere has a copy of all mounts for a moment, which would keep the dead
        # file system for the next mount.
        for _ in range(200):
            if not subprocess.run(
                ["losetup", "--associated", self.image], capture_output=True, timeout=30, env=_ENVIRONMENT
            ).stdout:
                break
            time.sleep(0.1)
        self.mount()

    def sync(self) -> None:
        """What was written so far is history."""
        _call("sync", "-f", str(self.place))

    def unmount(self) -> None:
        """Raises AssertionError when something holds it for seconds."""
        for _ in range(50):
            done = subprocess.run(["umount", self.place], capture_output=True, text=True, timeout=30, env=_ENVIRONMENT)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.place} could not be unmounted: {done.stderr}")


@contextmanager
def disk(folder: Path, kind: str) -> Iterator[Disk]:
    """A fresh disk at `folder/disk`. Fails, naming the package, when its kind cannot be made here."""
    folder.mkdir(parents=True, exist_ok=True)
    program = _MAKE[kind][0]
    assert shutil.which(program, path=_PATH), f"{program} is missing; on Debian: apt-get install {_PACKAGES[kind]}"
    made = Disk(folder / f"{kind}.image", folder / "disk", kind)
    with made.image.open("wb") as file:
        file.truncate(MEBIBYTES[kind] * 1024 * 1024)
    made.place.mkdir()
    _call(*_MAKE[kind], str(made.image))
    made.mount()
    try:
        yield made
    finally:
        with suppress(AssertionError):
            made.unmount()
        # Nothing when it is unmounted; else it goes as soon as nobody holds it any more.
        subprocess.run(["umount", "--lazy", made.place], capture_output=True, timeout=30, env=_ENVIRONMENT)
        made.image.unlink()


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_ENVIRONMENT)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
