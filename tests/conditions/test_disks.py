"""A disk that is full, locked or used up: the verb ends with 75 and the reason, and goes on once it has passed.

On real disks of their own, with the program as a process of its own. Needs root to mount them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.conditions.places import MemoryDisk, mounted
from tests.crash.holds import afterwards, documents, how_it_ended, in_the_end, undisturbed
from tests.crash.kit import Arena, Done
from tests.crash.scenes import SCENES
from tests.sessions import Stage

pytestmark = pytest.mark.xfail(os.geteuid() != 0, reason="NOT RUN: only root can mount a disk", run=False)
STATUS = ("status",)


@pytest.fixture
def disk(arena: Arena) -> Iterator[MemoryDisk]:
    made = MemoryDisk(arena.ground)
    with mounted(made):
        yield made


def hurt(arena: Arena, on: Stage, verb: tuple[str, ...], begin: Callable[[], None], end: Callable[[], None]) -> Done:
    """Run a verb while the disk is as `begin` makes it. What holds after any fault must hold here as well."""
    before = documents(on.workspace)
    begin()
    try:
        done = arena.run(on, verb)
        status = arena.run(on, STATUS)
    finally:
        end()
    met = Done(done.code, done.out, done.err, hit=True)
    assert [*how_it_ended(met, "disk"), *afterwards(on, done, before)] == []
    assert (status.code, status.err) == (0, ""), "looking needs no disk that can be written"
    return done


def is_full(done: Done) -> bool:
    """Whether a full disk is the reason that was given. Git's own words do not always say so, but what could not be."""
    reasons = ("the disk is full", "No space left", "git worktree could not", "git update-ref could not")
    return any(words in done.err for words in reasons)


@pytest.mark.parametrize("name", ["ticket", "plan", "approve", "build", "merge"])
def test_on_a_locked_or_full_disk_nothing_is_half_done_and_it_goes_on_later(
    arena: Arena, disk: MemoryDisk, name: str
) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)
    with arena.play(scene) as on:
        done = hurt(arena, on, scene.verb, disk.lock, disk.mend)
        assert (done.code, "the disk is read-only" in done.err) == (75, True), done.err
        assert "left " not in done.err, "nothing was made that could be left"
        for fill in (disk.fill, disk.fill_with_names):
            done = hurt(arena, on, scene.verb, fill, disk.mend)
            assert (done.code, is_full(done)) == (75, True), done.err
        assert list(in_the_end(arena, scene, on, expected)) == []


@pytest.mark.parametrize(("name", "kibibytes", "names"), [("build", 90, 400), ("build", 4000, 22)])
def test_a_disk_that_becomes_full_under_a_session_ends_it_in_order(
    arena: Arena, disk: MemoryDisk, name: str, kibibytes: int, names: int
) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)

    def nearly_fill() -> None:
        disk.fill_with_names(names)
        disk.fill(kibibytes * 1024)

    with arena.play(scene) as on:
        done = hurt(arena, on, scene.verb, nearly_fill, disk.mend)
        assert (done.code, "begins" in done.err, is_full(done)) == (75, True, True), done.err
        assert list(in_the_end(arena, scene, on, expected)) == []
