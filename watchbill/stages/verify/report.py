"""What a verification found.

Owns the shape of the report and the collecting of it. It judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Violation:
    """Something that the engine never does. `path` is the document's, relative to the workspace."""

    path: str
    what: str


@dataclass(frozen=True)
class Counts:
    """How much was looked at."""

    tickets: int = 0
    documents: int = 0
    manifests: int = 0
    items: int = 0
    sessions: int = 0
    merges: int = 0


@dataclass(frozen=True)
class Report:
    """The whole result. `notes` are worth knowing and no violation, as `path: what`. `glanced` histories ended before
    the moment that was given: only their ends were read."""

    violations: tuple[Violation, ...]
    notes: tuple[str, ...]
    counts: Counts
    glanced: int = 0


@dataclass
class Findings:
    """What was found so far in the workspace at `root`. The same thing said twice counts once."""

    root: Path
    violations: dict[Violation, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def violation(self, place: Path | str, what: str) -> None:
        self.violations[Violation(self._name(place), what)] = None

    def note(self, place: Path | str, what: str) -> None:
        self.notes[f"{self._name(place)}: {what}"] = None

    def _name(self, place: Path | str) -> str:
        if isinstance(place, str):
            return place
        return place.relative_to(self.root).as_posix() if place.is_relative_to(self.root) else str(place)
