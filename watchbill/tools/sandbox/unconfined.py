"""No sandbox: for an owner who chose so. Its name is stamped on every record that comes out of it.

Owns a bare environment, a private scratch folder, limits, and the end of everything the command started. It
confines nothing: a command reads and writes whatever this user can.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from watchbill.tools.sandbox.child import as_words, environment, limited, run_child
from watchbill.tools.sandbox.contract import NO_VARIABLES, Limits, Result
from watchbill.tools.sandbox.readable import program_folders

_MARK = "WATCHBILL_RUN"
_MAX_ROUNDS = 50


class Unconfined:
    """Runs commands as they are. `read` only contributes folders to PATH."""

    name = "none"

    def __init__(self, read: Sequence[Path] = ()) -> None:
        self._read = tuple(read)

    def run(
        self,
        command: Sequence[str] | str,
        worktree: Path,
        limits: Limits,
        *,
        network: bool = False,  # noqa: ARG002  (it is always there)
        write: Sequence[Path] = (),  # noqa: ARG002  (everything is writable)
        env: Mapping[str, str] = NO_VARIABLES,
        stop: threading.Event | None = None,
    ) -> Result:
        """See Sandbox; but nothing is confined."""
        scratch = tempfile.mkdtemp(prefix="watchbill-scratch-")
        mark = secrets.token_hex(16)
        try:
            home = Path(scratch, "home")
            home.mkdir()
            variables = environment(program_folders(self._read), str(home), scratch, env)
            return run_child(
                limited(as_words(command), limits, processes_of_user(limits)),
                env={**variables, _MARK: mark},
                cwd=worktree,
                limits=limits,
                disk=[worktree, Path(scratch)],
                stop=stop,
                sweep=lambda: kill_marked(mark),
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def processes_of_user(limits: Limits) -> int | None:
    """The limit counts all processes of this user, so what runs already comes on top."""
    own = os.getuid()
    running = 0
    for folder in _processes_of_the_host():
        with contextlib.suppress(OSError):
            if folder.stat().st_uid == own:
                running += len(list((folder / "task").iterdir()))
    return limits.processes + running if running else None


def kill_marked(mark: str) -> None:
    """Kill every process that inherited `mark` in its environment: what left the process group (Linux only)."""
    for _ in range(_MAX_ROUNDS):
        if not [folder for folder in _processes_of_the_host() if _kill_if_marked(folder, mark)]:
            return


def _kill_if_marked(folder: Path, mark: str) -> bool:
    try:
        # The handle first, the look second: the number cannot pass to a stranger in between.
        handle = os.pidfd_open(int(folder.name))
    except OSError:
        return False
    try:
        if f"{_MARK}={mark}".encode() not in (folder / "environ").read_bytes().split(b"\0"):
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def _processes_of_the_host() -> list[Path]:
    try:
        return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    except OSError:
        return []
