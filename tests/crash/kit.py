"""Verbs that are disturbed at one exact call of the kernel.

Owns the arena (a workspace and its repository, copied fresh for each trial), the recording of what a verb asks the
kernel for, and the running of a verb under strace with one fault injected. What must hold afterwards is in `holds`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

from tests.crash.scenes import Scene, copy, model_for, prepare
from tests.sessions import Stage, program_environment
from watchbill.workspace import Workspace

ROOT = Path(__file__).parents[2]
SECONDS = 90
FILE_CALLS = (
    "link,linkat,unlink,unlinkat,rename,renameat,renameat2,fsync,fdatasync,syncfs,"
    "write,pwrite64,openat,mkdir,mkdirat,ftruncate"
)
PROCESS_CALLS = "clone,clone3,fork,vfork,execve,wait4,waitid,kill,exit_group"
CALLS = f"{FILE_CALLS},{PROCESS_CALLS}"
# The others have two paths, and strace looks at both. What a write writes may look like a path as well.
_FOUND_BY_THE_FIRST = ("rename", "write", "pwrite64")
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESULT = re.compile(r"\) += (-?\d+)")
_PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"|\d+<([^>]*)>')
_PASSING = re.compile(r"\.tmp\b|tmp_obj_|/objects/|/dev/null|[./]\d+-[0-9a-f]{8}")
# Where a process stands says nothing about a file that it names in full.
_STANDING_ASIDE = re.compile(r'AT_FDCWD<[^>]*>, "/')

Kind = Literal["change", "look", "log", "process"]


def need_strace() -> str:
    """Where strace is. Fails, with what to do, when it is missing."""
    found = shutil.which("strace")
    assert found, "strace is missing, and without it no crash can be tried; on Debian: apt-get install strace"
    return found


@dataclass(frozen=True)
class Call:
    """One call of a recording at which a fault makes sense. `path` is set where it is the same in every run.

    `number` counts the calls of that name in its thread, `number_there` those about `path`, both from 1. It changes
    the arena, opens a file of it for reading (`look`), writes the log, or is about processes.
    """

    name: str
    path: str
    number: int
    number_there: int
    is_ours: bool
    text: str
    kind: Kind = "change"

    @property
    def rule(self) -> tuple[str, ...]:
        """Where strace finds it again, and what is put in front of a fault in its rule."""
        return ("-P", self.path) if self.path else ()

    def when(self, fault: str) -> str:
        """The rule of an injection."""
        return f"inject={self.name}:{fault}:when={self.number_there if self.path else self.number}"

    def __str__(self) -> str:
        return f"{self.name} #{self.number} {self.text}"


@dataclass(frozen=True)
class Done:
    """How a verb ended: its exit code (negative: the signal), what it said, and whether the fault was met."""

    code: int
    out: str
    err: str
    hit: bool = False


@dataclass
class Resident:
    """The process that runs the verbs. See `resident`: it dies with this one."""

    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.resident"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._answer()

    def ask(self, **order: Any) -> dict[str, Any]:
        """Give one order."""
        pipe = self.process.stdin
        assert pipe is not None
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        pipe = self.process.stdout
        assert pipe is not None
        line = pipe.readline()
        assert line, "the process that runs the verbs has died"
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class Arena:
    """Where scenes are set, one at a time: at `place`, which belongs to one test process alone.

    What must survive the place itself (the scenes' beginnings, logs, output) lies in `root`. The place has a folder of
    its own around it, `ground`, on which another disk can be mounted.
    """

    root: Path
    place: Path = field(default_factory=Path)
    resident: Resident = field(default_factory=Resident)
    prepared: dict[str, Path] = field(default_factory=dict)
    recorded: dict[str, list[Call]] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.place == Path():
            self.place = self.ground / "arena"

    @property
    def ground(self) -> Path:
        return self.root / "ground"

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.place / "watch")

    def set(self, scene: Scene) -> Workspace:
        """A fresh copy of the scene's beginning."""
        if scene.name not in self.prepared:
            if self.place.exists():
                shutil.rmtree(self.place)
            prepare(scene, self.place)
            self.prepared[scene.name] = self.root / f"stock-{scene.name}"
            copy(self.place, self.prepared[scene.name])
        copy(self.prepared[scene.name], self.place)
        return self.workspace

    @contextmanager
    def play(self, scene: Scene) -> Iterator[Stage]:
        """The scene with its model."""
        with model_for(scene, self.set(scene)) as on:
            yield on

    def run(self, on: Stage, verb: Sequence[str], patch: str = "", log: Path | None = None) -> Done:
        """A verb, undisturbed; with a `log` its calls are written there."""
        return self._run(on, verb, [], patch, log=log)

    def record(self, scene: Scene, verb: Sequence[str] = (), first: Sequence[str] = ()) -> list[Call]:
        """The calls of the scene's verb, or of another one, at which a fault can be injected. `first` is run before,
        and not recorded."""
        verb = verb or scene.verb
        key = " ".join((scene.name, *first, *verb))
        if key not in self.recorded:
            with self.play(scene) as on:
                log = self.root / "recorded.log"
                if first:
                    self.run(on, first)
                done = self._run(on, verb, [], log=log)
                assert done.code == 0, done.err
            self.recorded[key] = read_calls(log.read_text("utf-8", "replace"), self.place)
        return self.recorded[key]

    def disturbed(
        self,
        on: Stage,
        verb: Sequence[str],
        call: Call,
        fault: str,
        patch: str = "",
        first: Callable[[], None] = lambda: None,
    ) -> Done:
        """A verb with a fault at `call`: `signal=KILL`, `error=…`, or `power`: it and all its children die right after
        the call, and `first` is done before they do."""
        if fault == "power":
            return self._run(on, verb, [*call.rule, "-e", call.when("signal=STOP")], patch, first)
        done = self._run(on, verb, [*call.rule, "-e", call.when(fault)], patch)
        if fault.startswith("error=") and call.name == "openat" and not call.path:
            # What is read varies with the age of the files, and so the number at which a temporary file is opened.
            log = (self.root / "strace.log").read_text("utf-8", "replace")
            met = [line for line in log.splitlines() if "(INJECTED)" in line]
            return replace(done, hit=any("O_CREAT" in line for line in met))
        return done

    def _run(
        self,
        on: Stage,
        verb: Sequence[str],
        options: Sequence[str],
        patch: str = "",
        at_stop: Callable[[], None] | None = None,
        log: Path | None = None,
    ) -> Done:
        out, err = self.root / "out", self.root / "err"
        env = {**program_environment(on.model.url, on.workspace), "TMPDIR": str(self._own_temporary_folder())}
        started = self.resident.ask(
            do="start", args=list(verb), env=env, cwd=str(on.workspace.root), out=str(out), err=str(err), patch=patch
        )
        pid = started["pid"]
        tracer: Tracer | None = None
        try:
            if options or log:
                tracer = Tracer(pid, log or self.root / "strace.log", options)
            self.resident.ask(do="go", pid=pid)
            if tracer:
                tracer.follow(at_stop)
            else:
                _wait_for_end(pid)
        finally:
            _kill_group(pid)
            code = self.resident.ask(do="wait", pid=pid)["code"]
            if tracer:
                tracer.close()
        hit = bool(tracer and tracer.met_the_fault())
        return Done(code, out.read_text("utf-8", "replace"), err.read_text("utf-8", "replace"), hit)

    def _own_temporary_folder(self) -> Path:
        """What a killed verb leaves there must neither pile up nor help the next one."""
        folder = self.root / "tmp"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder


class Tracer:
    """strace, attached to a process that has not begun yet."""

    def __init__(self, pid: int, log: Path, options: Sequence[str]) -> None:
        self.log = log
        log.write_text("")
        command = [need_strace(), "-f", "-y", "-s", "300", "-o", str(log), "-e", f"trace={CALLS}", *options]
        self.process = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        pipe = self.process.stderr
        assert pipe is not None
        self._pipe: IO[str] = pipe
        said = pipe.readline()
        while said and "attached" not in said:
            said = pipe.readline()
        assert said, "strace could not attach"

    def follow(self, at_stop: Callable[[], None] | None) -> None:
        """Until everything that was traced has ended. With `at_stop`, the first that stops ends them all."""
        until = time.monotonic() + SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it hangs; see {self.log}"
            if at_stop and "SIGSTOP" in self.log.read_text("utf-8", "replace"):
                at_stop()
                self._end_all()
                at_stop = None
            time.sleep(0.004)

    def met_the_fault(self) -> bool:
        text = self.log.read_text("utf-8", "replace")
        return "(INJECTED)" in text or "killed by SIGKILL" in text or "SIGSTOP" in text

    def close(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def _end_all(self) -> None:
        for child in _traced_by(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def _traced_by(tracer: int) -> list[int]:
    """Everything that `tracer` traces now: read from the kernel, since a process that made no call is in no log."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"TracerPid:\t{tracer}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def _wait_for_end(pid: int) -> None:
    until = time.monotonic() + SECONDS
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        assert time.monotonic() < until, "it hangs"
        time.sleep(0.004)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def read_calls(log: str, place: Path) -> list[Call]:
    """The calls about files below `place` and about processes, each with the first address that leads to no other."""
    counted: Counter[tuple[str, str]] = Counter()
    there: Counter[tuple[str, str, str]] = Counter()
    lines = [(match[1], match[2], match[3]) for line in log.splitlines() if (match := _LINE.match(line))]
    ours = _our_threads(log)
    taken: set[tuple[str, str, int]] = set()
    calls = []
    for thread, name, rest in lines:
        counted[thread, name] += 1
        given = rest.rpartition(") = ")[0] or rest
        paths = dict.fromkeys(one or two for one, two in _PATHS.findall(given) if (one or two).startswith("/"))
        if name in _FOUND_BY_THE_FIRST:
            paths = dict.fromkeys(list(paths)[:1])
        for path in paths:
            there[thread, name, path] += 1
        by_number = ("", name, counted[thread, name])
        is_first = by_number not in taken
        taken.add(by_number)
        free = [path for path in paths if (path, name, there[thread, name, path]) not in taken]
        taken |= {(path, name, there[thread, name, path]) for path in paths}
        kind = _kind(name, rest, place)
        if kind is None:
            continue
        # Neither names with a random part nor folders, whose other files would count as well.
        steady = [path for path in free if path.startswith(str(place)) and not _PASSING.search(path)]
        path = steady[-1] if steady else ""
        if path or is_first:
            number_there = there[thread, name, path] if path else 0
            calls.append(Call(name, path, counted[thread, name], number_there, thread in ours, rest[:160], kind))
    return calls


def changes(calls: Sequence[Call]) -> list[Call]:
    """Those after which the arena is another, the log apart."""
    return [call for call in calls if call.kind == "change"]


def _kind(name: str, rest: str, place: Path) -> Kind | None:
    """What a call is to the arena; None when nothing depends on it."""
    result = _RESULT.search(rest)
    if result and int(result[1]) < 0:
        return None
    if name in PROCESS_CALLS.split(","):
        # A look at whether a child has ended, which it has not, is repeated as often as there is time for.
        return None if name in ("wait4", "waitid") and "WNOHANG" in rest else "process"
    about = _STANDING_ASIDE.sub('"/', rest)
    if str(place) not in about:
        return None
    if name in ("write", "pwrite64"):
        target = re.match(r"\d+<([^>]*)>", rest)
        if not target or not target[1].startswith(str(place)):
            return None
    if "/.watchbill/logs" in about:
        return "log"
    return "look" if name == "openat" and "O_CREAT" not in about else "change"


def _our_threads(log: str) -> set[str]:
    """The threads of the verb itself: those that ended together with its process, or before, without a program.

    A child of git or a shell opens the dynamic loader's cache first; our threads never do.
    """
    threads: dict[str, bool] = {}
    for line in log.splitlines():
        match = _LINE.match(line)
        if match and match[1] not in threads:
            threads[match[1]] = True
        if match and "/etc/ld.so.cache" in match[3]:
            threads[match[1]] = False
    return {thread for thread, is_ours in threads.items() if is_ours}


def sample(calls: Sequence[Call], most: int) -> list[Call]:
    """At most `most` of them, evenly spread, the first and the last among them."""
    if len(calls) <= most:
        return list(calls)
    if most == 1:
        return [calls[len(calls) // 2]]
    return [calls[round(index * (len(calls) - 1) / (most - 1))] for index in range(most)]
