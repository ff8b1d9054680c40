"""The Linux sandbox: bubblewrap with a minimal root, no network, no capabilities and an empty environment.

Owns the mounts and the name spaces. Inside, a command sees the system's programs and the owner's read paths,
read-only; it writes its worktree, the folders it was given for writing, and private memory file systems that
vanish with it. It never sees the host's home, sockets, processes or variables.

Besides the limits that every child has, the private file systems have a size.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchbill.errors import Misconfigured, Refused
from watchbill.tools.sandbox.child import as_words, environment, limited, not_started, run_child
from watchbill.tools.sandbox.contract import MIB, NO_VARIABLES, Limits, Result
from watchbill.tools.sandbox.readable import check_read_paths, program_folders, readable_folders, spellings
from watchbill.tools.sandbox.shown import ETC, shown_config

HOME = "/tmp/home"
_USER = "1000"
_SHARED_MEMORY_BYTES = 256 * MIB
_LAST_PROCESS_SECONDS = 10.0

_ROOT_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ROOT_FOLDERS = ("/usr", "/nix/store")
_MADE_UP = {
    "/etc/passwd": f"watchbill:x:{_USER}:{_USER}:watchbill:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "/etc/group": f"watchbill:x:{_USER}:\nnogroup:x:65534:\n",
    # Inside, files of other users look like nobody's; without this git refuses a repository that another user owns.
    "/etc/gitconfig": "[safe]\n\tdirectory = *\n",
}
_HOSTS = "127.0.0.1 localhost watchbill\n::1 localhost\n"


@dataclass(frozen=True)
class _Mount:
    source: Path
    place: Path
    writable: bool


class Bubblewrap:
    """Runs commands under `bwrap`. `program` is where it is; None looks it up in PATH.

    `read` are folders shown read-only at the same place (missing ones are skipped); `repo_git_dir` is the common
    git folder of the worktrees, shown read-only so that git can read history.
    """

    name = "bubblewrap"

    def __init__(self, read: Sequence[Path] = (), repo_git_dir: Path | None = None, program: str | None = None) -> None:
        check_read_paths(read)
        self._read = tuple(read)
        self._repo_git_dir = repo_git_dir
        self._program = program or shutil.which("bwrap") or "bwrap"
        self._help: str | None = None

    def also_reading(self, folders: Sequence[Path]) -> Bubblewrap:
        """The same sandbox with more folders to read."""
        return Bubblewrap([*self._read, *folders], self._repo_git_dir, self._program)

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
        """See Sandbox. With `network` the host's network is shared as it is, its local services included."""
        with contextlib.ExitStack() as opened:
            arguments, descriptors = self._arguments(worktree, limits, network, write, env, opened)
            settings = opened.enter_context(_in_memory("\0".join(arguments) + "\0"))
            status_out, status_in = os.pipe()
            opened.callback(os.close, status_out)
            status = _Status(status_out)
            argv = [self._program, "--args", str(settings), "--json-status-fd", str(status_in), "--"]
            try:
                result = run_child(
                    [*argv, *_behind_limits(command, limits)],
                    env={},  # its environment can be read from inside, in /proc/1/environ
                    cwd="/",
                    limits=limits,
                    disk=[worktree, *write],
                    pass_fds=[settings, status_in, *descriptors],
                    stop=stop,
                    sweep=status.wait_until_nothing_runs,
                )
            finally:
                os.close(status_in)
            if result.exit_code is not None and not status.command_ended():
                raise Misconfigured(
                    f"The sandbox could not be set up: {result.output.strip() or 'bwrap gave no reason'}",
                    "Run `watchbill doctor`, which tries it and says what is missing.",
                )
            return result

    def _arguments(
        self,
        worktree: Path,
        limits: Limits,
        network: bool,
        write: Sequence[Path],
        env: Mapping[str, str],
        opened: contextlib.ExitStack,
    ) -> tuple[list[str], list[int]]:
        files = {**_MADE_UP, **({} if network else {"/etc/hosts": _HOSTS})}
        files.update(self._shown_git_configs(worktree))
        words = [
            *self._isolation(network),
            *_system(network),
            *self._private_memory(limits),
            *_as_arguments(self._mounts(worktree, write)),
        ]
        descriptors = []
        for place, text in files.items():
            descriptor = opened.enter_context(_in_memory(text))
            descriptors.append(descriptor)
            words += ["--perms", "0444", "--ro-bind-data", str(descriptor), place]
        # Only now, when everything has its place, the root itself can be closed for writing.
        words += ["--remount-ro", "/", "--chdir", str(spellings(worktree)[0])]
        for name, value in environment(program_folders(self._read), HOME, "/tmp", env).items():
            words += ["--setenv", name, value]
        return _without_nul(words), descriptors

    def _isolation(self, network: bool) -> list[str]:
        words = ["--unshare-all", "--unshare-user", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        words += ["--uid", _USER, "--gid", _USER, "--hostname", "watchbill"]
        if self._knows("--disable-userns"):
            words.append("--disable-userns")
        if network:
            words.append("--share-net")
        return words

    def _private_memory(self, limits: Limits) -> list[str]:
        def sized(count: int) -> list[str]:
            return ["--size", str(count)] if self._knows("--size") else []

        return [
            *["--proc", "/proc", "--dev", "/dev"],
            *[*sized(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"],
            *["--perms", "1777", *sized(limits.scratch_bytes), "--tmpfs", "/tmp", "--dir", HOME],
            *["--dir", "/run", "--dir", "/var", "--symlink", "/tmp", "/var/tmp"],
        ]

    def _knows(self, option: str) -> bool:
        """Whether this bwrap has `option`; asked once, because options were added over the years."""
        if self._help is None:
            try:
                answer = subprocess.run([self._program, "--help"], env={}, capture_output=True, timeout=10, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise not_started(self._program, error) from error
            self._help = answer.stdout.decode(errors="replace")
        return option in self._help

    def _mounts(self, worktree: Path, write: Sequence[Path]) -> list[_Mount]:
        """What is shown at its own place. A path inside another comes after it; the later of two equal ones wins."""
        mounts: dict[Path, _Mount] = {}
        real = Path(os.path.realpath(worktree))

        def show(path: Path, writable: bool) -> None:
            for place in spellings(path):
                mounts[place] = _Mount(Path(os.path.realpath(path)), place, writable)

        # What lies inside the worktree is there already, and a link planted there must not be followed from outside.
        for folder in readable_folders(path for path in self._read if not _is_inside(path, worktree, real)):
            show(folder, writable=False)
        if self._repo_git_dir is not None and not _is_inside(self._repo_git_dir, worktree, real):
            show(self._repo_git_dir, writable=False)
        show(worktree, writable=True)
        for folder in write:
            if not _is_inside(folder, worktree, real):
                show(folder, writable=True)
        if _has_git_entry(worktree):
            for place in spellings(worktree):
                mounts[place / ".git"] = _Mount(real / ".git", place / ".git", writable=False)
        return sorted(mounts.values(), key=lambda mount: len(mount.place.parts))

    def _shown_git_configs(self, worktree: Path) -> dict[str, str]:
        git_dirs = [] if self._repo_git_dir is None else [self._repo_git_dir]
        if _has_git_entry(worktree) and (worktree / ".git").is_dir():
            git_dirs.append(worktree / ".git")
        return {
            str(place / name): shown_config(git_dir / name)
            for git_dir in git_dirs
            for place in spellings(git_dir)
            for name in ("config", "config.worktree")
            if (git_dir / name).is_file()
        }


def _behind_limits(command: Sequence[str] | str, limits: Limits) -> list[str]:
    return limited(as_words(command), limits, limits.processes)


def _system(network: bool) -> list[str]:
    """The read-only root: programs and libraries, and the little of /etc that they need."""
    words: list[str] = []
    for folder in _ROOT_FOLDERS:
        words += ["--ro-bind-try", folder, folder]
    for name in _ROOT_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]  # noqa: PTH115
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    for name in [*ETC, *(["hosts", "resolv.conf"] if network else [])]:
        place = f"/etc/{name}"
        if os.path.exists(place):  # noqa: PTH110  (a dangling link is as good as missing)
            words += ["--ro-bind", os.path.realpath(place), place]
    return words


def _as_arguments(mounts: Sequence[_Mount]) -> list[str]:
    words: list[str] = []
    for mount in mounts:
        words += ["--bind" if mount.writable else "--ro-bind", str(mount.source), str(mount.place)]
    return words


def _is_inside(path: Path, *folders: Path) -> bool:
    return any(spelling.is_relative_to(folder) for spelling in spellings(path) for folder in folders)


def _has_git_entry(worktree: Path) -> bool:
    """Whether there is a `.git` to protect. Raises Refused for a link: mounting it would open what it points to."""
    try:
        kind = (worktree / ".git").lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
        return True
    raise Refused(
        f"{worktree / '.git'} is neither a file nor a folder. Somebody may have replaced it.",
        "Look at it, then remove the worktree; the next run makes a new one.",
    )


def _without_nul(words: list[str]) -> list[str]:
    if any("\0" in word for word in words):
        raise Refused("A path or variable for the sandbox contains a NUL character.")
    return words


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[int]:
    """A descriptor from which `text` can be read, that exists nowhere on disk."""
    descriptor = os.memfd_create("watchbill")
    try:
        os.write(descriptor, text.encode("utf-8", errors="surrogateescape"))
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


class _Status:
    """What bwrap tells about itself through its status descriptor; the command inside does not have it."""

    def __init__(self, stream: int) -> None:
        os.set_blocking(stream, False)
        self._stream = stream
        self._text = b""

    def wait_until_nothing_runs(self) -> None:
        """Wait for the end of the first process inside, which comes after that of every other one."""
        first = self._told("child-pid")
        if first is None:
            return
        try:
            handle = os.pidfd_open(first)
        except OSError:
            return  # it is gone already
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.poll(_LAST_PROCESS_SECONDS * 1000)
        finally:
            os.close(handle)

    def command_ended(self) -> bool:
        """Whether the command was started at all: without it, an exit code is that of bwrap."""
        return self._told("exit-code") is not None

    def _told(self, key: str) -> int | None:
        with contextlib.suppress(BlockingIOError):
            self._text += os.read(self._stream, 65_536)
        for line in self._text.decode(errors="replace").splitlines():
            # It may be read while it is being written.
            with contextlib.suppress(ValueError, RecursionError, AttributeError):
                value = json.loads(line).get(key)
                if isinstance(value, int):
                    return value
        return None
