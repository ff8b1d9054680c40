"""Verify: find any edit, gap or unapproved merge, offline.

Owns the walk over the whole workspace. It repairs nothing and never writes; what it cannot read is a violation, and
everything else is still checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from watchbill.errors import Damaged, TryLater
from watchbill.files import quarantine
from watchbill.files.archive import documents_in
from watchbill.hand_over import step_of
from watchbill.heads import Head, read_heads
from watchbill.history import Backlog, History, Recorded, archived_packs, histories_on_disk
from watchbill.layout import DOCUMENT_NUMBER, TICKET_ID, Layout, item_id
from watchbill.stages.verify.chains import check_chain, check_earlier, check_head, highest_there
from watchbill.stages.verify.decisions import check_decisions
from watchbill.stages.verify.merges import check_merges
from watchbill.stages.verify.records import (
    check_ends,
    check_items,
    check_manifests,
    check_origin,
    check_questions,
    check_sessions,
    read_records,
)
from watchbill.stages.verify.report import Counts, Findings, Report, Violation
from watchbill.stages.verify.since import ended_before, moment_of
from watchbill.workspace import Workspace

__all__ = ["Counts", "Report", "Violation", "moment_of", "verify"]

CLOCKS_DIFFER = timedelta(minutes=5)


def verify(workspace: Workspace, now: datetime, since: datetime | None = None) -> Report:
    """Check every document of `workspace`, and every commit on its integration branch.

    With `since`, of histories that ended before that moment only the numbers, the last document (against its noted
    hash) and that its merge is on the branch are checked; every other history, all records, and the whole branch are
    checked as ever. Raises `Misconfigured` when the settings or the routing cannot be read: without them nothing can
    be judged.
    """
    layout, found = workspace.layout, Findings(workspace.root)
    records = read_records(layout, found)
    backlog = workspace.backlog()
    heads = _heads(layout, found)
    tickets = _tickets_with_history(layout, found)
    ended = ended_before(workspace, tickets, since)
    histories = {
        ticket: workspace.history_of(ticket, backlog.get(ticket), heads.get(ticket, Head()))
        for ticket in tickets
        if ticket not in ended
    }
    _about_the_backlog(backlog, found)
    _about_the_quarantine(layout, found)
    _about_the_archive(layout, found)
    asked: set[str] = set()
    for history in histories.values():
        _about_strangers(layout.history_of(history.id), found)
        check_chain(history, layout, found)
        check_decisions(workspace, history, found)
        check_origin(history, records, layout, found)
        step = step_of(workspace, history)
        asked.update(item_id(history.id, question.seq) for question in step.questions)
        check_questions(history, step, layout, found)
        _about_the_future(history, now, found)
    _about_the_ends(histories, ended, heads, layout, found)
    check_manifests(records, histories, ended, layout, found)
    check_items(records, histories, ended, asked, layout, found)
    check_sessions(records, histories, ended, layout, found)
    check_ends(histories, layout, found)
    merges = check_merges(workspace, histories, ended, found)
    counts = Counts(
        tickets=len(backlog.tickets),
        documents=sum(len(history.documents) for history in histories.values()) + len(ended),
        manifests=len(records.manifests),
        items=len(records.waiting) + len(records.decided),
        sessions=len(records.sessions),
        merges=merges,
    )
    return Report(_in_order(found.violations), tuple(sorted(found.notes)), counts, len(ended))


def _in_order(violations: Mapping[Violation, None]) -> tuple[Violation, ...]:
    return tuple(sorted(violations, key=lambda violation: (violation.path, violation.what)))


def _tickets_with_history(layout: Layout, found: Findings) -> list[str]:
    """The histories on disk. A folder that no ticket can have, or that lies elsewhere, is not one of them."""
    tickets = []
    for name in histories_on_disk(layout):
        if (layout.handoffs / name).is_symlink():
            found.violation(layout.handoffs / name, "it is a link: histories lie in the workspace itself")
        elif not TICKET_ID.fullmatch(name):
            found.violation(layout.handoffs / name, "it is the history of no ticket")
        else:
            tickets.append(name)
    return tickets


def _heads(layout: Layout, found: Findings) -> dict[str, Head]:
    """What was noted of the histories' ends: to be read before them, so that no later document seems unknown."""
    try:
        return read_heads(layout)
    except TryLater as error:
        found.violation(layout.heads, error.reason)
        return {}


def _about_the_ends(
    histories: Mapping[str, History],
    ended: Mapping[str, Recorded],
    heads: Mapping[str, Head],
    layout: Layout,
    found: Findings,
) -> None:
    for ticket, head in heads.items():
        history = histories.get(ticket)
        last = ended.get(ticket) or (history.documents[-1] if history and history.documents else None)
        highest = last.handoff.seq if ticket in ended and last else highest_there(history) if history else 0
        check_head(ticket, highest, last, head, layout, found)
        check_earlier(history.documents if history else (), head, found)


def _about_strangers(folder: Path, found: Findings) -> None:
    """Files among the handoffs that the engine did not name. What begins with a dot was never published."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        is_reason = path.name.endswith(".damaged.reason.txt")
        if not (DOCUMENT_NUMBER.fullmatch(path.name) or is_reason or path.name.startswith(".")):
            found.note(path, "it is no document of the engine's, and nothing reads it")


def _about_the_backlog(backlog: Backlog, found: Findings) -> None:
    """Tickets are their owner's to write, so a mistake in one is no violation."""
    for error in backlog.damaged:
        found.note(error.path, f"it cannot be read: {error.why}")
    for ticket, paths in backlog.duplicates.items():
        found.note(paths[0], f"{' and '.join(path.name for path in paths)} all claim the id {ticket}")


def _about_the_archive(layout: Layout, found: Findings) -> None:
    """Every pack is whole, and what still lies loose beside it is the same."""
    for pack in archived_packs(layout):
        try:
            for name, data in documents_in(pack):
                loose = layout.handoffs / name
                if loose.is_file() and loose.read_bytes() != data:
                    found.violation(loose, f"{pack.relative_to(layout.root).as_posix()} holds another document {name}")
        except Damaged as error:
            found.violation(pack, error.why)


def _about_the_quarantine(layout: Layout, found: Findings) -> None:
    """A ticket in quarantine waits for its owner; anything else there is damage."""
    for entry in _quarantined(layout, found):
        source, why = str(entry.get("from", "")), str(entry.get("why", ""))
        place = layout.quarantine / str(entry.get("file", ""))
        if source.startswith(f"{layout.tickets.name}/"):
            found.note(place, f"{source} was set aside: {why}")
        else:
            found.violation(place, f"{source} was set aside: {why}")


def _quarantined(layout: Layout, found: Findings) -> list[dict[str, str]]:
    try:
        return quarantine.reasons(layout.quarantine)
    except (OSError, ValueError, TypeError) as error:
        found.note(layout.quarantine, f"a reason in it cannot be read ({error})")
        return []


def _about_the_future(history: History, now: datetime, found: Findings) -> None:
    """A time that has not come yet shows that a clock was wrong, here or there."""
    for recorded in history.documents:
        if recorded.handoff.created > now + CLOCKS_DIFFER:
            found.note(recorded.path, "it was written in the future: look at this machine's clock")
