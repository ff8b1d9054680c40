"""Workspaces for tests: made by `init`, for a real repository beside them.

Owns how a test gets a workspace with tickets and fitting settings. It writes tickets as a person would.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.repositories import make_repository
from watchbill.documents.settings import Settings
from watchbill.files.publish import replace
from watchbill.stages.init import init
from watchbill.stages.init.settings_text import settings_text
from watchbill.workspace import Workspace

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
PYTEST = f"{shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider --junitxml={{junit}}"

CALCULATOR: Mapping[str, str | bytes] = {
    "README.md": "# A calculator\n",
    "calculator.py": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "test_calculator.py": "from calculator import add\n\n\ndef test_adds() -> None:\n    assert add(1, 2) == 3\n",
    ".gitignore": "__pycache__/\n",
}


def ticket_text(id: str, title: str = "Do it", body: str = "## Description\n\nDo it.", **more: Any) -> str:
    """A ticket as a person writes it. `more` are keys of the front matter, with YAML as their values."""
    keys = "".join(f"{key}: {value}\n" for key, value in more.items())
    return f"---\nid: {id}\ntitle: {title}\n{keys}---\n\n{body}\n"


def make_workspace(
    folder: Path,
    tickets: Mapping[str, str] | None = None,
    test_command: str | None = PYTEST,
    files: Mapping[str, str | bytes] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workspace:
    """A workspace `folder/watch` for a repository `folder/project` with one commit of `files` on `main`.

    `tickets` maps an id to its title or to a whole file, which begins with three dashes. `test_command=None` keeps
    what `init` found. `settings` changes keys of tables: `{"limits": {"max_attempts": 1}}`.
    """
    repo = make_repository(folder / "project", CALCULATOR if files is None else files)
    workspace = Workspace(init(folder / "watch", repo, NOW).root)
    changes: dict[str, Mapping[str, Any]] = {"sandbox": {"read": interpreter_folders()}, "checks": {"setup": ""}}
    if test_command is not None:
        changes["checks"] = {"setup": "", "test": test_command}
    for table, keys in (settings or {}).items():
        changes[table] = {**changes.get(table, {}), **keys}
    change_settings(workspace, changes)
    for id, text in (tickets or {}).items():
        write_ticket(workspace, id, text)
    return Workspace(workspace.root)


def change_settings(workspace: Workspace, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write `watchbill.toml` anew with some keys changed. A workspace that is open already keeps what it has read."""
    values = Workspace(workspace.root).settings.model_dump(mode="json")
    for table, keys in changes.items():
        values[table].update(keys)
    replace(workspace.layout.settings, settings_text(Settings.model_validate(values), NOW).encode())


def write_ticket(workspace: Workspace, id: str, text: str) -> Path:
    """Put a ticket into the backlog: a whole file, or a title."""
    path = workspace.layout.tickets / f"{id}.md"
    path.write_text(text if text.startswith("---") else ticket_text(id, text), encoding="utf-8")
    return path


def unpublish(workspace: Workspace, ticket: str, seq: int) -> None:
    """Leave a history as a run leaves it that dies right before it publishes document `seq`."""
    workspace.layout.handoff(ticket, seq).unlink()
    said = f'{{"published": {seq}, "ticket": "{ticket}"}}\n'
    journal = workspace.layout.heads
    journal.write_text(journal.read_text().replace(said, ""))


def unnoted(workspace: Workspace, ticket: str) -> None:
    """Take the journal's lines about a history away, as somebody would who forges one and knows of the journal."""
    journal = workspace.layout.heads
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if not line.endswith(f'"ticket": "{ticket}"}}\n')))


def interpreter_folders() -> list[str]:
    """What a sandbox must show so that this interpreter runs with everything that is installed for it."""
    return list(dict.fromkeys([sys.prefix, sys.base_prefix]))
