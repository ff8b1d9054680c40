"""What earlier sessions left for the next: their records.

Owns the finding of records, and how much of them the next session is given. They are another session's words, and
are framed as data wherever they are shown to a model.
"""

from __future__ import annotations

import re

from watchbill.documents.redacted import redacted
from watchbill.documents.session import SessionRecord
from watchbill.errors import Damaged
from watchbill.files.publish import publish
from watchbill.layout import Layout

MOST_RECORDS = 3
MOST_CHARACTERS = 4_000
DIED = "died"
UNFINISHED = "unfinished"
_NAME = re.compile(r"(build|qa|security)-(\d+)-(\d+)")


def is_used(layout: Layout, manifest: str) -> bool:
    """Whether a session has come to the end of that manifest. After one that died or was stopped the next goes on."""
    return any(UNFINISHED not in tags for tags in _tags(layout, manifest))


def only_died(layout: Layout, manifest: str) -> bool:
    """Whether every session of that manifest, if there was any that is recorded, died."""
    return all(DIED in tags for tags in _tags(layout, manifest))


def _tags(layout: Layout, manifest: str) -> list[tuple[str, ...]]:
    found = []
    for path in layout.sessions.glob(f"{manifest}-*.md"):
        try:
            found.append(SessionRecord.load(path).tags)
        except Damaged:
            found.append(())
    return found


def publish_record(layout: Layout, record: SessionRecord) -> None:
    """Publish the record of a session, without secrets."""
    publish(layout.session(record.id), redacted(record).render())


def records(layout: Layout, agent: str | None = None) -> list[SessionRecord]:
    """All readable records, oldest first."""
    found = []
    if not layout.sessions.is_dir():
        return []
    for path in layout.sessions.glob("*.md"):
        match = _NAME.fullmatch(path.stem)
        if match is None or (agent and match[1] != agent):
            continue
        try:
            found.append(SessionRecord.load(path))
        except Damaged:
            continue
    return sorted(found, key=lambda record: (record.start_date, record.id))


def memory_of(past: list[SessionRecord], ticket: str) -> str:
    """What the newest records that concern a ticket say of it, bounded. Newest first."""
    concerned = [record for record in reversed(past) if ticket in record.tickets][:MOST_RECORDS]
    return "\n\n".join(_excerpt(record, ticket) for record in concerned)[:MOST_CHARACTERS]


def _excerpt(record: SessionRecord, ticket: str) -> str:
    lines = [f"session {record.id}, {record.end_date:%Y-%m-%d}: {record.title}"]
    lines += [f"- {line}" for line in (*record.decisions, *record.open_questions) if line.startswith(f"{ticket}:")]
    return "\n".join(lines)
