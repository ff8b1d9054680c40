"""A redactor that cannot run: its rules are damaged on the disk.

Owns breaking it for a while. Nothing is replaced in the engine's code but the folder from which the rules are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from watchbill.tools import redaction
from watchbill.tools.redaction import rules


@contextmanager
def damaged_rules(folder: Path) -> Iterator[None]:
    """While it lasts no text can be searched."""
    (folder / "own.toml").write_text("[[rules\n")
    whole, rules.FOLDER = rules.FOLDER, folder
    _forget()
    try:
        yield
    finally:
        rules.FOLDER = whole
        _forget()


def _forget() -> None:
    rules.load.cache_clear()
    redaction._redactor.cache_clear()
