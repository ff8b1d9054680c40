"""Calling git.

Owns how the git binary is run: the environment and settings it sees, how long it may take, and what its failures
become. It never reads the settings of the person who runs it, never runs a hook, and never reaches the network.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from watchbill.errors import Misconfigured, Refused, TryLater

OLDEST_GIT = (2, 38)
TIMEOUT_SECONDS = 600.0
IDENTITY = ("Watchbill", "watchbill@localhost")
FULL_ID = re.compile(r"[0-9a-f]{40}")

# Settings of the repository that could run something, ask somebody, touch more than we asked for, or make the result
# depend on the machine. Clean and smudge filters stay as the owner's repository has them.
SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.trustctime=true",
    "core.checkStat=default",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    "gc.auto=0",
    "maintenance.auto=false",
    "rerere.enabled=false",
    "submodule.recurse=false",
    "diff.ignoreSubmodules=all",
    "status.showUntrackedFiles=all",
    "worktree.useRelativePaths=false",
    "advice.detachedHead=false",
)

# On Linux syncfs (see durability) covers everything; elsewhere nothing flushes a whole file system and waits, so git
# must flush each file itself.
FSYNC_SETTINGS = () if sys.platform == "linux" else ("core.fsync=all", "core.fsyncMethod=fsync")

_WORTH_ANOTHER_TRY = (
    "No space left on device",
    "Disk quota exceeded",
    "Input/output error",
    "Read-only file system",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "Interrupted system call",
    "Stale file handle",
    ".lock': File exists",
    # What git says of a full or broken disk when it leaves out the reason.
    "couldn't write",
    "couldn't set '",
    "could not write",
    "failed to write",
    "unable to write",
    "unable to create directory",
    "write error",
)


@dataclass(frozen=True)
class Output:
    """What one call of git answered. `out` is empty when the answer went to a file."""

    code: int
    out: bytes
    err: str

    def last_lines(self, count: int = 3) -> str:
        """What git said about the failure, for a person: from its first `fatal:` or `error:`, else its last lines."""
        lines = [line.strip() for line in self.err.splitlines() if line.strip()]
        failures = [at for at, line in enumerate(lines) if line.startswith(("fatal:", "error:"))]
        return " / ".join(lines[failures[0] :][:count] if failures else lines[-count:])


@dataclass(frozen=True)
class Git:
    """git on one git folder, and on one work tree where there is one. Nothing is ever discovered from the folders."""

    git_dir: Path
    work_tree: Path | None = None
    object_dir: Path | None = None
    settings: tuple[str, ...] = ()

    def run(
        self,
        *args: str | bytes | Path,
        given: bytes | None = None,
        expected: Sequence[int] = (0,),
        into: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Output:
        """One call. Raises Refused or TryLater with git's own last lines when the exit code is not `expected`."""
        places = {"GIT_DIR": str(self.git_dir)}
        if self.work_tree is not None:
            places["GIT_WORK_TREE"] = str(self.work_tree)
        if self.object_dir is not None:
            places["GIT_OBJECT_DIRECTORY"] = str(self.object_dir)
        output = call_git(
            [*_options(self.settings), *args],
            cwd=self.work_tree or self.git_dir,
            env={**places, **(env or {})},
            given=given,
            into=into,
        )
        if output.code not in expected:
            raise unexpected(str(args[0]), output)
        return output

    def text(self, *args: str | bytes | Path, given: bytes | None = None, env: Mapping[str, str] | None = None) -> str:
        """The answer as one string, without its last newline."""
        return os.fsdecode(self.run(*args, given=given, env=env).out).removesuffix("\n")

    def names(self, *args: str | bytes | Path) -> list[bytes]:
        """The answer of a call made with `-z`: file names, as the bytes they are."""
        return split_names(self.run(*args).out)

    def says_yes(self, *args: str | bytes | Path) -> bool:
        """For the questions that git answers with exit code 0 or 1."""
        return self.run(*args, expected=(0, 1)).code == 0


@contextmanager
def clean_room(object_dir: Path, shared: str = "") -> Iterator[Git]:
    """git with the objects of a repository and nothing else of it: no settings, attributes, references, replacements.

    What is computed here depends on the objects alone, so it is the same in every clone and for every user.
    """
    with tempfile.TemporaryDirectory(prefix="watchbill-git-") as folder:
        room = Path(folder)
        for name in ("objects", "refs", "files"):
            (room / name).mkdir()
        (room / "HEAD").write_text("ref: refs/heads/none\n")
        sharing = f"\tsharedRepository = {shared}\n" if re.fullmatch(r"[A-Za-z0-9]+", shared) else ""
        (room / "config").write_text(f"[core]\n\trepositoryformatversion = 0\n\tbare = true\n{sharing}")
        yield Git(room, object_dir=object_dir)


def call_git(
    args: Sequence[str | bytes | Path],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    given: bytes | None = None,
    into: IO[bytes] | None = None,
) -> Output:
    """Run git in a process group of its own, with an environment built from nothing. Raises TryLater when it hangs."""
    try:
        process = subprocess.Popen(
            [find_git(), *args],
            cwd=cwd,
            env={**environment(), **(env or {})},
            stdin=subprocess.DEVNULL if given is None else subprocess.PIPE,
            stdout=into or subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TryLater(f"git could not be started in {cwd}: {error.strerror}.") from error
    try:
        out, err = process.communicate(given, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        _stop(process)
        raise TryLater(
            f"git did not finish within {TIMEOUT_SECONDS:.0f} seconds.",
            "Look for a hanging filter or a file system that does not answer.",
        ) from error
    except BaseException:
        _stop(process)
        raise
    return Output(process.returncode, out or b"", err.decode("utf-8", "backslashreplace"))


def unexpected(verb: str, output: Output) -> Refused | TryLater:
    """The error for an answer that nobody planned for."""
    if output.code < 0:
        name = signal.Signals(-output.code).name if -output.code in set(signal.Signals) else f"signal {-output.code}"
        return TryLater(f"git {verb} was ended by {name} before it could finish.", "The next run does it again.")
    said = output.last_lines() or f"exit code {output.code}"
    if any(sign in output.err for sign in _WORTH_ANOTHER_TRY):
        return TryLater(f"git {verb} could not finish: {said}", "Free what it names, or let the next run try again.")
    return Refused(f"git {verb} failed: {said}", "Look at the repository with git; nothing was moved.")


@lru_cache(maxsize=8)
def require_git(path: str) -> None:
    """Raises Misconfigured when there is no git on `path` (a value of PATH), or one that is too old to merge trees."""
    wanted = ".".join(map(str, OLDEST_GIT))
    if shutil.which("git", path=path) is None:
        raise Misconfigured("git was not found on PATH.", f"Install git {wanted} or newer.")
    said = call_git(["version"], cwd=Path("/")).out.decode("utf-8", "replace").strip()
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        raise Misconfigured(f"This git is too old: {said or 'it does not say its version'}.", f"Install {wanted}+.")


def find_git() -> str:
    """Where git is. Raises Misconfigured when it is nowhere."""
    found = shutil.which("git")
    if found is None:
        raise Misconfigured("git was not found on PATH.", f"Install git {'.'.join(map(str, OLDEST_GIT))} or newer.")
    return found


def full_id(text: str) -> str:
    """`text`, when it is a whole commit id. Raises Refused: a name or an option must never get this far."""
    if not FULL_ID.fullmatch(text):
        raise Refused(f"{text!r} is not a commit id.", "Give the 40 digits of a commit.")
    return text


def split_names(data: bytes) -> list[bytes]:
    """The names in a NUL-separated list."""
    return [name for name in data.split(b"\0") if name]


def printable(name: bytes) -> str:
    """A file name that can be written into any document: what is not UTF-8 is shown as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def signature(seconds: int) -> dict[str, str]:
    """The author and committer of everything the engine commits, at that second since 1970, UTC."""
    name, mail = IDENTITY
    date = f"@{seconds} +0000"
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": mail,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": mail,
        "GIT_COMMITTER_DATE": date,
    }


def message_bytes(message: str) -> bytes:
    """A commit message as git takes it: no NUL, no carriage return, one newline at the end."""
    text = message.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    return text.encode("utf-8", "backslashreplace") + b"\n"


def environment() -> dict[str, str]:
    """Everything git sees of the environment."""
    name, mail = IDENTITY
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_EDITOR": ":",
        "GIT_PAGER": "cat",
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": mail,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": mail,
    }


def _options(settings: Sequence[str]) -> list[str]:
    return ["--no-pager", *(word for setting in (*SETTINGS, *FSYNC_SETTINGS, *settings) for word in ("-c", setting))]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End git and the filters it started, and collect it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
