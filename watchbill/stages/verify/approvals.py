"""Whether what was merged had been passed: the history before the merge, judged once more.

Owns the reasons why a merge was not approved. They do not depend on today's routing but for who must agree, so an owner
who changes the routing does not turn old merges into violations. It reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator

from watchbill.documents.handoff import Finding, Handoff
from watchbill.documents.routing import Routing

SEVERE = ("critical", "high")


def objections(before: tuple[Handoff, ...], commit: str | None, candidate: str, routing: Routing) -> Iterator[str]:
    """Why `candidate`, made from `commit`, was not approved by the documents `before` its merge."""
    work = next((item for item in reversed(before) if item.sender == "build" and item.outcome == "done"), None)
    if work is None or work.commit is None:
        yield "no build had finished any work"
        return
    if work.commit != commit:
        yield f"it merges {_short(commit)}, but the finished work was {_short(work.commit)}"
    # A human may close a ticket while its merge is on the way from the gate into git.
    last = next((item for item in reversed(before) if item.decision != "close"), work)
    if "merge" not in last.to:
        yield f"it was not ready: document {last.seq:04} had given the ticket to {' and '.join(last.to)}"
    for reviewer in routing.merge.require:
        yield from _about_a_review(reviewer, before, work, candidate, routing)


def _about_a_review(
    reviewer: str, before: tuple[Handoff, ...], work: Handoff, candidate: str, routing: Routing
) -> Iterator[str]:
    about_it = [item for item in before if item.seq > work.seq and item.commit == work.commit]
    reviews = [item for item in about_it if item.sender == reviewer and item.outcome in ("pass", "fail")]
    if not reviews:
        yield f"{reviewer} never passed {_short(work.commit)}"
        return
    verdict = reviews[-1]
    if verdict.verified is None:
        yield f"the engine verified nothing for document {verdict.seq:04}"
    if verdict.outcome == "fail" and not _lets_go_on(before, verdict.seq):
        yield f"{reviewer} failed it in document {verdict.seq:04}, and no human decided otherwise"
    if verdict.candidate != candidate and not _checked_again(about_it, candidate):
        yield f"{reviewer} passed the candidate {_short(verdict.candidate)}, not {_short(candidate)}"
    if verdict.session is not None and verdict.session in {item.session for item in before if item.sender == "build"}:
        yield f"the reviewer in document {verdict.seq:04} was a session that wrote the change"
    for finding in _undecided(before, verdict, routing):
        yield f"the {finding.severity} finding {finding.title!r} in document {verdict.seq:04} was decided by no human"


def _checked_again(about_it: list[Handoff], candidate: str) -> bool:
    """Whether the engine ran checks and scanners on that very candidate, and they passed."""
    return any(
        item.sender == "merge" and item.outcome == "pass" and item.candidate == candidate and item.verified is not None
        for item in about_it
    )


def _undecided(before: tuple[Handoff, ...], verdict: Handoff, routing: Routing) -> Iterator[Finding]:
    """The severe findings that are a human's to decide, and that no human has seen on this ticket."""
    seen = {finding.fingerprint for item in before if _lets_go_on(before, item.seq) for finding in item.findings}
    for finding in verdict.findings:
        goes_to = routing.destination(finding.severity, finding.source, finding.rule, finding.breaks_build)
        if finding.severity in SEVERE and goes_to == "human" and finding.fingerprint not in seen:
            yield finding


def _lets_go_on(before: tuple[Handoff, ...], seq: int) -> bool:
    """Whether a human approved or dismissed what document `seq` asked, perhaps after escalations."""
    answer = next((item for item in before if item.sender == "human" and item.answers == seq), None)
    if answer is None:
        return False
    if answer.decision == "escalate":
        return answer.seq > seq and _lets_go_on(before, answer.seq)
    return answer.decision in ("approve", "dismiss")


def _short(commit: str | None) -> str:
    return commit[:10] if commit else "nothing"
