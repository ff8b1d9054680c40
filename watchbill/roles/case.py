"""One ticket on an agent's desk: everything that a role needs to begin, and what it hands to the session.

Owns the shapes that the three roles share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from watchbill.documents.manifest import Entry
from watchbill.history import History
from watchbill.roles.framing import Frames
from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending
from watchbill.rules.next_step import Step
from watchbill.tools.git import Repository
from watchbill.tools.sandbox import Sandbox
from watchbill.workspace import Workspace


@dataclass(frozen=True)
class Case:
    """A ticket to work in one session. `memory` is what earlier sessions of the agent recorded about it."""

    workspace: Workspace
    repo: Repository
    sandbox: Sandbox
    history: History
    step: Step
    entry: Entry
    session: str
    raw_ticket: str
    memory: str
    integration: str
    say: Callable[[str], None]

    @property
    def ticket(self) -> str:
        return self.history.id


@dataclass
class Assignment:
    """What a role prepared. `first` is the first message, `frames` are those that it tells of; `facts` are fields of
    the handoff that stand already."""

    worktree: Path
    first: str
    frames: Frames
    tools: tuple[str, ...]
    accept: Callable[[Submission], Awaitable[None]]
    conclude: Callable[[Ending, int], dict[str, Any] | None]
    facts: dict[str, Any] = field(default_factory=dict)


class CannotMerge(Exception):
    """The ticket's commit does not merge into the integration branch any more: back to build, with the reason."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__("conflict")
        self.fields = fields


class Role(Protocol):
    """One of the three agents."""

    name: str

    def prepare(self, case: Case) -> Assignment:
        """Make the worktree and the first message. Raises `CannotMerge`."""
        ...
