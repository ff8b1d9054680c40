"""A session record: what one session of one agent decided, touched and left open.

Owns the format of `sessions/*.md`. The names of its keys are LoreConvo's, so that a record can be exported there.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from watchbill.files.document import Document, Moment, Strict


class Tokens(Strict):
    """What the model's server reported to have read and written."""

    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0


class SessionRecord(Document):
    """The record of one session. `cost` is in US dollars, or left out when a model has no price set."""

    kind: ClassVar[str] = "session"

    schema_name: Literal["watchbill/session/1"] = Field("watchbill/session/1", alias="schema")
    id: str
    agent: Literal["build", "qa", "security"]
    manifest: str
    start_date: Moment
    end_date: Moment
    outcome: Literal["done", "deferred", "stopped"]
    turns: int = Field(ge=0)
    retries: int = Field(0, ge=0)
    tokens: Tokens = Tokens()
    cost: float | None = None
    model: str | None = None
    tickets: tuple[str, ...] = ()
    title: str
    summary: str
    decisions: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    open_questions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
