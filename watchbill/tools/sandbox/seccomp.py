"""A filter of system calls, as a program for the kernel: what a confined command has no business asking for.

Owns the list of calls, the conditions, and the assembling for x86_64 and aarch64. A pure function of its arguments; it
installs nothing. It is the fence where there are no name spaces: no sockets but connected pairs, nothing that looks
into or changes another process, no mounts, name spaces, keys, shared memory of the system or io_uring. Changes of mode,
owner and time of a file are handed to the launcher, which carries them out inside the worktree only: Landlock, which
says what may be opened, has no word for them.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

MACHINES = {"x86_64": 0, "aarch64": 1}
_ARCHITECTURES = (0xC000003E, 0xC00000B7)
# The first number that this list knows nothing about.
_UNKNOWN = 463
_X32 = 0x40000000

_LOAD, _AND = 0x20, 0x54
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_RETURN = 0x06
ALLOW, KILL, ASK, _ERROR = 0x7FFF0000, 0x80000000, 0x7FC00000, 0x00050000
_REFUSE = _ERROR | errno.EPERM
_NOT_THERE = _ERROR | errno.ENOSYS

# Numbers on x86_64 and aarch64; None where there is no such call.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89), "add_key": (248, 217), "adjtimex": (159, 171), "bpf": (321, 280), "chmod": (90, None),
    "chown": (92, None), "chroot": (161, 51), "clock_adjtime": (305, 266), "clock_settime": (227, 112),
    "clone": (56, 220), "clone3": (435, 435), "delete_module": (176, 106), "fanotify_init": (300, 262),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "fchown": (93, 55), "fchownat": (260, 54),
    "finit_module": (313, 273), "fremovexattr": (199, 16), "fsconfig": (431, 431), "fsetxattr": (190, 7),
    "fsmount": (432, 432), "fsopen": (430, 430), "fspick": (433, 433), "futimesat": (261, None),
    "init_module": (175, 105), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425), "ioctl": (16, 29), "ioperm": (173, None), "iopl": (172, None),
    "ioprio_set": (251, 30), "kcmp": (312, 272), "kexec_file_load": (320, 294), "kexec_load": (246, 104),
    "keyctl": (250, 219), "lchown": (94, None), "lookup_dcookie": (212, 18), "lremovexattr": (198, 15),
    "lsetxattr": (189, 6), "migrate_pages": (256, 238), "mount": (165, 40), "mount_setattr": (442, 442),
    "move_mount": (429, 429), "move_pages": (279, 239), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "msgctl": (71, 187), "msgget": (68, 186), "msgrcv": (70, 188), "msgsnd": (69, 189),
    "name_to_handle_at": (303, 264), "nfsservctl": (180, 42), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "perf_event_open": (298, 241), "pidfd_getfd": (438, 438), "pivot_root": (155, 41),
    "prlimit64": (302, 261), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "reboot": (169, 142), "removexattr": (197, 14), "request_key": (249, 218),
    "sched_setaffinity": (203, 122), "sched_setattr": (314, 274), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "semctl": (66, 191), "semget": (64, 190), "semop": (65, 193),
    "semtimedop": (220, 192), "setdomainname": (171, 162), "sethostname": (170, 161), "setns": (308, 268),
    "setpriority": (141, 140), "settimeofday": (164, 170), "setxattr": (188, 5), "shmat": (30, 196),
    "shmctl": (31, 195), "shmget": (29, 194), "socket": (41, 198), "socketpair": (53, 199), "swapoff": (168, 225),
    "swapon": (167, 224), "syslog": (103, 116), "umount2": (166, 39), "unshare": (272, 97), "uselib": (134, None),
    "userfaultfd": (323, 282), "utime": (132, None), "utimensat": (280, 88), "utimes": (235, None),
    "vhangup": (153, 58),
}  # fmt: skip

# What the launcher does in the command's place.
HANDED_OVER = (
    "chmod", "chown", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchownat", "futimesat", "lchown", "utime",
    "utimensat", "utimes",
)  # fmt: skip
_ATTRIBUTES = ("fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "setxattr")
# The C library goes back to clone, whose flags can be looked at.
_AS_IF_MISSING = ("clone3", "io_uring_enter", "io_uring_register", "io_uring_setup")
# Their first argument is a process: 0 is the caller itself.
_ON_A_PROCESS = (
    "migrate_pages", "move_pages", "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler",
)  # fmt: skip
_NEW_SPACES = 0x7E020000  # mount, cgroup, uts, ipc, user, pid, net
# TIOCSTI and TIOCLINUX type for the person at the terminal; the others set flags and keys of files that one may read.
_IOCTLS = (0x5412, 0x541C, 0x40086602, 0x40087602, 0x401C5820, 0x800C6613)
_SOCKET_TYPE = 0xF


@dataclass(frozen=True)
class _Test:
    """A comparison of the lower half of an argument, after a mask: equal or not equal to a value."""

    argument: int
    value: int
    mask: int = 0xFFFFFFFF
    is_equal: bool = True


@dataclass(frozen=True)
class _Rule:
    """What happens to a call: `action` when all tests of one of `cases` hold, `otherwise` when none does."""

    call: str
    action: int
    cases: tuple[tuple[_Test, ...], ...] = ((),)
    otherwise: int = ALLOW


def filter_program(machine: str, *, network: bool) -> bytes:
    """The filter for `machine` (a key of MACHINES), as the kernel's array of instructions."""
    column = MACHINES[machine]
    words = [
        _word(_LOAD, 4),
        _word(_IF_EQUAL, _ARCHITECTURES[column], 1, 0),
        _word(_RETURN, KILL),
        _word(_LOAD, 0),
        _word(_IF_AT_LEAST, _X32, 0, 1),
        _word(_RETURN, _NOT_THERE),
        _word(_IF_AT_LEAST, _UNKNOWN, 0, 1),
        _word(_RETURN, _NOT_THERE),
    ]
    for rule in _rules(network):
        number = _CALLS[rule.call][column]
        if number is not None:
            block = _block(rule)
            words += [_word(_IF_EQUAL, number, 0, len(block)), *block]
    return b"".join([*words, _word(_RETURN, ALLOW)])


def numbers(machine: str, calls: Sequence[str]) -> dict[int, str]:
    """The names of `calls` by their number."""
    found = ((_CALLS[call][MACHINES[machine]], call) for call in calls)
    return {number: call for number, call in found if number is not None}


def _rules(network: bool) -> list[_Rule]:
    rules = [_Rule(call, ASK) for call in HANDED_OVER]
    rules += [_Rule(call, _ERROR | errno.EOPNOTSUPP) for call in _ATTRIBUTES]
    rules += [_Rule(call, _NOT_THERE) for call in _AS_IF_MISSING]
    rules += [_Rule(call, _REFUSE, ((_Test(0, 0, is_equal=False),),)) for call in _ON_A_PROCESS]
    rules += [
        _Rule("clone", _REFUSE, ((_Test(0, 0, _NEW_SPACES, is_equal=False),),)),
        _Rule("ioctl", _REFUSE, tuple((_Test(1, number),) for number in _IOCTLS)),
        # Only of this process or its own group, never of a whole user.
        *(_Rule(call, ALLOW, ((_Test(0, own), _Test(1, 0)),), _REFUSE) for call, own in _OWN_PRIORITY),
        _Rule("socket", ALLOW, _sockets() if network else (), _ERROR | errno.EACCES),
        # A pair of datagram sockets could be connected to somebody else afterwards.
        _Rule("socketpair", ALLOW, tuple((_Test(1, kind, _SOCKET_TYPE),) for kind in (1, 5)), _ERROR | errno.EACCES),
    ]
    named = {rule.call for rule in rules}
    return [*rules, *(_Rule(call, _REFUSE) for call in _CALLS if call not in named)]


# setpriority counts processes as 0, ioprio_set as 1.
_OWN_PRIORITY = (("setpriority", 0), ("ioprio_set", 1))


def _sockets() -> tuple[tuple[_Test, ...], ...]:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    internet = [(_Test(0, family), _Test(1, kind, _SOCKET_TYPE)) for family in (2, 10) for kind in kinds]
    return (*internet, (_Test(0, 16), _Test(2, 0)))  # NETLINK_ROUTE, by which the C library finds its addresses


def _block(rule: _Rule) -> list[bytes]:
    words: list[bytes] = []
    for case in rule.cases:
        tail = [_word(_RETURN, rule.action)]
        for test in reversed(case):
            # Where it does not hold: over the rest of this case.
            skip = len(tail)
            jumps = (0, skip) if test.is_equal else (skip, 0)
            masked = [] if test.mask == 0xFFFFFFFF else [_word(_AND, test.mask)]
            tail = [_word(_LOAD, 16 + 8 * test.argument), *masked, _word(_IF_EQUAL, test.value, *jumps), *tail]
        words += tail
    if not rule.cases or rule.cases[-1]:
        words.append(_word(_RETURN, rule.otherwise))
    return words


def _word(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
