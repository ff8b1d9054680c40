"""A run's temporary files are told from those of a run that died, even while a folder is just being made."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from watchbill.errors import TryLater
from watchbill.files.scratch import abandoned, scratch

HOLDS = "import sys; from pathlib import Path; from watchbill.files.scratch import scratch\n"
HOLDS += "with scratch(Path(sys.argv[1])) as own: print(own, flush=True); sys.stdin.read()"


def holder(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_temporary_files_lie_there_and_only_meanwhile(tmp_path: Path) -> None:
    folder, before = tmp_path / "tmp", tempfile.gettempdir()
    with scratch(folder) as own:
        assert own.parent == folder
        assert own.stat().st_mode & 0o777 == 0o700
        with tempfile.TemporaryDirectory() as inside:
            assert Path(inside).parent == own
        (own / "left").write_text("1")
        assert abandoned(folder) == []
    assert tempfile.gettempdir() == before
    assert list(folder.iterdir()) == []


def test_only_what_nobody_holds_is_abandoned(tmp_path: Path) -> None:
    assert abandoned(tmp_path / "none") == []
    with holder(tmp_path) as dead, holder(tmp_path) as living:
        assert dead.stdout and living.stdout
        left, _ = Path(dead.stdout.readline().strip()), living.stdout.readline()
        dead.kill()
        dead.wait()
        (tmp_path / "a file").write_text("1")
        (tmp_path / "a link").symlink_to(tmp_path)
        assert abandoned(tmp_path) == sorted([tmp_path / "a file", tmp_path / "a link", left])
        living.kill()


def test_a_folder_that_is_just_being_made_is_not_abandoned(tmp_path: Path) -> None:
    # Another run has made its folder and does not hold it yet; whoever looks waits for that.
    maker = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(maker, fcntl.LOCK_EX)
    (tmp_path / "1-0123abcd").mkdir()
    found: list[list[Path]] = []
    looking = threading.Thread(target=lambda: found.append(abandoned(tmp_path)))
    looking.start()
    looking.join(0.2)
    assert not found
    held = os.open(tmp_path / "1-0123abcd", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.close(maker)
    looking.join()
    assert found == [[]]
    os.close(held)


def test_a_workspace_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "tmp").write_text("a file")
    with pytest.raises(TryLater), scratch(tmp_path / "tmp"):
        pass
