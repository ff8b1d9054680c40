"""A small real workspace, and questions that wait in its inbox.

Owns how a test makes one by hand and edits an item's file as a person's editor does.
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from watchbill.hand_over import hand_over
from watchbill.workspace import Workspace

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
PLAYBOOK = Path(__file__).parents[2] / "playbook"
AGENTS = Path(__file__).parents[2] / "agents"
SETTINGS = '[project]\nname = "small"\nrepo = "repo"\n'


def make_workspace(root: Path, settings: str = SETTINGS) -> Workspace:
    """A workspace at `root` with these settings, the playbook and the agents as they are shipped, and no repository."""
    for name in ("tickets", "handoffs", "inbox", "launchd"):
        (root / name).mkdir(parents=True)
    (root / "watchbill.toml").write_text(settings, "utf-8")
    shutil.copytree(PLAYBOOK, root / "playbook")
    shutil.copytree(AGENTS, root / "agents")
    return Workspace(root)


def ask_something(workspace: Workspace, ticket: str = "T-0001") -> Path:
    """A new ticket whose first build asks a human. Returns the file of the inbox item."""
    text = f"---\nid: {ticket}\ntitle: Something hard\n---\n\n## Description\n\nHard.\n"
    (workspace.layout.tickets / f"{ticket}.md").write_text(text, "utf-8")
    blocked = {"from": "build", "outcome": "blocked", "reason": "the specification contradicts itself"}
    hand_over(workspace, ticket, blocked, NOW, lambda _history, _step: True)
    (item,) = workspace.layout.inbox.glob(f"{ticket}-*.md")
    return item


def with_answer(item: Path, decision: str) -> str:
    """The text of an item's file after a person wrote a word after `decision:`."""
    text, count = re.subn(r"(?m)^decision:.*$", f"decision: {decision}", item.read_text("utf-8"))
    assert count == 1
    return text


def decisions(workspace: Workspace, ticket: str = "T-0001") -> list[str]:
    """Every decision in the history of a ticket."""
    return [handoff.decision for handoff in workspace.history(ticket).handoffs if handoff.decision]
