"""What one session did, and its record.

Owns the sums of a session and the words of its record. Never decides what is worked.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from watchbill.documents.session import SessionRecord, Tokens
from watchbill.session_records import UNFINISHED
from watchbill.tools.model import ModelTrouble, Usage
from watchbill.workspace import Workspace


@dataclass
class Session:
    """What one session did. `trouble` is why it could not go on, if it could not."""

    id: str
    agent: str
    manifest: str
    started: datetime
    outcomes: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    open_questions: list[str] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    turns: int = 0
    retries: int = 0
    models: list[str] = field(default_factory=list)
    trouble: ModelTrouble | None = None
    stopped: str = ""


def record_of(session: Session, ended: datetime) -> SessionRecord:
    """The record of a session that ends now. One that was stopped leaves its manifest to be gone on with."""
    outcomes = set(session.outcomes.values())
    outcome = "stopped" if session.stopped else "deferred" if outcomes & {"deferred", "not started"} else "done"
    title = _title(session)
    return SessionRecord.model_validate(
        {
            "id": session.id,
            "agent": session.agent,
            "manifest": session.manifest,
            "start_date": session.started,
            "end_date": ended,
            "outcome": outcome,
            "turns": session.turns,
            "retries": session.retries,
            "tokens": Tokens(**vars(session.usage)),
            "cost": round(session.cost, 6) if session.cost is not None else None,
            "model": ", ".join(session.models) or None,
            "tickets": tuple(session.outcomes),
            "title": title,
            "summary": title + (f". Stopped: {session.stopped}" if session.stopped else "."),
            "decisions": tuple(session.lines),
            "artifacts": tuple(session.artifacts),
            "open_questions": tuple(session.open_questions),
            "tags": (session.agent, UNFINISHED) if session.stopped else (session.agent,),
            "body": "\n".join(f"- {line}" for line in session.lines),
        }
    )


def cost_of(workspace: Workspace, model: str | None, usage: Usage) -> float | None:
    """US dollars for the tokens of one conversation, or None when the model has no price in the settings."""
    price = workspace.settings.model.prices.get(model or "")
    if price is None:
        return None
    dollars = (
        usage.input * price.input
        + usage.output * price.output
        + usage.cache_read * price.cache_read
        + usage.cache_write * price.cache_write
    )
    return dollars / 1_000_000


def _title(session: Session) -> str:
    counts: dict[str, int] = {}
    for outcome in session.outcomes.values():
        counts[outcome] = counts.get(outcome, 0) + 1
    return f"{session.agent}: " + (", ".join(f"{number} {what}" for what, number in counts.items()) or "nothing")
