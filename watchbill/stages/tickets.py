"""Tickets: write a new one for a human, and list what there is with where each stands.

Owns the making of ticket files and the view of the backlog. Never changes a ticket that exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from watchbill.documents.ticket import Kind, Priority, Ticket
from watchbill.errors import Damaged, Refused, Stale
from watchbill.files.archive import RANGE, tickets_in
from watchbill.files.document import read_bytes
from watchbill.files.publish import publish
from watchbill.files.quarantine import reasons
from watchbill.hand_over import step_of
from watchbill.history import History, archived_packs, histories_on_disk
from watchbill.layout import MANIFEST_ID, Layout
from watchbill.overview import Overview, overview_of
from watchbill.rules.next_step import Step
from watchbill.workspace import Workspace

LAST = 999_999_999
_OURS = re.compile(r"T-(\d{1,9})(?!\d)", re.IGNORECASE)
# As a manifest names a ticket, and as a ticket's file names itself.
_TOLD = re.compile(rb"""(?:"ticket":\s*"|^\s*id:\s*["']?)T-(\d{1,9})(?!\d)""", re.IGNORECASE | re.MULTILINE)

TEMPLATE = """\
## Description

{description}

## Acceptance Criteria

{criteria}
"""


@dataclass(frozen=True)
class Line:
    """One ticket and where it stands."""

    ticket: Ticket
    history: History
    step: Step

    @property
    def state(self) -> str:
        return self.step.ended or " and ".join(self.step.to)


def one(workspace: Workspace, ticket: str) -> Line:
    """One ticket. Raises `Refused` when there is none."""
    file = workspace.ticket_file(ticket)
    if file is None:
        duplicates = overview_of(workspace).duplicates
        if ticket in duplicates:
            names = " and ".join(duplicates[ticket])
            raise Refused(f"{len(duplicates[ticket])} files claim the id {ticket}: {names}", "Give one another id.")
        raise Refused(f"there is no ticket {ticket}", "See them with: watchbill ticket list")
    history = workspace.history_of(ticket, file)
    return Line(file.ticket, history, step_of(workspace, history))


def new(
    workspace: Workspace,
    title: str,
    *,
    kind: Kind = "feature",
    priority: Priority = "medium",
    description: str = "",
    criteria: tuple[str, ...] = (),
    dependencies: tuple[str, ...] = (),
    today: date,
) -> Ticket:
    """Publish a new ticket under the next free number. Raises `Refused` for an unknown dependency."""
    seen = overview_of(workspace)
    unknown = [need for need in dependencies if need not in seen.cards]
    if unknown:
        raise Refused(f"there is no ticket {unknown[0]} to depend on", "See them with: watchbill ticket list")
    body = TEMPLATE.format(
        description=description or "Describe what is wanted, and why.",
        criteria="\n".join(f"- [ ] #{number} {text}" for number, text in enumerate(criteria, start=1))
        or "- [ ] #1 Say how one can see that it is done.",
    )
    number = _highest(workspace, seen) + 1
    while True:
        if number > LAST:
            raise Refused("no number is left for a new ticket", f"Something speaks of T-{LAST} already.")
        ticket = Ticket(
            id=f"T-{number:04}",
            title=title,
            type=kind,
            priority=priority,
            dependencies=dependencies,
            created_date=today,
            body=body,
        )
        try:
            publish(workspace.layout.tickets / f"{ticket.id}.md", ticket.render())
            return ticket
        except Stale:
            number += 1


def _highest(workspace: Workspace, seen: Overview) -> int:
    """The highest number that anything in the workspace speaks of: what an old paper says is never of a new ticket."""
    layout = workspace.layout
    names = (*seen.cards, *histories_on_disk(layout), *_names(layout))
    named = [int(match[1]) for name in names if (match := _OURS.match(name))]
    spoilt = (*(error.path for error in seen.damaged), *_inside(layout.quarantine))
    told = (*(_told(path, None) for path in _newest_manifests(layout)), *(_told(path, Ticket.limit) for path in spoilt))
    return max((*named, *chain.from_iterable(told), *_in_broken_packs(layout)), default=0)


def _newest_manifests(layout: Layout) -> Iterable[Path]:
    """The newest of each agent, which alone can still be worked. There may be hundreds, of megabytes each."""
    found = ((MANIFEST_ID.fullmatch(path.stem), path) for path in layout.manifests.glob("*.json"))
    numbered = sorted((int(match[2]), match[1], path) for match, path in found if match)
    return {agent: path for _, agent, path in numbered}.values()


def _names(layout: Layout) -> Iterator[str]:
    """The names of files that are called after a ticket, readable or not, and of those that were set aside."""
    for folder in (layout.tickets, layout.inbox, layout.decided):
        yield from (path.name for path in _inside(folder))
    for entry in reasons(layout.quarantine):
        yield from entry["from"].split("/")


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _told(path: Path, limit: int | None) -> Iterator[int]:
    """The numbers of the tickets that a manifest names, or that a file that is no ticket any more says it was."""
    try:
        text = read_bytes(path, limit)
    except Damaged:
        return iter(())
    return (int(number) for number in _TOLD.findall(text))


def _in_broken_packs(layout: Layout) -> Iterator[int]:
    """Nobody can say which tickets a pack that is not whole holds: any of its range."""
    for pack in archived_packs(layout):
        try:
            tickets_in(pack)
        except Damaged:
            if match := _OURS.match(pack.parent.name):
                yield int(match[1]) + RANGE - 1
