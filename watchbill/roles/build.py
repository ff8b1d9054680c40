"""The build agent: works one ticket in a worktree of its own branch.

Owns what it is given, and that the engine commits what it did and looks at that itself. The agent never commits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchbill import strict_json
from watchbill.documents.handoff import Verified
from watchbill.files.publish import replace
from watchbill.layout import branch_of
from watchbill.roles.briefing import how_to_test, opening
from watchbill.roles.case import Assignment, Case
from watchbill.roles.framing import Frames, plain
from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending
from watchbill.tools.git import Repository, Worktree
from watchbill.tools.model import ToolRefused
from watchbill.tools.redaction import redact
from watchbill.tools.sandbox import Limits

ALLOWED = ("bash", "read", "write", "edit", "glob", "grep")
LARGEST_MARKED = 5_000_000
# Where build tools leave their output. New files there count as work only when the model wrote them itself.
OUTPUT_FOLDERS = frozenset({"build", "dist", "target", "coverage", "out", "_build", ".cache", ".gradle", ".next"})


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
            frames=work.frames,
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
        return None, _marked(case, tree)
    setups = _patterns_for(_remembered(case))
    if tree.changed(setups):
        tree.commit_all(_message(case, "work that an earlier session left"), datetime.now(UTC), setups)
    if case.repo.is_ancestor(case.integration, tree.head()):
        return None, ()
    return case.integration, tuple(tree.begin_merge(case.integration, setups))


def _marked(case: Case, tree: Worktree) -> tuple[str, ...]:
    """The files of the ticket that hold conflict markers: those that an earlier session committed as they stood, too.

    A file that holds them on the integration branch as well is about them, and no conflict.
    """
    head = tree.head()
    changed = set(tree.changed())
    base = case.repo.merge_base(case.integration, head) or case.integration
    committed = [path for path in case.repo.diff_stat(base, head).files if path not in changed]
    marked = [*tree.conflict_markers(), *(path for path in committed if _holds_markers(case.repo, head, path))]
    return tuple(sorted(path for path in marked if not _holds_markers(case.repo, case.integration, path)))


def _holds_markers(repo: Repository, commit: str, path: str) -> bool:
    lines = (repo.read_file(commit, path, LARGEST_MARKED) or b"").split(b"\n")
    return all(any(line.startswith(mark) for line in lines) for mark in (b"<<<<<<< ", b">>>>>>> "))


@dataclass
class _Work:
    case: Case
    tree: Worktree
    merging: str | None
    conflicts: tuple[str, ...]
    frames: Frames = field(default_factory=Frames)
    made_by_setup: tuple[str, ...] = ()
    setup_failed: str = ""

    def set_up(self) -> None:
        """Run the project's set-up command, and remember what it made: that is not the ticket's work."""
        settings = self.case.workspace.settings
        if not settings.checks.setup.strip():
            return
        known = _remembered(self.case)
        before = set(self.tree.untracked()) - known
        self.case.say("running the set-up command")
        limits = Limits(seconds=settings.checks.timeout_seconds)
        network = "setup" in settings.sandbox.network
        done = self.case.sandbox.run(settings.checks.setup, self.tree.path, limits, network=network)
        if done.exit_code != 0:
            self.setup_failed = redact(done.output)[-4_000:] or "it was stopped"
            self.case.say("the set-up command failed; the agent is told")
        made = set(self.tree.untracked()) - before
        _remember(self.case, made | known)
        self.made_by_setup = _patterns_for(made | known)

    def first_message(self) -> str:
        frames = self.frames
        parts = opening(self.case, frames, "build")
        parts += ["# Your worktree", self._about_the_worktree(), how_to_test(self.case)]
        if self.setup_failed:
            failed = frames.frame("the set-up command", self.setup_failed)
            parts.append(f"The project's set-up command failed in this worktree, so its tests may not run:\n{failed}")
        if self.merging or self.conflicts:
            parts += ["# A merge is under way", self._about_the_merge()]
        parts.append("Work the ticket now, and end with submit_handoff.")
        return "\n\n".join(parts)

    async def accept(self, submission: Submission) -> None:
        """Refuse `done` where the engine can see that it is not."""
        if submission.outcome != "done":
            return
        marked = _marked(self.case, self.tree)
        if marked:
            reason = "Not done: conflict markers are left in these files. Resolve them first."
            raise ToolRefused(reason, ", ".join(marked[:10]), "names of files")
        if not self._has_work():
            raise ToolRefused(
                "Not done: nothing differs from the integration branch. If nothing needs to change, submit outcome "
                "blocked and say why."
            )

    def conclude(self, ending: Ending, _turns: int) -> dict[str, Any] | None:
        """Commit what there is, look at it, and say how it stands. None when nothing was done, by no fault of the
        ticket's."""
        submission = ending.submission
        outcome = submission.outcome if submission else "deferred"
        if submission is None and _is_nobodys_attempt(ending) and not self._has_work():
            return None
        note = "" if outcome == "done" else f"work in progress ({outcome})"
        commit = self.tree.commit_all(
            _message(self.case, note), datetime.now(UTC), self._left_out(ending), second_parent=self.merging
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

    def _left_out(self, ending: Ending) -> tuple[str, ...]:
        """Patterns of what is not the ticket's work: what the set-up made, and output that commands left behind."""
        new = self.tree.untracked(self.made_by_setup)
        written = {path.removeprefix(f"{self.tree.path}/").removeprefix("./") for path in ending.written}
        folders = {folder for path in new if (folder := output_folder(path))}
        output = {
            folder
            for folder in folders
            if not self.tree.tracks(folder) and not any(path.startswith(f"{folder}/") for path in written)
        }
        return (*self.made_by_setup, *(f"/{_escaped(folder)}/" for folder in sorted(output)))

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
            "The engine commits everything that you leave there, so leave nothing behind that is not the work. New "
            "files that a command leaves in build, dist, target, coverage and the like are not committed."
        )
        return " ".join(lines)

    def _about_the_merge(self) -> str:
        if not self.conflicts:
            return "The integration branch was merged into your files without conflict. Make the checks pass on that."
        files = self.frames.frame("files in conflict", "\n".join(self.conflicts))
        return (
            "The integration branch was merged into your files. These hold conflict markers; resolve each so that both "
            f"sides' purposes are kept, and leave no marker:\n{files}"
        )


def output_folder(path: str) -> str:
    """The outermost folder of `path` that build tools fill, such as `web/dist`, or an empty string."""
    parts = path.split("/")[:-1]
    place = next((number for number, part in enumerate(parts) if part in OUTPUT_FOLDERS), None)
    return "" if place is None else "/".join(parts[: place + 1])


def _is_nobodys_attempt(ending: Ending) -> bool:
    """Whether the model's server, or a pause, ended it before anything was said."""
    if ending.trouble is not None and ending.trouble.kind == "rejected":
        return False
    return ending.replies == 0 and (ending.trouble is not None or ending.stopped)


def _message(case: Case, note: str) -> str:
    title = redact(plain(case.history.ticket.title)) if case.history.ticket else ""
    subject = f"{case.ticket}: {title}"
    subject = subject if len(subject) <= 72 else subject[:71] + "…"
    body = f"{note}\n\n" if note else ""
    return f"{subject}\n\n{body}Watchbill-Ticket: {case.ticket}\nWatchbill-Session: {case.session}\n"


def _remembered(case: Case) -> set[str]:
    """What the set-up command made in this worktree in earlier sessions, which never goes into a commit."""
    try:
        return {str(path) for path in strict_json.read(_memory(case).read_bytes())}
    except (OSError, ValueError, TypeError):
        # Derived data. Without it, what lies in the worktree counts as work, and a human sees it in the diff.
        return set()


def _remember(case: Case, made: set[str]) -> None:
    if made:
        replace(_memory(case), json.dumps(sorted(made)).encode())


def _memory(case: Case) -> Path:
    return case.workspace.layout.cache / "setup" / f"{case.ticket}.json"


def _patterns_for(paths: set[str]) -> tuple[str, ...]:
    return tuple(sorted(f"/{_escaped(path)}" for path in paths))


def _escaped(path: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\*?[]!# " else letter for letter in path)
