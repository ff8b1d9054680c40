"""A quota that is used up is named, and with more of it the work goes on.

Few machines can mount a disk with quotas; strace lets the kernel's answer be that of such a disk.
"""

from __future__ import annotations

import pytest

from tests.crash.holds import afterwards, documents, how_it_ended, in_the_end, undisturbed
from tests.crash.kit import Arena
from tests.crash.scenes import SCENES


@pytest.mark.parametrize(("name", "where"), [("ticket", "write"), ("approve", "openat"), ("build", "mkdir")])
def test_a_quota_that_is_used_up_ends_a_verb_in_order(arena: Arena, name: str, where: str) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)
    call = next(call for call in arena.record(scene) if call.is_ours and call.name == where)
    with arena.play(scene) as on:
        before = documents(on.workspace)
        done = arena.disturbed(on, scene.verb, call, "error=EDQUOT")
        assert done.hit, f"{call} was never met"
        assert [*how_it_ended(done, "error=EDQUOT"), *afterwards(on, done, before)] == []
        assert (done.code, "the disk quota is used up" in done.err) == (75, True), done.err
        assert list(in_the_end(arena, scene, on, expected)) == []
