"""Which sandbox this machine has, found by attempting forbidden acts in it.

Owns the attempts and the reasons when they succeed. Where bubblewrap does not hold, Landlock may; where nothing holds,
it refuses.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from watchbill import strict_json
from watchbill.errors import Misconfigured
from watchbill.tools.sandbox.bubblewrap import Bubblewrap
from watchbill.tools.sandbox.contract import Limits, Sandbox, also_reading
from watchbill.tools.sandbox.control_groups import remove_leftovers
from watchbill.tools.sandbox.landlock import Landlock
from watchbill.tools.sandbox.readable import interpreter_folders
from watchbill.tools.sandbox.seatbelt import PROGRAM as SANDBOX_EXEC
from watchbill.tools.sandbox.seatbelt import Seatbelt
from watchbill.tools.sandbox.unconfined import Unconfined

Mode = Literal["auto", "bubblewrap", "seatbelt", "landlock", "none"]

_LIMITS = Limits(seconds=30, output_bytes=20_000)
# A signal arrives at once; what is waited for is the kernel's next turn.
_SIGNAL_SECONDS = 0.02
_PLANTED = "WATCHBILL_PROBE_SECRET"
_ALLOWED_ACT = "write the worktree"

# Runs inside, with this interpreter, and prints what it could do as one JSON object. The only act that must
# succeed shows that the others failed because they were forbidden, not because nothing works.
_ATTEMPTS = r"""
import ctypes, glob, json, os, signal, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
plan = json.loads(sys.argv[1])
start = os.getcwd()
def attempt(act):
    try:
        return bool(act())
    except OSError:
        return False
def write(path):
    with open(path, "w") as file:
        return file.write("x")
def read(path):
    with open(path, "rb") as file:
        return plan["secret"].encode() in file.read()
def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(5)
        client.connect(address)
        return True
def connect_to_file(path):
    os.chdir(os.path.dirname(path))  # the whole path may be longer than an address can be
    try:
        return connect(socket.AF_UNIX, os.path.basename(path))
    finally:
        os.chdir(start)
def change(path):
    os.chmod(path, 0o777)
    return True
def link(path):
    os.link(path, "watchbill-probe-link")
    return True
def mount():
    os.mkdir("watchbill-probe-mount")
    done = libc.mount(b"none", b"watchbill-probe-mount", b"tmpfs", 0, None) == 0
    if done:
        libc.umount2(b"watchbill-probe-mount", 2)
    return done
def leave():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sleep", ["sleep", plan["daemon"]], {})
        os._exit(0)
    return True
def environments():
    return any(attempt(lambda: read(path)) for path in glob.glob("/proc/[0-9]*/environ"))
done = {
    "write the worktree": attempt(lambda: write("watchbill-probe-inside")),
    "write outside the worktree": attempt(lambda: write(plan["outside"])),
    "read a file outside the worktree": attempt(lambda: read(plan["secret_file"])),
    "connect to the network": attempt(lambda: connect(socket.AF_INET, ("127.0.0.1", plan["port"]))),
    "change the mode of a file outside": attempt(lambda: change(plan["secret_file"])),
    "link a file outside into the worktree": attempt(lambda: link(plan["secret_file"])),
    "connect to a socket file of the host": attempt(lambda: connect_to_file(plan["socket_file"])),
    "point the worktree's git elsewhere": attempt(lambda: write(".git")),
    "leave a process behind": attempt(leave),
    "see a variable of the host": plan["secret"] in os.environ.values() or environments(),
}
if plan["linux"]:
    done["connect to a socket of the host"] = attempt(lambda: connect(socket.AF_UNIX, "\0" + plan["unix"]))
    done["look into a process of the host"] = libc.ptrace(0x4206, plan["process"], None, None) == 0
    done["mount a file system"] = attempt(mount)
    done["make a name space"] = libc.unshare(0x10000000) == 0
print("\nresult " + json.dumps(done), flush=True)
# Last, because in a name space of its own the number might be this very process.
attempt(lambda: os.kill(plan["process"], signal.SIGTERM))
"""


@dataclass(frozen=True)
class Attempt:
    """One act that was tried inside a sandbox, and whether the sandbox held against it."""

    act: str
    held: bool


def choose(mode: Mode, read: Sequence[Path], repo_git_dir: Path | None) -> Sandbox:
    """The sandbox for `mode`, tried just now; for "auto" the one of this system. "none" is taken at its word.

    Raises Misconfigured with the reason when it is missing, does not start, or did not hold.
    """
    remove_leftovers()
    match mode:
        case "none":
            return Unconfined(read)
        case "bubblewrap":
            return _proven(_bubblewrap(read, repo_git_dir))
        case "seatbelt":
            return _proven(_seatbelt(read, repo_git_dir))
        case "landlock":
            return _proven(Landlock(read, repo_git_dir))
        case "auto" if sys.platform == "darwin":
            return _proven(_seatbelt(read, repo_git_dir))
        case "auto":
            return _first_that_holds(read, repo_git_dir)
        case _:
            assert_never(mode)


def _first_that_holds(read: Sequence[Path], repo_git_dir: Path | None) -> Sandbox:
    try:
        return _proven(_bubblewrap(read, repo_git_dir))
    except Misconfigured as error:
        first = error
    try:
        return _proven(Landlock(read, repo_git_dir))
    except Misconfigured as second:
        # What to do is about bubblewrap: the kernel is rarely the easier thing to change.
        raise Misconfigured(f"{first.reason} Nor is there another: {second.reason}", first.hint) from second


def _bubblewrap(read: Sequence[Path], repo_git_dir: Path | None) -> Bubblewrap:
    program = shutil.which("bwrap")
    if program is None:
        raise Misconfigured(
            "No sandbox: bubblewrap is not installed, so no command of an agent can be run.",
            "Install it (apt install bubblewrap, dnf install bubblewrap, pacman -S bubblewrap). "
            'Only on a machine that you would hand to an agent as it is, set [sandbox] mode = "none" instead.',
        )
    return Bubblewrap(read, repo_git_dir, program)


def _seatbelt(read: Sequence[Path], repo_git_dir: Path | None) -> Seatbelt:
    if not Path(SANDBOX_EXEC).exists():
        raise Misconfigured(
            f"No sandbox: {SANDBOX_EXEC} is missing; it comes with macOS only.",
            'On Linux set [sandbox] mode = "bubblewrap" or "auto".',
        )
    return Seatbelt(read, repo_git_dir)


def _proven(sandbox: Sandbox) -> Sandbox:
    try:
        attempts = attempt_forbidden_acts(sandbox)
    except Misconfigured as error:
        raise Misconfigured(
            f"The sandbox {sandbox.name} does not work here. {error.reason}", why_not(error.reason)
        ) from error
    broken = [attempt.act for attempt in attempts if not attempt.held]
    if broken:
        raise Misconfigured(
            f"The sandbox {sandbox.name} was tried and did not hold: a command inside could {', '.join(broken)}.",
            "Nothing is run in it. Check which program this is and how it was installed.",
        )
    return sandbox


def attempt_forbidden_acts(sandbox: Sandbox) -> tuple[Attempt, ...]:
    """Try to get out of `sandbox`, and tell act by act whether it held.

    The acts: write, change and link a file outside the worktree, read a planted secret, connect to a listener on the
    loopback interface and to Unix sockets, see a planted variable, rewrite `.git`, end and look into a process, mount,
    make a name space, leave a process behind. The interpreter that runs this is readable during the attempts.
    Raises Misconfigured when nothing could be tried: the sandbox does not start, or not even the worktree can be
    written.
    """
    with contextlib.ExitStack() as stack:
        outside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watchbill-probe-")))
        worktree = outside / "worktree"
        worktree.mkdir()
        secret = secrets.token_hex(16)
        (outside / "secret").write_text(secret)
        listener = stack.enter_context(_tcp_listener())
        pointer = worktree / ".git"
        pointer.write_text("gitdir: /nowhere\n")
        (outside / "secret").chmod(0o600)
        is_linux = sys.platform == "linux"
        abstract = stack.enter_context(_unix_listener(f"\0watchbill-probe-{secret[:16]}")) if is_linux else ""
        stack.enter_context(_unix_listener(_address_in(outside, stack)))
        bystander = stack.enter_context(_planted(secret))
        daemon = f"{_LIMITS.seconds * 2:.0f}.{secrets.randbelow(10**15):015}"
        plan: dict[str, str | int] = {
            "secret": secret,
            "secret_file": str(outside / "secret"),
            "outside": str(outside / "escaped"),
            "port": listener,
            "unix": abstract.removeprefix("\0"),
            "socket_file": str(outside / "socket"),
            "process": bystander.pid,
            "daemon": daemon,
            "linux": is_linux,
        }
        done = _tried(sandbox, worktree, plan)
        # What counts is this side: inside, the same path may be a private folder that vanishes.
        done["write outside the worktree"] = (outside / "escaped").exists()
        done["change the mode of a file outside"] = (outside / "secret").stat().st_mode & 0o777 != 0o600
        done["point the worktree's git elsewhere"] = pointer.read_text() != "gitdir: /nowhere\n"
        done["end a process of the host"] = _has_ended(bystander)
        done["leave a process behind"] = is_linux and _runs(daemon)
    if not done.pop(_ALLOWED_ACT):
        raise Misconfigured("A command inside could not even write its worktree.")
    return tuple(Attempt(act, held=not succeeded) for act, succeeded in done.items())


def _tried(sandbox: Sandbox, worktree: Path, plan: dict[str, str | int]) -> dict[str, bool]:
    # The secret must reach the plan, but the way there (arguments) is not what is tested: what counts is the file
    # and the variable, and /proc/*/environ does not show arguments.
    command = [sys.executable, "-I", "-S", "-c", _ATTEMPTS, json.dumps(plan)]
    result = also_reading(sandbox, interpreter_folders()).run(command, worktree, _LIMITS)
    for line in result.output.splitlines():
        if line.startswith("result "):
            return {str(act): bool(success) for act, success in strict_json.read(line.removeprefix("result ")).items()}
    raise Misconfigured(f"Nothing could be tried inside it: {result.output.strip() or 'it printed nothing'}")


@contextlib.contextmanager
def _tcp_listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@contextlib.contextmanager
def _unix_listener(name: str) -> Iterator[str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(name)
        server.listen()
        yield name


def _address_in(folder: Path, stack: contextlib.ExitStack) -> str:
    """A socket file in a folder, by an address that is short enough wherever the folder lies."""
    if sys.platform != "linux":
        return str(folder / "socket")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, descriptor)
    return f"/proc/self/fd/{descriptor}/socket"


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_SIGNAL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _runs(word: str) -> bool:
    """Whether a process with `word` among its arguments is alive. Ends it, for it was only an attempt."""
    is_there = False
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in file.read_bytes().split(b"\0") and int(file.parent.name) != os.getpid():
                os.kill(int(file.parent.name), signal.SIGKILL)
                is_there = True
    return is_there


@contextlib.contextmanager
def _planted(secret: str) -> Iterator[subprocess.Popen[bytes]]:
    """`secret` in a variable of this process, to be inherited, and in one of a bystander, to be read in /proc."""
    name = f"{_PLANTED}_{secrets.token_hex(4)}"
    bystander = subprocess.Popen(["/bin/sleep", str(_LIMITS.seconds * 2)], env={name: secret}, start_new_session=True)
    os.environ[name] = secret
    try:
        yield bystander
    finally:
        del os.environ[name]
        bystander.kill()
        bystander.wait()


def why_not(output: str, kernel: Path = Path("/proc/sys")) -> str:
    """What to do about a sandbox that did not start, from what it said and the kernel's settings under `kernel`."""
    if _setting(kernel / "user/max_user_namespaces") == "0":
        return "User namespaces are off on this machine: sudo sysctl -w user.max_user_namespaces=15000"
    if _setting(kernel / "kernel/unprivileged_userns_clone") == "0":
        return (
            "Unprivileged user namespaces are off on this machine: sudo sysctl -w kernel.unprivileged_userns_clone=1 "
            "(and the same line in /etc/sysctl.d/ to keep it)."
        )
    if _setting(kernel / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps user namespaces from programs without a profile. Write /etc/apparmor.d/bwrap with "
            "`abi <abi/4.0>, include <tunables/global> profile bwrap /usr/bin/bwrap flags=(unconfined) { userns, }` "
            "and run: sudo systemctl reload apparmor"
        )
    if "namespace" in output or "uid map" in output or "not permitted" in output.lower():
        return (
            "This process may not make namespaces. In a container, allow it: for Docker "
            "--security-opt seccomp=unconfined --security-opt systempaths=unconfined, or run Watchbill outside."
        )
    return "Run `watchbill doctor` for what was tried."


def _setting(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
