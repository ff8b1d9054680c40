"""A control group for one command: how many processes and how much memory all of it together may have.

Owns finding a place where groups can be made (version 1 or 2, tried once), the group's life, and what it says about
limits that were reached. Whatever is still in a group at its end is killed. Where no group can be made there is none,
and resource limits of each process have to do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchbill.tools.sandbox.contract import MIB, Limits

# What stands around the command itself: the shell that enters the group, bwrap outside and inside.
_AROUND = 8
# A shell adds variables of its own, which would be seen inside.
_ENTER = (
    'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec env -u PWD -u OLDPWD -u _ -- "$@"'
)
_NAME = "watchbill"
_OURS = re.compile(r".+-(\d+)-(\d+)-[0-9a-f]{8}")
_CONTROLLERS = ("pids", "memory")
_REMOVING_SECONDS = 5.0


@dataclass(frozen=True)
class Groups:
    """Where groups can be made: by controller, the folder of the parent group. In version 2 both are the same."""

    version: int
    parents: Mapping[str, Path]


@dataclass(frozen=True)
class Group:
    """One command's group: by controller, its folder."""

    version: int
    folders: Mapping[str, Path]

    def entering(self, command: Sequence[str]) -> list[str]:
        """`command`, started inside: it enters before it becomes the command, so nothing of it was ever outside."""
        doors = [str(folder / "cgroup.procs") for folder in dict.fromkeys(self.folders.values())]
        return ["/bin/sh", "-c", _ENTER, "sh", *doors, "--", *command]

    def limit(self, limits: Limits) -> None:
        """Set the limits. Raises OSError where the kernel does not take them."""
        pids, memory = self.folders["pids"], self.folders["memory"]
        (pids / "pids.max").write_text(str(limits.processes + _AROUND))
        if limits.memory_bytes is None:
            return
        first, swap = ("memory.max", "memory.swap.max")
        value, swap_value = str(limits.memory_bytes), "0"
        if self.version == 1:
            first, swap, swap_value = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", value
        (memory / first).write_text(value)
        with contextlib.suppress(OSError):  # without swap accounting there is no such file
            (memory / swap).write_text(swap_value)

    def reached(self, limits: Limits) -> tuple[str, ...]:
        """A sentence for each limit that something in the group ran into."""
        said = []
        if _count(self.folders["pids"] / "pids.events", "max"):
            said.append(f"the limit of {limits.processes} processes and threads was reached")
        events = "memory.events" if self.version == 2 else "memory.oom_control"
        if _count(self.folders["memory"] / events, "oom_kill"):
            said.append(f"the limit of {(limits.memory_bytes or 0) // MIB} MiB of memory was reached")
        return tuple(said)

    def end(self) -> None:
        """Kill what is still inside and remove the group."""
        deadline = time.monotonic() + _REMOVING_SECONDS
        for folder in dict.fromkeys(self.folders.values()):
            while not _remove(folder) and time.monotonic() < deadline:
                time.sleep(0.002)


@contextlib.contextmanager
def grouped(limits: Limits) -> Iterator[Group | None]:
    """A group with `limits` for one command, gone afterwards with all that is in it; None where none can be made."""
    groups = available()
    if groups is None:
        yield None
        return
    group = _make(groups)
    try:
        group.limit(limits)
        yield group
    finally:
        group.end()


@functools.cache
def available() -> Groups | None:
    """Where this process can make groups, found by making one and entering it. Looked for once."""
    if sys.platform != "linux":
        return None
    for groups in _candidates(Path("/proc/self")):
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            group = _make(groups)
            stack.callback(group.end)
            group.limit(Limits())
            tried = subprocess.run(group.entering(["/bin/true"]), env={}, capture_output=True, timeout=10, check=False)
            if tried.returncode == 0:
                return groups
    return None


def remove_leftovers() -> list[str]:
    """Kill and remove the groups of engines that are dead, and name them."""
    groups = available()
    gone = []
    for parent in dict.fromkeys(groups.parents.values()) if groups else ():
        for folder in parent.glob(f"{_NAME}-*"):
            match = _OURS.fullmatch(folder.name)
            if match and _born(int(match[1])) != match[2]:
                Group(groups.version if groups else 1, {"pids": folder}).end()
                gone.append(folder.name)
    return sorted(set(gone))


def _make(groups: Groups) -> Group:
    name = f"{_NAME}-{os.getpid()}-{_born(os.getpid())}-{secrets.token_hex(4)}"
    group = Group(groups.version, {controller: parent / name for controller, parent in groups.parents.items()})
    try:
        for folder in dict.fromkeys(group.folders.values()):
            folder.mkdir()
    except OSError:
        group.end()
        raise
    return group


def _candidates(process: Path) -> Iterator[Groups]:
    """Places to try: the parents of version 1's hierarchies, and version 2's own group and the one above."""
    own = dict(_memberships((process / "cgroup").read_text()))
    mounts = list(_mounts((process / "mountinfo").read_text()))
    first = {name: place for name in _CONTROLLERS if (place := _place(mounts, own, name)) is not None}
    if len(first) == len(_CONTROLLERS):
        yield Groups(1, first)
    unified = _place(mounts, own, "")
    if unified is not None:
        for place in (unified, unified.parent):
            control = place / "cgroup.subtree_control"
            with contextlib.suppress(OSError):
                if not _is_on(control):
                    control.write_text("+pids +memory")  # refused where processes live in that very group
                if _is_on(control):
                    yield Groups(2, dict.fromkeys(_CONTROLLERS, place))


def _is_on(control: Path) -> bool:
    return set(_CONTROLLERS) <= set(control.read_text().split())


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """By controller, the group that a process is in; "" stands for version 2's."""
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            yield controller, path


def _mounts(text: str) -> Iterator[tuple[str, str, Path]]:
    """By controller, the root within its hierarchy and the folder where it is mounted."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            yield "", root, Path(place)
        elif kind == "cgroup":
            for option in options.split(","):
                yield option, root, Path(place)


def _place(mounts: Sequence[tuple[str, str, Path]], own: Mapping[str, str], controller: str) -> Path | None:
    for name, root, place in mounts:
        if name == controller and controller in own:
            path = own[controller]
            inside = path[len(root) :] if path.startswith(root) else ""
            return place / inside.strip("/")
    return None


def _remove(folder: Path) -> bool:
    """Remove one group; while something is in it, kill that instead and answer False."""
    with contextlib.suppress(FileNotFoundError):
        for process in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(process), signal.SIGKILL)
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _count(file: Path, key: str) -> int:
    """The number after `key` in a file of lines "key number"; 0 when it is not there."""
    try:
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == key and value.isdigit():
                return int(value)
    except OSError:
        return 0
    return 0


def _born(process: int) -> str:
    """When a process was started, in the kernel's ticks: with its number it names one process for ever."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""
