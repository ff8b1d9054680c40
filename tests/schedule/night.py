"""A workspace's jobs, in folders whose names are as awkward as people's are."""

from __future__ import annotations

from pathlib import Path

from watchbill.schedule.jobs import Job, jobs

SCHEDULES = {
    "plan": "50 1 * * *",
    "build": "0 2 * * 1-5",
    "qa": "*/20 4,5 * * mon-fri",
    "security": "30 4 1,15 * *",
    "merge": "0 6 * jan-jun sat,sun",
}
AWKWARD = [
    "plain",
    "two words",
    "R&D <b>",
    "100% %h done",
    'it\'s "quoted"',
    "Nachtwächter æø 夜番",
    "LANG=C a=b",
    "$HOME `id` ;x",
    "back\\slash \\% end",
]


def night(workspace: Path, schedules: dict[str, str] | None = None) -> list[Job]:
    """The five jobs of `workspace`, called as `<workspace>/bin/watchbill`."""
    program = (str(workspace / "bin" / "watchbill"),)
    path = f"{workspace}/bin:/usr/local/bin:/usr/bin:/bin"
    return jobs(workspace, program, schedules or SCHEDULES, path, workspace / "home")


def one_job(when: str, workspace: Path = Path("/srv/watch")) -> Job:
    return night(workspace, {"build": when})[0]


def install_program(workspace: Path) -> Path:
    """A program at `<workspace>/bin/watchbill` that prints how it was called, one line for each thing."""
    program = workspace / "bin" / "watchbill"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@" "$PWD" "$HOME" "$PATH"\n', encoding="utf-8")
    program.chmod(0o755)
    return program
