"""A log that cannot be written is told once, and changes nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conditions.places import MemoryDisk, mounted
from tests.crash.holds import in_the_end, undisturbed
from tests.crash.kit import Arena, Done
from tests.crash.scenes import SCENES
from tests.sessions import Stage

SCENE = SCENES["build"]
needs_root = pytest.mark.xfail(os.geteuid() != 0, reason="NOT RUN: only root can mount a disk", run=False)


def goes_on(arena: Arena, on: Stage) -> Done:
    done = arena.run(on, SCENE.verb)
    assert done.code == 0, done.err
    assert done.err.count("cannot be written") == 1
    assert "; the run goes on" in done.err
    return done


def test_a_file_in_the_place_of_the_logs_stops_nothing(arena: Arena) -> None:
    expected = undisturbed(arena, SCENE)
    with arena.play(SCENE) as on:
        on.workspace.layout.logs.parent.mkdir(exist_ok=True)
        on.workspace.layout.logs.write_text("not a folder")
        goes_on(arena, on)
        assert list(in_the_end(arena, SCENE, on, expected)) == []


@needs_root
@pytest.mark.parametrize("trouble", ["full", "without names", "locked"])
def test_a_disk_of_logs_that_takes_nothing_stops_nothing(arena: Arena, trouble: str) -> None:
    expected = undisturbed(arena, SCENE)
    with arena.play(SCENE) as on:
        disk = MemoryDisk(on.workspace.layout.logs)
        with mounted(disk):
            begin(disk, trouble, on.workspace.layout.logs)
            goes_on(arena, on)
        assert list(in_the_end(arena, SCENE, on, expected)) == []


def begin(disk: MemoryDisk, trouble: str, logs: Path) -> None:
    (logs / "yesterday.jsonl").write_text("{}\n")
    {"full": disk.fill, "without names": disk.fill_with_names, "locked": disk.lock}[trouble]()
