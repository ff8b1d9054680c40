"""Publish-if-absent: the one way in which a document comes to be.

Owns durability on a POSIX file system: the bytes are on disk before the name is, the name is on disk before
success is reported, and a name that exists is never replaced. Never knows what a document means.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchbill.errors import Stale, TryLater

FILE_MODE = 0o600
FOLDER_MODE = 0o700
TEMPORARY_SUFFIX = ".tmp"

_LATER = {
    errno.ENOSPC: "the disk is full, or has no room for more files",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk reported an input/output error",
    errno.EMFILE: "too many files are open in this process",
    errno.ENFILE: "too many files are open on this machine",
    errno.EACCES: "permission was denied",
    errno.EPERM: "the operation is not permitted",
    errno.EINTR: "the call was interrupted",
    errno.ENOMEM: "there is no memory left",
    errno.ESTALE: "the network disk has lost the file for now",
}
# What says nothing about the file itself, so that another run may well read it.
_PASSING = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.ENOMEM, errno.ESTALE)
_HINT = "Nothing was lost. Put it right; the next run carries on."


@contextmanager
def disk_trouble(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn an `OSError` about the disk into `TryLater` with a reason; `FileExistsError` passes unchanged."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        reason = _LATER.get(error.errno or 0, error.strerror or "the disk refused")
        raise TryLater(f"cannot {doing} {path}: {reason}", _HINT) from error


@contextmanager
def passing_trouble(path: Path) -> Iterator[None]:
    """Turn an `OSError` that says nothing about `path` itself, while it is read, into `TryLater`.

    Every other one passes unchanged: it is for the caller to say what a file that cannot be read means.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _PASSING:
            raise TryLater(f"cannot read {path}: {_LATER[error.errno]}", _HINT) from error
        raise


def sync(descriptor: int) -> None:
    """Force a descriptor's data to the disk itself (macOS answers fsync before the disk has it)."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, each name durable in its own parent."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with disk_trouble(folder):
        try:
            folder.mkdir(mode=FOLDER_MODE)
        except FileExistsError as error:
            # Made by another process meanwhile, which may die before it syncs the name: that is done here too.
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "there is a file of that name") from error
        sync_folder(folder.parent)


def publish(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, durably, if no file has that name yet.

    Raises `Stale` when the name is taken by other content (the very same content counts as published), and
    `TryLater` when the disk does not take it. After an error nothing is published under the name, or all of it is.
    """
    make_folder(path.parent)
    temporary = _beside(path)
    try:
        with disk_trouble(path):
            _write_new(temporary, data)
            os.link(temporary, path)
    except FileExistsError:
        with disk_trouble(path):
            is_ours = _holds(path, data)
        if not is_ours:
            raise Stale(f"{path.name} was published by somebody else first") from None
    finally:
        _drop(temporary)
    with disk_trouble(path):
        sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Write a derived file anew, whole or not at all. Never for documents: they are written once."""
    make_folder(path.parent)
    temporary = _beside(path)
    try:
        with disk_trouble(path):
            _write_new(temporary, data)
            temporary.rename(path)
            sync_folder(path.parent)
    finally:
        _drop(temporary)


def move(path: Path, target: Path) -> None:
    """Give a file another name, never over an existing one: both names exist for a moment, none never.

    Done again after a crash it ends in the same place. Raises `Stale` when another file has the target's name. A
    folder, which cannot have two names, is renamed.
    """
    make_folder(target.parent)
    with disk_trouble(target):
        try:
            if path.is_dir() and not path.is_symlink():
                _rename_folder(path, target)
            else:
                os.link(path, target, follow_symlinks=False)
        except FileNotFoundError:
            if not os.path.lexists(target):
                raise
        except FileExistsError:
            if not _same_file(path, target):
                raise Stale(f"{target} exists already") from None
        sync_folder(target.parent)
        if not path.is_dir() or path.is_symlink():
            path.unlink(missing_ok=True)
        sync_folder(path.parent)


def sha256(data: bytes) -> str:
    """The name by which one document refers to the content of another."""
    return hashlib.sha256(data).hexdigest()


def _beside(path: Path) -> Path:
    """A new name in the same folder, of the form by which the next run knows a left-over."""
    return path.parent / f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY_SUFFIX}"


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        sync(descriptor)
    finally:
        os.close(descriptor)


def _drop(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        # On a disk that takes nothing, removing what was never made fails as well.
        if not os.path.lexists(temporary):
            return
        # A left-over temporary file is swept up by the next run; it must not hide what really went wrong.
        print(f"left {temporary}: {error}", file=sys.stderr)


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and not path.is_symlink() and path.read_bytes() == data


def _rename_folder(path: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "it exists already", str(target))
    path.rename(target)


def _same_file(one: Path, other: Path) -> bool:
    """Whether two names stand for one file, or for two with the same content. Links are not followed."""
    if not os.path.lexists(one):
        return True
    if os.path.samestat(one.lstat(), other.lstat()):
        return True
    is_plain = all(stat.S_ISREG(path.lstat().st_mode) for path in (one, other))
    return is_plain and sha256(one.read_bytes()) == sha256(other.read_bytes())
