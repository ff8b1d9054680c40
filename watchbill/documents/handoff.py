"""A handoff: what one actor tells the next about a ticket, written once.

Owns the format of `handoffs/<ticket>/<number>.md`, of findings, and of a human's decision. What the model said
stands under `claimed`; what the engine saw with its own eyes stands under `verified`; they are never mixed.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from watchbill.documents.types import GitId, Nonce, Principal, Sha256, TicketId
from watchbill.files.document import Document, Moment, Strict

Actor = Literal["build", "qa", "security", "merge", "human"]
Target = Literal["build", "qa", "security", "merge", "human", "nobody"]
Outcome = Literal["done", "pass", "fail", "deferred", "blocked"]
Decision = Literal["approve", "dismiss", "reject", "escalate", "close"]
Severity = Literal["critical", "high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")

# What only a human's decision says.
A_HUMANS = ("decision", "answers", "by", "escalated_to", "nonce", "issued", "expires", "signature")
TEXT = 40_000
Part = TypeVar("Part", bound=Strict)


class Finding(Strict):
    """Something wrong, who found it, and how sure they are. `fingerprint` stays the same when lines move."""

    fingerprint: str = Field(min_length=8, max_length=64)
    severity: Severity
    confidence: float = Field(ge=0, le=1)
    rule: str = Field(max_length=120)
    title: str = Field(max_length=300)
    path: str = Field("", max_length=1_000)
    line: int = Field(0, ge=0)
    evidence: str = Field("", max_length=TEXT)
    rationale: str = Field("", max_length=TEXT)
    source: str = Field(max_length=60)
    breaks_build: bool = False


class CheckRun(Strict):
    """What the project's own checks said about one commit. `ran` is false when they could not be run at all."""

    commit: GitId
    ran: bool
    exit_code: int | None = None
    passed: int = 0
    failed: tuple[str, ...] = ()
    skipped: int = 0
    why: str = Field("", max_length=TEXT)


class Criterion(Strict):
    """What QA says of one acceptance criterion."""

    criterion: str = Field(max_length=2_000)
    met: bool = Field(strict=True)
    evidence: str = Field("", max_length=TEXT)


class Claimed(Strict):
    """The model's own words. Nothing is decided by them but to ask a human for more care."""

    outcome: str = Field("", max_length=40)
    summary: str = Field("", max_length=TEXT)
    open_questions: tuple[str, ...] = Field((), max_length=50)
    next: str = Field("", max_length=TEXT)
    criteria: tuple[Criterion, ...] = Field((), max_length=100)


class Verified(Strict):
    """What the engine read from git and ran itself. `files_cut`: the list of files was too long to be kept whole."""

    files: tuple[str, ...] = ()
    files_cut: bool = False
    insertions: int = 0
    deletions: int = 0
    base_checks: CheckRun | None = None
    checks: CheckRun | None = None
    regressions: tuple[str, ...] = ()
    disappeared: tuple[str, ...] = ()
    scanners: tuple[str, ...] = ()
    scanners_failed: tuple[str, ...] = ()
    sandbox: str = ""


class Handoff(Document):
    """One document of a ticket's history. `seq` counts from 1; `parent` is the hash of the document before."""

    kind: ClassVar[str] = "handoff"

    schema_name: Literal["watchbill/handoff/1"] = Field("watchbill/handoff/1", alias="schema")
    ticket: TicketId
    seq: int = Field(ge=1, le=999_999)
    created: Moment
    sender: Actor = Field(alias="from")
    to: tuple[Target, ...] = Field(min_length=1)
    outcome: Outcome
    parent: Sha256
    reason: str = Field("", max_length=TEXT)

    session: str | None = None
    manifest: str | None = None
    agent_version: str | None = None
    playbook: str | None = None
    model: str | None = None
    degraded: bool = False
    turns: int = Field(0, ge=0)
    approval: int | None = None

    base: GitId | None = None
    commit: GitId | None = None
    candidate: GitId | None = None

    claimed: Claimed | None = None
    verified: Verified | None = None
    confidence: float | None = Field(None, ge=0, le=1)
    findings: tuple[Finding, ...] = Field((), max_length=500)
    requests: tuple[str, ...] = Field((), max_length=50)

    decision: Decision | None = None
    answers: int | None = None
    by: str | None = Field(None, max_length=200)
    escalated_to: Principal | None = None
    nonce: Nonce | None = None
    issued: Moment | None = None
    expires: Moment | None = None
    signature: str | None = Field(None, max_length=20_000)
    merged: GitId | None = None

    @field_validator("to", mode="before")
    @classmethod
    def _at_least_somebody(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_what_its_sender_must(self) -> Self:
        human = self.sender == "human"
        if human and self.decision is None:
            raise ValueError("a handoff from a human needs a decision")
        if not human and any(getattr(self, name) is not None for name in A_HUMANS):
            raise ValueError("only a human decides")
        if human and self.verified is not None:
            raise ValueError("a human's decision has no verified part")
        if self.merged and self.sender != "merge":
            raise ValueError("only a merge names what was merged")
        return self

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings."""
        found = {finding.severity for finding in self.findings}
        return next((severity for severity in SEVERITIES if severity in found), None)

    def fitting(self) -> Handoff:
        """This document; or, where it would be too large to be read again, one with its texts and lists cut.

        Every finding is kept, and everything that decides.
        """
        if len(self.render()) <= self.limit:
            return self
        shorter = self
        for longest in (8_000, 1_000, 200, 30):
            shorter = self._with_texts_of(longest)
            if len(shorter.render()) <= self.limit:
                break
        return shorter

    def _with_texts_of(self, longest: int) -> Handoff:
        changes = {
            "reason": _cut(self.reason, longest),
            "requests": _cut_all(self.requests, longest),
            "body": _cut(self.body, longest),
            "findings": tuple(_shortened(finding, longest) for finding in self.findings),
            "claimed": self.claimed and _shortened(self.claimed, longest),
            "verified": self.verified and _shortened_verified(self.verified, longest),
        }
        return self.model_copy(update=changes)


KEPT_OF_A_LIST = 100


def _shortened_verified(verified: Verified, longest: int) -> Verified:
    """A list of files that lost names, or parts of names, says so: what is not in it may be protected."""
    shorter = _shortened(verified, longest)
    return shorter.model_copy(update={"files_cut": verified.files_cut or shorter.files != verified.files})


def _shortened(part: Part, longest: int) -> Part:
    """A part of a handoff with every text and every list of texts in it cut."""
    changes: dict[str, object] = {}
    for name in type(part).model_fields:
        value = getattr(part, name)
        if name in ("fingerprint", "source", "commit"):
            continue
        if isinstance(value, str):
            changes[name] = _cut(value, longest)
        elif isinstance(value, Strict):
            changes[name] = _shortened(value, longest)
        elif isinstance(value, tuple):
            changes[name] = _cut_all(value, longest)
    return part.model_copy(update=changes)


def _cut_all(values: tuple[object, ...], longest: int) -> tuple[object, ...]:
    kept = values[:KEPT_OF_A_LIST]
    return tuple(
        _shortened(value, longest) if isinstance(value, Strict) else _cut(str(value), longest) for value in kept
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} [… {len(text) - longest} left out]"
