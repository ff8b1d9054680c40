"""One child process: started, read with a bound, and ended together with everything it started.

Owns the start, the time limit, the resource limits, the environment, and the kill. It confines nothing: that is
the work of the command line it is given.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from watchbill.errors import SHORTAGE_HINT, SHORTAGES, Misconfigured, TryLater
from watchbill.tools.sandbox import control_groups
from watchbill.tools.sandbox.contract import MIB, Limits, Result
from watchbill.tools.sandbox.disk import DiskWatch
from watchbill.tools.sandbox.output import Capture

SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
_CHUNK = 65_536
_GLANCE_SECONDS = 0.05
_DRAIN_SECONDS = 2.0
_FAREWELL_SECONDS = 6.0
_ENDS = ("", "exited", "timed out", "stopped")

# The limits that a plain shell can set, for systems without prlimit: bytes as blocks of 512, data in KiB.
# The name of the process limit differs between shells.
_ULIMIT = (
    'ulimit -c 0 && ulimit -f "$1" && { [ -z "$2" ] || ulimit -u "$2" 2>/dev/null || ulimit -p "$2"; } '
    '&& { [ -z "$3" ] || ulimit -d "$3"; } && shift 3 && exec "$@"'
)


def environment(folders: Sequence[Path], home: str, scratch: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command, built from nothing. `folders` come first in its PATH."""
    return {
        "PATH": ":".join([*(str(folder) for folder in folders), *SYSTEM_PATH]),
        "HOME": home,
        "TMPDIR": scratch,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "CI": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        **extra,
    }


def as_words(command: Sequence[str] | str) -> list[str]:
    """`command` as an argument vector; a str becomes a script for bash, or for sh where there is no bash."""
    if isinstance(command, str):
        shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
        return [shell, "-c", command]
    return list(command)


def limited(command: Sequence[str], limits: Limits, processes: int | None) -> list[str]:
    """`command` behind a small program that sets its resource limits and then becomes it.

    A limit is never above the one this process already has. `processes` of None leaves that limit alone. Processes
    and memory are limited here only where no control group does it for all of them together.
    """
    file_bytes = _at_most(limits.file_bytes, resource.RLIMIT_FSIZE)
    is_grouped = control_groups.available() is not None
    count = None if processes is None or is_grouped else _at_most(processes, resource.RLIMIT_NPROC)
    memory = None if is_grouped else limits.memory_bytes
    if memory is not None:
        # Not the address space: Java, Node and Go reserve far more of it than they ever use.
        memory = _at_most(memory, resource.RLIMIT_DATA)
    prlimit = shutil.which("prlimit", path=":".join(SYSTEM_PATH))
    if prlimit is None:
        blocks = str(max(file_bytes // 512, 1))
        kib = "" if memory is None else str(max(memory // 1024, 1))
        return ["/bin/sh", "-c", _ULIMIT, "sh", blocks, "" if count is None else str(count), kib, *command]
    words = [prlimit, "--core=0", f"--fsize={file_bytes}"]
    if count is not None:
        words.append(f"--nproc={count}")
    if memory is not None:
        words.append(f"--data={memory}")
    return [*words, "--", *command]


def _at_most(wanted: int, kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def run_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | str,
    limits: Limits,
    disk: Sequence[Path] = (),
    pass_fds: Sequence[int] = (),
    stop: threading.Event | None = None,
    farewell: Callable[[], None] | None = None,
    sweep: Callable[[], None] = lambda: None,
) -> Result:
    """Run `argv` in a session of its own, read its output, and return only when its process group is dead.

    `disk` are the folders that may grow by `limits.disk_bytes` together. `farewell` asks the child to end what it
    started; it has a few seconds for that before it is killed. `sweep` ends what left the process group;
    it runs after the group was killed, also when this is interrupted. A control group, where there is one, ends
    whatever is left then.
    The caller's thread stays here until the end: a child that dies with its parent is bound to that thread.
    Raises Misconfigured when the program cannot be started, and TryLater when the machine is short of something.
    """
    capture = Capture(limits.output_bytes)
    ended = ""
    with contextlib.ExitStack() as outer, contextlib.ExitStack() as held:
        group = outer.enter_context(control_groups.grouped(limits))
        held.enter_context(_signals_held())
        child = _start(group.entering(argv) if group else argv, env, cwd, pass_fds)
        assert child.stdout is not None
        stream = child.stdout.fileno()
        watch = DiskWatch(disk, limits.disk_bytes)
        try:
            held.close()  # from here on, an interrupt finds the child in our care
            ended = _read_until_end(child, stream, capture, time.monotonic() + limits.seconds, stop, watch)
        finally:
            with _signals_held():
                if farewell is not None:
                    farewell()
                    _give_time(child)
                _kill_group(child)
                sweep()
                _drain(stream, capture)
                child.stdout.close()
                code = child.wait()
        reached = group.reached(limits) if group else ()
    exit_code = (code if code >= 0 else 128 - code) if ended == "exited" else None
    if exit_code == 128 + signal.SIGXFSZ:
        reached = (*reached, f"the limit of {limits.file_bytes // MIB} MiB for one file was reached")
    if ended not in _ENDS:
        reached = (*reached, ended)
    return Result(exit_code, capture.text(), ended == "timed out", capture.truncated, reached)


def _start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | str, pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        raise not_started(argv[0], error) from error


def not_started(program: str, error: Exception) -> Misconfigured | TryLater:
    """The error for a program that did not start."""
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        return TryLater(f"{program} could not be started: {error.strerror}", SHORTAGE_HINT)
    return Misconfigured(f"{program} could not be started: {error}", "Run `watchbill doctor`.")


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Keep an interrupt from tearing the start or the end of a child: it is raised again when this is left.

    Handlers belong to the main thread, and so does the exception: elsewhere there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    arrived: list[int] = []
    for number, handler in handlers.items():
        if callable(handler):
            signal.signal(number, lambda signum, _frame: arrived.append(signum))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, handler)
        for signum in dict.fromkeys(arrived):
            signal.raise_signal(signum)


def _read_until_end(
    child: subprocess.Popen[bytes],
    stream: int,
    capture: Capture,
    deadline: float,
    stop: threading.Event | None,
    watch: DiskWatch,
) -> str:
    """Read until the first process exits, the deadline, the caller's stop, or a limit of the disk; and say which."""
    is_open = True
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return "timed out"
        if stop is not None and stop.is_set():
            return "stopped"
        exceeded = watch.exceeded()
        if exceeded:
            return exceeded
        # A glance now and then, because a daemon may hold the pipe open, or fill it, after its parent's end.
        glance = min(remaining, _GLANCE_SECONDS)
        if is_open and _readable(stream, glance):
            chunk = os.read(stream, _CHUNK)
            capture.feed(chunk)
            is_open = bool(chunk)
        if _has_exited(child):
            return "exited"
        if not is_open:
            time.sleep(min(glance, 0.002))


def _readable(stream: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(stream, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(seconds * 1000))


def _has_exited(child: subprocess.Popen[bytes]) -> bool:
    if sys.platform == "darwin":
        return child.poll() is not None
    # The exit is looked at without being collected: the number stays taken, so that the later kill of the group
    # cannot hit a stranger.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _give_time(child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _FAREWELL_SECONDS
    while not _has_exited(child) and time.monotonic() < deadline:
        time.sleep(0.002)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _drain(stream: int, capture: Capture) -> None:
    """Take what is left in the pipe of the dead; somebody who escaped and still writes is not waited for."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    while time.monotonic() < deadline and _readable(stream, 0.2):
        chunk = os.read(stream, _CHUNK)
        if not chunk:
            return
        capture.feed(chunk)
