"""What was found about the tests of one language.

Owns the result that each language's module hands to the survey. It reads nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchbill.tools.survey.machine import Machine
from watchbill.tools.survey.place import Place


@dataclass(frozen=True)
class Found:
    """How the tests of one language are run.

    `evidence` names what they were recognised by, for a sentence. `test` is a shell line, in which `{junit}` stands
    where JUnit XML is wanted; `setup` is one too, or "". `read` are absolute paths. `name` is what the project calls
    itself, or "". `weak` says that the language is there but no test of it was seen: anything else goes first.
    """

    evidence: str
    test: str
    setup: str = ""
    read: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    name: str = ""
    weak: bool = False


Look = Callable[[Place, Machine], Found | None]
