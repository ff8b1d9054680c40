"""`schedule show`: the jobs of this workspace for launchd, systemd or cron, printed and written into `launchd/`.

Owns the generated files (derived: written anew each time, and removed when their job is gone) and the words on how to
install them. Never installs or starts one, and never writes a key into one.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watchbill.cli import begin
from watchbill.cli import show as shown
from watchbill.files.publish import disk_trouble, make_folder, replace
from watchbill.schedule import cron, launchd, systemd
from watchbill.schedule.jobs import VERBS, Job, jobs

if TYPE_CHECKING:
    from watchbill.documents.settings import Settings
    from watchbill.workspace import Workspace

_SLUG = r"[a-z0-9][a-z0-9-]*-[0-9a-f]{6}"
_JOB = f"(?:{'|'.join(VERBS)})"


@dataclass(frozen=True)
class Kind:
    """One scheduler: how its files are made, which names are generated ones, and how they are installed."""

    render: Callable[[Sequence[Job]], dict[str, str]]
    generated: re.Pattern[str]
    install: Callable[[Path, Sequence[Job]], list[str]]


def show(opened: Workspace, kinds: list[str], as_json: bool) -> None:
    """Print the jobs, write them, and say how they are installed. No kind: the scheduler of this machine.

    Raises Misconfigured for a time that is not valid or that a scheduler cannot say; then nothing is written.
    """
    wanted = kinds or [_of_this_machine()]
    made = jobs(opened.root, _program(), schedules(opened.settings), _search_path(), Path.home())
    files = {name: KINDS[name].render(made) for name in wanted}
    make_folder(opened.layout.logs)
    removed = [path for name in wanted for path in _write(opened.layout.launchd, files[name], KINDS[name].generated)]
    install = {name: KINDS[name].install(opened.layout.launchd, made) for name in wanted}
    if as_json:
        shown.as_json(
            {
                "jobs": [{"name": job.name, "when": job.when, "command": job.arguments} for job in made],
                "files": [
                    {"kind": name, "path": opened.layout.launchd / file, "text": text}
                    for name in wanted
                    for file, text in files[name].items()
                ],
                "removed": removed,
                "install": install,
                "notes": _what_jobs_do_not_see(opened),
            }
        )
        return
    for name in wanted:
        for file, text in files[name].items():
            print(f"# {opened.layout.launchd / file}\n{text}")
    for path in removed:
        begin.note(f"removed {path}, which is scheduled no more; where you installed it, remove it too")
    for name in wanted:
        begin.note(f"nothing is active yet; to install it with {name}:")
        for line in install[name]:
            begin.note(f"  {line}")
    for line in _what_jobs_do_not_see(opened):
        begin.note(line)


def schedules(settings: Settings) -> dict[str, str]:
    """Job → cron time, empty for a job that is not scheduled."""
    agents = settings.agents
    return {
        "plan": settings.plan.schedule,
        "build": agents.build.schedule,
        "qa": agents.qa.schedule,
        "security": agents.security.schedule,
        "merge": settings.merge.schedule,
    }


def _of_this_machine() -> str:
    if sys.platform == "darwin":
        return "launchd"
    return "systemd" if shutil.which("systemctl") else "cron"


def _program() -> tuple[str, ...]:
    # Not resolved: in a virtual environment the interpreter is a link, and beside its target lies another program.
    script = Path(sys.executable).with_name("watchbill")
    if script.is_file() and os.access(script, os.X_OK):
        return (str(script),)
    return (sys.executable, "-m", "watchbill")


def _search_path() -> str:
    """PATH as it is here, without what depends on the folder one is in."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder.startswith("/"))) or os.defpath


def _write(folder: Path, files: dict[str, str], generated: re.Pattern[str]) -> list[Path]:
    """Write the files; remove and return the generated ones of that kind that are no longer among them."""
    make_folder(folder)
    for name, text in files.items():
        replace(folder / name, text.encode())
    # Whatever was generated into this folder was generated for this workspace, under its earlier path too.
    stale = sorted(path for path in folder.iterdir() if generated.fullmatch(path.name) and path.name not in files)
    for path in stale:
        with disk_trouble(path):
            path.unlink(missing_ok=True)
    return stale


def _with_launchd(folder: Path, made: Sequence[Job]) -> list[str]:
    lines = [f"mkdir -p ~/Library/LaunchAgents && cp {_paths(folder, launchd.render(made))} ~/Library/LaunchAgents/"]
    for job in made:
        label = launchd.label(job)
        lines.append(f"launchctl bootstrap gui/$UID ~/Library/LaunchAgents/{label}.plist")
    return [*lines, "(after a change, first: launchctl bootout gui/$UID/LABEL)"]


def _with_systemd(folder: Path, made: Sequence[Job]) -> list[str]:
    timers = " ".join(f"{systemd.unit_name(job)}.timer" for job in made)
    return [
        f"mkdir -p ~/.config/systemd/user && cp {_paths(folder, systemd.render(made))} ~/.config/systemd/user/",
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {timers}",
        "loginctl enable-linger   (so that they run while you are logged out)",
    ]


def _with_cron(folder: Path, made: Sequence[Job]) -> list[str]:
    file = _paths(folder, cron.render(made))
    return [
        f"(crontab -l 2>/dev/null; cat {file}) | crontab -",
        "(after a change: crontab -e, and replace the lines below the workspace's name)",
    ]


def _paths(folder: Path, files: dict[str, str]) -> str:
    return " ".join(shlex.quote(str(folder / name)) for name in files)


def _what_jobs_do_not_see(opened: Workspace) -> list[str]:
    notes = []
    key_file = opened.settings.model.key_file
    if key_file:
        notes.append(f"scheduled jobs read the API key from [model] key_file ({key_file}); none is written into a job")
    elif opened.settings.model.key_keyring:
        notes.append("scheduled jobs read the API key from the keychain ([model] key_keyring), which must be unlocked")
    else:
        notes.append(
            "scheduled jobs do not see this shell's environment: put the API key into a file that only you can read "
            f"(chmod 600) and name it as key_file under [model] in {opened.layout.settings}; none is written into a job"
        )
    if os.environ.get("ANTHROPIC_BASE_URL"):
        notes.append("ANTHROPIC_BASE_URL is set here; scheduled jobs do not see it and ask the public server")
    return notes


KINDS = {
    "launchd": Kind(launchd.render, re.compile(rf"dev\.watchbill\.{_SLUG}\.{_JOB}\.plist"), _with_launchd),
    "systemd": Kind(systemd.render, re.compile(rf"watchbill-{_SLUG}-{_JOB}\.(?:service|timer)"), _with_systemd),
    "cron": Kind(cron.render, re.compile(rf"watchbill-{_SLUG}\.crontab"), _with_cron),
}
