"""`submit_handoff`: how a model ends its part.

Owns the strict schema of that tool for each role, and the reading of what a model gives. Never publishes anything.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from pydantic import Field, ValidationError

from watchbill.documents.handoff import TEXT, Claimed, Criterion, Finding, Severity
from watchbill.files.document import Strict, explain
from watchbill.files.publish import sha256
from watchbill.files.visible import visible
from watchbill.tools.model import Tool, ToolRefused

NAME = "submit_handoff"
BUILD_OUTCOMES = ("done", "blocked", "deferred")
REVIEW_OUTCOMES = ("pass", "fail", "blocked", "deferred")
# A handoff holds a megabyte, and a good part of what a model says stands in it twice.
MOST_CHARACTERS = 250_000

DESCRIPTION = (
    "Hand over: end your part of this ticket. Say what you did and saw, what is open, and what should happen next. "
    "It is the only way to end, and the last thing you do."
)


class GivenFinding(Strict):
    """A finding in a model's words. Its source and fingerprint are the engine's to add."""

    severity: Severity
    confidence: float = Field(0.5, ge=0, le=1, strict=True)
    rule: str = Field("", max_length=120)
    title: str = Field(min_length=1, max_length=300)
    path: str = Field("", max_length=1_000)
    line: int = Field(0, ge=0, strict=True)
    evidence: str = Field("", max_length=TEXT)
    rationale: str = Field("", max_length=TEXT)


class Submission(Strict):
    """What a model handed over.

    The schema asks for every key. Of what is left out only outcome and summary are missed: a server that does not hold
    its model to the schema must not cost a night's work.
    """

    outcome: Literal["done", "pass", "fail", "blocked", "deferred"]
    summary: str = Field(min_length=1, max_length=TEXT)
    open_questions: tuple[str, ...] = Field((), max_length=50)
    next: str = Field("", max_length=TEXT)
    confidence: float | None = Field(None, ge=0, le=1, strict=True)
    findings: tuple[GivenFinding, ...] = Field((), max_length=200)
    requests: tuple[str, ...] = Field((), max_length=50)
    criteria: tuple[Criterion, ...] = Field((), max_length=100)

    def claimed(self) -> Claimed:
        """The model's words as the handoff keeps them."""
        return Claimed(
            outcome=self.outcome,
            summary=self.summary,
            open_questions=self.open_questions,
            next=self.next,
            criteria=self.criteria,
        )

    def findings_from(self, source: str) -> tuple[Finding, ...]:
        """The model's findings as documents keep them."""
        return tuple(
            Finding(fingerprint=_fingerprint(source, given), source=source, **given.model_dump())
            for given in self.findings
        )


def submission_tool(role: str, accept: Callable[[Submission], Awaitable[None]]) -> Tool:
    """The tool for `role`. `accept` may raise `ToolRefused`, and the model may try again."""
    outcomes = BUILD_OUTCOMES if role == "build" else REVIEW_OUTCOMES
    with_criteria = role == "qa"

    async def call(given: Any) -> str:
        submission = read(given, outcomes, with_criteria)
        await accept(submission)
        return "Handed over. Your part of this ticket has ended."

    return Tool(NAME, DESCRIPTION, schema(outcomes, with_criteria), call, strict=True)


def read(given: Any, outcomes: tuple[str, ...], with_criteria: bool) -> Submission:
    """What the model gave, validated. Raises `ToolRefused` with what is wrong in words that a model can act on."""
    if not isinstance(given, dict):
        raise ToolRefused("submit_handoff takes an object with named keys.")
    if given.get("outcome") not in outcomes:
        raise ToolRefused(f"outcome must be one of: {', '.join(outcomes)}. Nothing was handed over; submit again.")
    if "criteria" in given and not with_criteria:
        raise ToolRefused("Nothing was handed over: criteria: this key is not known. Correct it and submit again.")
    size = _size(given)
    if size > MOST_CHARACTERS:
        raise ToolRefused(f"Nothing was handed over: {size:,} characters; {MOST_CHARACTERS:,} at most. Be brief.")
    try:
        return Submission.model_validate(_encodable(given))
    except ValidationError as error:
        raise ToolRefused(f"Nothing was handed over: {explain(error)}. Correct it and submit again.") from error


def schema(outcomes: tuple[str, ...], with_criteria: bool) -> dict[str, Any]:
    """The strict JSON schema of the tool: every key required, none besides."""
    text = {"type": "string"}
    texts = {"type": "array", "items": text}
    finding = _object(
        {
            "severity": {"type": "string", "enum": ["critical", "high", "medium", "low", "info"]},
            "confidence": {"type": "number", "description": "0 to 1: how sure you are that this is real"},
            "rule": {"type": "string", "description": "a short name for the kind of problem"},
            "title": {"type": "string", "description": "one line"},
            "path": {"type": "string", "description": "the file, or empty"},
            "line": {"type": "integer", "description": "the line, or 0"},
            "evidence": {"type": "string", "description": "what you saw: code, output"},
            "rationale": {"type": "string", "description": "why it matters, and what would mend it"},
        }
    )
    properties: dict[str, Any] = {
        "outcome": {"type": "string", "enum": list(outcomes)},
        "summary": {"type": "string", "description": "what was done and what you saw"},
        "open_questions": texts,
        "next": {"type": "string", "description": "what should happen next"},
        "confidence": {"type": "number", "description": "0 to 1"},
        "findings": {"type": "array", "items": finding},
        "requests": {"type": "array", "items": text, "description": "what you ask of a human; empty if nothing"},
    }
    if with_criteria:
        criterion = _object({"criterion": text, "met": {"type": "boolean"}, "evidence": text})
        properties["criteria"] = {"type": "array", "items": criterion}
    return _object(properties)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _size(given: dict[str, Any]) -> int:
    """How many characters of JSON it is. Raises `ToolRefused` for what is nested too deep, or a number too long."""
    try:
        return len(json.dumps(given))
    except (RecursionError, ValueError) as error:
        raise ToolRefused(f"Nothing was handed over: {error}. Correct it and submit again.") from error


def _encodable(value: Any) -> Any:
    """The same without halves of characters, which no file can carry, and with nothing hidden in it."""
    if isinstance(value, str):
        return visible(value.encode("utf-8", "replace").decode("utf-8"))
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _fingerprint(source: str, given: GivenFinding) -> str:
    return sha256("\0".join((source, given.rule, given.path, given.title)).encode())[:16]
