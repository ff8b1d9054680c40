"""Moving aside what cannot be read, with the reason beside it.

Owns the quarantine folder. Nothing is ever deleted: the file keeps its bytes, and its reason says where it came from.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from watchbill.files.document import stamp
from watchbill.files.publish import make_folder, move, publish, sha256


def set_aside(path: Path, why: str, folder: Path, root: Path, now: datetime) -> Path:
    """Move `path` into `folder` and write why. Returns where it lies now; the same file twice ends in one place."""
    make_folder(folder)
    relative = str(path.relative_to(root))
    name = f"{sha256(relative.encode())[:8]}-{now:%Y%m%dT%H%M%S}-{path.name}"
    target = folder / name
    reason = {"from": relative, "why": why, "when": stamp(now)}
    publish(folder / f"{name}.reason.json", json.dumps(reason, ensure_ascii=False, indent=2).encode() + b"\n")
    move(path, target)
    return target


def reasons(folder: Path) -> list[dict[str, str]]:
    """Everything in quarantine: where it came from, why, when, and `file`, its name there."""
    found = []
    for path in sorted(folder.glob("*.reason.json")):
        entry = json.loads(path.read_text("utf-8"))
        found.append({**entry, "file": path.name.removesuffix(".reason.json")})
    return found
