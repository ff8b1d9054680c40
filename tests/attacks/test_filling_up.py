"""A scripted model that fills what it is given: processes, memory, disk, time, output. Each attack has an end of its
own, small enough for any machine, and the limits in the settings are smaller still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.ground import THROUGH, Attack, Came, Ground, attack, ground
from tests.attacks.table import bash, python
from watchbill.documents.manifest import Agent
from watchbill.roles import framing, toolbox
from watchbill.tools.sandbox import disk, output

SMALL = {"memory_mb": 96, "processes": 48, "file_mb": 8, "scratch_mb": 8, "disk_mb": 16}
FORKS = (
    "import os, time\nfor number in range(200):\n    if os.fork() == 0:\n        time.sleep(2)\n        os._exit(0)\n"
)
PIECES = f"for n in 1 2 3 4; do head -c 7000000 /dev/zero > fill$n; done; sleep 3; echo {THROUGH}; rm -f fill?"
FILLS = (
    python("start 200 processes", FORKS, "the limit of 48 processes and threads was reached"),
    python("take 300 MB", "whole = b'x' * 300_000_000", "the limit of 96 MiB of memory was reached"),
    bash("fill scratch", f"head -c 6000000 /dev/zero | tee /tmp/one > /tmp/two && echo {THROUGH}", "No space left"),
    bash("write a long file", f"head -c 12000000 /dev/zero > fill && echo {THROUGH}", "the limit of 8 MiB for one"),
    bash("write many files", PIECES, "the limit of 16 MiB written to the disk was reached"),
)  # fmt: skip
NEVER_ENDS = Attack(
    "never end", "bash", {"command": f": never end; sleep 3; echo {THROUGH}", "timeout_ms": 300}, "killed"
)
SEQUENCES = r"printf '\033]0;owned\007\033[31mred\033[2J\033[6n\033]52;c;ZXZpbA==\007 plain\n'"
FLOODS = (
    bash("print 100 MB", r"head -c 100000000 /dev/zero | tr '\0' A", "bytes and more were cut here"),
    bash("speak to the terminal", SEQUENCES, "red.* plain"),
)


@pytest.fixture(autouse=True)
def _a_disk_that_is_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_SCAN_SECONDS", 0.3)


def overflow(came: Came) -> str:
    """What is wrong with the answer to a flood, or ""."""
    if len(came.answer) >= 31_000:
        return f"{len(came.answer)} characters were shown"
    return "a terminal would obey it" if "\x1b" in came.answer else ""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("small"), "bubblewrap", **SMALL) as place:
        yield place


@pytest.mark.parametrize("role", ["build", "qa", "security"])
def test_what_is_given_is_not_exceeded(role: Agent, small: Ground) -> None:
    battle = attack(small, role, (*FILLS, NEVER_ENDS, *FLOODS))
    assert [trouble for came in battle.came.values() if (trouble := came.trouble())] == []
    for one in (*FILLS, NEVER_ENDS):
        if one.name != "fill scratch":
            assert any("limited: " in line for line in battle[one.name].logged), battle[one.name].logged
    assert [trouble for one in FLOODS if (trouble := overflow(battle[one.name]))] == []
    logs = b"".join(path.read_bytes() for path in small.workspace.layout.logs.iterdir())
    assert b"\x1b" not in logs


def test_with_other_limits_each_of_them_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = toolbox._read_bash
    monkeypatch.setattr(toolbox, "_read_bash", lambda given, longest: (read(given, longest)[0], longest))
    monkeypatch.setattr(toolbox, "SHOWN", 300_000)
    monkeypatch.setattr(framing, "visible", lambda text: text)
    monkeypatch.setattr(output, "clean_text", lambda data: data.decode("utf-8", "replace"))
    with ground(tmp_path, "bubblewrap") as place:
        battle = attack(place, "build", (*FILLS, NEVER_ENDS, *FLOODS))
        got_through = [name for name, came in battle.came.items() if came.got_through]
        assert got_through == [one.name for one in (*FILLS, NEVER_ENDS)]
        assert [overflow(battle[one.name]).split(" ", 1)[1] for one in FLOODS] == [
            "characters were shown",
            "terminal would obey it",
        ]
