"""Locks that the kernel releases when their holder dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from watchbill.errors import TryLater
from watchbill.files.locks import held, is_held

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from pathlib import Path
from watchbill.files.locks import held
with held(Path(sys.argv[1]), "build session"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_process_holding(lock: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_second_holder_is_told_to_try_later_and_who_has_it(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "build.lock"
    with another_process_holding(lock) as child:
        said = rf"another build session is under way \(process {child.pid}\)"
        with pytest.raises(TryLater, match=said), held(lock, "build session"):
            raise AssertionError("both hold it")
        assert is_held(lock)


def test_two_holders_in_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    with held(tmp_path / "a.lock", "plan"), pytest.raises(TryLater), held(tmp_path / "a.lock", "plan"):
        raise AssertionError("both hold it")


def test_a_lock_is_free_after_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    for _ in range(2):
        with held(lock, "plan"):
            assert is_held(lock)
        assert not is_held(lock)


def test_a_lock_is_free_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), held(tmp_path / "a.lock", "plan"):
        raise RuntimeError
    assert not is_held(tmp_path / "a.lock")


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with another_process_holding(lock) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=10)
        with held(lock, "build session"):
            assert lock.read_text() == str(os.getpid())


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with held(lock, "build session"):
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.readline()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout and child.stdout.readline() == b"up\n"
    try:
        assert not is_held(lock)
        with held(lock, "build session"):
            pass
    finally:
        child.communicate(b"\n", timeout=10)


def test_different_locks_do_not_meet(tmp_path: Path) -> None:
    with held(tmp_path / "build.lock", "build session"), held(tmp_path / "qa.lock", "qa session"):
        assert is_held(tmp_path / "build.lock") and is_held(tmp_path / "qa.lock")


def test_a_lock_that_nobody_ever_took_is_free(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "none.lock")


def test_looking_at_a_lock_does_not_keep_anybody_out(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    with held(lock, "plan"):
        pass
    program = "import sys\nfrom pathlib import Path\nfrom watchbill.files.locks import is_held\nprint(flush=True)\n"
    program += "while True: is_held(Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, str(lock)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as watcher:
        try:
            assert watcher.stdout and watcher.stdout.readline()
            for _ in range(300):
                with held(lock, "plan"):
                    pass
        finally:
            watcher.kill()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "a.lock").symlink_to("victim")
    with pytest.raises(TryLater), held(tmp_path / "a.lock", "plan"):
        raise AssertionError
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    lock.symlink_to("/dev/full")
    program = """
import os, sys
from pathlib import Path
import watchbill.files.locks as locks
os.O_NOFOLLOW = 0  # the full disk is a device here
try:
    with locks.held(Path(sys.argv[1]), "plan"):
        print("held")
except locks.TryLater as error:
    print(error.reason)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(lock)], capture_output=True, text=True, env=environment, timeout=30
    )
    assert done.stdout.startswith(f"cannot write {lock}: "), done.stderr
