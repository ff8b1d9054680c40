"""What a run needs only while it lives lies in the workspace, and the next run removes what a dead one left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.outside import asks, command, environment, handoff, script, take, tool, works
from tests.sessions import CHECK, PLAIN
from tests.workspaces import make_workspace
from watchbill.demo.server import ScriptedModel
from watchbill.workspace import Workspace

# Its own number, so that what a kill leaves of it can be ended.
LONG = "echo $$ > begun.log; exec sleep 60"


def planned(folder: Path) -> Workspace:
    workspace = make_workspace(folder, {"T-0001": "Do it"}, CHECK, PLAIN, {"sandbox": {"mode": "none", "read": []}})
    works(workspace.root, "plan")
    return workspace


@contextmanager
def in_a_long_command(workspace: Workspace, elsewhere: Path) -> Iterator[subprocess.Popen[str]]:
    """A build session whose agent has begun a command that takes long; `elsewhere` is the system's temporary folder."""
    elsewhere.mkdir()
    begun = workspace.layout.worktree("T-0001") / "begun.log"
    with ScriptedModel(script(take("build", "T-0001", tool("bash", command=LONG), handoff("build", "done")))) as model:
        running = subprocess.Popen(
            command("run", "build"),
            cwd=workspace.root,
            env=environment(**asks(model.url), TMPDIR=str(elsewhere)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(lambda: begun.exists() and begun.read_text().endswith("\n"), running)
            yield running
        finally:
            running.kill()
            running.communicate()
            os.kill(int(begun.read_text()), signal.SIGKILL)


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if what():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 seconds")


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_killed_run_leaves_nothing_that_the_next_verb_does_not_remove(tmp_path: Path) -> None:
    workspace = planned(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    with in_a_long_command(workspace, elsewhere) as running:
        running.send_signal(signal.SIGKILL)
        running.wait()
        (left,) = workspace.layout.temporary.iterdir()
        assert everything(left)
        (left / "closed").mkdir(mode=0o500)
        done = works(workspace.root, "plan", env={"TMPDIR": str(elsewhere)})
        assert "removed the temporary files of 1 run(s) that died" in done.err
        assert everything(workspace.layout.temporary) == everything(elsewhere) == []


def test_what_a_living_run_holds_is_left_to_it(tmp_path: Path) -> None:
    workspace = planned(tmp_path)
    with in_a_long_command(workspace, tmp_path / "elsewhere"):
        before = everything(workspace.layout.temporary)
        assert before
        done = works(workspace.root, "plan")
        assert "temporary" not in done.err
        assert everything(workspace.layout.temporary) == before


def test_a_run_that_ends_leaves_nothing(tmp_path: Path) -> None:
    workspace = planned(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ScriptedModel(script(take("build", "T-0001", handoff("build", "blocked")))) as model:
        works(workspace.root, "run", "all", env={**asks(model.url), "TMPDIR": str(elsewhere)})
    for verb in ("verify", "doctor"):
        works(workspace.root, verb, env={"TMPDIR": str(elsewhere)})
    assert everything(workspace.layout.temporary) == everything(elsewhere) == []
    assert workspace.layout.temporary.stat().st_mode & 0o777 == 0o700
