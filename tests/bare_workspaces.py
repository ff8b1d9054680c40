"""Workspaces without a repository, for tests of what only reads and writes documents.

Owns how a test makes one: the delivered agents and playbook, minimal settings, and tickets.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.stories import ONE
from watchbill.documents.ticket import Ticket
from watchbill.workspace import Workspace

ROOT = Path(__file__).parents[1]
SETTINGS = '[project]\nname = "sample"\nrepo = "repo"\n'


def bare_workspace(folder: Path, *tickets: Ticket, settings: str = SETTINGS) -> Workspace:
    """A workspace at `folder` with the delivered agents and playbook, and these tickets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("agents", "playbook"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "watchbill.toml").write_text(settings, "utf-8")
    (folder / "tickets").mkdir()
    for ticket in tickets:
        (folder / "tickets" / f"{ticket.id}.md").write_bytes(ticket.render())
    return Workspace(folder)


def built(**more: Any) -> dict[str, Any]:
    """The fields of a build's handoff, for `hand_over`."""
    return {"from": "build", "outcome": "done", "commit": ONE, **more}


def reviewed(sender: str, outcome: str = "pass", **more: Any) -> dict[str, Any]:
    """The fields of a review's handoff, for `hand_over`."""
    return {"from": sender, "outcome": outcome, "commit": ONE, "candidate": "c" * 40, "confidence": 0.9, **more}
