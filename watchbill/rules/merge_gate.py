"""Whether a candidate may reach the integration branch: a flat list of refusals, each with its reason.

Owns invariant I1. Looks only at what the engine verified and at what a human decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from watchbill.documents.handoff import Finding
from watchbill.documents.routing import Routing
from watchbill.documents.settings import Gate
from watchbill.history import History
from watchbill.rules.next_step import MOVED, ONE_ANSWER, next_step, read_state, verdicts
from watchbill.rules.protected import protected_among


def refusals(
    history: History,
    routing: Routing,
    max_attempts: int,
    commit: str | None,
    candidate: str,
    gate: Gate = ONE_ANSWER,
    files: Iterable[str] = (),
) -> list[str]:
    """Why `candidate`, made from `commit`, may not be merged. Empty: it may.

    `files` are the paths that the candidate changes, both sides of a rename, as git lists them.
    """
    step = next_step(history, routing, max_attempts, gate)
    found: list[str] = []
    if history.ticket is None:
        found.append("its ticket is not in the backlog")
    if step.ended:
        found.append(f"the ticket is {step.ended}")
    found += [f"the history is damaged: {damage}" for damage in history.damage]
    found += [f"document {question.seq:04} waits for a human: {question.why}" for question in step.questions]
    if step.commit is None:
        found.append("no finished work is known")
    elif moved := moved_branch(history, routing, max_attempts, commit, gate):
        found.append(moved.title)
    if "build" in step.to:
        found.append(f"it is back with the build agent: {step.reason}")
    found += _missing_verdicts(history, routing, max_attempts, candidate, gate)
    if not read_state(history, routing, max_attempts, gate).accepted:
        found += [f"it changes {path}, which no human let through" for path in protected_among(files, gate.protected)]
    return found


def moved_branch(
    history: History, routing: Routing, max_attempts: int, commit: str | None, gate: Gate = ONE_ANSWER
) -> Finding | None:
    """What to ask a human when the ticket's branch is at `commit` and not at the work that was reviewed.

    None when it is, or when a human has said that the reviewed work may go on without this very commit.
    """
    state = read_state(history, routing, max_attempts, gate)
    work = state.work
    if work is None or work.commit == commit:
        return None
    words = f"merge\0{MOVED}\0{history.id}\0{work.commit}\0{commit}"
    finding = Finding(
        fingerprint=hashlib.sha256(words.encode()).hexdigest()[:16],
        severity="high",
        confidence=1.0,
        rule=MOVED,
        title=f"the branch is at {_short(commit)}, but what was reviewed is {_short(work.commit)}",
        rationale="Nobody reviewed what is on the branch now. To approve lets the build agent take the branch up as it "
        "stands, and has that reviewed. To dismiss merges what was reviewed, and nothing else.",
        source="merge",
    )
    return None if finding.fingerprint in state.dismissed else finding


def checked_again(history: History, candidate: str) -> bool:
    """Whether the engine itself ran the checks and the scanners on this very candidate, and its last run was good."""
    runs = [item for item in history.handoffs if item.sender == "merge" and item.candidate == candidate]
    return bool(runs) and runs[-1].outcome == "pass"


def reviewed(history: History, routing: Routing, max_attempts: int, candidate: str, gate: Gate = ONE_ANSWER) -> bool:
    """Whether every required reviewer passed this very candidate."""
    found = verdicts(history, routing, max_attempts, gate)
    return all(
        (verdict := found.get(reviewer)) is not None and verdict.candidate == candidate
        for reviewer in routing.merge.require
    )


def _missing_verdicts(history: History, routing: Routing, max_attempts: int, candidate: str, gate: Gate) -> list[str]:
    found = verdicts(history, routing, max_attempts, gate)
    sessions = {handoff.session for handoff in history.handoffs if handoff.sender == "build"}
    missing: list[str] = []
    for reviewer in routing.merge.require:
        verdict = found.get(reviewer)
        if verdict is None:
            missing.append(f"{reviewer} has not passed this commit")
        elif verdict.candidate != candidate and not checked_again(history, candidate):
            missing.append(f"{reviewer} passed {_short(verdict.candidate)}, not {_short(candidate)}")
        elif verdict.session is not None and verdict.session in sessions:
            missing.append(f"{reviewer} was the session that wrote the commit")
    return missing


def _short(commit: str | None) -> str:
    return commit[:10] if commit else "nothing"
