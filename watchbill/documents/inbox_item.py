"""An inbox item: one question to the human about one document of one ticket.

Owns the format of `inbox/*.md`. The engine writes the question once; the human may write `decision`, `note` and
`by` into it. Only those three are ever read back: everything else is looked up again in the history.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from watchbill.documents.types import GitId, ItemId, Sha256, TicketId
from watchbill.files.document import Document, Moment


class InboxItem(Document):
    """What waits for a human. `answers` is the number of the document that asked."""

    kind: ClassVar[str] = "inbox_item"

    schema_name: Literal["watchbill/inbox_item/1"] = Field("watchbill/inbox_item/1", alias="schema")
    id: ItemId
    ticket: TicketId
    answers: int = Field(ge=0)
    created: Moment
    title: str
    asked_by: str
    severity: str = ""
    confidence: float | None = None
    handoff: Sha256 | None = None
    commit: GitId | None = None
    candidate: GitId | None = None
    proposal: str
    decision: Literal["approve", "dismiss", "reject", "escalate", ""] = ""
    note: str = Field("", max_length=20_000)
    by: str = Field("", max_length=200)

    @field_validator("decision", "note", "by", mode="before")
    @classmethod
    def _empty_when_left_out(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("decision", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value
