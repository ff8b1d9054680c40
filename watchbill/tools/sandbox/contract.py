"""What every sandbox promises: the limits it is given and the result it hands back.

Owns the words only. It never starts anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

MIB = 1024 * 1024
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Limits:
    """How much one command may use.

    `seconds` is wall time for the command and everything it started. `output_bytes` is how much of its output is
    kept. `processes` counts processes and threads, and `memory_bytes` the memory, of all of them together where a
    control group can be made. Elsewhere they are resource limits: the processes of this user (which the kernel does
    not enforce for root) and the data of each process; a `memory_bytes` of None is no limit. `file_bytes` is the
    size of one file, `scratch_bytes` that of the whole of /tmp inside (where there is a private one), `disk_bytes`
    what may be added to the worktree and the other folders on disk.
    """

    seconds: float = 120
    output_bytes: int = 100_000
    processes: int = 1024
    memory_bytes: int | None = 4096 * MIB
    file_bytes: int = 1024 * MIB
    scratch_bytes: int = 1024 * MIB
    disk_bytes: int = 4096 * MIB


@dataclass(frozen=True)
class Result:
    """What a command did. `exit_code` is None when it was stopped (by the time limit, the limit of the disk or the
    caller), and 128 + N when signal N ended it. `output` is stdout and stderr as they came, safe to show on a
    terminal. `limited` has a sentence for each limit other than that of time that it ran into.
    """

    exit_code: int | None
    output: str
    timed_out: bool
    truncated: bool
    limited: tuple[str, ...] = ()


class Sandbox(Protocol):
    """Runs a command where it can write its worktree and a scratch folder, and nothing else."""

    @property
    def name(self) -> str:
        """What is stamped on records: bubblewrap, seatbelt, landlock or none."""
        ...

    def run(
        self,
        command: Sequence[str] | str,
        worktree: Path,
        limits: Limits,
        *,
        network: bool = False,
        write: Sequence[Path] = (),
        env: Mapping[str, str] = NO_VARIABLES,
        stop: threading.Event | None = None,
    ) -> Result:
        """Run `command` in `worktree` and wait until it and all that it started are gone.

        A str goes to a shell inside. `write` names further folders it may write. `env` is added to an
        environment built from nothing. Setting `stop` from another thread ends the command as the time limit does,
        except that `timed_out` stays False. Raises Misconfigured when the sandbox itself cannot start, Refused when
        starting it would open something it must not.
        """
        ...


def also_reading(sandbox: Sandbox, folders: Sequence[Path]) -> Sandbox:
    """The same sandbox with more folders to read; itself where everything can be read anyway."""
    extend: Callable[[Sequence[Path]], Sandbox] | None = getattr(sandbox, "also_reading", None)
    return sandbox if extend is None else extend(folders)
