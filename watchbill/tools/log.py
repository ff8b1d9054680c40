"""Structured logs: JSON lines in a file for machines, the same events to a person who watches.

Owns where log lines go, and that no secret stands in one. A log that cannot be written never stops or changes a run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchbill.tools.redaction import redact

Event = MutableMapping[str, Any]
Tell = Callable[[Event], None]

# What takes a line's place that could not be searched for secrets, and what of it is kept: ids and numbers.
NOT_SEARCHED = "(a line was left out: it could not be searched for secrets)"
HARMLESS = ("level", "timestamp", "session", "agent", "ticket", "turn")


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
            without_secrets,
            show,
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
        ],
        wrapper_class=structlog.BoundLogger,
    )


def without_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """The event with every text in it redacted, on the way to the file and to whoever watches."""
    try:
        return {key: _redacted(value) for key, value in event.items()}
    except Exception:
        # Whatever went wrong, a log never stops a run; and what was not searched is not written.
        return {**{key: event[key] for key in HARMLESS if key in event}, "event": NOT_SEARCHED}


def _redacted(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {redact(str(key)): _redacted(item) for key, item in value.items()}
    return redact(str(value))


class _File:
    """Appends lines to the file of the day; says once when it cannot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_broken = False

    def _write(self, line: str) -> None:
        path = self.folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
        try:
            _make(self.folder)
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


def _make(folder: Path) -> None:
    """The folder and what is missing above it, for its owner alone."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
