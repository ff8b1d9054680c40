"""The candidate: the very commit that would land, and what is said when there is none.

Owns the candidate's message, which makes its id the same for every reviewer and for the merge, and the handoff that
sends a conflict back.
"""

from __future__ import annotations

from typing import Any

from watchbill.documents.handoff import Finding, Verified
from watchbill.errors import Refused
from watchbill.files.publish import sha256
from watchbill.history import History
from watchbill.layout import handoff_ref
from watchbill.roles.framing import bounded
from watchbill.rules.next_step import Step
from watchbill.tools.git import Candidate, Repository


def candidate_of(repo: Repository, history: History, step: Step, integration: str) -> Candidate:
    """The merge of the work under review into the integration branch's head."""
    if step.commit is None or step.work is None:
        raise Refused(f"{history.id} has no finished work to review")
    subject = repo.commit(step.commit).subject
    return repo.candidate(integration, step.commit, f"Merge {subject}\n\n{_trailers(history, step.work)}")


def _trailers(history: History, seq: int) -> str:
    """What the commit says of where it comes from.

    The decision is the one that the work itself names, by whose word it was built. It stands in a document that was
    there before any review, so it is the same for everybody who computes the candidate; a decision that comes later,
    about what a reviewer found, must not change the commit that was reviewed.
    """
    lines = {"Watchbill-Ticket": history.id, "Watchbill-Handoff": handoff_ref(history.id, seq)}
    work = history.document(seq)
    if work is not None and work.handoff.approval is not None:
        lines["Watchbill-Decision"] = handoff_ref(history.id, work.handoff.approval)
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def conflict_handoff(history: History, step: Step, integration: str, candidate: Candidate) -> dict[str, Any]:
    """The fields of the merge's handoff that sends a conflict back to build, with its text."""
    paths = ", ".join(candidate.conflicts[:10])
    finding = Finding(
        fingerprint=sha256(f"merge\0conflict\0{history.id}\0{integration}".encode())[:16],
        severity="medium",
        confidence=1.0,
        rule="merge-conflict",
        title=f"It no longer merges: {paths}"[:300],
        path=candidate.conflicts[0] if candidate.conflicts else "",
        evidence=bounded(candidate.text, 20_000),
        rationale="The integration branch changed the same lines after this work began.",
        source="merge",
    )
    return {
        "from": "merge",
        "outcome": "fail",
        "base": integration,
        "commit": step.commit,
        "findings": (finding,),
        "verified": Verified(files=candidate.conflicts),
        "reason": f"it conflicts with what was merged meanwhile ({paths})"[:2_000],
        "body": "## What should happen next\n\nResolve the conflict on the ticket's branch and hand over again.",
    }
