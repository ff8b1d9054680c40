"""A disk that cannot be read just then, or a process that may open nothing more: nothing is taken for damaged.

The program is a process of its own; strace lets one of its calls fail.
"""

from __future__ import annotations

import pytest

from tests.crash.holds import afterwards, documents, how_it_ended, in_the_end, undisturbed
from tests.crash.kit import Arena, Call
from tests.crash.scenes import SCENES

CASES = [
    ("plan", "tickets/T-0002.md", "EIO"),
    ("approve", "handoffs/T-0001/0001.md", "EMFILE"),
    ("merge", "handoffs/T-0001/0002.md", "EIO"),
    ("ticket", "tickets/T-0001.md", "ENFILE"),
    ("plan", "watchbill.toml", "EIO"),
    ("approve", "inbox/T-0001-0001.md", "EIO"),
]


@pytest.mark.parametrize(("name", "path", "error"), CASES)
def test_a_document_that_cannot_be_read_now_is_read_by_the_next_run(
    arena: Arena, name: str, path: str, error: str
) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)
    with arena.play(scene) as on:
        before = documents(on.workspace)
        place = str(on.workspace.root / path)
        done = arena.disturbed(on, scene.verb, Call("openat", place, 1, 1, is_ours=True, text=path), f"error={error}")
        assert done.hit, f"{path} was never opened"
        assert [*how_it_ended(done, error), *afterwards(on, done, before)] == []
        assert (done.code, f"cannot read {place}: " in done.err) == (75, True), done.err
        assert documents(on.workspace) == before, "nothing was done, and nothing set aside"
        assert list(in_the_end(arena, scene, on, expected)) == []
