"""Verbs that stand still at one exact call of the kernel while others run.

Owns the scene in which every verb has its work, and the holding of a verb, so that an overlap is certain and not only
likely. What must hold afterwards is in `tests/crash/holds`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.holds import doubles, leftovers, spending, violations
from tests.crash.kit import SECONDS, Arena, Done, Tracer
from tests.crash.scenes import Scene
from tests.sessions import Stage, bash, builds, hands_over, program_environment, reviews, take
from tests.workspaces import write_ticket

STOP = "signal=STOP"


def _everything_to_do(on: Stage) -> None:
    """T-0001 and T-0002 are reviewed, T-0003 waits for T-0001, T-0005 asks a human, T-0006 is built, T-0004 is new."""
    write_ticket(on.workspace, "T-0005", "The fifth")
    on.run("build")
    on.review()
    write_ticket(on.workspace, "T-0006", "The sixth")
    on.run("build")
    write_ticket(on.workspace, "T-0004", "The fourth")
    on.plan("build", "qa", "security")


SCENE = Scene(
    "overlap",
    ("plan",),
    _everything_to_do,
    before=(
        builds("T-0001"),
        builds("T-0002", "other.txt", "good\n"),
        take("build", "T-0005", hands_over("blocked", requests=["Which colour?"])),
        *reviews("T-0001"),
        *reviews("T-0002"),
        builds("T-0006", "sixth.txt", "good\n"),
    ),
    takes=(take("build", "T-0004", bash("true"), hands_over("blocked", requests=["Why?"])), *reviews("T-0006")),
)


@dataclass
class Held:
    """A verb that stands still right after one call."""

    arena: Arena
    pid: int
    tracer: Tracer
    out: Path
    err: Path
    done: Done | None = field(default=None)

    def goes_on(self) -> Done:
        """Let it run to its end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)
        self.tracer.follow(None)
        return self.end()

    def end(self) -> Done:
        """How it ended; where it still runs, it is killed."""
        if self.done is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            code = self.arena.resident.ask(do="wait", pid=self.pid)["code"]
            self.tracer.close()
            self.done = Done(code, self.out.read_text("utf-8", "replace"), self.err.read_text("utf-8", "replace"))
        return self.done


@contextmanager
def held(arena: Arena, on: Stage, verb: Sequence[str], rule: Sequence[str], patch: str = "") -> Iterator[Held]:
    """A verb that is stopped at the call that `rule` (options of strace) names. It fails if it never comes there."""
    out, err = arena.root / "held-out", arena.root / "held-err"
    env = program_environment(on.model.url, on.workspace)
    order = {"args": list(verb), "env": env, "cwd": str(on.workspace.root), "out": str(out), "err": str(err)}
    pid = arena.resident.ask(do="start", patch=patch, **order)["pid"]
    tracer = Tracer(pid, arena.root / "held.log", rule)
    it = Held(arena, pid, tracer, out, err)
    try:
        arena.resident.ask(do="go", pid=pid)
        _wait_until_it_stands(it)
        yield it
    finally:
        it.end()


def _wait_until_it_stands(it: Held) -> None:
    until = time.monotonic() + SECONDS
    while "stopped by SIGSTOP" not in it.tracer.log.read_text("utf-8", "replace"):
        assert it.tracer.process.poll() is None, f"it ended without coming there: {it.err.read_text('utf-8')}"
        assert time.monotonic() < until, f"it never came there; see {it.tracer.log}"
        time.sleep(0.004)


def kill_when_there(arena: Arena, on: Stage, verb: Sequence[str], path: Path, patch: str = "") -> None:
    """Run a verb, and kill it, and nothing else, as soon as something is written at `path`."""
    env = program_environment(on.model.url, on.workspace)
    out = str(arena.root / "killed-out")
    order = {"args": list(verb), "env": env, "cwd": str(on.workspace.root), "out": out, "err": out}
    pid = arena.resident.ask(do="start", patch=patch, **order)["pid"]
    try:
        arena.resident.ask(do="go", pid=pid)
        until = time.monotonic() + SECONDS
        while not path.is_file() or not path.read_text("utf-8").strip():
            assert time.monotonic() < until, f"nothing was ever written at {path}"
            time.sleep(0.01)
    finally:
        os.kill(pid, signal.SIGKILL)
        arena.resident.ask(do="wait", pid=pid)


def with_its_lock(on: Stage, name: str) -> tuple[str, ...]:
    """Where a verb has just taken its lock and has read nothing yet."""
    return "-P", str(on.workspace.layout.lock(name)), "-e", f"inject=pwrite64:{STOP}:when=1"


def after(path: Path, call: str, number: int = 1) -> tuple[str, ...]:
    """Right after a verb's `call` about `path`."""
    return "-P", str(path), "-e", f"inject={call}:{STOP}:when={number}"


def before_publishing(arena: Arena, verb: Sequence[str], name: str, first: Sequence[str] = ()) -> tuple[str, ...]:
    """Where the document of that name is written, but has no name yet: everything it says is decided. `first` is run
    before. It plays the scene, so it comes before the scene of the test itself."""
    calls = arena.record(SCENE, verb, first)
    place = next(number for number, call in enumerate(calls) if call.name == "link" and call.path.endswith(name))
    written = next(call for call in reversed(calls[:place]) if call.name == "fsync" and call.is_ours)
    return *written.rule, "-e", written.when(STOP)


def wrong(on: Stage) -> list[str]:
    """What does not hold of the workspace, a sentence each."""
    checks = (*violations(on.workspace), *doubles(on.workspace), *leftovers(on.workspace), *spending(on))
    return list(checks)
