"""Jobs as systemd user units, for Linux: a service and a timer each.

Owns the spelling of the units. It never enables one: `systemctl --user enable --now NAME.timer` is the owner's to call.

Days and weekdays of *one* OnCalendar must both hold; several OnCalendar lines are alternatives. So both of cron's
rules for the two day fields can be said. A job's output goes to the journal (`journalctl --user -u NAME`), which
needs no folder to exist.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchbill.errors import Misconfigured
from watchbill.schedule.cron_times import CronTimes, DayRule, Field
from watchbill.schedule.jobs import Job

DAY_NAMES = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
# systemd refuses these in a program's path, however they are quoted; arguments may have them.
UNSAFE_IN_A_PROGRAM = "'\"\\"


def render(jobs: Sequence[Job]) -> dict[str, str]:
    """File name → text, two files for each job. Raises Misconfigured for a path that a unit cannot say."""
    units: dict[str, str] = {}
    for job in jobs:
        units[f"{unit_name(job)}.service"] = _service(job)
        units[f"{unit_name(job)}.timer"] = _timer(job)
    return units


def unit_name(job: Job) -> str:
    """The name of both units, without its ending."""
    return f"watchbill-{job.workspace_slug}-{job.name}"


def on_calendar(times: CronTimes) -> list[str]:
    """The OnCalendar values that together fire at the times of the cron expression."""
    return [_calendar(times, rule) for rule in times.day_rules]


def _service(job: Job) -> str:
    # `:` keeps systemd from replacing $NAME in the arguments. 75 means "the next run will do it": no failure.
    return "\n".join(
        [
            "[Unit]",
            f"Description=Watchbill {job.name} ({job.workspace_slug})",
            "",
            "[Service]",
            "Type=oneshot",
            f"WorkingDirectory={_bare_path(job)}",
            f"Environment={_quoted('PATH=' + job.path)}",
            f"Environment={_quoted('HOME=' + str(job.home))}",
            f"ExecStart=:{_command(job)}",
            "SuccessExitStatus=75",
            "",
        ]
    )


def _timer(job: Job) -> str:
    return "\n".join(
        [
            "[Unit]",
            f"Description=When Watchbill {job.name} ({job.workspace_slug}) runs",
            "",
            "[Timer]",
            *(f"OnCalendar={calendar}" for calendar in on_calendar(job.times)),
            "Persistent=true",
            f"Unit={unit_name(job)}.service",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def _calendar(times: CronTimes, rule: DayRule) -> str:
    weekdays = "" if rule.weekdays is None else ",".join(DAY_NAMES[day] for day in rule.weekdays) + " "
    days = "*" if rule.days is None else _listed(rule.days)
    return f"{weekdays}*-{_numbers(times.month)}-{days} {_numbers(times.hour)}:{_numbers(times.minute)}:00"


def _numbers(field: Field) -> str:
    return "*" if field.full else _listed(field.values)


def _listed(values: Sequence[int]) -> str:
    return ",".join(f"{value:02d}" for value in values)


def _command(job: Job) -> str:
    words = job.arguments
    if any(character in words[0] for character in UNSAFE_IN_A_PROGRAM):
        words = ("/bin/sh", "-c", 'exec "$0" "$@"', *words)
    return " ".join(_quoted(word) for word in words)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _bare_path(job: Job) -> str:
    text = str(job.workdir)
    # This setting takes the rest of the line as it is, without quotes: a line's end is trimmed or continued.
    if text != text.strip() or text.endswith("\\"):
        raise Misconfigured(
            f'systemd cannot say the folder "{text}": it ends with a blank or a backslash.',
            "Rename the folder, or use cron.",
        )
    return text.replace("%", "%%")
