"""One run of the demo, shared by all tests that look at it: it takes a while, and nobody changes it.

Owns the running, once for all processes of the test run, and the views that the tests ask for. What needs the
workspace to go on takes a copy.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.cli.outside import works
from watchbill.documents.handoff import Handoff
from watchbill.layout import Layout
from watchbill.workspace import Workspace

TURNS_PER_TICKET = 8


@dataclass(frozen=True)
class Played:
    """The demo's folder after the show; `out` and `err` are what it said."""

    folder: Path
    out: str
    err: str

    @cached_property
    def workspace(self) -> Workspace:
        return Workspace(self.folder / "workspace")

    @cached_property
    def layout(self) -> Layout:
        return self.workspace.layout

    @property
    def repo(self) -> Path:
        return self.folder / "ladderlog"

    def told(self, ticket: str) -> list[tuple[str, str]]:
        """Who said what, document by document."""
        return [(handoff.sender, handoff.decision or handoff.outcome) for handoff in self.handoffs(ticket)]

    def handoffs(self, ticket: str) -> tuple[Handoff, ...]:
        return self.workspace.history(ticket).handoffs

    def requests(self) -> dict[str, list[dict[str, Any]]]:
        """The journalled requests of each manifest, in order."""
        return {path.stem: _turns(path) for path in sorted(self.layout.journals.glob("*-*.jsonl"))}

    def takes_played(self) -> Counter[tuple[str, str]]:
        """How many takes of the script each (agent, ticket) has had: one for each session that asked about it."""
        asked = {(line["session"], line["ticket"]) for lines in self.requests().values() for line in lines}
        return Counter((session.split("-")[0], ticket) for session, ticket in asked)


def _turns(path: Path) -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line["event"] == "turn"]


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Played:
    """The demo, run by `watchbill demo` in a process of its own."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    said = shared / "demo.json"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            folder = shared / "demo"
            shutil.rmtree(folder, ignore_errors=True)
            done = works(shared, "demo", folder, timeout=400)
            said.write_text(json.dumps({"folder": str(folder), "out": done.out, "err": done.err}))
    words = json.loads(said.read_text())
    return Played(Path(words["folder"]), words["out"], words["err"])
