"""The kill switch: a file named PAUSED in the workspace.

Owns making, removing and reading it. Whatever is unclear about it counts as paused.
"""

from __future__ import annotations

from datetime import datetime

from watchbill.errors import Refused, Stale
from watchbill.files.document import stamp
from watchbill.files.publish import disk_trouble, publish
from watchbill.layout import Layout


def why_paused(layout: Layout) -> str | None:
    """Why nothing may run, or None."""
    path = layout.paused
    try:
        path.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"the workspace counts as paused: {path.name} cannot be looked at ({error.strerror})"
    try:
        note = " ".join(path.read_text("utf-8").split())[:200]
    except (OSError, UnicodeDecodeError):
        return f"the workspace is paused ({path.name} is there)"
    return f"the workspace is paused: {note}" if note else "the workspace is paused"


def pause(layout: Layout, note: str, now: datetime) -> bool:
    """Pause. False when it was paused already."""
    if why_paused(layout):
        return False
    try:
        publish(layout.paused, f"{note or 'by hand'}, since {stamp(now)}\n".encode())
    except Stale:
        return False
    return True


def resume(layout: Layout) -> bool:
    """Go on. False when it was not paused. Raises `Refused` for a folder of that name that holds something."""
    path = layout.paused
    if why_paused(layout) is None:
        return False
    is_folder = path.is_dir() and not path.is_symlink()
    if is_folder and any(path.iterdir()):
        raise Refused(f"{path} is a folder with something in it", "Move it away yourself, then nothing is paused.")
    with disk_trouble(path, "remove"):
        path.rmdir() if is_folder else path.unlink()
    return True
