"""How a workspace's tickets stand, on cards: what the planner, the status and every list begin with.

Owns what a card depends on besides the ticket's own files: the rules that were in force, and the engine's own code.
Reads only.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from watchbill import index
from watchbill.files.publish import sha256
from watchbill.gate import judged, name_of_signers
from watchbill.hand_over import step_of
from watchbill.heads import Heads
from watchbill.index import Overview
from watchbill.workspace import Workspace

__all__ = ["Overview", "overview_of"]


def overview_of(workspace: Workspace) -> Overview:
    """Every ticket as it stands now."""
    heads, gate = Heads(workspace.layout), workspace.settings.gate
    return index.overview(
        workspace.layout,
        _rules(workspace),
        lambda history: step_of(workspace, history),
        lambda history: judged(history, gate, workspace.root),
        heads.of,
    )


def _rules(workspace: Workspace) -> str:
    """A name for everything that a step follows from besides the ticket and its history."""
    settings = workspace.settings
    parts = (_engine(), workspace.routing.model_dump_json(), settings.limits.model_dump_json())
    gate = settings.gate
    return sha256("\0".join((*parts, gate.model_dump_json(), name_of_signers(workspace.root, gate))).encode())


@cache
def _engine() -> str:
    """A name for the code that reads documents and decides: another version may read them differently."""
    here = Path(__file__).parent
    sources = sorted(path for room in ("documents", "files", "rules", "index") for path in (here / room).glob("*.py"))
    alone = [here / name for name in ("history.py", "heads.py", "layout.py", "gate.py", "tools/signing.py")]
    return sha256(b"\0".join(path.read_bytes() for path in (*sources, *alone)))
