"""A process that may open hardly any files: it ends with 75 and the reason, and with more of them it goes on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.crash.holds import afterwards, documents, how_it_ended, in_the_end, undisturbed
from tests.crash.kit import Arena, Done
from tests.crash.scenes import SCENES


@pytest.mark.parametrize(
    ("name", "limit", "code"),
    [
        ("ticket", "two_open_files", 0),
        ("plan", "five_open_files", 75),
        ("build", "seven_open_files", 75),
        ("merge", "two_open_files", 75),
        ("merge", "seven_open_files", 75),
    ],
)
def test_with_too_few_open_files_nothing_is_half_done_and_it_goes_on_later(
    arena: Arena, name: str, limit: str, code: int
) -> None:
    scene = SCENES[name]
    expected = undisturbed(arena, scene)
    with arena.play(scene) as on:
        before = documents(on.workspace)
        done = arena.run(on, scene.verb, f"tests.conditions.limits:{limit}")
        met = Done(done.code, done.out, done.err, hit=True)
        assert [*how_it_ended(met, limit), *afterwards(on, done, before)] == []
        assert (done.code, "Too many open files" in done.err) == (code, code == 75), done.err
        if scene.repeatable or code:
            assert list(in_the_end(arena, scene, on, expected)) == []


SHORT_OF_FILES = """
import os, resource
from watchbill.errors import SHORTAGES, Misconfigured, TryLater
from watchbill.tools.sandbox import choose

highest = max(int(name) for name in os.listdir("/proc/self/fd"))
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for more in range(2, 18):
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + more, hard))
    try:
        choose("bubblewrap", (), None)
        print("held")
    except TryLater:
        print("later")
    except OSError as error:
        print("later" if error.errno in SHORTAGES else error)
    except Misconfigured as error:
        print(error.reason)
"""


def test_a_sandbox_that_lacks_open_files_is_tried_later_and_blames_no_setting() -> None:
    done = subprocess.run([sys.executable, "-c", SHORT_OF_FILES], capture_output=True, text=True, timeout=60)
    assert (set(done.stdout.splitlines()), done.stderr) == ({"later", "held"}, "")
