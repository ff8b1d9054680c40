"""The Linux sandbox where no name spaces can be made: Landlock for files and signals, seccomp for everything else.

Owns what a command may open, and the worktree's `.git`, which Landlock cannot protect: no rule can take back, for one
name, what another gives for the folder around it. So the engine gives commands a private copy of the little of git that
they need to read history, and puts `.git` back when everything that ran is dead. The engine itself never trusts that
file (see `tools/git`), which is why no copy of the whole worktree is needed.

What is weaker than with bubblewrap: a command sees that files and processes of the host exist (not what is in them),
/tmp and /dev/shm are not there for it, and no server can be tried over loopback. Its network is the host's or none.
"""

from __future__ import annotations

import contextlib
import ctypes
import marshal
import os
import platform
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchbill.errors import Misconfigured, Refused
from watchbill.tools.sandbox import landlock_launcher, seccomp
from watchbill.tools.sandbox.child import as_words, environment, limited, run_child
from watchbill.tools.sandbox.contract import NO_VARIABLES, Limits, Result
from watchbill.tools.sandbox.readable import check_read_paths, program_folders, readable_folders, spellings
from watchbill.tools.sandbox.shown import ETC, shown_config
from watchbill.tools.sandbox.unconfined import processes_of_user

# Version 6 (Linux 6.12) is the first that keeps signals and abstract sockets in.
NEEDED_VERSION = 6
_CREATE_RULESET, _ASK_VERSION = 444, 1
_SECCOMP_NUMBERS = {"x86_64": 317, "aarch64": 277}

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_ALL_FILES = (1 << 16) - 1
_ALL_PORTS, _ALL_SCOPES = 3, 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_WRITE = _ALL_FILES & ~(_MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
_ON_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

_SYSTEM = ("/usr", "/nix/store", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc")
_USERS = ("passwd", "group")
_NETWORK_ETC = ("hosts", "resolv.conf")
_DEVICES = ("null", "zero", "full", "random", "urandom")


def version() -> int:
    """Which version of Landlock this kernel has; 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


class Landlock:
    """Runs commands under Landlock and seccomp. The arguments are those of Bubblewrap.

    Raises Misconfigured where the kernel or the machine cannot do it.
    """

    name = "landlock"

    def __init__(self, read: Sequence[Path] = (), repo_git_dir: Path | None = None) -> None:
        check_read_paths(read)
        self._read = tuple(read)
        self._repo_git_dir = repo_git_dir
        if platform.machine() not in seccomp.MACHINES:
            raise Misconfigured(f"There is no list of system calls for {platform.machine()}.")
        found = version()
        if found < NEEDED_VERSION:
            has = f"has version {found} of Landlock" if found else "has no Landlock"
            raise Misconfigured(f"This kernel {has}; version {NEEDED_VERSION} (Linux 6.12) is needed.")

    def also_reading(self, folders: Sequence[Path]) -> Landlock:
        """The same sandbox with more folders to read."""
        return Landlock([*self._read, *folders], self._repo_git_dir)

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
        """See Sandbox."""
        if not worktree.is_dir():
            raise Misconfigured(f"The sandbox could not be set up: there is no folder {worktree}.")
        scratch = Path(os.path.realpath(tempfile.mkdtemp(prefix="watchbill-scratch-")))
        try:
            (scratch / "home").mkdir()
            folders = [worktree, scratch, *write]
            with self._history_lent(worktree, scratch / "git") as objects:
                plan: dict[str, Any] = {
                    "command": limited(as_words(command), limits, processes_of_user(limits)),
                    "folder": str(spellings(worktree)[0]),
                    "rules": self._rules(folders, objects, network),
                    "files": _ALL_FILES,
                    "ports": 0 if network else _ALL_PORTS,
                    "scopes": _ALL_SCOPES,
                    "filter": seccomp.filter_program(platform.machine(), network=network),
                    "calls": seccomp.numbers(platform.machine(), seccomp.HANDED_OVER),
                    "writable": [os.path.realpath(folder) for folder in folders],
                    "seccomp": _SECCOMP_NUMBERS[platform.machine()],
                }
                variables = environment(program_folders(self._read), str(scratch / "home"), str(scratch), env)
                variables |= {"PWD": plan["folder"], "GIT_CONFIG_NOSYSTEM": "1"}
                return _launched(plan, variables, limits, folders, stop)
        finally:
            _remove(scratch)

    def _rules(self, writable: Sequence[Path], objects: Path | None, network: bool) -> list[tuple[str, int]]:
        names = [*ETC, *_USERS, *(_NETWORK_ETC if network else ())]
        reading = [Path(name) for name in _SYSTEM] + [Path("/etc", name) for name in names]
        # A read path inside the worktree is readable already, and may be a link that somebody put there.
        inside = tuple(Path(os.path.realpath(folder)) for folder in writable)
        named = [path for path in self._read if not any(Path(os.path.realpath(path)).is_relative_to(f) for f in inside)]
        own = [path for path in named if not any(path.is_relative_to(folder) for folder in writable)]
        reading += [*readable_folders(own), *([] if objects is None else [objects])]
        rules = [(os.path.realpath(path), _READ) for path in reading]
        rules += [(f"/dev/{name}", _READ_FILE | _WRITE_FILE | _TRUNCATE) for name in _DEVICES]
        rules += [(str(path), _WRITE) for path in inside]
        return [(path, _fitting(path, rights)) for path, rights in dict(rules).items() if os.path.exists(path)]  # noqa: PTH110

    @contextlib.contextmanager
    def _history_lent(self, worktree: Path, place: Path) -> Iterator[Path | None]:
        """During a command, `.git` names a copy without secrets at `place`; afterwards it is what it was.

        Yields the folder of git's objects, which are read where they lie.
        """
        before = _git_entry(worktree)
        objects = None
        try:
            if before is not None and self._repo_git_dir is not None:
                objects = _copy_git(before, self._repo_git_dir, place)
                if objects is not None:
                    _put_back(worktree, f"gitdir: {place}\n".encode())
            yield objects
        finally:
            _put_back(worktree, before)


def _fitting(path: str, rights: int) -> int:
    """The kernel takes a right about folders for folders only."""
    return rights if os.path.isdir(path) else rights & _ON_A_FILE  # noqa: PTH112


def _launched(
    plan: dict[str, Any],
    variables: Mapping[str, str],
    limits: Limits,
    folders: Sequence[Path],
    stop: threading.Event | None,
) -> Result:
    with contextlib.ExitStack() as opened:
        life, ours = os.pipe()
        begun, begun_in = os.pipe()
        alive = _Pipe(ours)
        opened.callback(os.close, begun)
        opened.callback(alive.close)
        given = [life, begun_in]
        try:
            given.append(os.memfd_create("watchbill"))
            os.write(given[-1], marshal.dumps({**plan, "life": life, "begun": begun_in}))
            os.lseek(given[-1], 0, os.SEEK_SET)
            result = run_child(
                [sys.executable, "-I", "-S", landlock_launcher.__file__, str(given[-1])],
                env=variables,
                cwd="/",
                limits=limits,
                disk=folders,
                pass_fds=given,
                stop=stop,
                farewell=alive.close,
            )
        finally:
            for descriptor in given:
                os.close(descriptor)
        if result.exit_code is not None and not os.read(begun, 1):
            raise Misconfigured(
                f"The sandbox could not be set up: {result.output.strip() or 'the launcher gave no reason'}",
                "Run `watchbill doctor`, which tries it and says what is missing.",
            )
        return result


@dataclass
class _Pipe:
    """The writing end of a pipe, closed once."""

    descriptor: int

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _git_entry(worktree: Path) -> bytes | None:
    """What the worktree's `.git` file says; None when there is none. Raises Refused for anything but a small file."""
    path = worktree / ".git"
    try:
        kind = path.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(kind.st_mode) or kind.st_size > 4096:
        raise Refused(
            f"{path} is not git's pointer file. This sandbox protects nothing else there.",
            "Look at it, then remove the worktree; the next run makes a new one.",
        )
    return path.read_bytes()


def _put_back(worktree: Path, content: bytes | None) -> None:
    """Make `.git` what it was, whatever stands in its place. Nothing that ran here is alive."""
    path = worktree / ".git"
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        kind = path.lstat()
        if stat.S_ISREG(kind.st_mode) and kind.st_nlink == 1 and content is not None and path.read_bytes() == content:
            return
        if stat.S_ISDIR(kind.st_mode):
            _remove(path)
        else:
            path.unlink()
    if content is not None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as file:  # noqa: PTH123
            file.write(content)


def _copy_git(pointer: bytes, common: Path, place: Path) -> Path | None:
    """Copy to `place` what git needs to read history in this worktree. None when the pointer leads elsewhere."""
    admin = Path(os.fsdecode(pointer.removeprefix(b"gitdir:").strip()))
    common = Path(os.path.realpath(common))
    if Path(os.path.realpath(admin)).parent != common / "worktrees":
        return None
    place.mkdir()
    for name in ("HEAD", "index"):
        if (admin / name).is_file():
            shutil.copyfile(admin / name, place / name)
    (place / "config").write_text(shown_config(common / "config") if (common / "config").is_file() else "")
    if (common / "packed-refs").is_file():
        shutil.copyfile(common / "packed-refs", place / "packed-refs")
    shutil.copytree(common / "refs", place / "refs", symlinks=True)
    (place / "objects" / "info").mkdir(parents=True)
    (place / "objects" / "info" / "alternates").write_bytes(os.fsencode(common / "objects") + b"\n")
    return common / "objects"


def _remove(folder: Path) -> None:
    """Remove a folder in which a command may have taken its own rights away."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(place, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
