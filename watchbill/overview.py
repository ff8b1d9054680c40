"""How a workspace's tickets stand, on cards: what the planner, the status and every list begin with.

Owns what a card depends on besides the ticket's own files: the rules that were in force, and the engine's own code.
Reads only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from watchbill import index
from watchbill.files.publish import sha256
from watchbill.hand_over import step_of
from watchbill.index import Overview
from watchbill.workspace import Workspace

__all__ = ["Overview", "overview_of"]


def overview_of(workspace: Workspace) -> Overview:
    """Every ticket as it stands now."""
    return index.overview(workspace.layout, _rules(workspace), lambda history: step_of(workspace, history))


def _rules(workspace: Workspace) -> str:
    """A name for everything that a step follows from besides the ticket and its history."""
    settings = workspace.settings
    parts = (_engine(), workspace.routing.model_dump_json(), settings.limits.model_dump_json())
    return sha256("\0".join((*parts, settings.gate.model_dump_json())).encode())


@cache
def _engine() -> str:
    """A name for the code that reads documents and decides: another version may read them differently."""
    here = Path(__file__).parent
    sources = sorted(path for room in ("documents", "files", "rules", "index") for path in (here / room).glob("*.py"))
    return sha256(b"\0".join(path.read_bytes() for path in (*sources, here / "history.py", here / "layout.py")))
