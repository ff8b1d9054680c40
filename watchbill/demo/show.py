"""The demo: the whole team at work on a sample project, with no key and no network.

Owns the stage setting (a real repository, a real workspace, the scripted server) and the words around the show. What
runs between is the product itself: the same stages, the same SDK, the same sandbox, the same git.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path

from watchbill.demo.server import ScriptedModel
from watchbill.documents.script import parse
from watchbill.errors import Misconfigured
from watchbill.files.publish import publish, replace
from watchbill.stages.init import init
from watchbill.workspace import Workspace

SETTINGS = {
    ("agents.build", "turns_per_ticket"): "8",
    ("agents.qa", "turns_per_ticket"): "8",
    ("agents.security", "turns_per_ticket"): "8",
    ("agents.build", "soft_turns"): "90",
    ("agents.build", "hard_turns"): "120",
    ("agents.qa", "soft_turns"): "90",
    ("agents.qa", "hard_turns"): "120",
    ("agents.security", "soft_turns"): "90",
    ("agents.security", "hard_turns"): "120",
}


def set_stage(folder: Path, now: datetime) -> Workspace:
    """Make the sample repository and a workspace for it below `folder`."""
    repo = folder / "ladderlog"
    with as_file(files("watchbill.demo") / "sample") as sample:
        shutil.copytree(sample / "project", repo, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        _commit(repo)
        made = init(folder / "workspace", repo, now)
        for ticket in sorted((sample / "tickets").glob("*.md")):
            publish(made.root / "tickets" / ticket.name, ticket.read_bytes())
    _change_settings(made.root / "watchbill.toml")
    return Workspace(made.root)


@contextmanager
def scripted_model(script: Path | None) -> Iterator[ScriptedModel]:
    """The scripted model, with this process pointed at it."""
    if script is None:
        text = (files("watchbill.demo") / "sample" / "script.json").read_text("utf-8")
    else:
        try:
            text = script.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"the script {script} cannot be read: {error}") from error
    names = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    before = {name: os.environ.pop(name, None) for name in names}
    with ScriptedModel(parse(text, script or Path("script.json"))) as model:
        os.environ["ANTHROPIC_BASE_URL"] = model.url
        os.environ["ANTHROPIC_API_KEY"] = "scripted-no-key-needed"
        try:
            yield model
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def place(directory: Path | None) -> Path:
    """Where the demo is made: a new folder. Raises `Misconfigured` when it is not empty."""
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="watchbill-demo-")).resolve()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Misconfigured(f"{directory} is not an empty folder", "Name a new one, or none.")
    directory.mkdir(parents=True, exist_ok=True)
    return directory.resolve()


def now() -> datetime:
    return datetime.now(UTC)


def _commit(repo: Path) -> None:
    """The sample project as a repository with one commit on main."""
    stamp = "2026-11-01T09:00:00Z"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(repo.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Watchbill demo",
        "GIT_AUTHOR_EMAIL": "demo@watchbill.invalid",
        "GIT_COMMITTER_NAME": "Watchbill demo",
        "GIT_COMMITTER_EMAIL": "demo@watchbill.invalid",
        "GIT_AUTHOR_DATE": stamp,
        "GIT_COMMITTER_DATE": stamp,
    }
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "begin the lending book"]):
        done = subprocess.run(
            ["git", *arguments], cwd=repo, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise Misconfigured(f"git {arguments[0]} failed: {done.stderr.strip()}", "Is git 2.38 or later installed?")


def _change_settings(path: Path) -> None:
    """The demo's small budgets, and the interpreter that runs Watchbill for the sample's tests."""
    test = f"{sys.executable} -m pytest -q -p no:cacheprovider --junitxml={{junit}}"
    folders = sorted({sys.prefix, sys.base_prefix, str(Path(os.path.realpath(sys.executable)).parent.parent)})
    own = [folder for folder in folders if folder not in ("/usr", "/")]
    changes = {
        **SETTINGS,
        ("checks", "test"): _quoted(test),
        ("sandbox", "read"): "[" + ", ".join(_quoted(folder) for folder in own) + "]",
    }
    text = path.read_text("utf-8")
    for (table, key), value in changes.items():
        text = _with_value(text, table, key, value)
    replace(path, text.encode())


def _with_value(text: str, table: str, key: str, value: str) -> str:
    pattern = re.compile(rf"(?ms)(^\[{re.escape(table)}\]$.*?^{re.escape(key)} = )([^\n]*?)( *#[^\n]*)?$")
    changed, count = pattern.subn(lambda match: f"{match[1]}{value}{match[3] or ''}", text, count=1)
    if count != 1:
        raise AssertionError(f"the settings have no {key} in [{table}]")
    return changed


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
