"""Merge: bring approved work to the integration branch. Plain code, no agent.

Owns the order of a merge: build the candidate, check it again where it is not the one that was reviewed, ask the
gate, move the branch, say so. Never touches the owner's checkout or any branch but the integration branch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbill.documents.handoff import Finding
from watchbill.errors import Refused, Stale, WatchbillError
from watchbill.files.locks import held
from watchbill.hand_over import hand_over, step_of
from watchbill.history import History
from watchbill.integration import integration_head
from watchbill.landed import find_landed, say_landed
from watchbill.layout import branch_of
from watchbill.roles.candidate import candidate_of, conflict_handoff
from watchbill.roles.evidence import Examiner, scanner_trouble, verified_by
from watchbill.roles.review import holds_up
from watchbill.rules.merge_gate import checked_again, moved_branch, refusals, reviewed
from watchbill.rules.next_step import Step, verdicts
from watchbill.tools.git import Repository
from watchbill.tools.redaction import hold_urls
from watchbill.tools.sandbox import Sandbox
from watchbill.workspace import Workspace

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Result:
    """What became of one ticket: merged, sent back, or refused with the gate's reasons."""

    ticket: str
    outcome: str
    commit: str | None = None
    reasons: tuple[str, ...] = ()


def merge(
    workspace: Workspace,
    order: Callable[[Workspace], list[str]],
    sandbox: Callable[[Repository], Sandbox],
    now: Callable[[], datetime],
    say: Say,
) -> list[Result]:
    """Merge every ticket that is ready, in `order`, each on top of the one before. Raises `TryLater` when another
    merge is under way."""
    with held(workspace.layout.lock("merge"), "merge"):
        tickets = order(workspace)
        if not tickets:
            return []
        repo = Repository.open(workspace.repo)
        hold_urls("git remote", repo.remote_urls())
        merger = _Merger(workspace, repo, sandbox(repo), now, say)
        return [merger.try_to_merge(ticket) for ticket in tickets]


@dataclass(frozen=True)
class _Merger:
    workspace: Workspace
    repo: Repository
    sandbox: Sandbox
    now: Callable[[], datetime]
    say: Say

    def try_to_merge(self, ticket: str) -> Result:
        """Merge one ticket. What stands in its way holds up no other."""
        try:
            return self.merge(ticket)
        except Refused as error:
            self.say(ticket, f"is not merged: {error.reason}")
            return Result(ticket, "refused", reasons=(f"{error.reason} {error.hint}".strip(),))
        except Stale as error:
            self.say(ticket, f"left alone: {error.reason}")
            return Result(ticket, "moved on", reasons=(error.reason,))

    def merge(self, ticket: str) -> Result:
        head = integration_head(self.workspace, self.repo)
        history = self.workspace.history(ticket)
        step = step_of(self.workspace, history)
        if "merge" not in step.to:
            return Result(ticket, "moved on", reasons=(step.reason,))
        landed = find_landed(self.workspace, self.repo, history, step, head)
        if landed:
            self.say(ticket, "was merged by a run that died before it could say so")
            return self._report(ticket, landed)
        candidate = candidate_of(self.repo, history, step, head)
        if candidate.commit is None:
            return self._send_back(ticket, conflict_handoff(history, step, head, candidate))
        routing, attempts = self.workspace.routing, self.workspace.settings.limits.max_attempts
        gate = self.workspace.settings.gate
        tip = self.repo.head_of(branch_of(ticket))
        moved = moved_branch(history, routing, attempts, tip, gate)
        if moved:
            return self._send_back(ticket, _about_the_branch(moved, step, head, candidate.commit))
        known = reviewed(history, routing, attempts, candidate.commit, gate)
        if not known and not checked_again(history, candidate.commit):
            sent_back = self._check_again(ticket, history, step, head, candidate.commit)
            if sent_back is not None:
                return sent_back
            history = self.workspace.history(ticket)
        tip = self.repo.head_of(branch_of(ticket))
        files = self.repo.diff_stat(head, candidate.commit).files
        reasons = refusals(history, routing, attempts, tip, candidate.commit, gate, files)
        if reasons:
            self.say(ticket, f"is not merged: {reasons[0]}")
            return Result(ticket, "refused", reasons=tuple(reasons))
        self.repo.make_durable()
        self.repo.move_branch(self.workspace.settings.project.integration, candidate.commit, head)
        self.repo.make_durable()
        return self._report(ticket, candidate.commit)

    def _check_again(self, ticket: str, history: History, step: Step, head: str, candidate: str) -> Result | None:
        """The integration branch has moved since the reviews: the engine's part is done again on the new candidate."""
        self.say(ticket, "the integration branch has moved; checking the new candidate")
        layout = self.workspace.layout
        tree = self.repo.detached_worktree(layout.worktree(f"{ticket}.merge"), candidate)
        examiner = Examiner(self.workspace, self.repo, self.sandbox, lambda text: self.say(ticket, text))
        stat = self.repo.diff_stat(head, candidate)
        checks = examiner.checks(ticket, head, candidate, tree.path)
        scans = examiner.scans(head, candidate, stat)
        self.repo.put_by(tree.path)
        findings = (*checks.comparison.findings, *scans.findings, *scanner_trouble(scans))
        new = self._not_settled_before(history, findings)
        fields: dict[str, Any] = {
            "from": "merge",
            "outcome": "fail" if new else "pass",
            "base": head,
            "commit": step.commit,
            "candidate": candidate,
            "verified": verified_by(stat, self.sandbox, checks, scans),
            "findings": findings,
            "reason": f"with what was merged meanwhile: {new[0].title}"
            if new
            else "checked again on the new candidate",
        }
        self.repo.make_durable()
        if new:
            return self._send_back(ticket, fields)
        self._hand_over(ticket, fields)
        return None

    def _not_settled_before(self, history: History, findings: tuple[Finding, ...]) -> list[Finding]:
        """The findings that hold a merge up and that no verdict which stands has carried already."""
        routing, attempts = self.workspace.routing, self.workspace.settings.limits.max_attempts
        standing = verdicts(history, routing, attempts, self.workspace.settings.gate).values()
        known = {finding.fingerprint for verdict in standing for finding in verdict.findings}
        return [item for item in findings if holds_up(routing, item) and item.fingerprint not in known]

    def _send_back(self, ticket: str, fields: dict[str, Any]) -> Result:
        step = self._hand_over(ticket, fields)
        self.say(ticket, f"{fields['reason']}; it goes to {' and '.join(step.to)}")
        return Result(ticket, "sent back", reasons=(fields["reason"],))

    def _report(self, ticket: str, merged: str) -> Result:
        say_landed(self.workspace, self.repo, ticket, merged, self.sandbox, self.now())
        self.say(ticket, f"merged as {merged[:10]}")
        self._clear_away(ticket)
        return Result(ticket, "merged", merged)

    def _hand_over(
        self,
        ticket: str,
        fields: dict[str, Any],
        still_valid: Callable[[History, Step], bool] = lambda _history, step: "merge" in step.to,
    ) -> Step:
        _, step = hand_over(
            self.workspace,
            ticket,
            fields,
            self.now(),
            still_valid,
            diff=lambda work: self.repo.diff(work.base, work.commit) if work.base and work.commit else "",
        )
        return step

    def _clear_away(self, ticket: str) -> None:
        """The ticket's worktrees are of no more use. One that cannot be removed is left for the next time."""
        for name in (ticket, f"{ticket}.qa", f"{ticket}.security", f"{ticket}.base", f"{ticket}.merge"):
            path = self.workspace.layout.worktree(name)
            try:
                self.repo.remove_worktree(path)
            except (WatchbillError, OSError) as error:
                self.say(ticket, f"its worktree {path.name} could not be removed: {error}")


def _about_the_branch(moved: Finding, step: Step, head: str, candidate: str) -> dict[str, Any]:
    """The fields of the merge's handoff that asks what a moved branch is to mean."""
    return {
        "from": "merge",
        "outcome": "fail",
        "base": head,
        "commit": step.commit,
        "candidate": candidate,
        "findings": (moved,),
        "reason": moved.title,
    }
