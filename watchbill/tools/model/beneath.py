"""Opening files beneath a folder in which somebody hostile may write at the same moment.

Owns the walk: from the folder's own descriptor, one name at a time, never following a link that the system would
follow. Links are read here and walked as well, as long as they stay beneath, so a link that is swapped in between
leads nowhere. Never opens a pipe, a device or a socket, and never writes through a hard link or into git's own entry.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 40


class NotBeneath(Exception):
    """Nothing is opened. The text completes "PATH "."""


@dataclass
class Place:
    """Where a path ends: `name` in the folder that is open as `folder`; `name` is "." for the top folder itself.

    `parts` are the names from the top to there, links resolved.
    """

    folder: int
    name: str
    parts: tuple[str, ...]

    def kind(self) -> int | None:
        """The file type and mode of what is there; None when nothing is."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def found(top: Path, path: str, *, to_write: bool = False) -> Iterator[Place]:
    """Walk to `path` beneath `top`. With `to_write`, missing folders on the way are made and `.git` is refused.

    Raises NotBeneath for what leads out, OSError as the system does.
    """
    walk = _Walk(to_write)
    try:
        walk.start(top)
        yield walk.to(_names(top, path), top)
    finally:
        walk.close()


@contextlib.contextmanager
def reading(top: Path, path: str) -> Iterator[tuple[BinaryIO, int]]:
    """The regular file at `path`, open, and its size in bytes. Raises NotBeneath and OSError."""
    with found(top, path) as place:
        _require_regular(place.kind(), must_exist=True)
        descriptor = os.open(place.name, os.O_RDONLY | _FILE, dir_fd=place.folder)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            _require_regular(status.st_mode)
            yield stream, status.st_size


def write(top: Path, path: str, data: bytes) -> None:
    """Make `data` the content of the file at `path`, with the folders that it needs. Raises NotBeneath and OSError."""
    with found(top, path, to_write=True) as place:
        _require_regular(place.kind())
        # It is emptied only when it has been looked at, by its descriptor: the name may mean something else by now.
        descriptor = os.open(place.name, os.O_WRONLY | os.O_CREAT | _FILE, 0o666, dir_fd=place.folder)
        with os.fdopen(descriptor, "wb") as stream:
            status = os.fstat(descriptor)
            _require_regular(status.st_mode)
            if status.st_nlink > 1:
                raise NotBeneath("has another name somewhere (a hard link); remove it first, then write it anew")
            stream.truncate(0)
            stream.write(data)


def _require_regular(mode: int | None, *, must_exist: bool = False) -> None:
    if mode is None:
        if must_exist:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    elif stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    elif not stat.S_ISREG(mode):
        raise NotBeneath("is not a regular file")


def _names(top: Path, path: str) -> list[str]:
    """The names of `path` beneath `top`, `..` collapsed. Raises NotBeneath where it leads out by its words alone."""
    if "\0" in path:
        raise NotBeneath("contains a NUL character")
    if not os.path.isabs(path):  # noqa: PTH117
        return os.path.normpath(path).split("/")
    for spelling in (os.path.abspath(top), os.path.realpath(top)):  # noqa: PTH100
        relative = os.path.relpath(path, spelling)
        if relative.split("/")[0] != "..":
            return relative.split("/")
    raise NotBeneath("is outside the worktree")


@dataclass
class _Walk:
    """The folders that are open, from the top to where the walk is."""

    to_write: bool
    _open: list[tuple[str, int]] = field(default_factory=list)
    _links: int = 0

    def start(self, top: Path) -> None:
        # The top itself is the caller's own and may be given through a link.
        self._open.append(("", os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)))

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop()[1])

    def to(self, names: list[str], top: Path) -> Place:
        left = list(reversed(names))
        while left:
            name = left.pop()
            if name in ("", "."):
                continue
            if name == "..":
                self._up()
                continue
            self._refuse_git(name)
            target = self._link_at(name)
            if target is not None:
                left += reversed(self._followed(target, top))
            elif left:
                self._down(name)
            else:
                return Place(self._here, name, (*self._parts, name))
        return Place(self._here, ".", self._parts)

    @property
    def _here(self) -> int:
        return self._open[-1][1]

    @property
    def _parts(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._open[1:])

    def _up(self) -> None:
        # By what was walked, not by the folder's own "..": that one changes when the folder is moved.
        if len(self._open) == 1:
            raise NotBeneath("is outside the worktree")
        os.close(self._open.pop()[1])

    def _down(self, name: str) -> None:
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=self._here)
        except FileNotFoundError:
            if not self.to_write:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._here)
            descriptor = os.open(name, _FOLDER, dir_fd=self._here)
        self._open.append((name, descriptor))

    def _refuse_git(self, name: str) -> None:
        if self.to_write and len(self._open) == 1 and name.casefold() == ".git":
            raise NotBeneath("belongs to git and is read-only")

    def _link_at(self, name: str) -> str | None:
        """Where the link `name` points to; None when it is no link."""
        try:
            return os.readlink(name, dir_fd=self._here)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise

    def _followed(self, target: str, top: Path) -> list[str]:
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not target.startswith("/"):
            return target.split("/")
        while len(self._open) > 1:
            self._up()
        return _names(top, target)
