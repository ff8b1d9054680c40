"""Which faults make sense at which calls.

Owns that choice, which the tests and the full sweep share, and what each fault is to strace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.crash.kit import Call

FAULTS = ("signal=KILL", "power", "error=ENOSPC", "error=EIO", "error=EINTR", "unreadable", "no log")
_INJECTED = {"unreadable": "error=EIO", "no log": "error=ENOSPC"}
_NAMED = ("write", "pwrite64", "fsync", "link", "linkat", "rename", "renameat", "renameat2", "openat")
_CAN_BE_INTERRUPTED = (*_NAMED, "fdatasync", "ftruncate")
_CAN_BE_FULL = (*_NAMED, "fdatasync", "ftruncate", "mkdir", "mkdirat", "syncfs")
LATER_OR_DAMAGED = (75, 4)
# What the model's tools write belongs to the agent, and so does the trouble: the tool says so, and the work goes on.
_THE_AGENTS_OWN = re.compile(r"/\.watchbill/worktrees/[^/]+/(?!\.git\b)")


def injected(fault: str) -> str:
    """The fault in strace's words, or `power`."""
    return _INJECTED.get(fault, fault)


def points(calls: Sequence[Call], fault: str) -> list[Call]:
    """The calls at which `fault` can really happen.

    The verb itself is killed before a call of its own (`signal=KILL`; its children may live on for a moment). At a
    call of a child, such as git, the child, the verb and everything else die together (`power`). `unreadable` is a
    file or a folder of the workspace or the repository that the verb itself cannot open, once; `no log` is a log that
    cannot be written.
    """
    if fault == "signal=KILL":
        return [call for call in calls if call.is_ours and call.kind in ("change", "process")]
    if fault == "unreadable":
        return [call for call in calls if call.is_ours and call.kind == "look" and call.path]
    if fault == "no log":
        return [call for call in calls if call.kind == "log"]
    changes = [call for call in calls if call.kind == "change"]
    if fault == "power":
        return [call for call in changes if not call.is_ours]
    ours = [call for call in changes if not _THE_AGENTS_OWN.search(call.text)]
    if fault == "error=EINTR":
        return [call for call in ours if call.name in _CAN_BE_INTERRUPTED and _is_sure(call)]
    if fault == "error=ENOSPC":
        return [call for call in ours if call.name in _CAN_BE_FULL]
    return ours


def _is_sure(call: Call) -> bool:
    """By its number alone an `openat` may turn out to be the listing of a folder, which never waits on a local disk."""
    return bool(call.path) or call.name != "openat"


def endings(call: Call, fault: str) -> tuple[int, ...]:
    """The exit codes with which a verb may end after a fault that did not kill it."""
    if fault == "no log":
        return (0,)
    if fault == "error=EINTR" and call.is_ours and not call.name.startswith(("link", "rename")):
        # The interpreter makes these again by itself.
        return (0,)
    return (0, *LATER_OR_DAMAGED)
