"""Tickets: write a new one for a human, and list what there is with where each stands.

Owns the making of ticket files and the view of the backlog. Never changes a ticket that exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from watchbill.documents.ticket import Kind, Priority, Ticket
from watchbill.errors import Refused, Stale
from watchbill.files.publish import publish
from watchbill.hand_over import step_of
from watchbill.history import History, histories_on_disk
from watchbill.overview import overview_of
from watchbill.rules.next_step import Step
from watchbill.workspace import Workspace

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
    known = overview_of(workspace).cards
    unknown = [need for need in dependencies if need not in known]
    if unknown:
        raise Refused(f"there is no ticket {unknown[0]} to depend on", "See them with: watchbill ticket list")
    body = TEMPLATE.format(
        description=description or "Describe what is wanted, and why.",
        criteria="\n".join(f"- [ ] #{number} {text}" for number, text in enumerate(criteria, start=1))
        or "- [ ] #1 Say how one can see that it is done.",
    )
    number = _highest(workspace, known) + 1
    while True:
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


def _highest(workspace: Workspace, known: Iterable[str]) -> int:
    """The highest number that was ever used: in the backlog, in file names, or in a history."""
    names = [*known, *histories_on_disk(workspace.layout)]
    if workspace.layout.tickets.is_dir():
        names += [path.name for path in workspace.layout.tickets.iterdir()]
    numbers = (re.match(r"T-(\d+)", name) for name in names)
    return max((int(match[1]) for match in numbers if match), default=0)
