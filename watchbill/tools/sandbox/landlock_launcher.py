"""The process between the engine and a command under Landlock: it starts the command confined, and outlives it.

Owns the system calls that confine, the changes of mode and time that the command may not make by itself, and the end
of everything that the command started. It runs as a script, isolated and with the standard library alone, and takes a
plan from the descriptor that is its argument. It never decides what is allowed: the plan says so.

The plan: `command`, `folder` (where it runs), `rules` (pairs of a path and the rights beneath it), `files`, `ports` and
`scopes` (what Landlock governs), `filter` (the program for seccomp), `calls` (names of the calls handed over,
by number), `writable` (where those may act), `seccomp` (the number of that call), `life` (a descriptor: its end is the
engine's end) and `begun` (a descriptor that is told when the command is confined and starts).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import marshal
import os
import select
import struct
import sys
import time

# Every command waits for these imports: nothing that would pull in re, enum, typing or collections.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _PIDFD_GETFD = 444, 445, 446, 438
_SET_DEATH_SIGNAL, _DROP_BOUND, _SET_NO_NEW_PRIVILEGES, _SET_SUBREAPER, _AMBIENT = 1, 24, 38, 36, 47
_NEW_LISTENER = 8
_KILL, _IGNORED_BY_PYTHON = 9, (13, 25)
_RECEIVE, _SEND, _IS_VALID = 0xC0502100, 0xC0182101, 0x40082102
_HERE, _LINK_ITSELF, _EMPTY_PATH = -100, 0x100, 0x1000
_O_PATH = 0o10000000
_NOW = struct.pack("qqqq", 0, 0x3FFFFFFF, 0, 0x3FFFFFFF)
_LONGEST_PATH = 4096
# Which argument holds the flags.
_FLAGS = {"fchmodat2": 3, "utimensat": 3, "fchownat": 4}
_ENDING_SECONDS = 5.0
_FAILED = 125

libc = ctypes.CDLL(None, use_errno=True)


def checked(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def confine(plan: dict[str, Any]) -> int:
    """Confine this process and what it will start. Returns the descriptor on which calls are handed over."""
    checked("no new privileges", libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    drop_capabilities()
    governed = struct.pack("QQQ", plan["files"], plan["ports"], plan["scopes"])
    ruleset = checked("landlock", libc.syscall(_CREATE_RULESET, governed, ctypes.c_size_t(len(governed)), 0))
    for path, rights in plan["rules"]:
        try:
            place = os.open(path, _O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        rule = struct.pack("=Qi", rights, place)
        checked(f"landlock: {path}", libc.syscall(_ADD_RULE, ruleset, 1, rule, 0))
        os.close(place)
    checked("landlock", libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    text = ctypes.create_string_buffer(plan["filter"], len(plan["filter"]))
    header = struct.pack("HxxxxxxQ", len(plan["filter"]) // 8, ctypes.addressof(text))
    return checked("seccomp", libc.syscall(plan["seccomp"], 1, _NEW_LISTENER, header))


def drop_capabilities() -> None:
    """Root without any capability is somebody who owns many files."""
    libc.prctl(_AMBIENT, 4, 0, 0, 0)
    for number in range(64):
        if libc.prctl(_DROP_BOUND, number, 0, 0, 0) < 0 and ctypes.get_errno() == errno.EINVAL:
            break
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    checked("capabilities", libc.capset(header, nothing))


def become(plan: dict[str, Any], ready: int, go: int) -> NoReturn:
    """In the child: confine, hand the listener's number over, wait for the word, become the command."""
    try:
        os.setsid()
        libc.prctl(_SET_DEATH_SIGNAL, _KILL, 0, 0, 0)
        for number in _IGNORED_BY_PYTHON:
            libc.signal(number, None)  # back to what programs expect
        os.chdir(plan["folder"])
        os.write(ready, struct.pack("i", confine(plan)))
        os.read(go, 1)
        os.execvpe(plan["command"][0], plan["command"], os.environ)
    except FileNotFoundError as error:
        print(f"{plan['command'][0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(127)
    except OSError as error:
        print(f"watchbill: {error}", file=sys.stderr, flush=True)
        os._exit(126 if isinstance(error, PermissionError) and error.filename else _FAILED)


def main() -> int:
    with os.fdopen(int(sys.argv[1]), "rb") as stream:
        plan = marshal.load(stream)
    checked("subreaper", libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0))
    ready, ready_in = os.pipe()
    go_out, go = os.pipe()
    child = os.fork()
    if child == 0:
        for inherited in (plan["life"], plan["begun"]):
            os.close(inherited)
        os.close(ready)
        os.close(go)
        become(plan, ready_in, go_out)
    os.close(ready_in)
    os.close(go_out)
    handle = os.pidfd_open(child)
    answer = os.read(ready, 4)
    if answer:
        # From here on the engine knows that an exit code is the command's own.
        listener = checked("listener", libc.syscall(_PIDFD_GETFD, handle, struct.unpack("i", answer)[0], 0))
        os.write(plan["begun"], b"1")
        os.close(plan["begun"])
        os.write(go, b"1")
        attend(plan, child, handle, listener)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    end_everything()
    return code if code >= 0 else 128 - code


def attend(plan: dict[str, Any], child: int, handle: int, listener: int) -> None:
    """Carry out what is handed over until the command ends, or the engine does."""
    poll = select.poll()
    for descriptor in (handle, listener, plan["life"]):
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    while True:
        happened = dict(poll.poll())
        if handle in happened:
            return
        if plan["life"] in happened:
            os.kill(child, _KILL)
            return
        if happened.get(listener, 0) & select.POLLIN:
            serve(plan, listener)
        else:
            poll.unregister(listener)


def serve(plan: dict[str, Any], listener: int) -> None:
    notice = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECEIVE, notice)
    except OSError:
        return  # whoever asked is gone
    identity, process, _, number, _, _, *arguments = struct.unpack("=QIIiIQ6Q", notice)
    try:
        carry_out(plan, listener, identity, process, plan["calls"][number], arguments)
        result = 0
    except OSError as error:
        result = -(error.errno or errno.EPERM)
    try:
        fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", identity, 0, result, 0))
    except OSError:
        return  # nobody waits for it any more


def carry_out(plan: dict[str, Any], listener: int, identity: int, process: int, call: str, args: list[int]) -> None:
    """One change of mode, owner or time. Raises OSError with what the command is told."""
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        target = opened(process, memory, call, args)
        times = wanted_times(memory, call, args) if "time" in call else None
    try:
        # The process is still the one that asked, so what was opened is what it meant.
        fcntl.ioctl(listener, _IS_VALID, struct.pack("=Q", identity))
        # By the descriptor, not by the path: what it is cannot change any more, and its name is where it lies now.
        place = os.readlink(f"/proc/self/fd/{target}")  # noqa: PTH115
        if not any(place == folder or place.startswith(f"{folder}/") for folder in plan["writable"]):
            raise PermissionError(errno.EPERM, "outside the worktree")
        if times is not None:
            checked(call, libc.utimensat(target, b"", times, _EMPTY_PATH))
            return
        if "own" in call:
            keep_owner(target, *args[2 if call == "fchownat" else 1 :][:2])
            return
        mode = args[1 if call in ("chmod", "fchmod") else 2]
        if mode & 0o6000:
            raise PermissionError(errno.EPERM, "no file becomes somebody else's")
        os.chmod(f"/proc/self/fd/{target}", mode & 0o1777)  # noqa: PTH101
    finally:
        os.close(target)


def opened(process: int, memory: Any, call: str, args: list[int]) -> int:
    """A descriptor of the file that a call names, through which nothing can be read or written."""
    folder, path, flags = _HERE, args[0], 0
    if call in ("fchmod", "fchown"):
        folder, path = signed(args[0]), 0
    elif call.endswith(("at", "at2")):
        folder, path = signed(args[0]), args[1]
        flags = args[_FLAGS[call]] if call in _FLAGS else 0
    elif call == "lchown":
        flags = _LINK_ITSELF
    text = b"" if path == 0 else text_at(memory, path)
    base = b"cwd" if folder == _HERE else b"fd/%d" % folder
    own = b"/proc/%d/" % process
    if path == 0 or (not text and flags & _EMPTY_PATH):
        name = own + base
    elif not text:
        raise FileNotFoundError(errno.ENOENT, "an empty path")
    elif text.startswith((b"/proc/self/", b"/proc/thread-self/")):
        name = own + text.split(b"/", 3)[3]
    else:
        name = text if text.startswith(b"/") else own + base + b"/" + text
    return os.open(name, _O_PATH | os.O_CLOEXEC | (os.O_NOFOLLOW if flags & _LINK_ITSELF and text else 0))


def keep_owner(target: int, user: int, group: int) -> None:
    """Programs that unpack set the owner that a file has already. Raises PermissionError for another one."""
    status = os.fstat(target)
    if signed(user) not in (-1, status.st_uid) or signed(group) not in (-1, status.st_gid):
        raise PermissionError(errno.EPERM, "no file becomes somebody else's")


def wanted_times(memory: Any, call: str, args: list[int]) -> bytes:
    """The times as the kernel takes them: two pairs of seconds and nanoseconds."""
    address = args[2 if call in ("futimesat", "utimensat") else 1]
    if address == 0:
        return _NOW
    if call == "utimensat":
        return read(memory, address, 32)
    if call == "utime":
        access, change = struct.unpack("qq", read(memory, address, 16))
        return struct.pack("qqqq", access, 0, change, 0)
    access, access_micro, change, change_micro = struct.unpack("qqqq", read(memory, address, 32))
    return struct.pack("qqqq", access, access_micro * 1000, change, change_micro * 1000)


def signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def text_at(memory: Any, address: int) -> bytes:
    """The text that ends with NUL at `address`; what lies behind it may not be readable."""
    text = b""
    while b"\0" not in text and len(text) < _LONGEST_PATH:
        begin = address + len(text)
        text += read(memory, begin, min(4096 - begin % 4096, _LONGEST_PATH))
    if b"\0" not in text:
        raise OSError(errno.ENAMETOOLONG, "too long")
    return text.split(b"\0", 1)[0]


def read(memory: Any, address: int, count: int) -> bytes:
    memory.seek(address)
    data: bytes = memory.read(count)
    if not data:
        raise OSError(errno.EFAULT, "not readable")
    return data


def end_everything() -> None:
    """Kill every process that the command left; as their reaper this one gets them all, generation by generation."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while time.monotonic() < deadline:
        for process in children():
            os.kill(process, _KILL)  # ours, and not yet waited for
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.001)


def children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as stream:  # noqa: PTH123
        return [int(word) for word in stream.read().split()]


if __name__ == "__main__":
    sys.exit(main())
