"""Python programs run under strace: what they asked the kernel for, and what they do when it refuses.

Owns the calling of strace (a Debian package; `scripts/test` installs it).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_CALLS = "openat,write,fsync,fdatasync,syncfs,link,linkat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += +(-?\d+)")
# Every module is compiled anew. A cache of compiled modules is shared with other processes: one that adds to it between
# a dry run and the run with a fault would change how many calls come before the program's own.
_PYTHON = (sys.executable, "-I", "-B", "-X", "pycache_prefix=/dev/null")
_PREFACE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from watchbill.errors import Stale, TryLater
from watchbill.files.publish import move, publish, replace
folder = Path(sys.argv[2])
"""


@dataclass(frozen=True)
class Call:
    """A call of the kernel. `name` is without the suffix `at`, `about` its arguments with the paths of descriptors."""

    name: str
    about: str


@dataclass(frozen=True)
class Traced:
    """What a program printed, and its calls in order, those about other folders too."""

    stdout: str
    stderr: str
    calls: tuple[Call, ...]

    def about(self, folder: Path) -> list[Call]:
        """The calls that concern `folder`."""
        return [call for call in self.calls if str(folder) in call.about]

    def position(self, name: str, number: int, folder: Path) -> int:
        """Which of all calls of that name (from 1) is the `number`th that concerns `folder`."""
        alike = [call for call in self.calls if call.name == name]
        return [place for place, call in enumerate(alike, start=1) if str(folder) in call.about][number - 1]


def traced(program: str, folder: Path, inject: str = "") -> Traced:
    """Run `program`, which finds `folder`, publish, replace, move, Stale and TryLater. `inject` is a rule of strace."""
    strace = shutil.which("strace")
    assert strace, "strace is missing; on Debian: apt-get install strace"
    log = folder.parent / "strace.log"
    # With a seccomp filter strace 6.1 does not deliver the signals that it is told to inject.
    rules = ["-e", f"inject={inject}"] if inject else ["--seccomp-bpf"]
    command = [strace, "-f", "-y", "-s", "200", "-o", str(log), "-e", f"trace={_CALLS}", *rules]
    command += [*_PYTHON, "-c", _PREFACE + program, str(ROOT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    matches = (_CALL.match(line) for line in log.read_text("utf-8", "replace").splitlines())
    calls = tuple(Call(match[1].removesuffix("at"), match[2]) for match in matches if match)
    return Traced(done.stdout, done.stderr, calls)


def injected(program: str, folder: Path, name: str, number: int, how: str) -> Traced:
    """Run `program` so that the `number`th call of `name` about `folder` goes wrong: `error=EIO` or `signal=KILL`.

    A dry run in a twin folder tells which of the program's calls that is.
    """
    twin = folder.parent / folder.name[::-1]
    twin.mkdir()
    place = traced(program, twin).position(name, number, twin)
    both = "openat" if name == "open" else f"{name},{name}at" if name in ("link", "unlink", "mkdir") else name
    return traced(program, folder, f"{both}:{how}:when={place}")
