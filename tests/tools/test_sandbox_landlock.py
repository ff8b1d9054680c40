"""The sandbox for machines without name spaces, tried from inside. It needs a kernel with Landlock 6 (Linux 6.12)."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tools.test_sandbox import LIMITS, VENV, daemon, git, sleepers
from watchbill.errors import Misconfigured, Refused
from watchbill.tools.sandbox import Bubblewrap, Result, attempt_forbidden_acts, child, choose, landlock, seccomp
from watchbill.tools.sandbox import bubblewrap as bubblewrap_module
from watchbill.tools.sandbox.landlock import Landlock


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    folder = tmp_path / "a wörktree, with spaces"
    folder.mkdir()
    return folder


def run(worktree: Path, command: str | list[str], read: list[Path] | None = None, **more: Any) -> Result:
    return Landlock(read or []).run(command, worktree, LIMITS, **more)


def python(worktree: Path, script: str, *words: str, **more: Any) -> Result:
    return run(worktree, ["python", "-c", script, *words], [VENV], **more)


# What it lets through


def test_the_attempts_fail_and_it_is_chosen() -> None:
    box = choose("landlock", [], None)
    assert [attempt.act for attempt in attempt_forbidden_acts(box) if not attempt.held] == []


def test_a_command_works_in_its_worktree(worktree: Path) -> None:
    result = run(worktree, "pwd; echo out; echo err >&2; cat; echo made > made.txt; mkdir d; mv made.txt d/x; exit 3")
    assert result == Result(3, f"{worktree}\nout\nerr\n", timed_out=False, truncated=False)
    assert (worktree / "d" / "x").read_text() == "made\n"
    assert run(worktree, "kill -9 $$").exit_code == 137
    assert run(worktree, ["no-such-program"]).exit_code == 127


def test_modes_and_times_inside_are_changed(worktree: Path) -> None:
    command = (
        "mkdir d && echo '#!/bin/sh' > d/run && chmod 0750 d/run && touch -d '2020-02-02 UTC' d/run && ln -s run d/l "
        "&& tar cf all.tar d && rm -r d && tar xf all.tar && cp -p d/run run && ./run && chmod 700 run"
    )
    assert run(worktree, command) == Result(0, "", timed_out=False, truncated=False)
    status = (worktree / "d" / "run").stat()
    assert (status.st_mode & 0o777, int(status.st_mtime)) == (0o750, 1580601600)
    assert (worktree / "run").stat().st_mode & 0o777 == 0o700


def test_every_call_for_times_is_carried_out(worktree: Path) -> None:
    script = (
        "import ctypes, os, struct\n"
        "open('f', 'w').close()\n"
        "os.utime('f', ns=(1_500_000_001, 2_500_000_002)); print(os.stat('f').st_mtime_ns)\n"
        "fd = os.open('f', os.O_RDONLY); os.utime(fd, (3, 4)); print(os.stat('f').st_mtime)\n"
        "os.symlink('f', 'l'); os.utime('l', (5, 6), follow_symlinks=False); print(os.lstat('l').st_mtime)\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.utimes(b'f', struct.pack('qqqq', 7, 0, 8, 9)); print(os.stat('f').st_mtime_ns)\n"
        "os.fchmod(fd, 0o604); print(oct(os.stat('f').st_mode)); os.utime('f'); print(os.stat('f').st_mtime > 1e9)\n"
        "d = os.open('.', os.O_RDONLY); os.chmod('f', 0o640, dir_fd=d); os.chown('f', -1, -1); os.fchown(fd, -1, -1)\n"
        "os.chmod('/proc/self/fd/%d' % fd, 0o641); print(oct(os.stat('f').st_mode))\n"
    )
    expected = ["2500000002", "4.0", "6.0", "8000009000", "0o100604", "True", "0o100641"]
    assert python(worktree, script).output.split() == expected


def test_the_projects_tests_run(worktree: Path) -> None:
    (worktree / "test_it.py").write_text("def test_it(tmp_path):\n    assert tmp_path.is_dir()\n")
    result = run(worktree, "python -m pytest -q -p no:cacheprovider", [VENV])
    assert "1 passed" in result.output


def test_a_further_folder_can_be_written_and_scratch_is_gone_afterwards(worktree: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    result = run(worktree, f"echo x > '{extra}/x'; echo x > $TMPDIR/y; chmod 0 $HOME; echo $TMPDIR", write=[extra])
    assert (extra / "x").read_text() == "x\n"
    assert not Path(result.output.strip()).exists()


# What it does not


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "a").write_text("the secret\n")
    (folder / "a").chmod(0o600)
    os.utime(folder / "a", (1, 1))
    return folder


def state(folder: Path) -> list[tuple[Any, ...]]:
    paths = [folder, *sorted(folder.rglob("*"))]
    seen = [(path, path.lstat()) for path in paths]
    return [(path.name, one.st_mode, one.st_uid, one.st_mtime_ns, one.st_nlink, one.st_size) for path, one in seen]


@pytest.mark.parametrize(
    "attack",
    [
        "cat a", "echo x > a", "echo x >> a", "rm a", "mv a b", "touch b", "touch a", "touch -d 2020-01-01 a", "ls",
        "chmod 777 a", "chmod 777 .", "chown 1 a", "chgrp 1 a", 'ln a "$HERE/hard"', 'mv a "$HERE/hard"', "mkdir d",
        "mkfifo p", "truncate -s0 a", "ln -s /etc/shadow l", 'cp "$HERE/x" b', 'mv "$HERE/x" b',
        "dd if=/dev/zero of=a bs=1 count=1", "setfattr -n user.x -v y a",
    ],
)  # fmt: skip
def test_nothing_outside_is_touched(worktree: Path, outside: Path, attack: str) -> None:
    (worktree / "x").touch()
    (worktree / "door").symlink_to(outside)
    before = state(outside)
    for door in (outside, worktree / "door"):
        result = run(worktree, f'cd "$OUT" && {attack}', env={"OUT": str(door), "HERE": str(worktree)})
        assert result.exit_code != 0, result.output
        assert "cd:" not in result.output
        assert "the secret" not in result.output
    assert state(outside) == before


def test_what_can_be_read_cannot_be_changed_through_its_descriptor(worktree: Path, outside: Path) -> None:
    script = (
        "import fcntl, os, struct, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "def a(): os.fchmod(fd, 0o777)\n"
        "def b(): os.utime(fd, (9, 9))\n"
        "def c(): os.chmod('/proc/self/fd/%d' % fd, 0o777)\n"
        "def d(): os.setxattr(fd, 'user.x', b'y')\n"
        "def e(): fcntl.ioctl(fd, 0x40086602, struct.pack('l', 0x40))\n"
        "def f(): os.fchown(fd, 1, 1)\n"
        "for act in (a, b, c, d, e, f):\n"
        "    try: act(); print(act.__name__)\n"
        "    except OSError: pass\n"
        "print(os.read(fd, 99))"
    )
    before = state(outside)
    result = run(worktree, ["python", "-c", script, str(outside / "a")], [VENV, outside])
    assert result.output == "b'the secret\\n'\n"
    assert state(outside) == before


def test_no_file_becomes_setuid(worktree: Path) -> None:
    assert run(worktree, "touch f; chmod 4755 f").exit_code != 0
    assert (worktree / "f").stat().st_mode & 0o6000 == 0


def test_a_read_path_inside_the_worktree_cannot_be_swapped_for_a_link(worktree: Path, outside: Path) -> None:
    (worktree / "deps").symlink_to(outside)
    assert "the secret" not in run(worktree, f"cat deps/a; cat '{outside}/a'", [worktree / "deps"]).output


def test_the_engines_secrets_are_out_of_reach(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = secrets.token_hex(16)
    monkeypatch.setenv("WATCHBILL_TEST_SECRET", value)
    with subprocess.Popen(["sleep", "30"], env={"SECRET": value}) as bystander:
        try:
            listing = f"env; cat /proc/[0-9]*/environ /proc/{bystander.pid}/environ | tr '\\0' '\\n'"
            assert value not in run(worktree, listing).output
            for name in ("mem", "maps", "cwd/", "root/etc/shadow", "fd/"):
                for process in (bystander.pid, os.getpid()):
                    assert run(worktree, f"ls /proc/{process}/{name} && cat /proc/{process}/{name}").exit_code != 0
            assert run(worktree, f"kill -0 {bystander.pid} || kill -0 {os.getpid()}").exit_code != 0
            assert run(worktree, f"prlimit --pid {bystander.pid} --nofile=3:3").exit_code != 0
            assert run(
                worktree, f"renice 5 {bystander.pid} || renice 5 -u root || taskset -p 1 {os.getpid()}"
            ).exit_code
        finally:
            bystander.kill()


def test_open_files_of_the_engine_are_not_inherited(worktree: Path, outside: Path) -> None:
    with (outside / "a").open() as file:
        os.set_inheritable(file.fileno(), True)
        result = run(worktree, ["/bin/sh", "-c", "ls -l /proc/self/fd"])
    assert "outside" not in result.output
    assert result.output.count(" -> ") == 4, "0, 1, 2 and the folder that is being listed"


def test_no_capability_is_left(worktree: Path) -> None:
    status = run(worktree, "grep -E '^Cap' /proc/self/status; grep NoNewPrivs /proc/self/status").output.split()
    assert set(status[1::2]) == {"0" * 16, "1"}


CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"


def test_the_network_is_there_only_when_asked_for(worktree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert "Permission denied" in python(worktree, CONNECT, port).output
        assert python(worktree, CONNECT, port, network=True).exit_code == 0


@pytest.mark.parametrize("network", [False, True])
def test_sockets_of_the_host_are_never_reached(worktree: Path, tmp_path: Path, network: bool) -> None:
    script = (
        "import socket, sys\n"
        "def refused(*words):\n"
        "    try: socket.socket(*words)\n"
        "    except OSError: return True\n"
        "assert refused(socket.AF_UNIX, socket.SOCK_STREAM) and refused(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "assert refused(socket.AF_PACKET, socket.SOCK_RAW) and refused(socket.AF_INET, socket.SOCK_RAW, 1)\n"
        "assert refused(socket.AF_VSOCK, socket.SOCK_STREAM) and refused(socket.AF_ALG, socket.SOCK_SEQPACKET)\n"
        "try: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); assert False\n"
        "except PermissionError: pass\n"
        "one, two = socket.socketpair(); one.send(b'pairs work'); print(two.recv(99))\n"
        "try: one.connect(sys.argv[1]); assert False\n"
        "except OSError: pass\n"
    )
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        result = python(worktree, script, str(tmp_path / "socket"), network=network)
    assert result.output == "b'pairs work'\n"


# Ends


def test_a_daemon_left_behind_dies_with_its_command(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchbill.tools.sandbox.control_groups.available", lambda: None)  # the launcher alone does it
    for ending, seconds, code in ((daemon, 30, 0), (lambda marker: f"{daemon(marker)}; sleep 60", 1, None)):
        marker = worktree / f"daemon-{secrets.token_hex(8)}"
        result = Landlock().run(ending(marker), worktree, replace(LIMITS, seconds=seconds))
        assert (result.exit_code, result.timed_out) == (code, code is None), result.output
        assert marker.exists()
        assert sleepers(marker.name) == []


ENGINE = """
import sys
from pathlib import Path
from watchbill.tools.sandbox import Limits
from watchbill.tools.sandbox.landlock import Landlock
Landlock().run(sys.argv[1], Path(sys.argv[2]), Limits(seconds=60))
"""


def test_the_death_of_the_engine_ends_the_command(worktree: Path) -> None:
    marker = worktree / f"daemon-{secrets.token_hex(8)}"
    engine = subprocess.Popen([sys.executable, "-c", ENGINE, f"{daemon(marker)}; sleep 60", str(worktree)])
    try:
        deadline = time.monotonic() + 30
        while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sleepers(marker.name)
    finally:
        engine.kill()
        engine.wait()
    deadline = time.monotonic() + 20
    while sleepers(marker.name) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sleepers(marker.name) == []


def test_a_sandbox_that_cannot_be_set_up_is_not_a_failed_command(
    worktree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Misconfigured, match="could not be set up"):
        run(tmp_path / "nowhere", "true")
    monkeypatch.setattr(landlock, "_ALL_FILES", 1 << 60)
    with pytest.raises(Misconfigured, match="landlock: Invalid argument"):
        run(worktree, "true")


# Git


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git("init", "-q", "-b", "main", cwd=folder)
    (folder / "a.txt").write_text("one\n")
    git("add", "a.txt", cwd=folder)
    git("commit", "-q", "-m", "the first commit", cwd=folder)
    git("config", "remote.origin.url", "https://me:hunter2@example.org/x.git", cwd=folder)
    git("worktree", "add", "-q", "-b", "watchbill/T-0001", str(tmp_path / "T-0001"), cwd=folder)
    return folder


def test_git_reads_history_and_no_password(repo: Path, tmp_path: Path) -> None:
    tree = tmp_path / "T-0001"
    pointer = (tree / ".git").read_bytes()
    (tree / "a.txt").write_text("two\n")
    box = Landlock(repo_git_dir=repo / ".git")
    result = box.run("git log --oneline && git status --short && git diff && git branch", tree, LIMITS)
    assert result.exit_code == 0, result.output
    for piece in ("the first commit", " M a.txt", "+two", "* watchbill/T-0001"):
        assert piece in result.output
    assert box.run(f"cat '{repo}/.git/config'; git config -l", tree, LIMITS).output.count("hunter2") == 0
    assert (tree / ".git").read_bytes() == pointer


@pytest.mark.parametrize(
    "attack",
    [
        "echo gitdir: /tmp/evil > .git", "rm -f .git", "mv .git other; ln -s /tmp .git", "rm .git; mkdir -p .git/hooks",
        "rm .git; mkdir .git; touch .git/x; chmod 0 .git", "rm .git; mkfifo .git", "ln .git again; echo x > again",
        "git -c user.name=x -c user.email=x@y commit --allow-empty -m x && git branch evil && git gc -q",
    ],
)  # fmt: skip
def test_git_is_afterwards_what_it_was(repo: Path, tmp_path: Path, attack: str) -> None:
    tree = tmp_path / "T-0001"
    pointer = (tree / ".git").read_bytes()
    refs, files = git("for-each-ref", cwd=repo), sorted(path.name for path in (repo / ".git").rglob("*"))
    result = Landlock(repo_git_dir=repo / ".git").run(attack, tree, LIMITS)
    assert result.exit_code == 0, result.output
    assert (tree / ".git").read_bytes() == pointer
    assert (tree / ".git").stat().st_nlink == 1
    assert git("for-each-ref", cwd=repo) == refs
    assert sorted(path.name for path in (repo / ".git").rglob("*")) == files


def test_a_git_folder_is_refused(repo: Path) -> None:
    with pytest.raises(Refused, match="pointer"):
        run(repo, "true")


# Each guard, switched off once: the attempts find it out


def without(*calls: str) -> Callable[[pytest.MonkeyPatch], None]:
    def switch_off(patch: pytest.MonkeyPatch) -> None:
        rules = seccomp._rules
        kept = lambda network: [rule for rule in rules(network) if rule.call not in calls]  # noqa: E731
        patch.setattr(seccomp, "_rules", kept)

    return switch_off


def ungoverned(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(landlock, name, 0)


def all_of(*switches: Callable[[pytest.MonkeyPatch], None]) -> Callable[[pytest.MonkeyPatch], None]:
    def switch_off(patch: pytest.MonkeyPatch) -> None:
        for switch in switches:
            switch(patch)

    return switch_off


def everything_writable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(landlock, "_SYSTEM", ("/",))
    patch.setattr(landlock, "_READ", landlock._WRITE)


@pytest.mark.parametrize(
    ("switch_off", "acts"),
    [
        (without("chmod", "fchmodat", "fchmodat2"), {"change the mode of a file outside"}),
        (without("socket"), {"connect to a socket file of the host"}),
        (all_of(without("socket"), ungoverned("_ALL_PORTS")), {"connect to the network"}),
        (all_of(without("socket"), ungoverned("_ALL_SCOPES")), {"connect to a socket of the host"}),
        (ungoverned("_ALL_SCOPES"), {"end a process of the host"}),
        (without("unshare"), {"make a name space"}),
        (everything_writable, {"write outside the worktree", "read a file outside the worktree"}),
        (everything_writable, {"link a file outside into the worktree"}),
        (lambda patch: patch.setattr(landlock, "_put_back", lambda *_: None), {"point the worktree's git elsewhere"}),
    ],
)
def test_a_landlock_without_one_of_its_guards_is_found_out(
    switch_off: Callable[[pytest.MonkeyPatch], None], acts: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_off(monkeypatch)
    assert acts <= {attempt.act for attempt in attempt_forbidden_acts(Landlock()) if not attempt.held}
    with pytest.raises(Misconfigured, match="did not hold"):
        choose("landlock", [], None)


def isolation(*, drop: tuple[str, ...] = (), add: tuple[str, ...] = ()) -> Callable[[pytest.MonkeyPatch], None]:
    def switch_off(patch: pytest.MonkeyPatch) -> None:
        real = Bubblewrap._isolation

        def fewer(box: Bubblewrap, network: bool) -> list[str]:
            text = " ".join(real(box, network))
            for words in drop:
                assert words in text
                text = text.replace(words, "")
            return [*text.split(), *add]

        patch.setattr(Bubblewrap, "_isolation", fewer)

    return switch_off


def with_the_environment(patch: pytest.MonkeyPatch) -> None:
    real = child.run_child
    patch.setattr(bubblewrap_module, "run_child", lambda *a, **k: real(*a, **{**k, "env": dict(os.environ)}))


def without_git_on_top(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bubblewrap_module, "_has_git_entry", lambda _worktree: False)


# A user of its own inside is a second fence around the first: both have to go.
RIGHTS = ("--cap-drop ALL", "--disable-userns", "--uid 1000 --gid 1000")


@pytest.mark.parametrize(
    ("switch_off", "acts"),
    [
        (isolation(add=("--share-net",)), {"connect to the network", "connect to a socket of the host"}),
        (
            isolation(drop=("--cap-drop ALL", "--disable-userns", "--uid 1000 --gid 1000"), add=("--cap-add", "ALL")),
            {"mount a file system"},
        ),
        (isolation(drop=("--disable-userns",)), {"make a name space"}),
        (with_the_environment, {"see a variable of the host"}),
        (without_git_on_top, {"point the worktree's git elsewhere"}),
    ],
)
def test_a_bubblewrap_without_one_of_its_guards_is_found_out(
    switch_off: Callable[[pytest.MonkeyPatch], None], acts: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_off(monkeypatch)
    assert acts <= {attempt.act for attempt in attempt_forbidden_acts(Bubblewrap()) if not attempt.held}


# The filter, as the kernel reads it


def decided(machine: str, call: str, *arguments: int, network: bool = False) -> int:
    """What the filter answers to a call: this runs its instructions as the kernel would."""
    column = seccomp.MACHINES[machine]
    number = seccomp._CALLS[call][column] if not call.isdigit() else int(call)
    data = struct.pack("<iIQ6Q", number, seccomp._ARCHITECTURES[column], 0, *(arguments + (0,) * 6)[:6])
    return interpret(seccomp.filter_program(machine, network=network), data)


def interpret(program: bytes, data: bytes) -> int:
    words = list(struct.iter_unpack("<HBBI", program))
    position = held = 0
    while True:
        code, if_true, if_false, value = words[position]
        position += 1
        if code == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif code == 0x54:
            held &= value
        elif code in (0x15, 0x35):
            position += if_true if (held == value if code == 0x15 else held >= value) else if_false
        elif code == 0x06:
            return int(value)
        else:
            pytest.fail(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_decides_alike_on_every_machine(machine: str) -> None:
    refused = 0x00050000

    def is_refused(*call: Any, **more: Any) -> bool:
        return decided(machine, *call, **more) & 0xFFFF0000 == refused

    for call in ("ptrace", "mount", "setns", "bpf", "keyctl", "io_uring_setup", "clone3", "shmget", "999"):
        assert is_refused(call), call
    assert decided(machine, "fchmodat") == seccomp.ASK
    for flags in (0x10000000, 0x20000, 0x40000000 | 17, 0x02000000, 0x7E020000):
        assert is_refused("clone", flags)
        assert decided(machine, "clone", 17 | (flags & 0xFFF)) == seccomp.ALLOW
    assert is_refused("ioctl", 0, 0x5412) and not is_refused("ioctl", 0, 0x5401)
    assert is_refused("prlimit64", 4321) and not is_refused("prlimit64", 0)
    assert is_refused("setpriority", 2, 0) and is_refused("setpriority", 0, 77) and not is_refused("setpriority", 0, 0)
    assert is_refused("socket", 2, 1) and not is_refused("socket", 2, 1 | 0o2000000, network=True)
    for family, kind in ((1, 1), (1, 2), (17, 3), (2, 3), (16, 3), (38, 5)):
        assert is_refused("socket", family, kind, 15, network=True), family
    assert not is_refused("socket", 16, 3, 0, network=True)
    assert is_refused("socketpair", 1, 2) and not is_refused("socketpair", 1, 1 | 0o4000)
    read = {"x86_64": "0", "aarch64": "63"}[machine]
    assert decided(machine, read) == seccomp.ALLOW


def test_calls_of_another_machine_are_fatal() -> None:
    program = seccomp.filter_program("x86_64", network=True)
    assert interpret(program, struct.pack("<iIQ6Q", 1, 0x40000003, *[0] * 7)) == seccomp.KILL
    assert interpret(program, struct.pack("<iIQ6Q", 0x40000000 + 1, 0xC000003E, *[0] * 7)) == 0x00050000 | 38


def test_the_numbers_are_those_of_this_machines_headers() -> None:
    headers = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h")
    for column, header in enumerate(headers):
        known: dict[str, int] = {}
        for line in header.read_text().splitlines() if header.exists() else ():
            words = line.replace("__NR3264_", "__NR_").split()
            if len(words) == 3 and words[0] == "#define" and words[2].isdigit():
                known.setdefault(words[1].removeprefix("__NR_"), int(words[2]))
        for call, numbers in seccomp._CALLS.items():
            assert numbers[column] == known.get(call, numbers[column]), call


def test_an_unknown_machine_has_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(Misconfigured, match="riscv64"):
        Landlock()


def test_the_signal_of_a_finished_limit_is_kept(worktree: Path) -> None:
    result = Landlock().run("exec head -c 3000000 /dev/zero > big", worktree, replace(LIMITS, file_bytes=1 << 20))
    assert (result.exit_code, len(result.limited)) == (128 + signal.SIGXFSZ, 1)


def test_without_groups_what_the_user_runs_already_does_not_count(
    worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchbill.tools.sandbox.control_groups.available", lambda: None)
    assert int(run(worktree, ["bash", "-c", "ulimit -Hu"]).output) > LIMITS.processes
