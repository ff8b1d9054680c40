"""Folders that an agent could write into: emptied, erased and walked without trusting anything in them.

It never follows a symbolic link, and never calls git.
"""

# ruff: noqa: PTH101, PTH118 - names are bytes here, because they need not be text; pathlib takes text only.

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from watchbill.errors import TryLater

_AT_ONCE = 200


def erase(*paths: Path | bytes) -> None:
    """Remove files, links and whole folders, read-only and very deep ones too. What is not there is fine.

    Raises TryLater when something stays.
    """
    raw = [os.fsencode(path) for path in paths]
    for start in range(0, len(raw), _AT_ONCE):
        _erase_some([path for path in raw[start : start + _AT_ONCE] if os.path.lexists(path)])


def make_private(folder: Path) -> None:
    """Make a folder and what is missing above it, for its owner alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def make_accessible(folder: Path) -> None:
    """Give the owner back the right to read and write everything in `folder`."""
    subprocess.run(["chmod", "-R", "u+rwX", "--", folder], check=False, capture_output=True, stdin=subprocess.DEVNULL)


def sweep(top: Path, files: set[bytes], submodules: set[bytes], untouched_since: int | None = None) -> None:
    """Leave only `files` and the empty folders of `submodules` under `top`, and the `.git` at the very top.

    Names are relative, with `/`. A link where a folder belongs goes too,
    and a folder where a file belongs; git replaces anything else that is not the file it should be. With
    `untouched_since` (nanoseconds) the files that somebody changed at that time or later go as well.
    """
    folders = set(submodules)
    for name in files | submodules:
        while b"/" in name:
            name = name.rpartition(b"/")[0]
            if name in folders:
                break
            folders.add(name)
    root = os.fsencode(top)
    doomed: list[bytes] = []
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        here = os.path.join(root, folder)
        _open_up(here)
        with os.scandir(here) as entries:
            for entry in entries:
                name = folder + b"/" + entry.name if folder else entry.name
                if name == b".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    (waiting if name in folders else doomed).append(name)
                elif name not in files or _was_touched(entry, untouched_since):
                    doomed.append(name)
    erase(*(os.path.join(root, name) for name in doomed))


def files_under(top: Path, folder: bytes) -> Iterator[bytes]:
    """Every file and link under `top`/`folder`, named from `top`, without anything called `.git`."""
    root = os.fsencode(top)
    waiting = [folder.rstrip(b"/")]
    while waiting:
        here = waiting.pop()
        with os.scandir(os.path.join(root, here)) as entries:
            for entry in entries:
                name = here + b"/" + entry.name
                if entry.name.lower() == b".git":
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield name


def is_file_or_link(top: Path, name: bytes) -> bool:
    """Whether `name` is a file or a link that really lies under `top`: no folder on the way is a link."""
    here = os.fsencode(top)
    *folders, last = name.split(b"/")
    try:
        for folder in folders:
            here = os.path.join(here, folder)
            if not stat.S_ISDIR(os.lstat(here).st_mode):
                return False
        mode = os.lstat(os.path.join(here, last)).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def read_plainly(top: Path, name: bytes, limit: int) -> bytes:
    """The first `limit` bytes of a regular file, empty for anything else: a link is not followed, a pipe not opened."""
    if not is_file_or_link(top, name):
        return b""
    try:
        handle = os.open(os.path.join(os.fsencode(top), name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    with os.fdopen(handle, "rb") as file:
        return file.read(limit)


def _was_touched(entry: os.DirEntry[bytes], since: int | None) -> bool:
    return since is not None and entry.stat(follow_symlinks=False).st_ctime_ns >= since


def _open_up(folder: bytes) -> None:
    """Let the owner do everything in `folder`, and others change nothing there."""
    mode = stat.S_IMODE(os.lstat(folder).st_mode)
    if mode != (mode | 0o700) & 0o755:
        os.chmod(folder, (mode | 0o700) & 0o755)


def _erase_some(paths: Sequence[bytes]) -> None:
    if not paths:
        return
    # rm walks trees of any depth, which shutil.rmtree does not: an agent can make one that is thousands deep.
    if subprocess.run(["rm", "-rf", "--", *paths], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
        return
    for path in paths:
        make_accessible(Path(os.fsdecode(path)))
    again = subprocess.run(["rm", "-rf", "--", *paths], capture_output=True, stdin=subprocess.DEVNULL)
    if again.returncode != 0:
        said = again.stderr.decode("utf-8", "backslashreplace").strip().splitlines()
        raise TryLater(f"Could not be removed: {said[-1] if said else paths[0]!r}", "Remove it by hand.")
