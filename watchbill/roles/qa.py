"""The QA agent: judges a candidate against its ticket.

Owns what it is given, and that it cannot pass what the engine saw fail.
"""

from __future__ import annotations

from typing import Any

from watchbill.documents.handoff import CheckRun
from watchbill.roles.briefing import how_to_test, opening
from watchbill.roles.case import Assignment, Case
from watchbill.roles.evidence import CheckEvidence, Examiner, verified_by
from watchbill.roles.framing import Frames
from watchbill.roles.review import ALLOWED, SHOWN_DIFF, candidate_for, facts, verdict
from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending
from watchbill.rules.next_step import NOT_THE_BUILDERS
from watchbill.tools.model import ToolRefused


class Qa:
    """The QA role."""

    name = "qa"

    def prepare(self, case: Case) -> Assignment:
        candidate, tree = candidate_for(case, self.name)
        examiner = Examiner(case.workspace, case.repo, case.sandbox, case.say)
        stat = case.repo.diff_stat(case.integration, candidate)
        checks = examiner.checks(case.ticket, case.integration, candidate, tree.path)
        known = facts(case, self.name, candidate, verified_by(stat, case.sandbox, checks))

        async def accept(submission: Submission) -> None:
            refuse_a_pass_over_broken_checks(submission, checks)

        def conclude(ending: Ending, _turns: int) -> dict[str, Any]:
            return verdict(self.name, known, checks.comparison.findings, ending, case.workspace.routing)

        frames = Frames()
        first = _first_message(case, candidate, checks, frames)
        return Assignment(tree.path, first, frames, ALLOWED, accept, conclude, known)


def refuse_a_pass_over_broken_checks(submission: Submission, checks: CheckEvidence) -> None:
    """A pass is refused while checks regress; the model hears which. That they say nothing is a human's to judge."""
    if submission.outcome != "pass":
        return
    broken = [finding for finding in checks.comparison.findings if finding.rule not in NOT_THE_BUILDERS]
    if broken:
        names = "; ".join(finding.title for finding in broken[:10])
        reason = "It cannot pass while checks regress. Submit outcome fail and say what you know about it."
        raise ToolRefused(reason, names, "the checks")


def _first_message(case: Case, candidate: str, checks: CheckEvidence, frames: Frames) -> str:
    diff = case.repo.diff(case.integration, candidate, SHOWN_DIFF)
    criteria = case.history.ticket.criteria if case.history.ticket else ()
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(criteria, start=1))
    parts = opening(case, frames, "qa")
    if numbered:
        parts += ["# Acceptance criteria", frames.frame("the ticket", numbered)]
    parts += [
        "# What the engine ran (facts)",
        _about_checks(checks, frames),
        how_to_test(case),
        f"# The change (candidate {candidate[:12]} against the integration branch {case.integration[:12]})",
        frames.frame("the repository", diff, SHOWN_DIFF + 1_000),
        "A checkout of the candidate is your working folder. Judge it now, and end with submit_handoff.",
    ]
    return "\n\n".join(parts)


def _about_checks(checks: CheckEvidence, frames: Frames) -> str:
    if checks.candidate is None:
        return "No test command is configured, so nothing was run. A human will be asked before it can merge."
    lines = [f"On the base: {_words(checks.base_run)}.", f"On the candidate: {_words(checks.candidate_run)}."]
    findings = [f"{finding.severity}: {finding.title}" for finding in checks.comparison.findings[:30]]
    why = [run.why for run in (checks.base_run, checks.candidate_run) if run is not None and not run.ran]
    if why or findings:
        # What the engine found, but with the names that the project's tests and reports bear.
        lines.append(frames.frame("the comparison of the checks", "\n".join([*why, *findings]), 16_000))
    details = [f"{name}\n{text}" for name, text in list(checks.candidate.failures.items())[:10]]
    if not details and findings:
        details = [checks.candidate.output[-6_000:]]
    shown = frames.frame("the output of the checks", "\n\n".join(details), 16_000) if details else ""
    return "\n".join([*lines, shown]).strip()


def _words(run: CheckRun | None) -> str:
    if run is None:
        return "not run"
    if not run.ran:
        return "they could not be run"
    if run.passed or run.failed or run.skipped:
        return f"{run.passed} passed, {len(run.failed)} failed, {run.skipped} skipped"
    return f"the command ended with {run.exit_code}"
