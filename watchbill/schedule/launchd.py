"""Jobs as launchd property lists, for macOS.

Owns the spelling of a LaunchAgent. It never loads one: `launchctl bootstrap gui/$UID FILE` is the owner's to call.

launchd has no lists, ranges or steps, so a time is expanded into one entry for each combination. Day and weekday of
*one* entry are alternatives to launchd. Cron's "either one is enough" becomes entries with a day and entries with a
weekday; cron's "both must hold" (`*/2` beside a weekday) cannot be said and is refused.
launchd creates the log files, but not the folder they are in.
"""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from itertools import product

from watchbill.errors import Misconfigured
from watchbill.schedule.cron_times import DayRule, Field
from watchbill.schedule.jobs import Job

MOST_ENTRIES = 200
Entry = dict[str, int]


def render(jobs: Sequence[Job]) -> dict[str, str]:
    """File name → text of a property list, one for each job. Raises Misconfigured for a time it cannot say."""
    return {f"{label(job)}.plist": _plist(job) for job in jobs}


def label(job: Job) -> str:
    """The name launchd knows the job by."""
    return f"dev.watchbill.{job.workspace_slug}.{job.name}"


def _plist(job: Job) -> str:
    entries = calendar_entries(job)
    keys: dict[str, object] = {
        "Label": label(job),
        "ProgramArguments": list(job.arguments),
        "StartCalendarInterval": entries[0] if len(entries) == 1 else entries,
        "WorkingDirectory": str(job.workdir),
        "StandardOutPath": str(job.log),
        "StandardErrorPath": str(job.log),
        "EnvironmentVariables": {"PATH": job.path, "HOME": str(job.home)},
        "ProcessType": "Background",
    }
    return plistlib.dumps(keys, sort_keys=False).decode()


def calendar_entries(job: Job) -> list[Entry]:
    """The StartCalendarInterval entries of a job; a key that is absent allows every value."""
    times = job.times
    entries: list[Entry] = []
    for rule in times.day_rules:
        days, weekdays = _one_kind_of_day(job, rule)
        minutes = _choices(times.minute)
        if rule == DayRule(None, None) and all(field.full for field in (times.minute, times.hour, times.month)):
            # An entry without any key is not documented to mean "every minute"; sixty entries are.
            minutes = times.minute.values
        for month, day, weekday, hour, minute in product(
            _choices(times.month), days, weekdays, _choices(times.hour), minutes
        ):
            keys = {"Month": month, "Day": day, "Weekday": weekday, "Hour": hour, "Minute": minute}
            entries.append({key: value for key, value in keys.items() if value is not None})
            if len(entries) > MOST_ENTRIES:
                raise _too_many(job)
    return entries


def _choices(field: Field) -> Sequence[int | None]:
    return (None,) if field.full else field.values


def _one_kind_of_day(job: Job, rule: DayRule) -> tuple[Sequence[int | None], Sequence[int | None]]:
    if rule.days is not None and rule.weekdays is not None:
        raise Misconfigured(
            f'launchd cannot say "{job.when}" ({job.name}): a day of the month that must also be a certain weekday.',
            "Restrict only one of the two day fields, or use systemd or cron.",
        )
    return rule.days or (None,), rule.weekdays or (None,)


def _too_many(job: Job) -> Misconfigured:
    return Misconfigured(
        f'launchd would need more than {MOST_ENTRIES} entries to say "{job.when}" ({job.name}).',
        "launchd has no lists or ranges. Use fewer minutes, or * in one of the fields.",
    )
