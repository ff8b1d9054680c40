"""The checks of this suite notice an engine that does not keep its promises.

Each check is done twice: on the engine as it is, and on one that is broken on purpose in one place.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.disks import disk
from tests.crash.holds import afterwards, documents, promises
from tests.crash.kit import Arena
from tests.crash.scenes import SCENES
from tests.crash.test_power_cut import commits
from watchbill.files.locks import held

BREAKS = "tests.crash.breaks"
needs_root = pytest.mark.xfail(
    os.geteuid() != 0, reason="NOT RUN: only root can mount a disk and cut its power", run=False
)


def power_cut_after(arena: Arena, folder: Path, scene: str, patch: str) -> list[str]:
    """The verb ends, the power goes: what does not hold of what it said."""
    with disk(folder, "ext4") as made:
        there = Arena(arena.root / "on-ext4", made.place / "arena", arena.resident)
        there.root.mkdir(exist_ok=True)
        with there.play(SCENES[scene]) as on:
            made.sync()
            done = there.run(on, SCENES[scene].verb, patch)
            assert done.code == 0, done.err
            made.cut_the_power()
            made.come_back()
            return [*promises(done, on.workspace), *commits(on.workspace)]


def killed_when_a_turn_is_journalled(arena: Arena, _folder: Path, scene: str, patch: str) -> list[str]:
    """The session is killed as it writes the first turn down: was a request made before?"""
    writes = [call for call in arena.record(SCENES[scene]) if call.name == "write" and "/journals/" in call.path]
    assert len(writes) > 1, "the recording shows no turn"
    with arena.play(SCENES[scene]) as on:
        before = documents(on.workspace)
        done = arena.disturbed(on, SCENES[scene].verb, writes[1], "signal=KILL", patch)
        assert done.hit
        return list(afterwards(on, done, before))


def while_another_has_the_lock(arena: Arena, _folder: Path, scene: str, patch: str) -> list[str]:
    """A second session of the same agent: does it keep away?"""

    def check() -> Iterator[str]:
        with arena.play(SCENES[scene]) as on, held(on.workspace.layout.lock("build"), "build session"):
            done = arena.run(on, SCENES[scene].verb, patch)
            if done.code != 75:
                yield f"another session had the lock, and it ended with {done.code}"
            if on.requests:
                yield f"another session had the lock, and it made {len(on.requests)} requests"

    return list(check())


Check = Callable[[Arena, Path, str, str], list[str]]
CASES: list[object] = [
    pytest.param(
        power_cut_after, "ticket", "without_the_fsync_of_the_folder", "there is no such ticket", marks=needs_root
    ),
    pytest.param(power_cut_after, "build", "without_waiting_for_the_commit", "which cannot be read", marks=needs_root),
    (killed_when_a_turn_is_journalled, "build", "with_the_turn_counted_after_the_call", "but only 0 journalled"),
    (while_another_has_the_lock, "build", "without_the_lock", "another session had the lock, and it made"),
]


@pytest.mark.parametrize(("check", "scene", "broken", "why"), CASES)
def test_an_engine_broken_on_purpose_is_caught(
    arena: Arena, tmp_path: Path, check: Check, scene: str, broken: str, why: str
) -> None:
    assert check(arena, tmp_path / "whole", scene, "") == []
    noticed = check(arena, tmp_path / "broken", scene, f"{BREAKS}:{broken}")
    assert any(why in one for one in noticed), f"an engine {broken} is not noticed for that reason: {noticed}"
