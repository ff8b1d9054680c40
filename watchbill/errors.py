"""Who must act on an error.

Owns the small family of errors that the engine raises on purpose, and the exit code of each. It never
prints, and never decides what happens next: `cli` does that, in one place.
"""

from __future__ import annotations

import errno
from datetime import datetime
from pathlib import Path

EXIT_DONE = 0
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_DAMAGED = 4
EXIT_DEFECT = 70
EXIT_TRY_LATER = 75

# What the machine runs short of for a while. It says nothing about a setting or a file.
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR)
SHORTAGE_HINT = "Close what holds so much of this machine, or allow more; the next run carries on."


class WatchbillError(Exception):
    """An error with a reason for a person, and the next thing to do about it.

    `reason` is one plain sentence; `hint` says what to do next and may be empty.
    """

    exit_code = EXIT_DEFECT

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Misconfigured(WatchbillError):
    """The owner must change a setting, a file of the workspace, or the way a command was called."""

    exit_code = EXIT_USAGE


class Refused(WatchbillError):
    """A human must decide; nothing was changed."""

    exit_code = EXIT_REFUSED


class Stale(WatchbillError):
    """Somebody else published first. Re-read, ask whether the work is still valid, and try again."""

    exit_code = EXIT_TRY_LATER


class TryLater(WatchbillError):
    """The next run will do it: a lock is held, the workspace is paused, the model or the disk is unavailable."""

    exit_code = EXIT_TRY_LATER

    def __init__(self, reason: str, hint: str = "", when: datetime | None = None) -> None:
        super().__init__(reason, hint)
        self.when = when


class Damaged(WatchbillError):
    """A document does not parse or validate. `path` is the file, `why` is for the reason file beside it."""

    exit_code = EXIT_DAMAGED

    def __init__(self, path: Path, why: str, hint: str = "") -> None:
        super().__init__(f"{path}: {why}", hint)
        self.path = path
        self.why = why
