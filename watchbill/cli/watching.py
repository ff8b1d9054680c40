"""`watch` on the command line.

Owns how watching begins and ends for a person; what it waits for is the stage's.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from watchbill.cli import begin

if TYPE_CHECKING:
    from watchbill.workspace import Workspace


def watch(opened: Workspace, seconds: float) -> None:
    """Publish answers as they are written, for `seconds` (0: until Ctrl-C, which is the usual end, no failure)."""
    from watchbill.settle import settle
    from watchbill.stages.watch import watch as stage

    with contextlib.suppress(KeyboardInterrupt):
        for line in settle(opened, begin.now()):
            begin.note(line)
        begin.note(f"watching {opened.layout.inbox}: answer in a file and save it; Ctrl-C ends this")
        stage(opened.layout, lambda: begin.take_answers(_as_it_is_now(opened)), begin.note, seconds)
    begin.note("stopped watching; the next run picks up what is written from now on")


def _as_it_is_now(opened: Workspace) -> Workspace:
    """Settings and routing are read anew for each answer: a watch may last for days."""
    from watchbill.workspace import Workspace

    return Workspace(opened.root)
