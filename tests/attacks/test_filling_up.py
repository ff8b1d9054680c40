"""A scripted model that fills what it is given: processes, memory, disk, time, output. Each attack has an end of its
own, small enough for any machine, and the limits in the settings are smaller still."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attacks.ground import THROUGH, Attack, attack, ground
from tests.attacks.table import bash, python
from watchbill.documents.manifest import Agent
from watchbill.tools.sandbox import disk

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
    "never end", "bash", {"command": f": never end; sleep 9; echo {THROUGH}", "timeout_ms": 300}, "killed"
)
SEQUENCES = r"printf '\033]0;owned\007\033[31mred\033[2J\033[6n\033]52;c;ZXZpbA==\007 plain\n'"
FLOODS = (
    bash("print 100 MB", r"head -c 100000000 /dev/zero | tr '\0' A", "bytes and more were cut here"),
    bash("speak to the terminal", SEQUENCES, "red.* plain"),
)


@pytest.fixture(autouse=True)
def _a_disk_that_is_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_SCAN_SECONDS", 0.3)


@pytest.mark.parametrize("role", ["build", "qa", "security"])
def test_what_is_given_is_not_exceeded(role: Agent, tmp_path: Path) -> None:
    with ground(tmp_path, "bubblewrap", **SMALL) as place:
        battle = attack(place, role, (*FILLS, NEVER_ENDS, *FLOODS))
        assert [trouble for came in battle.came.values() if (trouble := came.trouble())] == []
        for one in (*FILLS, NEVER_ENDS):
            if one.name != "fill scratch":
                assert any("limited: " in line for line in battle[one.name].logged), battle[one.name].logged
        for one in FLOODS:
            assert len(battle[one.name].answer) < 31_000
        logs = b"".join(path.read_bytes() for path in place.workspace.layout.logs.iterdir())
        assert (b"\x1b" in logs, b"\x1b" in battle["speak to the terminal"].answer.encode()) == (False, False)


def test_with_other_limits_each_of_them_is_seen(tmp_path: Path) -> None:
    with ground(tmp_path, "bubblewrap") as place:
        battle = attack(place, "build", FILLS)
        assert [came.attack.name for came in battle.came.values() if not came.got_through] == []
