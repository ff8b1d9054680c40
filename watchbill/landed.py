"""A merge that is in git and of which no document says so: its run died in between.

Owns the finding of such merges, and the document that says that one landed. Never merges, and never moves a branch.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from watchbill.errors import Stale, TryLater
from watchbill.files.locks import held
from watchbill.hand_over import hand_over, step_of
from watchbill.history import History
from watchbill.rules.merge_gate import checked_again, reviewed
from watchbill.rules.next_step import Step
from watchbill.tools.git import Repository
from watchbill.workspace import Workspace

if TYPE_CHECKING:
    from watchbill.tools.sandbox import Sandbox


def settle_landed(workspace: Workspace, tickets: Iterable[str], now: datetime) -> Iterable[str]:
    """Say of every ticket among `tickets`, which are ready to merge, whether it landed already. A line each."""
    try:
        with held(workspace.layout.lock("merge"), "merge"):
            repo = Repository.open(workspace.repo)
            head = repo.head_of(workspace.settings.project.integration)
            for ticket in tickets if head else ():
                history = workspace.history(ticket)
                landed = find_landed(workspace, repo, history, step_of(workspace, history), head or "")
                if landed:
                    say_landed(workspace, repo, ticket, landed, None, now)
                    yield f"{ticket} was merged as {landed[:10]} by a run that died before it could say so"
    except TryLater:
        # A merge is under way; it looks for them itself.
        return


def find_landed(workspace: Workspace, repo: Repository, history: History, step: Step, head: str) -> str | None:
    """The commit of a merge that was made, of the very candidate that was reviewed, whose document is missing."""
    work = history.document(step.work) if step.work else None
    if "merge" not in step.to or work is None or not work.handoff.base or not step.commit:
        return None
    if not repo.is_ancestor(step.commit, head):
        return None
    routing, attempts = workspace.routing, workspace.settings.limits.max_attempts
    gate = workspace.settings.gate
    for commit in repo.commits_between(work.handoff.base, head):
        if commit.trailers.get("Watchbill-Ticket") == history.id and step.commit in commit.parents:
            known = reviewed(history, routing, attempts, commit.id, gate) or checked_again(history, commit.id)
            if known:
                return commit.id
    return None


def say_landed(
    workspace: Workspace, repo: Repository, ticket: str, merged: str, sandbox: Sandbox | None, now: datetime
) -> None:
    """Publish that a commit landed: even if the ticket was closed or taken away meanwhile, it is in git."""
    from watchbill.roles.evidence import verified_by

    base = repo.commit(merged).parents[0]
    fields = {
        "from": "merge",
        "outcome": "done",
        "base": base,
        "commit": step_of(workspace, workspace.history(ticket)).commit,
        "candidate": merged,
        "merged": merged,
        "verified": verified_by(repo.diff_stat(base, merged), sandbox),
    }
    try:
        hand_over(workspace, ticket, fields, now, lambda _history, step: step.ended != "merged")
    except Stale:
        if step_of(workspace, workspace.history(ticket)).ended != "merged":
            raise
