"""`watchbill watch` as a person calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.stages.waiting_workspace import ask_something, decisions, make_workspace, with_answer

# A parent that ignores Ctrl-C (a job in the background) hands that on; a terminal does not.
AS_IN_A_TERMINAL = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from watchbill.__main__ import main; sys.exit(main())"
)


def command(workspace: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", AS_IN_A_TERMINAL, "--workspace", str(workspace), "watch", *words]


def test_it_publishes_what_was_answered_and_ends_when_its_time_is_over(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    item = ask_something(workspace)
    item.write_text(with_answer(item, "approve"), "utf-8")
    done = subprocess.run(command(workspace.root, "--seconds", "0.5"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "T-0001-0001: approve (from the file); T-0001 goes to build" in done.stderr
    assert decisions(workspace) == ["approve"]


def test_the_routing_is_read_anew_for_each_answer(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    item = ask_something(workspace)
    good = workspace.layout.routing.read_text("utf-8")
    process = subprocess.Popen(command(workspace.root, "--seconds", "60"), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        workspace.layout.routing.write_text(good + "[no_such_table]\n", "utf-8")
        item.write_text(with_answer(item, "approve"), "utf-8")
        assert "no_such_table" in process.stderr.readline()
        assert decisions(workspace) == []
        workspace.layout.routing.write_text(good, "utf-8")
        assert "T-0001-0001: approve" in process.stderr.readline()
    finally:
        process.kill()
        process.wait()
    assert decisions(workspace) == ["approve"]


def test_ctrl_c_is_its_usual_end(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    process = subprocess.Popen(command(workspace.root), stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("watching ")
        process.send_signal(2)
        assert process.wait(30) == 0
        assert process.stderr.read().startswith("stopped watching")
    finally:
        process.kill()
