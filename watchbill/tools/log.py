"""Structured logs: JSON lines in a file for machines, the same events to a person who watches.

Owns where log lines go. A log that cannot be written never stops or changes a run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Event = MutableMapping[str, Any]
Tell = Callable[[Event], None]


def open_log(folder: Path, tell: Tell) -> Any:
    """A structlog logger that writes to a file of the day in `folder` and passes each event to `tell`."""
    import structlog

    def show(_logger: Any, _method: str, event: Event) -> Event:
        tell(event)
        return event

    return structlog.wrap_logger(
        _File(folder),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            show,
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
        ],
        wrapper_class=structlog.BoundLogger,
    )


class _File:
    """Appends lines to the file of the day; says once when it cannot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_broken = False

    def _write(self, line: str) -> None:
        path = self.folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.write(descriptor, line.encode("utf-8", "replace") + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            if not self.is_broken:
                print(f"the log {path} cannot be written ({error.strerror}); the run goes on", file=sys.stderr)
            self.is_broken = True

    debug = info = warning = error = critical = msg = _write
