"""Folders of installed dependencies that a fresh checkout lacks.

Owns the shell line that brings such a folder (node_modules, vendor) from the owner's checkout into a worktree. It never
runs it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from watchbill.tools.survey.place import Place


def carry(place: Place, folders: Sequence[str]) -> str:
    """A shell line that copies `folders` from the owner's checkout to where they are missing.

    Copied rather than linked: links inside (of workspaces) must lead to the worktree's own packages, and tools write
    caches into these folders.
    """
    steps = [_carry_one(place, folder) for folder in folders]
    return steps[0] if len(steps) == 1 else " && ".join(f"{{ {step}; }}" for step in steps)


def _carry_one(place: Place, folder: str) -> str:
    parent = str(PurePosixPath(folder).parent)
    unless = "" if parent == "." else f"test ! -d {shlex.quote(parent)} || "
    return (
        f"{unless}test -e {shlex.quote(folder)} || cp -RP {shlex.quote(str(place.root / folder))} {shlex.quote(folder)}"
    )


def carried(folder: str, install: str) -> str:
    """The note that goes with `carry`."""
    return (
        f"A fresh checkout has no {folder}, so [checks] setup copies yours. "
        f"When dependencies change, run `{install}` in your checkout."
    )


def to_install(folder: str, install: str) -> str:
    """The note for a checkout in which the dependencies are not installed."""
    return (
        f"{folder} is not there. Best run `{install}` in your checkout and `watchbill init` again: then the folder is "
        f"copied and no network is needed. As it stands, [checks] setup is `{install}`, "
        'which works only with `[sandbox] network = ["setup"]`.'
    )
