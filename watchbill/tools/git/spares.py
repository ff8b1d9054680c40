"""Worktrees whose work is done, put by for the next ticket: to re-point one is several times quicker than a new one.

Owns their names and the moves there and back. A spare belongs to nobody, so nothing in it is worth anything; a worktree
that is in use has another name and is never taken. Each move is one rename: of two who reach for a spare, one gets it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from watchbill.tools.git import folders

MOST = 4
# With a full stop, so that no ticket can have that name.
_PREFIX = "spare."


def put_by(path: Path, admin: Path) -> bool:
    """Make the worktree at `path`, which must not be ready for anybody, a spare; False when there are enough.

    The folder is moved before its registration is: a run that dies between the two leaves a folder that nobody takes
    for a ticket's work.
    """
    if sum(1 for _ in _spares(path.parent)) >= MOST:
        return False
    spare = path.with_name(f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}")
    path.rename(spare)
    register_at(admin, spare)
    return True


def take(path: Path, admin_of: Callable[[Path], Path | None]) -> Path | None:
    """Move a spare to `path`, where nothing lies, and return its administrative folder; None when there is no spare.

    `admin_of` tells the administrative folder of the worktree that is registered at a place. The registration is moved
    before the folder comes to its place: a run that dies between the two leaves a registration whose folder is
    missing, and that is made anew.
    """
    for spare in _spares(path.parent):
        nursery = path.with_name(f"{path.name}.new")
        folders.erase(nursery)
        try:
            spare.rename(nursery)
        except FileNotFoundError:
            continue  # somebody else was quicker
        admin = admin_of(spare)
        if admin is None:
            folders.erase(nursery)
            continue
        register_at(admin, path)
        nursery.rename(path)
        return admin
    return None


def register_at(admin: Path, place: Path) -> None:
    """Tell git that the worktree of `admin` lies at `place`."""
    fresh = admin / "gitdir.new"
    fresh.write_bytes(os.fsencode(place / ".git") + b"\n")
    fresh.replace(admin / "gitdir")


def _spares(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.glob(f"{_PREFIX}*") if path.is_dir() and not path.name.endswith(".new"))
