"""Many small files of one folder, read with few calls to the system.

Owns the quick way of reading a file whose size was seen just before. What is unusual in any way is not read: the caller
reads it with care (`files/document`), and learns there what is wrong with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self


class OpenFolder:
    """A folder that is held open while its files are read. One that cannot be opened has no file to read."""

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def read(self, name: str, size: int) -> bytes | None:
        """The bytes of the file, if they are `size`, in one piece. None: not so, or it is none that can be read.

        A pipe or a device has no size, so nothing that comes out of one is taken for a file's bytes.
        """
        if self._descriptor < 0:
            return None
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._descriptor
            )
            try:
                data = os.read(descriptor, size + 1)
            finally:
                os.close(descriptor)
        except OSError:
            return None
        return data if len(data) == size else None
