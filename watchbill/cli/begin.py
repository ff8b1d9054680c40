"""What every verb that writes does first: find the workspace, settle what was left, pick up answers.

Owns the common beginning and the logger of a command. Heavy parts are imported here, inside the functions, so that
`--help` and `status` stay quick.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from watchbill.tools.git import Repository
    from watchbill.tools.sandbox import Sandbox
    from watchbill.workspace import Workspace

WORKSPACE = "WATCHBILL_WORKSPACE"
chosen: dict[str, Path | None] = {"workspace": None}
scratches: set[Path] = set()
at_the_end = ExitStack()
# What it means that a command was stopped just where it was; empty where the usual words are right.
if_stopped: dict[str, str] = {}


def workspace() -> Workspace:
    """The workspace that was named, or the one here or above."""
    from watchbill.workspace import open_workspace

    named = chosen["workspace"] or (Path(os.environ[WORKSPACE]) if os.environ.get(WORKSPACE) else None)
    return open_workspace(named or Path.cwd())


def settled(opened: Workspace) -> Workspace:
    """Settle what a dead run left and publish answers written into files, saying each in one line."""
    from watchbill.settle import settle
    from watchbill.tools.model.keys import hold_key_file

    hold_key_file(opened.key_file)
    for line in settle(opened, now()):
        note(line)
    take_answers(opened)
    return opened


def use_scratch(opened: Workspace) -> None:
    """From here on, temporary files of this process lie in the workspace, where the next run finds what it leaves.

    Where the workspace cannot be written they lie where the system has them.
    """
    from watchbill.errors import TryLater
    from watchbill.files.scratch import scratch

    if opened.root not in scratches:
        with suppress(TryLater):
            at_the_end.enter_context(scratch(opened.layout.temporary))
            scratches.add(opened.root)


def end() -> None:
    """What a command does last, however it ended."""
    scratches.clear()
    at_the_end.close()


def take_answers(opened: Workspace) -> None:
    """Publish the answers that were written into inbox files."""
    from watchbill.cli import show
    from watchbill.stages.decide import pick_up

    decided, troubles = pick_up(opened, now())
    for answer in decided:
        note(show.decided(answer, " (from the file)"))
    for trouble in troubles:
        note(trouble)
    if opened.settings.gate.escalate_after_days:
        from watchbill.stages.report import reminders

        for line in reminders(opened, now()):
            note(line)


def logger(opened: Workspace) -> Any:
    """The log of this command: a file of the day, and lines for whoever watches."""
    from watchbill.cli.progress import teller
    from watchbill.tools.log import open_log

    return open_log(opened.layout.logs, teller())


def sandbox_of(opened: Workspace) -> Callable[[Repository], Sandbox]:
    """How a command gets its sandbox: proven once, when it is first needed."""
    made: list[Sandbox] = []
    one_at_a_time = threading.Lock()

    def make(repo: Repository) -> Sandbox:
        from watchbill.tools.sandbox import MIB, Capped, Limits, choose

        with one_at_a_time:
            if not made:
                settings = opened.settings.sandbox
                caps = Limits(
                    memory_bytes=settings.memory_mb * MIB,
                    processes=settings.processes,
                    file_bytes=settings.file_mb * MIB,
                    scratch_bytes=settings.scratch_mb * MIB,
                    disk_bytes=settings.disk_mb * MIB,
                )
                chosen = choose(settings.mode, opened.settings.readable(), repo.common_dir)
                made.append(Capped(chosen, caps))
                if made[0].name == "none":
                    note('commands run WITHOUT a sandbox ([sandbox] mode = "none"); every record says so')
        return made[0]

    return make


def now() -> datetime:
    return datetime.now(UTC)


def note(text: str) -> None:
    """A line for the person, beside the output, without anything that a terminal would obey."""
    from watchbill.cli.progress import tell_line

    tell_line(text)


def who() -> str:
    """The name under which a human's decision is recorded."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"
