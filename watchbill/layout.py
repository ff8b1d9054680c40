"""The only spelling of the workspace's folder and file names.

Owns names and the shapes of ids; never touches the disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TICKET_ID = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}-[0-9]{1,9}(?:\.[0-9]{1,4})*")
ITEM_ID = re.compile(rf"({TICKET_ID.pattern})-([0-9]{{4,6}})")
MANIFEST_ID = re.compile(r"(build|qa|security)-([0-9]{4,9})")
DOCUMENT_NUMBER = re.compile(r"([0-9]{4,6})\.(?:md|damaged)")
PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}")
DAMAGED_SUFFIX = ".damaged"

AGENTS = ("build", "qa", "security")
DATA_FOLDERS = ("agents", "playbook", "tickets", "manifests", "handoffs", "inbox", "sessions", "launchd")
SETTINGS_FILE = "watchbill.toml"


@dataclass(frozen=True)
class Layout:
    """Where everything lies below `root`, the workspace."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / SETTINGS_FILE

    @property
    def agents(self) -> Path:
        return self.root / "agents"

    @property
    def playbook(self) -> Path:
        return self.root / "playbook"

    @property
    def playbook_text(self) -> Path:
        return self.playbook / "PLAYBOOK.md"

    @property
    def routing(self) -> Path:
        return self.playbook / "routing.toml"

    @property
    def schemas(self) -> Path:
        return self.playbook / "schemas"

    @property
    def tickets(self) -> Path:
        return self.root / "tickets"

    @property
    def manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def handoffs(self) -> Path:
        return self.root / "handoffs"

    @property
    def archive(self) -> Path:
        """Histories that have ended, packed."""
        return self.root / "archive"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    @property
    def decided(self) -> Path:
        return self.inbox / "decided"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    @property
    def launchd(self) -> Path:
        return self.root / "launchd"

    @property
    def private(self) -> Path:
        """Derived or transient things of the engine's own."""
        return self.root / ".watchbill"

    @property
    def locks(self) -> Path:
        return self.private / "locks"

    @property
    def journals(self) -> Path:
        return self.private / "journals"

    @property
    def worktrees(self) -> Path:
        return self.private / "worktrees"

    @property
    def logs(self) -> Path:
        return self.private / "logs"

    @property
    def temporary(self) -> Path:
        """What runs need only while they live, in a folder for each."""
        return self.private / "tmp"

    @property
    def quarantine(self) -> Path:
        return self.private / "quarantine"

    @property
    def cache(self) -> Path:
        return self.private / "cache"

    @property
    def index(self) -> Path:
        return self.private / "index"

    @property
    def planned(self) -> Path:
        return self.cache / "planned.json"

    @property
    def paused(self) -> Path:
        return self.root / "PAUSED"

    def agent_file(self, agent: str) -> Path:
        return self.agents / f"{agent}.md"

    def history_of(self, ticket: str) -> Path:
        return self.handoffs / ticket

    def handoff(self, ticket: str, seq: int) -> Path:
        return self.history_of(ticket) / f"{seq:04}.md"

    def damaged_handoff(self, path: Path) -> Path:
        """Where a handoff that cannot be read is kept: beside the others, so that its number is not forgotten."""
        return path.with_suffix(DAMAGED_SUFFIX)

    def manifest(self, manifest: str) -> Path:
        return self.manifests / f"{manifest}.json"

    def session(self, session: str) -> Path:
        return self.sessions / f"{session}.md"

    def inbox_item(self, item: str) -> Path:
        return self.inbox / f"{item}.md"

    def decided_item(self, item: str) -> Path:
        return self.decided / f"{item}.md"

    def journal(self, manifest: str) -> Path:
        return self.journals / f"{manifest}.jsonl"

    @property
    def heads(self) -> Path:
        """What every history ends with, line by line."""
        return self.journals / "heads.jsonl"

    def lock(self, name: str) -> Path:
        return self.locks / f"{name}.lock"

    def worktree(self, name: str) -> Path:
        return self.worktrees / name


def branch_of(ticket: str) -> str:
    """The git branch on which a ticket's work is kept."""
    return f"watchbill/{ticket}"


def handoff_ref(ticket: str, seq: int) -> str:
    """How one document names another: `T-0012/0003`."""
    return f"{ticket}/{seq:04}"


def item_id(ticket: str, seq: int) -> str:
    """The inbox item that asks about document `seq` of `ticket`."""
    return f"{ticket}-{seq:04}"
