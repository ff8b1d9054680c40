"""Which faults make sense at which calls.

Owns that choice, which the tests and the full sweep share.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.crash.kit import Call

FAULTS = ("signal=KILL", "power", "error=ENOSPC", "error=EIO", "error=EINTR")
_CAN_BE_INTERRUPTED = ("write", "pwrite64", "fsync", "openat", "ftruncate")
_CAN_BE_FULL = ("write", "pwrite64", "fsync", "openat", "link", "linkat", "rename", "mkdir", "syncfs")


def points(calls: Sequence[Call], fault: str) -> list[Call]:
    """The calls at which `fault` can really happen.

    The verb itself is killed before a call of its own (`signal=KILL`; its children may live on for a moment). At a
    call of a child, such as git, the child, the verb and everything else die together (`power`).
    """
    if fault in ("signal=KILL", "power"):
        return [call for call in calls if call.is_ours == (fault == "signal=KILL")]
    if fault == "error=EINTR":
        # By its number alone an `openat` may turn out to be the listing of a folder, which never waits on a local disk.
        return [call for call in calls if call.is_ours and call.name in _CAN_BE_INTERRUPTED and _is_sure(call)]
    if fault == "error=ENOSPC":
        return [call for call in calls if call.name in _CAN_BE_FULL]
    return list(calls)


def _is_sure(call: Call) -> bool:
    return bool(call.path) or call.name != "openat"
