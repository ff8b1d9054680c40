"""Moving aside what cannot be read, with the reason beside it.

Owns the quarantine folder. Nothing is ever deleted: the file keeps its bytes, and its reason says where it came from.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from watchbill import strict_json
from watchbill.errors import Stale
from watchbill.files.document import stamp
from watchbill.files.publish import make_folder, move, publish, sha256

REASON = ".reason.json"


def set_aside(path: Path, why: str, folder: Path, root: Path, now: datetime) -> Path:
    """Move `path` into `folder` and write why. Returns where it lies now; the same file twice ends in one place."""
    make_folder(folder)
    relative = os.fsencode(path.relative_to(root))
    name = f"{_identity(path, relative)}-{_shown(os.fsencode(path.name))[-40:]}"
    reason = {"from": _shown(relative), "why": why, "when": stamp(now)}
    with suppress(Stale):  # a run that was cut off before the move has said why already
        publish(folder / f"{name}{REASON}", json.dumps(reason, indent=2).encode() + b"\n")
    move(path, folder / name)
    return folder / name


def reasons(folder: Path) -> list[dict[str, str]]:
    """Everything in quarantine: where it came from, why, when, and `file`, its name there."""
    found = []
    for path in sorted(folder.glob(f"*{REASON}")):
        file = path.name.removesuffix(REASON)
        found.append({**_read_reason(path), "file": file})
    return found


def _read_reason(path: Path) -> dict[str, str]:
    try:
        entry = strict_json.read(path.read_bytes())
        # Halves of characters, which JSON can name, could be shown nowhere.
        return {key: _shown(str(entry[key]).encode("utf-8", "replace")) for key in ("from", "why", "when")}
    except (OSError, ValueError, TypeError, KeyError):
        return {"from": "", "why": "its reason cannot be read", "when": ""}


def _identity(path: Path, relative: bytes) -> str:
    """The same for the same file, another for another file of that name."""
    status = path.lstat()
    return sha256(b"\0".join((relative, str(status.st_ino).encode(), str(status.st_mtime_ns).encode())))[:12]


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
