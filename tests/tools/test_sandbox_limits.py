"""How much of the machine a command may use. The attackers are small, and end by themselves within seconds."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.test_sandbox import LIMITS, VENV, sleepers
from tests.workspaces import make_workspace
from watchbill.cli import begin
from watchbill.tools.checks import run_checks
from watchbill.tools.git import Repository
from watchbill.tools.sandbox import MIB, Bubblewrap, Capped, Limits, Result, Sandbox, Unconfined, control_groups, disk
from watchbill.tools.sandbox import child as child_module
from watchbill.tools.sandbox.control_groups import Group, Groups
from watchbill.tools.sandbox.disk import DiskWatch

BOTH = pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
CAPTURED: list[Limits] = []


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


def own_groups() -> list[Path]:
    found = control_groups.available()
    assert found is not None, "no control group can be made here: run the tests as root, or in a delegated group"
    return [path for parent in found.parents.values() for path in parent.glob(f"watchbill-{os.getpid()}-*")]


# Processes and memory


FORKS = """
import os, time
begun = 0
for _ in range(60):
    try:
        if os.fork() == 0:
            time.sleep(10)
            os._exit(0)
        begun += 1
    except OSError:
        break
print("begun", begun, flush=True)
"""


@BOTH
def test_more_processes_than_allowed_are_not_started(make: type[Sandbox], worktree: Path) -> None:
    box = make([VENV])  # type: ignore[call-arg]
    result = box.run(["python", "-c", FORKS], worktree, replace(LIMITS, processes=16))
    assert result.limited == ("the limit of 16 processes and threads was reached",)
    assert 8 <= int(result.output.split()[-1]) <= 24
    assert own_groups() == []


def hungry(mib: int, processes: int) -> list[str]:
    """A command whose processes hold memory together, a second long."""
    script = (
        "import os, time\n"
        f"children = [os.fork() for _ in range({processes - 1})] if {processes} > 1 else []\n"
        f"held = bytearray(os.urandom(4096)) * ({mib} * 256)\n"
        "time.sleep(1 if 0 in children else 0.7)\n"
        "print('done')"
    )
    return ["python", "-c", script]


@BOTH
@pytest.mark.parametrize(("mib", "processes"), [(150, 1), (40, 3)])
def test_more_memory_than_allowed_ends_the_one_who_asks(
    make: type[Sandbox], worktree: Path, mib: int, processes: int
) -> None:
    box = make([VENV])  # type: ignore[call-arg]
    result = box.run(hungry(mib, processes), worktree, replace(LIMITS, memory_bytes=80 * MIB))
    assert result.limited == ("the limit of 80 MiB of memory was reached",)
    assert result.output.count("done") < max(processes, 1)


@BOTH
def test_what_stays_within_its_limits_is_told_nothing(make: type[Sandbox], worktree: Path) -> None:
    box = make([VENV])  # type: ignore[call-arg]
    result = box.run(hungry(20, 1), worktree, replace(LIMITS, memory_bytes=150 * MIB))
    assert result == Result(0, "done\n", timed_out=False, truncated=False)


def test_where_there_are_no_groups_each_process_is_limited(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "available", lambda: None)
    result = Bubblewrap([VENV]).run(hungry(150, 1), worktree, replace(LIMITS, memory_bytes=100 * MIB))
    assert "MemoryError" in result.output


# Nothing is left behind

DEAF = "trap '' TERM HUP; echo $$ > begun; i=0; while [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done"
FORGOTTEN = (
    "env -i setsid sh -c 'exec sh deaf.sh {mark}' </dev/null >/dev/null 2>&1 & "
    "while [ ! -s begun ]; do sleep 0.01; done"
)


@BOTH
def test_a_daemon_without_a_trace_of_its_parent_dies_too(make: type[Sandbox], worktree: Path) -> None:
    mark = f"daemon-{secrets.token_hex(8)}"
    (worktree / "deaf.sh").write_text(DEAF)
    assert make().run(FORGOTTEN.replace("{mark}", mark), worktree, LIMITS).exit_code == 0
    assert (worktree / "begun").read_text()
    assert sleepers(mark) == []
    assert own_groups() == []


ENGINE = """
import sys
from pathlib import Path
from watchbill.tools.sandbox import Limits, Unconfined, control_groups
control_groups._NAME = sys.argv[3]
Unconfined().run(sys.argv[1], Path(sys.argv[2]), Limits(seconds=60))
"""


def test_what_a_killed_engine_left_is_ended_at_the_next_start(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A name of its own: whatever else starts on this machine would tidy up first.
    name = f"watchbilltest{secrets.token_hex(4)}"
    monkeypatch.setattr(control_groups, "_NAME", name)
    mark = f"daemon-{secrets.token_hex(8)}"
    (worktree / "deaf.sh").write_text(DEAF)
    command = f"{FORGOTTEN.replace('{mark}', mark)}; sleep 30"
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, command, str(worktree), name], start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while not (worktree / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        engine.kill()
        engine.wait()
    assert sleepers(mark), "without a sandbox it survives its engine"
    gone = control_groups.remove_leftovers()
    assert [group for group in gone if f"-{engine.pid}-" in group]
    assert sleepers(mark) == []
    assert control_groups.remove_leftovers() == []


def test_the_groups_of_an_engine_that_lives_are_left_alone() -> None:
    with control_groups.grouped(LIMITS) as group:
        assert group is not None
        control_groups.remove_leftovers()
        assert all(folder.is_dir() for folder in group.folders.values())


# Version 2, as files: this is what is written and read


@pytest.fixture
def unified(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A made-up /proc/self and the folder where version 2 is mounted, with this process in a group that it owns."""
    process, place = tmp_path / "self", tmp_path / "cgroup"
    process.mkdir()
    (process / "cgroup").write_text("0::/user.slice/app.slice/run.scope\n")
    (process / "mountinfo").write_text(f"30 25 0:27 / {place} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
    own = place / "user.slice" / "app.slice" / "run.scope"
    own.mkdir(parents=True)
    yield process, own


def test_in_version_2_the_group_above_is_taken_when_processes_live_in_the_own(unified: tuple[Path, Path]) -> None:
    process, own = unified
    (own / "cgroup.subtree_control").mkdir()  # cannot be written, as the kernel has it for a group with processes
    (own.parent / "cgroup.subtree_control").write_text("cpu memory pids\n")
    assert list(control_groups._candidates(process)) == [Groups(2, dict.fromkeys(("pids", "memory"), own.parent))]


def test_in_a_container_the_path_begins_at_what_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("8:pids:/docker/abc/inner\n4:memory:/docker/abc\n0::/\n")
    lines = [f"1 2 0:3 /docker/abc {tmp_path}/{name} rw - cgroup cgroup rw,{name}" for name in ("pids", "memory")]
    (tmp_path / "mountinfo").write_text("\n".join(lines))
    expected = {"pids": tmp_path / "pids" / "inner", "memory": tmp_path / "memory"}
    assert list(control_groups._candidates(tmp_path)) == [Groups(1, expected)]


def test_version_2_is_told_its_limits_and_asked_about_them(tmp_path: Path) -> None:
    group = Group(2, {"pids": tmp_path, "memory": tmp_path})
    limits = replace(LIMITS, processes=9, memory_bytes=5 * MIB)
    group.limit(limits)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {"pids.max": "17", "memory.max": str(5 * MIB), "memory.swap.max": "0"}
    assert group.reached(limits) == ()
    (tmp_path / "pids.events").write_text("max 1\n")
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
    assert len(group.reached(limits)) == 2
    assert group.entering(["true"]).count(str(tmp_path / "cgroup.procs")) == 1


def test_a_place_where_no_group_can_be_made_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Groups(2, dict.fromkeys(("pids", "memory"), tmp_path / "nowhere"))
    only_files = Groups(2, dict.fromkeys(("pids", "memory"), tmp_path))
    monkeypatch.setattr(control_groups, "_candidates", lambda _process: iter([here, only_files]))
    monkeypatch.setattr(control_groups, "_REMOVING_SECONDS", 0.0)
    monkeypatch.setattr(Group, "entering", lambda _group, _command: ["/bin/false"])
    assert control_groups.available.__wrapped__() is None


# Files and the disk


def test_a_file_that_reached_its_limit_is_named(worktree: Path) -> None:
    for box in (Bubblewrap(), Unconfined()):
        result = box.run("exec head -c 3000000 /dev/zero > big", worktree, replace(LIMITS, file_bytes=MIB))
        assert result.exit_code == 128 + signal.SIGXFSZ
        assert result.limited == ("the limit of 1 MiB for one file was reached",)


@BOTH
def test_a_command_that_fills_the_disk_is_ended(
    make: type[Sandbox], worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_SCAN_SECONDS", 0.5)
    (worktree / "old").write_bytes(b"x" * 8 * MIB)
    command = "for i in $(seq 12); do head -c 1000000 /dev/zero > f$i; done; echo written; sleep 30"
    result = make().run(command, worktree, replace(LIMITS, disk_bytes=4 * MIB))
    assert (result.exit_code, result.output, result.timed_out) == (None, "written\n", False)
    assert result.limited == ("the limit of 4 MiB written to the disk was reached",)


def test_what_was_there_before_does_not_count(worktree: Path) -> None:
    (worktree / "old").write_bytes(b"x" * 2 * MIB)
    time.sleep(0.05)
    watch = DiskWatch([worktree], MIB)
    (worktree / "new").write_bytes(b"x" * (MIB // 2))
    os.link(worktree / "new", worktree / "again")
    assert watch._written() < MIB
    (worktree / "more").write_bytes(b"x" * MIB)
    assert watch._written() > MIB


def test_many_small_files_count_as_blocks(worktree: Path) -> None:
    watch = DiskWatch([worktree], 100 * 4096)
    for number in range(101):
        (worktree / str(number)).touch()
    assert watch._written() > 100 * 4096


def test_a_disk_that_is_nearly_full_ends_the_command_whoever_filled_it(
    worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([(900, 500), (499, 500)])
    monkeypatch.setattr(disk, "_free", lambda _folder: next(free))
    monkeypatch.setattr(disk, "_EVERY_SECONDS", 0.0)
    assert "nearly full" in DiskWatch([worktree], MIB).exceeded()


def test_the_tree_is_not_walked_without_need(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(DiskWatch, "_written", lambda _watch: pytest.fail("it was walked"))
    assert DiskWatch([worktree], 1 << 60).exceeded() == ""


# The owner's limits


def test_the_owners_limits_count_and_the_callers_time(worktree: Path) -> None:
    caps = Limits(processes=77, file_bytes=2 * MIB)
    result = Capped(Bubblewrap(), caps).run(
        ["bash", "-c", "ulimit -Hu; ulimit -Hf; sleep 20"], worktree, Limits(seconds=1, output_bytes=3)
    )
    assert result.timed_out
    assert result.truncated
    limits = child_module.limited(["x"], caps, caps.processes)
    assert f"--fsize={2 * MIB}" in limits


def test_the_settings_become_the_limits_of_every_command(tmp_path: Path) -> None:
    wanted = {"memory_mb": 100, "processes": 50, "file_mb": 3, "scratch_mb": 4, "disk_mb": 5, "mode": "none"}
    opened = make_workspace(tmp_path, settings={"sandbox": wanted})
    box = begin.sandbox_of(opened)(Repository.open(opened.repo))
    assert isinstance(box, Capped)
    assert box.caps == Limits(
        memory_bytes=100 * MIB, processes=50, file_bytes=3 * MIB, scratch_bytes=4 * MIB, disk_bytes=5 * MIB
    )
    assert box.name == "none"


def test_checks_say_which_limit_ended_them(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_SCAN_SECONDS", 0.3)
    box = Capped(Bubblewrap(), replace(LIMITS, disk_bytes=MIB))
    checks = run_checks(box, worktree, "", "head -c 3000000 /dev/zero > big; sleep 20", 30, ())
    assert checks.why == (
        "The test command was stopped before its end. The limit of 1 MiB written to the disk was reached."
    )
