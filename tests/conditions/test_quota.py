"""A quota that is used up is named, and with more of it the work goes on.

Few machines can mount a disk with quotas; strace lets the kernel's answer be that of such a disk.
"""

from __future__ import annotations

import pytest

from tests.crash.holds import afterwards, documents, how_it_ended, in_the_end, undisturbed
from tests.crash.kit import Arena, changes
from tests.crash.scenes import SCENES

CASES = [("ticket", "write", ""), ("approve", "openat", ""), ("build", "mkdir", "/handoffs/")]


@pytest.mark.parametrize(("name", "where", "place"), CASES)
def test_a_quota_that_is_used_up_ends_a_verb_in_order(arena: Arena, name: str, where: str, place: str) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)
    calls = [call for call in changes(arena.record(scene)) if call.is_ours and call.name == where]
    call = next(call for call in calls if place in call.path)
    with arena.play(scene) as on:
        before = documents(on.workspace)
        done = arena.disturbed(on, scene.verb, call, "error=EDQUOT")
        assert done.hit, f"{call} was never met"
        assert [*how_it_ended(done, "error=EDQUOT"), *afterwards(on, done, before)] == []
        assert (done.code, "the disk quota is used up" in done.err) == (75, True), done.err
        assert list(in_the_end(arena, scene, on, expected)) == []
