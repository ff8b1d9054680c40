"""The clock is set back, goes back by itself, or comes to a leap day: order never follows from it.

The program is a process of its own, whose clock freezegun moves on from another moment.
"""

from __future__ import annotations

import pytest

from tests.crash.holds import afterwards, documents, how_it_ended, in_the_end, undisturbed
from tests.crash.kit import Arena, Done
from tests.crash.scenes import SCENES

CASES = [
    ("ticket", "years_ago", b"2021-03-04"),
    ("approve", "years_ago", b"2021-03-04T05:0"),
    ("merge", "years_ago", b"2021-03-04T05:0"),
    ("build", "second_before_summer_time_ends", b"2026-10-25T01:0"),
    ("plan", "last_second_of_the_leap_day", b"2028-0"),
]


@pytest.mark.parametrize(("name", "clock", "date"), CASES)
def test_another_clock_changes_no_order_and_no_outcome(arena: Arena, name: str, clock: str, date: bytes) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)
    with arena.play(scene) as on:
        before = documents(on.workspace)
        done = arena.run(on, scene.verb, f"tests.conditions.limits:{clock}")
        met = Done(done.code, done.out, done.err, hit=True)
        assert [*how_it_ended(met, clock), *afterwards(on, done, before)] == []
        assert done.code == 0, done.err
        new = [data for path, data in documents(on.workspace).items() if path not in before]
        assert any(date in data for data in new), "the verb saw another clock"
        if scene.repeatable:
            assert list(in_the_end(arena, scene, on, expected)) == []
