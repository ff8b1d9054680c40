"""What runs when: the scheduled jobs of a workspace, before any scheduler's format.

Owns the list of jobs (the manifest generator, one session per agent, the merge) and the name by which a
scheduler knows them. It never touches the disk and never carries a secret: a job is given PATH and HOME, and
nothing else of the environment.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from watchbill.errors import Misconfigured
from watchbill.layout import Layout
from watchbill.schedule import cron_times

VERBS: dict[str, tuple[str, ...]] = {
    "plan": ("plan",),
    "build": ("run", "build"),
    "qa": ("run", "qa"),
    "security": ("run", "security"),
    "merge": ("merge",),
}
# Control characters end a line in a crontab or a unit and have no spelling in XML; lone surrogates stand for
# bytes that are not UTF-8, which a property list cannot hold.
UNSAYABLE = ("Cc", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Job:
    """One scheduled command: `arguments` with an absolute program first, at the five-field cron time `when`."""

    name: str
    arguments: tuple[str, ...]
    when: str
    workdir: Path
    log: Path
    path: str
    home: Path

    @property
    def times(self) -> cron_times.CronTimes:
        return cron_times.parse(self.when)

    @property
    def workspace_slug(self) -> str:
        """The workspace's folder name in a-z, 0-9 and `-`, and six digits that tell two of one name apart."""
        folded = unicodedata.normalize("NFKD", self.workdir.name).encode("ascii", "ignore").decode().lower()
        readable = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:40].strip("-") or "workspace"
        return f"{readable}-{hashlib.sha256(str(self.workdir).encode()).hexdigest()[:6]}"


def jobs(workspace: Path, program: tuple[str, ...], schedules: Mapping[str, str], path: str, home: Path) -> list[Job]:
    """The jobs of a workspace, in the order of a ticket's way; a schedule that is empty or missing makes none.

    `program` is how the command line is called, with an absolute path first; `schedules` maps "plan", "build",
    "qa", "security" and "merge" to cron expressions. Raises Misconfigured for an unknown job, a time that is not
    valid, a path that is not absolute, or a path that no scheduler's file can say.
    """
    _must_be_known(schedules)
    _must_be_absolute("The workspace", str(workspace))
    _must_be_absolute("The program", program[0] if program else "")
    _must_be_absolute("The home folder", str(home))
    for text in (str(workspace), *program, path, str(home)):
        _must_be_sayable(text)
    made = [
        Job(
            name=name,
            arguments=(*program, *verb),
            when=cron_times.parse(schedules[name]).text,
            workdir=workspace,
            log=Layout(workspace).logs / f"schedule-{name}.log",
            path=path,
            home=home,
        )
        for name, verb in VERBS.items()
        if schedules.get(name, "").strip()
    ]
    if not made:
        raise Misconfigured(
            "No job has a time, so there is nothing to schedule.",
            'Give one in watchbill.toml, such as schedule = "30 2 * * 1-5" under [agents.build].',
        )
    return made


def _must_be_known(schedules: Mapping[str, str]) -> None:
    unknown = sorted(set(schedules) - set(VERBS))
    if unknown:
        raise Misconfigured(f'"{unknown[0]}" is not a job that can be scheduled.', f"The jobs are {', '.join(VERBS)}.")


def _must_be_absolute(what: str, text: str) -> None:
    if not text.startswith("/"):
        raise Misconfigured(
            f'{what} "{text}" is not an absolute path; a scheduler starts its jobs from another folder.',
            "Give the whole path, from / on.",
        )


def _must_be_sayable(text: str) -> None:
    if any(unicodedata.category(character) in UNSAYABLE for character in text):
        raise Misconfigured(
            f"The path {text!a} has a line break, a control character or a byte that is not UTF-8 in it, "
            "and a schedule cannot say that.",
            "Rename the folder, or move the workspace.",
        )
