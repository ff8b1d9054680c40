"""The build agent: works one ticket in a worktree of its own branch.

Owns what it is given, and that the engine commits what it did and looks at that itself. The agent never commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from watchbill.documents.handoff import Verified
from watchbill.layout import branch_of
from watchbill.roles.briefing import how_to_test, opening
from watchbill.roles.case import Assignment, Case
from watchbill.roles.framing import Frames, plain
from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending
from watchbill.tools.git import Worktree
from watchbill.tools.model import ToolRefused
from watchbill.tools.sandbox import Limits

ALLOWED = ("bash", "read", "write", "edit", "glob", "grep")


class Build:
    """The build role."""

    name = "build"

    def prepare(self, case: Case) -> Assignment:
        tree = case.repo.worktree(case.workspace.layout.worktree(case.ticket), branch_of(case.ticket), case.integration)
        work = _Work(case, tree, *_bring_up_to_date(case, tree))
        work.set_up()
        return Assignment(
            worktree=tree.path,
            first=work.first_message(),
            tools=ALLOWED,
            accept=work.accept,
            conclude=work.conclude,
        )


def _bring_up_to_date(case: Case, tree: Worktree) -> tuple[str | None, tuple[str, ...]]:
    """After a refused merge the integration branch is merged into the files, so that the conflict can be seen."""
    pending = tree.merging()
    if pending:
        return pending, tuple(tree.conflict_markers())
    last = case.history.last("build", "merge")
    if last is None or last.sender != "merge" or last.outcome != "fail":
        return None, ()
    if tree.changed():
        tree.commit_all(_message(case, "work that an earlier session left"), datetime.now(UTC))
    if case.repo.is_ancestor(case.integration, tree.head()):
        return None, ()
    return case.integration, tuple(tree.begin_merge(case.integration))


@dataclass
class _Work:
    case: Case
    tree: Worktree
    merging: str | None
    conflicts: tuple[str, ...]
    made_by_setup: tuple[str, ...] = ()
    setup_failed: str = ""

    def set_up(self) -> None:
        """Run the project's set-up command, and remember what it made: that is not the ticket's work."""
        settings = self.case.workspace.settings
        if not settings.checks.setup.strip():
            return
        before = set(self.tree.untracked())
        self.case.say("running the set-up command")
        limits = Limits(seconds=settings.checks.timeout_seconds)
        network = "setup" in settings.sandbox.network
        done = self.case.sandbox.run(settings.checks.setup, self.tree.path, limits, network=network)
        if done.exit_code != 0:
            self.setup_failed = done.output[-4_000:] or "it was stopped"
            self.case.say("the set-up command failed; the agent is told")
        made = set(self.tree.untracked()) - before
        self.made_by_setup = tuple(sorted(f"/{_escaped(path)}" for path in made))

    def first_message(self) -> str:
        frames = Frames()
        parts = opening(self.case, frames, "build")
        parts += ["# Your worktree", self._about_the_worktree(), how_to_test(self.case)]
        if self.setup_failed:
            failed = frames.frame("the set-up command", self.setup_failed)
            parts.append(f"The project's set-up command failed in this worktree, so its tests may not run:\n{failed}")
        if self.merging:
            parts += ["# A merge is under way", self._about_the_merge(frames)]
        parts.append("Work the ticket now, and end with submit_handoff.")
        return "\n\n".join(parts)

    async def accept(self, submission: Submission) -> None:
        """Refuse `done` where the engine can see that it is not."""
        if submission.outcome != "done":
            return
        marked = self.tree.conflict_markers()
        if marked:
            raise ToolRefused(f"Not done: conflict markers are left in {', '.join(marked[:10])}. Resolve them first.")
        if not self._has_work():
            raise ToolRefused(
                "Not done: nothing differs from the integration branch. If nothing needs to change, submit outcome "
                "blocked and say why."
            )

    def conclude(self, ending: Ending, turns: int) -> dict[str, Any] | None:
        """Commit what there is, look at it, and say how it stands."""
        submission = ending.submission
        outcome = submission.outcome if submission else "deferred"
        if submission is None and ending.trouble is not None and turns <= 1 and not self._has_work():
            return None
        note = "" if outcome == "done" else f"work in progress ({outcome})"
        commit = self.tree.commit_all(
            _message(self.case, note), datetime.now(UTC), self.made_by_setup, second_parent=self.merging
        )
        head = commit or self.tree.head()
        base = self.case.repo.merge_base(self.case.integration, head) or self.case.integration
        stat = self.case.repo.diff_stat(base, head)
        self.case.repo.make_durable()
        return {
            "from": "build",
            "outcome": outcome,
            "base": base,
            "commit": head,
            "approval": self.case.step.approval,
            "verified": Verified(
                files=stat.files[:2_000],
                insertions=stat.insertions,
                deletions=stat.deletions,
                sandbox=self.case.sandbox.name,
            ),
            "findings": submission.findings_from("build") if submission else (),
        }

    def _has_work(self) -> bool:
        if self.tree.changed(self.made_by_setup) or self.merging:
            return True
        head = self.tree.head()
        base = self.case.repo.merge_base(self.case.integration, head) or self.case.integration
        return bool(self.case.repo.diff_stat(base, head).files)

    def _about_the_worktree(self) -> str:
        head = self.tree.head()
        lines = [f"It is `{self.tree.path}`, on the ticket's own branch; commands start there."]
        if head != self.case.integration and not self.case.repo.is_ancestor(head, self.case.integration):
            lines.append("It holds the committed work of earlier sessions on this ticket: build on it.")
        if self.tree.changed(self.made_by_setup) and not self.merging:
            lines.append("It also holds uncommitted work of a session that was cut off: look at it first (git status).")
        lines.append(
            "The engine commits everything that you leave there, so leave nothing behind that is not the work."
        )
        return " ".join(lines)

    def _about_the_merge(self, frames: Frames) -> str:
        if not self.conflicts:
            return "The integration branch was merged into your files without conflict. Make the checks pass on that."
        files = frames.frame("files in conflict", "\n".join(self.conflicts))
        return (
            "The integration branch was merged into your files. These hold conflict markers; resolve each so that both "
            f"sides' purposes are kept, and leave no marker:\n{files}"
        )


def _message(case: Case, note: str) -> str:
    title = plain(case.history.ticket.title) if case.history.ticket else ""
    subject = f"{case.ticket}: {title}"
    subject = subject if len(subject) <= 72 else subject[:71] + "…"
    body = f"{note}\n\n" if note else ""
    return f"{subject}\n\n{body}Watchbill-Ticket: {case.ticket}\nWatchbill-Session: {case.session}\n"


def _escaped(path: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\*?[]!# " else letter for letter in path)
