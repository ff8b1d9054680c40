"""The security agent: judges what a candidate could do to its users.

Owns what it is given, and that a scanner's severity is never lowered: a model may only add why it thinks that an alert
is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchbill.documents.handoff import SEVERITIES, Finding
from watchbill.roles.briefing import opening
from watchbill.roles.case import Assignment, Case
from watchbill.roles.evidence import Examiner, ScanEvidence, scanner_trouble, verified_by
from watchbill.roles.framing import Frames
from watchbill.roles.review import ALLOWED, SHOWN_DIFF, candidate_for, facts, verdict
from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending


class Security:
    """The security role."""

    name = "security"

    def prepare(self, case: Case) -> Assignment:
        candidate, tree = candidate_for(case, self.name)
        examiner = Examiner(case.workspace, case.repo, case.sandbox, case.say)
        stat = case.repo.diff_stat(case.integration, candidate)
        scans = examiner.scans(case.integration, candidate, stat)
        known = facts(case, self.name, candidate, verified_by(stat, case.sandbox, scans=scans))
        engine = (*scans.findings, *scanner_trouble(scans))

        async def accept(_submission: Submission) -> None:
            """Whatever the model says stands as its claim; the scanners' findings stand beside it."""

        def conclude(ending: Ending, _turns: int) -> dict[str, Any]:
            fields = verdict(self.name, known, engine, ending, case.workspace.routing)
            fields["findings"] = with_opinions(fields["findings"])
            return fields

        frames = Frames()
        first = _first_message(case, candidate, scans, frames)
        return Assignment(tree.path, first, frames, ALLOWED, accept, conclude, known)


def with_opinions(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Move what the model says about a scanner's alert (same rule, path and line) beside that alert.

    The alert keeps its severity. Only a model that finds the same thing worse keeps its own finding as well.
    """
    scanners = [finding for finding in findings if finding.source != "security"]
    own = [finding for finding in findings if finding.source == "security"]
    result: list[Finding] = []
    spoken: set[str] = set()
    for alert in scanners:
        said = next((item for item in own if _about_the_same(item, alert)), None)
        if said is None:
            result.append(alert)
            continue
        if SEVERITIES.index(said.severity) >= SEVERITIES.index(alert.severity):
            spoken.add(said.fingerprint)
        opinion = f"{alert.rationale}\nThe security agent says: {said.rationale or said.title}".strip()
        result.append(alert.model_copy(update={"rationale": opinion[:10_000]}))
    return (*result, *(item for item in own if item.fingerprint not in spoken))


def _about_the_same(said: Finding, alert: Finding) -> bool:
    return said.rule.lower() == alert.rule.lower() and said.path == alert.path and said.line in (0, alert.line)


def _first_message(case: Case, candidate: str, scans: ScanEvidence, frames: Frames) -> str:
    diff = case.repo.diff(case.integration, candidate, SHOWN_DIFF)
    parts = opening(case, frames, "security")
    parts += [
        "# What the scanners saw that is new (facts)",
        _about_alerts(scans, frames),
        f"# The change (candidate {candidate[:12]} against the integration branch {case.integration[:12]})",
        frames.frame("the repository", diff, SHOWN_DIFF + 1_000),
        "A checkout of the candidate is your working folder. Judge it now, and end with submit_handoff.",
    ]
    return "\n\n".join(parts)


def _about_alerts(scans: ScanEvidence, frames: Frames) -> str:
    lines = [f"Scanners that ran: {', '.join(scans.ran) or 'none'}."]
    if scans.failed:
        lines.append(f"Scanners that did not run:\n{frames.frame('the scanners', chr(10).join(scans.failed), 4_000)}")
    if not scans.alerts:
        return "\n".join([*lines, "No new alert."])
    alerts = [
        f"{alert.severity} {alert.source} {alert.rule} {alert.path}:{alert.line} {alert.title}\n{alert.evidence}"
        for alert in scans.alerts[:50]
    ]
    return "\n".join([*lines, frames.frame("the scanners", "\n\n".join(alerts), 20_000)])
