"""What QA and security have in common: they judge one candidate, and the engine's own evidence comes first.

Owns the reviewers' worktree, and how a model's verdict and the engine's facts become one verdict: a model can turn a
pass into a fail, never the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchbill.documents.handoff import Finding, Verified
from watchbill.documents.routing import Routing
from watchbill.roles.candidate import candidate_of, conflict_handoff
from watchbill.roles.case import CannotMerge, Case
from watchbill.roles.turns import Ending
from watchbill.tools.git import Worktree

ALLOWED = ("bash", "read", "glob", "grep")
SHOWN_DIFF = 60_000


def candidate_for(case: Case, role: str) -> tuple[str, Worktree]:
    """The candidate and a clean checkout of it. Raises `CannotMerge` with the handoff that sends it back."""
    candidate = candidate_of(case.repo, case.history, case.step, case.integration)
    if candidate.commit is None:
        raise CannotMerge(conflict_handoff(case.history, case.step, case.integration, candidate))
    path = case.workspace.layout.worktree(f"{case.ticket}.{role}")
    return candidate.commit, case.repo.detached_worktree(path, candidate.commit)


def facts(case: Case, role: str, candidate: str, verified: Verified) -> dict[str, Any]:
    """The fields of a review that stand before any model was asked."""
    case.repo.make_durable()
    return {
        "from": role,
        "base": case.integration,
        "commit": case.step.commit,
        "candidate": candidate,
        "verified": verified,
    }


def verdict(
    role: str, known: dict[str, Any], engine: Sequence[Finding], ending: Ending, routing: Routing
) -> dict[str, Any]:
    """The fields of the handoff: the engine's findings decide first, then the model's word."""
    submission = ending.submission
    said = submission.findings_from(role) if submission else ()
    findings = (*engine, *said)
    unreached = submission is None and ending.trouble is not None
    if any(holds_up(routing, finding) for finding in engine):
        outcome = "fail"
    elif submission is not None:
        outcome = submission.outcome
    else:
        outcome = "pass" if unreached else "deferred"
    fields = {**known, "outcome": outcome, "findings": findings, "degraded": unreached}
    held_up = next((finding for finding in engine if holds_up(routing, finding)), None)
    return {**fields, "reason": f"{held_up.source}: {held_up.title}"} if held_up else fields


def holds_up(routing: Routing, finding: Finding) -> bool:
    """Whether a finding stops a merge, as the routing table says."""
    where = routing.destination(finding.severity, finding.source, finding.rule, finding.breaks_build)
    return where != "note"
