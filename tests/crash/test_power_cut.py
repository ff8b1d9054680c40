"""The power goes at a call of the verb: what was reported as published, and the commit that it names, are there after.

On real file systems of their own, whose journal is thrown away at that moment. Needs root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.disks import Disk, disk
from tests.crash.holds import State, afterwards, documents, in_the_end, undisturbed
from tests.crash.kit import Arena, Call, sample
from tests.crash.scenes import SCENES, Scene
from tests.repositories import git
from watchbill.history import histories_on_disk
from watchbill.workspace import Workspace

pytestmark = pytest.mark.xfail(
    os.geteuid() != 0, reason="NOT RUN: only root can mount a disk and cut its power", run=False
)
SAMPLES = {
    "ext4": {"ticket": 2, "approve": 2, "build": 3, "merge": 2},
    "xfs": {"ticket": 1, "build": 2, "merge": 1},
}
CASES = [(kind, scene, number) for kind, scenes in SAMPLES.items() for scene, number in scenes.items()]


@pytest.mark.parametrize(("kind", "scene", "number"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_what_was_published_survives_a_power_cut(
    tmp_path: Path, arena: Arena, kind: str, scene: str, number: int
) -> None:
    with disk(tmp_path, kind) as made:
        there = Arena(arena.root / f"on-{kind}", made.place / "arena", arena.resident)
        there.root.mkdir(exist_ok=True)
        expected = undisturbed(there, SCENES[scene])
        chosen = sample(telling(there.record(SCENES[scene])), number)
        wrong = [one for call in chosen for one in power_cut(there, made, SCENES[scene], call, expected)]
    assert not wrong, "\n".join(wrong)
    assert not there.missed, f"the power was never cut at {there.missed}"


def telling(calls: list[Call]) -> list[Call]:
    """The calls after which a power cut is most likely to show that something was promised too early.

    After a sync the file system's journal holds names whose content may not be on the disk yet.
    """
    return [call for call in calls if call.is_ours and call.name in ("fsync", "syncfs", "link", "unlink")]


def power_cut(
    arena: Arena, made: Disk, scene: Scene, call: Call, expected: State, patch: str = "", while_others_sync: bool = True
) -> list[str]:
    """Cut the power right after `call`, start again, and say what does not hold."""
    with arena.play(scene) as on:
        before = documents(on.workspace)
        made.sync()
        done = arena.disturbed(on, scene.verb, call, "power", patch, lambda: made.cut_the_power(while_others_sync))
        if not done.hit:
            arena.missed.append(str(call))
            return []
        made.come_back()
        wrong = [*afterwards(on, done, before), *commits(on.workspace)]
        wrong += [*in_the_end(arena, scene, on, expected, patch), *commits(on.workspace)]
    return [f"{scene.name}, power cut after {call}: {one}" for one in wrong]


def commits(workspace: Workspace) -> Iterator[str]:
    """Commits that a document names and that cannot be read, whole."""
    fresh = Workspace(workspace.root)
    for ticket in histories_on_disk(fresh.layout):
        for handoff in fresh.history(ticket).handoffs:
            for commit in {handoff.base, handoff.commit, handoff.candidate, handoff.merged} - {None}:
                try:
                    git(fresh.repo, "rev-list", "--objects", str(commit))
                    git(fresh.repo, "archive", "--output=/dev/null", str(commit))
                except AssertionError as error:
                    yield f"document {handoff.seq} of {ticket} names {commit}, which cannot be read: {error}"
