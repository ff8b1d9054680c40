"""`--since`: which histories need not be read again.

Owns the meaning of the word that was given, and the choice. The unit is a whole history: one with a document from that
moment or later is checked from its first document, so that its chain holds across the moment. Of one that ended before,
only the numbers and the last document are looked at: that one must be what was noted when it was published. An edit of
an earlier document of such a history is not found, nor anything that only its documents could show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from watchbill.errors import Damaged, Misconfigured
from watchbill.history import Recorded, read_end
from watchbill.workspace import Workspace

_HINT = (
    "Give a number of days (7), a date (2026-11-20) or a time (2026-11-20T02:00:00Z), in UTC unless it says otherwise."
)


def moment_of(text: str, now: datetime) -> datetime:
    """What `--since` means. Raises `Misconfigured` for what is no moment, or one that has not come yet."""
    try:
        if re.fullmatch(r"[0-9]{1,6}", text):
            return now - timedelta(days=int(text))
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        is_past = moment <= now
    except (ValueError, OverflowError) as error:
        raise Misconfigured(f"--since {text!r} is no moment", _HINT) from error
    if not is_past:
        raise Misconfigured(f"--since {text!r} has not come yet", _HINT)
    return moment


def ended_before(workspace: Workspace, tickets: Iterable[str], since: datetime | None) -> dict[str, Recorded]:
    """The histories that need not be read again, each with its last document."""
    ended = {}
    for ticket in tickets if since else ():
        try:
            last = read_end(workspace.layout, ticket, workspace.histories)
        except Damaged:
            continue  # to be read whole, and told there
        if last is not None and since and last.handoff.created < since:
            ended[ticket] = last
    return ended
