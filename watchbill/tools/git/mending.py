"""What a power cut leaves in a repository: files that have their names and not yet their content.

Owns finding them, and their removal where nothing is lost by it. git takes an empty object for a damaged one for ever,
and would neither read it nor write it again; without the file it simply writes the object anew. In the same way it
neither reads nor moves a branch whose file is empty.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_OBJECT = re.compile(r"[0-9a-f]{38}")


def remove_empty_objects(common_dir: Path) -> int:
    """Remove the objects that hold nothing, and say how many they were. It looks at loose objects only.

    A git that is writing one now has it under another name, so it is safe while others work.
    """
    removed = 0
    for folder in _scan(common_dir / "objects"):
        if len(folder.name) != 2 or not folder.is_dir(follow_symlinks=False):
            continue
        for entry in _scan(Path(folder.path)):
            if _OBJECT.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_size == 0:
                Path(entry.path).unlink(missing_ok=True)
                removed += 1
    return removed


def remove_empty_branches(common_dir: Path, names: Iterable[str]) -> list[str]:
    """Remove those of the branches `names` whose files hold nothing, and return them."""
    removed = []
    for name in names:
        path = common_dir / "refs" / "heads" / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size == 0:
            path.unlink()
            removed.append(name)
    return removed


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
