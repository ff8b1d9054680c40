"""What a session that was killed leaves: requests that were made, and tickets that were begun.

Owns that a dead session is written down like any other: its record says what it spent, and each ticket that it had
begun gets a handoff that says so, which counts as an attempt. So a ticket that kills its session again and again comes
to a human. Called with the agent's lock held: whoever still lived would have it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watchbill.documents.session import SessionRecord
from watchbill.errors import Stale
from watchbill.files import journal
from watchbill.hand_over import hand_over, step_of
from watchbill.layout import MANIFEST_ID, Layout, branch_of
from watchbill.rules.next_step import Step
from watchbill.session_records import DIED, UNFINISHED, publish_record
from watchbill.tools.git import Repository
from watchbill.workspace import Workspace


@dataclass(frozen=True)
class Dead:
    """A session that began and never ended. `turns` are its requests, by ticket."""

    id: str
    manifest: str
    began: datetime
    last: datetime
    turns: Counter[str]


def settle_dead_sessions(workspace: Workspace, repo: Repository, agent: str, now: datetime) -> list[str]:
    """Write down every dead session of `agent`, and say so, a line each."""
    lines = []
    found = find_dead(workspace.layout, agent)
    if found:
        # What they committed is named below, and nobody may have waited for it to be on the disk.
        repo.make_durable()
    for dead in found:
        for ticket in sorted(dead.turns):
            _put_off(workspace, repo, agent, dead, ticket, now)
        publish_record(workspace.layout, _record(agent, dead))
        lines.append(f"session {dead.id} had died after {sum(dead.turns.values())} request(s); its record is written")
    return lines


def find_dead(layout: Layout, agent: str) -> list[Dead]:
    """The sessions of `agent` that a journal knows and no record ends, oldest first."""
    found = []
    for path in sorted(layout.journals.glob(f"{agent}-*.jsonl")):
        if MANIFEST_ID.fullmatch(path.stem) is None:
            continue
        lines = journal.read(path)
        for line in lines:
            session = str(line.get("session"))
            if line.get("event") == "open" and not layout.session(session).exists():
                found.append(_dead(path.stem, session, lines))
    return found


def _dead(manifest: str, session: str, lines: list[dict[str, Any]]) -> Dead:
    own = [line for line in lines if line.get("session") == session]
    spent = [line for line in own if line.get("event") in ("turn", "retry")]
    return Dead(
        id=session,
        manifest=manifest,
        began=_when(own[0]),
        last=_when(own[-1]),
        turns=Counter(str(line.get("ticket")) for line in spent),
    )


def _when(line: dict[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(str(line.get("at")))
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _put_off(workspace: Workspace, repo: Repository, agent: str, dead: Dead, ticket: str, now: datetime) -> None:
    """The handoff that the dead session could not write. What it had done lies uncommitted in the ticket's worktree."""
    history = workspace.history(ticket)
    if any(handoff.session == dead.id for handoff in history.handoffs):
        return

    def still_valid(_history: Any, step: Step) -> bool:
        return agent in step.to

    step = step_of(workspace, history)
    fields = {
        "from": agent,
        "outcome": "deferred",
        "session": dead.id,
        "manifest": dead.manifest,
        "turns": dead.turns[ticket],
        "commit": repo.head_of(branch_of(ticket)) if agent == "build" else step.commit,
        "reason": f"the session died (killed, or a crash) after {dead.turns[ticket]} request(s)",
        "body": "## What was done\n\nNot known: the session died. Look at the worktree first.",
    }
    try:
        hand_over(workspace, ticket, fields, now, still_valid)
    except Stale:
        return


def _record(agent: str, dead: Dead) -> SessionRecord:
    tickets = tuple(sorted(dead.turns))
    title = f"{agent}: died"
    return SessionRecord.model_validate(
        {
            "id": dead.id,
            "agent": agent,
            "manifest": dead.manifest,
            "start_date": dead.began,
            "end_date": dead.last,
            "outcome": "stopped",
            "turns": sum(dead.turns.values()),
            "tickets": tickets,
            "title": title,
            "summary": f"{title}. It was killed, or it crashed.",
            "decisions": tuple(f"{ticket}: the session died while it was worked on" for ticket in tickets),
            "tags": (agent, DIED, UNFINISHED),
        }
    )
