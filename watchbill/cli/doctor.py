"""`doctor`: the examination, shown.

Owns how its lines look. Problems do not make it fail: it was asked to explain them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from watchbill.cli import show as shown

if TYPE_CHECKING:
    from watchbill.workspace import Workspace

MARKS = {"ok": " ", "note": "-", "problem": "!"}


def show(opened: Workspace, as_json: bool) -> None:
    """Look at everything and say it, line by line, by topic."""
    from watchbill.schedule import cron_times
    from watchbill.stages.doctor import examine

    # Schedulers go by the machine's own time.
    here = datetime.now()
    lines = examine(opened, lambda text: cron_times.parse(text).next_after(here))
    problems = sum(line.state == "problem" for line in lines)
    if as_json:
        shown.as_json({"problems": problems, "lines": [vars(line) for line in lines]})
        return
    topic = ""
    for line in lines:
        if line.topic != topic:
            topic = line.topic
            print(topic)
        print(f"  {MARKS[line.state]} {shown.plain(line.text)}")
        if line.hint:
            print(f"      {shown.plain(line.hint)}")
    print(f"\n{problems} problem(s), marked with !" if problems else "\nno problem found")
