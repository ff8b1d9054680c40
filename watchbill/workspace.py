"""An opened workspace: its folders, its settings, its routing, its agents.

Owns the reading of everything that a human configures, once, when a verb first asks for it. Never writes. What reads a
file is imported with it, so that a quick verb loads only the documents that it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from watchbill.errors import Misconfigured
from watchbill.layout import SETTINGS_FILE, Layout

if TYPE_CHECKING:
    from watchbill.documents.agent import AgentFile
    from watchbill.documents.routing import Routing
    from watchbill.documents.settings import Settings
    from watchbill.files.store import Store
    from watchbill.heads import Head
    from watchbill.history import Backlog, History, TicketFile


@dataclass(frozen=True)
class Workspace:
    """A workspace at `root`. What it holds is read when it is first asked for, and then kept."""

    root: Path

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.root)

    @cached_property
    def settings(self) -> Settings:
        from watchbill.documents.settings import Settings
        from watchbill.files.settings_file import load

        return load(self.layout.settings, Settings)

    @cached_property
    def routing(self) -> Routing:
        from watchbill.documents.routing import Routing
        from watchbill.files.settings_file import load

        return load(self.layout.routing, Routing)

    @cached_property
    def playbook(self) -> str:
        """What every agent reads first."""
        return _text(self.layout.playbook_text)

    @property
    def playbook_hash(self) -> str:
        """Stamped on every handoff: which playbook its agent had read."""
        from watchbill.files.publish import sha256

        return sha256(_bytes(self.layout.playbook_text))

    @property
    def repo(self) -> Path:
        """The repository that is worked on."""
        return self.settings.repo_path(self.root)

    @property
    def key_file(self) -> Path | None:
        """The file with the model's key, if the settings name one."""
        name = self.settings.model.key_file
        return self.root / Path(name).expanduser() if name else None

    def agent(self, name: str) -> AgentFile:
        """The agent's file."""
        from watchbill.documents.agent import AgentFile

        return AgentFile.load(self.layout.agent_file(name))

    def agent_version(self, name: str, model: str | None = None) -> str:
        """The hash of the agent's file, the playbook and the model."""
        from watchbill.files.publish import sha256

        parts = (
            _bytes(self.layout.agent_file(name)),
            _bytes(self.layout.playbook_text),
            (model or self.settings.model.primary).encode(),
        )
        return sha256(b"\0".join(sha256(part).encode() for part in parts))

    @cached_property
    def histories(self) -> Store:
        """Where the documents of all histories are kept."""
        from watchbill.history import histories_of

        return histories_of(self.layout)

    def backlog(self) -> Backlog:
        """All tickets as they stand now."""
        from watchbill.history import read_backlog

        return read_backlog(self.layout)

    def ticket_file(self, ticket: str) -> TicketFile | None:
        """One ticket's file as it stands now; None when no file claims its id, or several do."""
        from watchbill.index import ticket_file

        return ticket_file(self.layout, ticket)

    def history(self, ticket: str) -> History:
        """One ticket's history as it stands now. What does not count by the gate of the settings is `void` in it."""
        return self.history_of(ticket, self.ticket_file(ticket))

    def history_of(self, ticket: str, file: TicketFile | None, head: Head | None = None) -> History:
        """The same, for who has read the ticket's file already, and perhaps what was noted of its history."""
        from watchbill.gate import judged
        from watchbill.heads import held, read_head
        from watchbill.history import read_history

        # Read before the documents: one that is published in between is not taken for missing.
        head = head or read_head(self.layout, ticket)
        history = read_history(self.layout, ticket, file, self.histories)
        return held(judged(history, self.settings.gate, self.root), head)


def open_workspace(start: Path) -> Workspace:
    """The workspace at `start` or above it. Raises `Misconfigured` when there is none."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / SETTINGS_FILE).is_file():
            return Workspace(folder)
    hint = "Make one with: watchbill init DIR --repo PATH, or name one with --workspace DIR."
    raise Misconfigured(f"there is no workspace at {start} (no {SETTINGS_FILE} here or above)", hint)


def _bytes(path: Path) -> bytes:
    from watchbill.files.publish import passing_trouble

    try:
        with passing_trouble(path):
            return path.read_bytes()
    except OSError as error:
        hint = "Copy it from a fresh workspace (watchbill init), or put your own there."
        raise Misconfigured(f"{path} cannot be read ({error.strerror})", hint) from error


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", errors="replace")
