"""The integration branch against the histories: what landed was passed, and what is said to have landed is there.

Owns the walk along the integration branch and the checks of every merge. It reads the repository and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from watchbill.documents.handoff import Handoff
from watchbill.documents.ticket import Ticket
from watchbill.errors import WatchbillError
from watchbill.files.locks import is_held
from watchbill.history import History, Recorded
from watchbill.layout import handoff_ref
from watchbill.rules.merge_gate import refusals
from watchbill.stages.verify.approvals import objections
from watchbill.stages.verify.report import Findings
from watchbill.tools.git import Commit, Repository
from watchbill.workspace import Workspace


def check_merges(
    workspace: Workspace, histories: Mapping[str, History], ended: Mapping[str, Recorded], found: Findings
) -> int:
    """Check everything that needs the repository. Returns how many merges were looked at. Of the histories that `ended`
    before, only the last document is known: it must name the commit of the ticket that is on the branch.

    The documents are read before the repository: a run writes in the other order, so nothing seems to be missing.
    """
    check = _Merges(workspace, histories, ended, found)
    check.approvals()
    try:
        repo = Repository.open(workspace.repo)
        check.ids(repo)
        check.branch(repo)
    except WatchbillError as error:
        found.violation(workspace.layout.settings, f"the repository cannot be checked: {error.reason}")
    return len(check.merged)


@dataclass(frozen=True)
class _Merges:
    workspace: Workspace
    histories: Mapping[str, History]
    ended: Mapping[str, Recorded]
    found: Findings
    by_fewer: list[str] = field(default_factory=list)

    @cached_property
    def merged(self) -> list[tuple[History, Recorded]]:
        """Every document that names a commit as merged, with the history before it."""
        return [
            (replace(history, documents=history.documents[:index]), recorded)
            for history in self.histories.values()
            for index, recorded in enumerate(history.documents)
            if recorded.handoff.merged
        ]

    def approvals(self) -> None:
        """Each merge was approved by the documents before it."""
        said: dict[str, Recorded] = {}
        for before, recorded in self.merged:
            merged = recorded.handoff.merged or ""
            for why in _why_not_approved(before, recorded.handoff, merged, self.workspace):
                self.found.violation(recorded.path, f"it merged {merged[:10]} unapproved: {why}")
            if merged in said:
                other = said[merged].handoff
                what = f"document {other.seq:04} of {other.ticket} says of the same commit that it was merged"
                self.found.violation(recorded.path, what)
            said[merged] = recorded
            self._compare_with_todays_routing(before, recorded, merged)
        if self.by_fewer:
            what = f"{len(self.by_fewer)} merge(s) were approved by fewer people than [gate] asks for today"
            self.found.note(self.workspace.layout.settings, f"{what}, the first in {self.by_fewer[0]}")

    def ids(self, repo: Repository) -> None:
        """Every commit that a document names exists."""
        missing = repo.missing({commit for _, _, _, commit in self._named()})
        for recorded, what, must_be_there, commit in self._named():
            if commit not in missing:
                continue
            if must_be_there:
                self.found.violation(recorded.path, f"its {what} {commit[:10]} is not in the repository")
            else:
                # No branch holds on to a candidate that never landed, so git clears it away after some weeks.
                self.found.note(recorded.path, f"its {what} {commit[:10]} never landed, and git keeps it no longer")

    def branch(self, repo: Repository) -> None:
        """What is on the integration branch and not on the base was merged here; what was merged here is there."""
        project = self.workspace.settings.project
        base, head = repo.head_of(project.base), repo.head_of(project.integration)
        if base is None:
            self.found.violation(self.workspace.layout.settings, f"the repository has no branch {project.base!r}")
        tips = [tip for tip in (head, base) if tip]
        said = [recorded for _, recorded in self.merged]
        said += [recorded for recorded in self.ended.values() if recorded.handoff.merged]
        names = {recorded.handoff.merged or "" for recorded in said}
        # With no branch left to look at, nothing is contained anywhere.
        gone = repo.missing(names, contained_in=tips) if tips else names
        for recorded in said:
            merged = recorded.handoff.merged or ""
            if merged in gone:
                what = f"it says that {merged[:10]} was merged, but that is not on {project.integration}"
                self.found.violation(recorded.path, what)
        if base and head and head != base:
            for commit in repo.commits_between(base, head, first_parent=True):
                self._check_commit(commit)

    def _check_commit(self, commit: Commit) -> None:
        project = self.workspace.settings.project
        place, name = f"git: {project.integration}", f"{commit.id[:10]} ({_plain(commit.subject)})"
        ticket, work = commit.trailers.get("Watchbill-Ticket"), commit.trailers.get("Watchbill-Handoff")
        if ticket is None or work is None:
            self.found.violation(
                place, f"{name} was merged without a ticket; your own commits get there by way of {project.base}"
            )
            return
        if ticket in self.ended and self.ended[ticket].handoff.merged == commit.id:
            return
        landed = self._landing_of(ticket, commit)
        if landed is None:
            self._about_an_unrecorded(place, name, ticket, commit)
            return
        history = self._whole(ticket)
        for why in (*_what_disagrees(landed.handoff, commit, history, work), *_about_the_decision(commit, history)):
            self.found.violation(landed.path, why)

    def _landing_of(self, ticket: str, commit: Commit) -> Recorded | None:
        """The document that says that the commit landed; the history is read again in case it came a moment ago."""
        for history in (self._whole(ticket), self._now(ticket)):
            for recorded in history.documents if history else ():
                if recorded.handoff.merged == commit.id:
                    return recorded
        return None

    def _whole(self, ticket: str) -> History | None:
        """A history as it was read, or read now where only its end was."""
        return self._now(ticket) if ticket in self.ended else self.histories.get(ticket)

    def _now(self, ticket: str) -> History | None:
        is_known = ticket in self.histories or ticket in self.ended
        return self.workspace.history(ticket) if is_known else None

    def _about_an_unrecorded(self, place: str, name: str, ticket: str, commit: Commit) -> None:
        history = self._whole(ticket)
        if history is None:
            self.found.violation(place, f"{name} was merged for {_plain(ticket)}, which has no history")
            return
        work = commit.parents[1] if len(commit.parents) == 2 else None
        routing, attempts = self.workspace.routing, self.workspace.settings.limits.max_attempts
        # That the document which would say so is missing is no reason against it, and is told elsewhere.
        as_it_was = replace(history, damage=())
        reasons = refusals(as_it_was, routing, attempts, work, commit.id, self.workspace.settings.gate)
        if reasons:
            self.found.violation(place, f"{name} was merged for {ticket} unapproved: {reasons[0]}")
        elif is_held(self.workspace.layout.lock("merge")):
            self.found.note(place, f"{name} is being merged for {ticket} at this moment")
        else:
            hint = "if a merge was cut off, `watchbill merge` writes it"
            self.found.violation(place, f"{name} landed for {ticket}, but no handoff says so ({hint})")

    def _compare_with_todays_routing(self, before: History, recorded: Recorded, merged: str) -> None:
        ticket = before.ticket or Ticket(id=before.id, title=before.id)
        as_it_was = replace(before, ticket=ticket.model_copy(update={"status": "open"}), damage=())
        routing, attempts = self.workspace.routing, self.workspace.settings.limits.max_attempts
        files = recorded.handoff.verified.files if recorded.handoff.verified else ()
        gate = self.workspace.settings.gate
        commit = recorded.handoff.commit
        reasons = refusals(as_it_was, routing, attempts, commit, merged, gate, files)
        one_is_enough = gate.model_copy(update={"approvals": 1})
        if reasons and not refusals(as_it_was, routing, attempts, commit, merged, one_is_enough, files):
            self.by_fewer.append(handoff_ref(before.id, recorded.handoff.seq))
        elif reasons:
            self.found.note(recorded.path, f"under today's routing and limits it would not be merged: {reasons[0]}")

    def _named(self) -> Iterator[tuple[Recorded, str, bool, str]]:
        """Every commit that a document names: the document, under which key, whether a branch keeps it, its id."""
        landed = {recorded.handoff.merged for _, recorded in self.merged}
        for history in self.histories.values():
            for recorded in history.documents:
                for key in ("base", "commit", "candidate", "merged"):
                    commit: str | None = getattr(recorded.handoff, key)
                    if commit is not None:
                        yield recorded, key, key != "candidate" or commit in landed, commit


def _why_not_approved(before: History, landing: Handoff, merged: str, workspace: Workspace) -> Iterator[str]:
    if landing.outcome != "done":
        yield f"its outcome is {landing.outcome!r}"
    if landing.candidate != merged:
        yield f"the candidate that it names is {(landing.candidate or 'nothing')[:10]}"
    yield from objections(before.counted, landing.commit, merged, workspace.routing)


def _what_disagrees(landing: Handoff, commit: Commit, history: History | None, named: str) -> Iterator[str]:
    """Where the document and the commit that it is about tell two stories."""
    if len(commit.parents) != 2 or commit.parents != (landing.base, landing.commit):
        yield f"the parents of {commit.id[:10]} are not the base and the commit that it names"
    work = [item for item in (history.handoffs if history else ()) if handoff_ref(item.ticket, item.seq) == named]
    if not work or work[0].sender != "build" or work[0].commit != landing.commit:
        yield f"{commit.id[:10]} names {_plain(named)} as the work that it merges, which is not so"


def _about_the_decision(commit: Commit, history: History | None) -> Iterator[str]:
    """Where a commit names a decision by which the work went on, it is the one that the work names, and it counts.

    Commits of earlier versions name none.
    """
    named = commit.trailers.get("Watchbill-Decision")
    if named is None or history is None:
        return
    counted = {handoff_ref(item.ticket, item.seq) for item in history.counted if item.sender == "human"}
    if named not in counted:
        yield f"{commit.id[:10]} names {_plain(named)} as the decision by which it went on, which is none that counts"
        return
    work = commit.trailers.get("Watchbill-Handoff")
    approvals = {
        handoff_ref(item.ticket, item.approval)
        for item in history.handoffs
        if item.approval is not None and handoff_ref(item.ticket, item.seq) == work
    }
    if named not in approvals:
        yield f"{commit.id[:10]} names {_plain(named)} as the decision by which it went on, but its work does not"


def _plain(text: str) -> str:
    """Words from git, for one line of a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)[:100]
