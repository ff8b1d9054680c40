"""Init: make a workspace for a repository.

Owns where a workspace may be, what it begins with, and that one which is not complete never looks complete: the
settings file is written last. Never changes the repository, and never replaces a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from watchbill.documents.handoff import Handoff
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.manifest import Manifest
from watchbill.documents.session import SessionRecord
from watchbill.documents.settings import BRANCH, Checks, Project, Sandbox, Settings
from watchbill.documents.ticket import Ticket
from watchbill.errors import Misconfigured, Refused
from watchbill.files.locks import held
from watchbill.files.publish import FOLDER_MODE, TEMPORARY_SUFFIX, disk_trouble, make_folder, publish
from watchbill.files.template import template_files
from watchbill.layout import DATA_FOLDERS, SETTINGS_FILE, Layout
from watchbill.stages.init.settings_text import settings_text
from watchbill.tools.git import Repository
from watchbill.tools.survey import Survey, survey

SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "handoff": Handoff.json_schema,
    "inbox_item": InboxItem.json_schema,
    "manifest": Manifest.json_schema,
    "session": SessionRecord.json_schema,
    "ticket": Ticket.json_schema,
}
IGNORED = b"# Derived or transient: git has no use for it.\n/.watchbill/\n"
VERSION_CONTROL = (".git", ".hg", ".jj", ".svn")
_UNFINISHED = re.compile(r"\..+\.\d+-[0-9a-f]{8}" + re.escape(TEMPORARY_SUFFIX))


@dataclass(frozen=True)
class Made:
    """A new workspace, and what its owner should know: one sentence each."""

    root: Path
    notes: tuple[str, ...]


def init(directory: Path, repo: Path, now: datetime) -> Made:
    """Make a workspace in `directory` for the repository at `repo`.

    A folder that an interrupted init left behind is completed. Raises `Refused` when the folder is taken,
    `Misconfigured` when it or the repository cannot be used; then nothing was written.
    """
    root = directory.expanduser().resolve()
    files = {**template_files(), **schema_files(), ".gitignore": IGNORED}
    _require_free(root, files)
    repository = Repository.open(repo.expanduser())
    _require_apart(root, repository)
    branches = repository.branches()
    _require_room_for_branches(branches, repository)
    found = survey(repository.root, repository.current_branch(), branches)
    settings, notes = _settings(root, repository, found)
    _write(root, files, settings_text(settings, now).encode())
    return Made(root, (*notes, *_about(repository, branches, settings), *_next_steps(root)))


def schema_files() -> dict[str, bytes]:
    """The JSON Schema of every kind of document, by its place in the workspace."""
    return {
        f"playbook/schemas/{kind}.json": json.dumps(schema(), ensure_ascii=False, indent=1).encode() + b"\n"
        for kind, schema in SCHEMAS.items()
    }


def _require_free(root: Path, files: dict[str, bytes]) -> None:
    """Nothing but what an interrupted init wrote may lie there."""
    if root.exists() and not root.is_dir():
        raise Misconfigured(f"{root} is not a folder", "Give the name of a new folder.")
    if (root / SETTINGS_FILE).exists():
        hint = "Work in it with: watchbill status. For another workspace, give another folder."
        raise Refused(f"{root} holds a workspace already", hint)
    for path in _entries(root):
        if not _is_ours(root, path, files):
            hint = "Give a new or an empty folder."
            raise Refused(f"{root} is not empty: it holds {path.relative_to(root)}", hint)


def _entries(root: Path) -> Iterable[Path]:
    """Every file and folder below `root`; what a version control system keeps at its top is passed over."""
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if path.name in VERSION_CONTROL:
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from path.rglob("*")


def _is_ours(root: Path, path: Path, files: dict[str, bytes]) -> bool:
    layout = Layout(root)
    if path.is_symlink():
        return False
    if path.is_dir():
        return path in _folders(layout) or path == layout.locks
    name = path.relative_to(root).as_posix()
    if path == layout.lock("init") or (_UNFINISHED.fullmatch(path.name) and path.parent in (root, *_folders(layout))):
        return True
    return name in files and path.is_file() and path.read_bytes() == files[name]


def _folders(layout: Layout) -> list[Path]:
    """The folders of a workspace that exist from the start."""
    return [*(layout.root / name for name in DATA_FOLDERS), layout.schemas, layout.decided, layout.private]


def _require_apart(root: Path, repository: Repository) -> None:
    """State lives outside of the checkout: a workspace and a repository never contain each other."""
    hint = "Give a folder beside the repository."
    for place in _places_of(repository):
        if root == place or place in root.parents:
            raise Misconfigured(f"{root} lies inside the repository {place}", hint)
        if root in place.parents:
            raise Misconfigured(f"the repository {place} lies inside {root}", hint)


def _places_of(repository: Repository) -> list[Path]:
    places = [repository.root, repository.common_dir, repository.own_git_dir]
    if repository.common_dir.name == ".git":
        places.append(repository.common_dir.parent)
    return places


def _require_room_for_branches(branches: list[str], repository: Repository) -> None:
    """Git keeps no branch `watchbill/…` beside a branch `watchbill`."""
    if "watchbill" in branches:
        hint = f"Rename it: git -C '{repository.root}' branch -m watchbill NEW-NAME"
        raise Misconfigured("the repository has a branch named 'watchbill', so no watchbill/… can be made", hint)


def _settings(root: Path, repository: Repository, found: Survey) -> tuple[Settings, list[str]]:
    """The defaults, with what the survey found in their place."""
    notes = list(found.notes)
    project = {"name": found.name, "repo": repo_as_written(root, repository.root)}
    if found.base and BRANCH.fullmatch(found.base):
        project["base"] = found.base
    elif found.base:
        notes.append(f"The name of the branch {found.base!r} cannot be used: set [project] base yourself.")
    lines = {"setup": found.setup, "test": found.test}
    for key in [key for key, line in lines.items() if not _is_text(line)]:
        del lines[key]
        notes.append(f"The line for [checks] {key} names a path that is not UTF-8: write it yourself.")
    readable = tuple(str(path) for path in found.read if _is_text(str(path)))
    checks, sandbox = Checks.model_validate(lines), Sandbox(read=readable)
    return Settings(project=Project.model_validate(project), checks=checks, sandbox=sandbox), notes


def repo_as_written(root: Path, repo: Path) -> str:
    """Relative for two neighbours, which are moved together; absolute for anything else."""
    if not _is_text(str(repo)):
        raise Misconfigured(f"the path {str(repo)!a} is not UTF-8, so no settings file can name it", "Rename it.")
    return f"../{repo.name}" if repo.parent == root.parent else str(repo)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write(root: Path, files: dict[str, bytes], settings: bytes) -> None:
    layout = Layout(root)
    make_folder(root)
    with disk_trouble(root):
        root.chmod(FOLDER_MODE)
    with held(layout.lock("init"), "init"):
        for folder in _folders(layout):
            make_folder(folder)
            _sweep(folder)
        _sweep(root)
        for name, data in files.items():
            publish(root / name, data)
        publish(layout.settings, settings)


def _sweep(folder: Path) -> None:
    """Remove what an interrupted init had not finished writing."""
    with disk_trouble(folder):
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _about(repository: Repository, branches: list[str], settings: Settings) -> Iterable[str]:
    if repository.is_dirty():
        yield "The checkout has changes that are not committed: what is not committed is not seen."
    integration = settings.project.integration
    if integration in branches:
        yield (
            f"The repository has a branch {integration} already, and work is merged onto it. `watchbill verify` knows "
            "nothing of what was merged there before: choose another name in [project] integration to start afresh."
        )


def _next_steps(root: Path) -> Iterable[str]:
    yield f"Look through {root / SETTINGS_FILE}: above all [checks] test, and [sandbox] read."
    yield f"Write the first ticket, in that folder: watchbill ticket new (or a file in {root / 'tickets'})."
    yield "Then let the team work: watchbill run all. What needs you waits in: watchbill inbox list."
