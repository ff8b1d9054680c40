"""A verb that is killed, or whose disk fails, at any of its calls: nothing is lost, and the next run carries on.

What is tried is an even sample of what the recording of an undisturbed run offers; `bench/crash_sweep.py` tries all.
"""

from __future__ import annotations

import pytest

from tests.crash.faults import FAULTS, points
from tests.crash.holds import trial
from tests.crash.kit import Arena, changes, sample
from tests.crash.scenes import SCENES

# How many points of each kind, in the order of FAULTS.
KILLED, CUT, FULL, BROKEN, INTERRUPTED, UNREADABLE, NO_LOG = FAULTS
SAMPLES = {
    "plan": {KILLED: 6, FULL: 3, BROKEN: 3, INTERRUPTED: 2, UNREADABLE: 3},
    "ticket": {KILLED: 6, FULL: 4, BROKEN: 5, INTERRUPTED: 2, UNREADABLE: 2},
    "approve": {KILLED: 8, FULL: 3, BROKEN: 4, INTERRUPTED: 2, UNREADABLE: 3},
    "build": {KILLED: 6, CUT: 3, FULL: 2, BROKEN: 2, INTERRUPTED: 1, UNREADABLE: 2, NO_LOG: 1},
    "qa": {KILLED: 2, CUT: 2, FULL: 1, BROKEN: 1, INTERRUPTED: 1},
    "security": {KILLED: 1, CUT: 1, BROKEN: 1},
    "merge": {KILLED: 3, CUT: 2, FULL: 1, BROKEN: 1, INTERRUPTED: 1},
}
# The dearest first, so that two processes end at about the same time.
CASES = [
    (scene, fault, number)
    for scene in ("build", "merge", "qa", "security", "plan", "approve", "ticket")
    for fault, number in SAMPLES[scene].items()
]


@pytest.mark.parametrize(("scene", "fault", "number"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_nothing_is_lost_and_the_next_run_carries_on(arena: Arena, scene: str, fault: str, number: int) -> None:
    offered = points(arena.record(SCENES[scene]), fault)
    chosen = sample(offered, number)
    assert chosen, f"the recording of {scene} offers no point for {fault}"
    # Threads do not run in the same order each time, so a few points may not come up again: others take their place.
    others = sample([call for call in offered if call not in chosen], number + 3)
    arena.missed.clear()
    before = 0
    wrong: list[str] = []
    met = 0
    while chosen:
        wrong += trial(arena, SCENES[scene], chosen.pop(0), fault)
        if len(arena.missed) == before:
            met += 1
        elif others:
            chosen.append(others.pop(len(others) // 2))
        before = len(arena.missed)
    assert not wrong, "\n".join(wrong)
    assert met * 3 >= min(number, len(offered)) * 2, f"too many faults were never met: {arena.missed}"


def test_a_recording_finds_the_calls_that_publish_a_document(arena: Arena) -> None:
    names = [call.name for call in changes(arena.record(SCENES["ticket"]))]
    assert names == ["openat", "write", "fsync", "link", "unlink", "fsync"]
