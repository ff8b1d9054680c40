"""Jobs as crontab lines, for any Unix.

Owns the spelling of the lines. It never installs them: `crontab -e` is the owner's to call.

The times are handed to cron as they are, with numbers for names, so cron's own rule for the two day fields holds.
PATH and HOME are set by each command for itself: an assignment on a line of its own would also change every other
line below it in the owner's crontab.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from watchbill.errors import Misconfigured
from watchbill.schedule.jobs import Job

# Vixie cron, which Debian and macOS use, refuses a longer command.
LONGEST_COMMAND = 998


def render(jobs: Sequence[Job]) -> dict[str, str]:
    """File name → text: one file with a line for each job. Raises Misconfigured for a command that is too long."""
    if not jobs:
        return {}
    first = jobs[0]
    lines = [f"# Watchbill: {first.workdir}", *(_line(job) for job in jobs)]
    return {f"watchbill-{first.workspace_slug}.crontab": "\n".join(lines) + "\n"}


def _line(job: Job) -> str:
    command = _command(job)
    if len(command.encode()) > LONGEST_COMMAND:
        raise Misconfigured(
            f"The {job.name} command is longer than the {LONGEST_COMMAND} bytes that cron takes.",
            "Make the schedule with a shorter PATH, such as PATH=/usr/local/bin:/usr/bin:/bin.",
        )
    return f"{job.times.text} {command}"


def _command(job: Job) -> str:
    environment = f"PATH={_word(job.path)} HOME={_word(str(job.home))}"
    program = " ".join(_word(argument) for argument in job.arguments)
    # The log's folder is derived data that may have been deleted; without it the shell would run nothing.
    return (
        f"cd {_word(str(job.workdir))} && mkdir -p {_word(str(job.log.parent))} && "
        f"{environment} {program} >>{_word(str(job.log))} 2>&1"
    )


def _word(text: str) -> str:
    """One word for the shell, after cron has turned `\\%` into `%` (a bare `%` would end the command)."""
    if "%" not in text:
        return shlex.quote(text)
    # Each % stands outside the quotes, so that a backslash before it is never taken for cron's own.
    quoted = text.replace("'", "'\"'\"'").replace("%", "'\\%'")
    return f"'{quoted}'"
