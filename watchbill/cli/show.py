"""How results look: calm lines for a person, one JSON document for a program.

Owns the output of every verb that shows something. Never decides anything.
"""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchbill.errors import EXIT_DAMAGED, Refused

if TYPE_CHECKING:
    from watchbill.documents.inbox_item import InboxItem
    from watchbill.documents.manifest import Manifest
    from watchbill.history import History
    from watchbill.inbox import Listed, Waiting
    from watchbill.stages.archive import Packed
    from watchbill.stages.decide import Decided
    from watchbill.stages.merge import Result
    from watchbill.stages.page import Page
    from watchbill.stages.report import Brief, Status
    from watchbill.stages.tickets import Line
    from watchbill.stages.verify import Report

STATES = {
    "build": "ready to build",
    "qa and security": "waits for review",
    "qa": "waits for QA",
    "security": "waits for security",
    "merge": "ready to merge",
    "human": "waits for you",
}


# What is read half awake is no longer than this; the lists themselves are whole.
MOST_LINES = 40


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(jsonlib.dumps(value, ensure_ascii=False, indent=2, default=str))


def table(rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
    """Columns side by side; the last one is cut to the width of the terminal."""
    for line in columns(rows, indent):
        print(line)


def columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> Iterator[str]:
    """The lines of such a table."""
    import shutil

    kept = [[plain(cell) for cell in row] for row in rows]
    if not kept:
        return
    widths = [max(len(row[column]) for row in kept) for column in range(len(kept[0]) - 1)]
    room = shutil.get_terminal_size((120, 20)).columns if sys.stdout.isatty() else 200
    for row in kept:
        line = indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        last = row[-1]
        left = max(20, room - len(line) - 2)
        yield f"{line}  {last if len(last) <= left else last[: left - 1] + '…'}".rstrip()


def _rest(number: int, where: str) -> None:
    if number > MOST_LINES:
        print(f"  … and {number - MOST_LINES:,} more; {where}")


def plain(text: object) -> str:
    """Text on one line, without anything that a terminal would obey."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())


def made_ticket(ticket: str, path: Path, json: bool) -> None:
    if json:
        as_json({"ticket": ticket, "path": str(path)})
        return
    print(f"{ticket}  {path}")
    print("Say in the file what is wanted and how one can see that it is done; the next plan takes it up.")


def ticket_list(status: Status, json: bool) -> None:
    if json:
        as_json([vars(standing) for standing in status.tickets])
        return
    if not status.tickets:
        print('no tickets yet; write one with: watchbill ticket new "what is wanted"')
    table((standing.ticket, STATES.get(standing.state, standing.state), standing.title) for standing in status.tickets)
    for trouble in status.troubles:
        print(f"  ! {plain(trouble)}")


def ticket(line: Line, json: bool) -> None:
    if json:
        as_json(
            {
                **line.ticket.model_dump(mode="json", by_alias=True),
                "state": line.state,
                "why": line.step.reason,
                "documents": len(line.history.documents),
            }
        )
        return
    found = line.ticket
    print(f"{found.id}  {plain(found.title)}")
    print(f"  {found.type}, {found.priority}; {STATES.get(line.state, line.state)}: {plain(line.step.reason)}")
    if found.dependencies:
        print(f"  depends on {', '.join(found.dependencies)}")
    print()
    print(_safe(found.body))


def manifests(planned: list[Manifest], dry_run: bool, json: bool) -> None:
    if json:
        as_json([manifest.model_dump(mode="json", by_alias=True) for manifest in planned])
        return
    for manifest in planned:
        turns = sum(entry.turns for entry in manifest.entries)
        head = f"{manifest.id}: {len(manifest.entries)} ticket(s), at most {turns} turns"
        print(f"{head} (not written)" if dry_run else head)
        table((entry.ticket, f"{entry.turns} turns", entry.reason) for entry in manifest.entries)
    entered = {entry.ticket for manifest in planned for entry in manifest.entries}
    reasons: dict[str, dict[str, None]] = {}
    for skip in (skip for manifest in planned for skip in manifest.skipped if skip.ticket not in entered):
        reasons.setdefault(skip.ticket, {})[skip.reason] = None
    left = sorted((ticket, "; ".join(whys)) for ticket, whys in reasons.items())
    if left:
        print("left alone:")
        table(left[:MOST_LINES])
        _rest(len(left), "manifests/ names them all")


def merges(results: list[Result], json: bool) -> None:
    if json:
        as_json([vars(result) for result in results])
        return
    if not results:
        print("nothing is ready to merge")
    for result in results:
        words = result.commit[:10] if result.commit else "; ".join(result.reasons)
        print(f"{result.ticket}  {result.outcome}  {plain(words)}")


def inbox(lines: list[Listed], items: list[Waiting], json: bool) -> None:
    if json:
        found = {waiting.item.id: waiting.item for waiting in items}
        as_json([_listed_as_json(line, found.get(line.id)) for line in lines])
        return
    if not lines:
        print("nothing waits for you")
    _waiting(lines)
    if lines:
        print("read one with: watchbill inbox show ITEM")


def _listed_as_json(line: Listed, item: InboxItem | None) -> dict[str, Any]:
    """An item without its page. Of one that cannot be read, only what is known without it."""
    if item is None:
        return {"id": line.id, "title": line.title, "mark": line.mark}
    return {**item.model_dump(mode="json", by_alias=True, exclude={"body"}), "mark": line.mark}


def _waiting(lines: Sequence[Listed]) -> None:
    """What waits, a line each, and beneath it what is the matter with its answer."""
    rows = columns((line.id, line.severity or "-", line.title) for line in lines)
    for row, line in zip(rows, lines, strict=True):
        print(row)
        if line.mark:
            print(f"      ! {plain(line.mark)}")


def decided(answer: Decided, whence: str = "") -> str:
    """What came of an answer, in one line; `whence` says where it was found."""
    step, ticket = answer.step, answer.ticket
    said = f"{answer.item}: {answer.decision}{whence}"
    if step is None:
        return f"{answer.item}: the page is put away, and that is all; the ticket is back once its file is in tickets/"
    if answer.waits:
        return f"{said}; it {answer.waits}"
    if answer.asked_again:
        return f"{said}; it waits for {answer.to or 'somebody else'} now, as {answer.asked_again}"
    if step.ended:
        return f"{said}; nothing more happens to {ticket}"
    return f"{said}; {ticket} goes to {' and '.join(step.to)}"


def gate(words: str, reminders: list[str]) -> None:
    """The gate that an answer has to pass, and what still waits for whom."""
    for line in reminders:
        print(f"  ! {plain(line)}")
    print(plain(words))


def inbox_item(page: Page, json: bool) -> None:
    if json:
        known = page.item.model_dump(mode="json", by_alias=True) if page.item else {"id": page.id}
        as_json({**known, "body": page.body, "trouble": page.trouble})
        return
    if page.trouble:
        print(f"! {plain(page.trouble)}\n")
    print(_safe(page.body))


def history(found: History, json: bool) -> None:
    from watchbill.layout import TICKET_ID

    if not TICKET_ID.fullmatch(found.id) or not (found.documents or found.ticket or found.damage):
        raise Refused(f"there is no ticket {plain(found.id)}", "See them with: watchbill ticket list")
    if json:
        documents = [
            {"sha256": recorded.sha, **recorded.handoff.model_dump(mode="json", by_alias=True, exclude_none=True)}
            for recorded in found.documents
        ]
        void = {f"{seq:04}": why for seq, why in found.void.items()}
        as_json({"ticket": found.id, "documents": documents, "damage": list(found.damage), "void": void})
        return
    if not found.documents:
        print(f"nothing has happened to {found.id} yet")
    for handoff in found.handoffs:
        by = f" by {plain(handoff.by)}" if handoff.by else ""
        what = f"{handoff.decision or handoff.outcome}{by}"
        words = handoff.reason or (handoff.claimed.summary if handoff.claimed else "")
        onward = " and ".join(handoff.to)
        head = f"{handoff.seq:04}  {handoff.created:%Y-%m-%d %H:%M}  {handoff.sender} → {onward}: {what}"
        print(f"{head}{' (no model)' if handoff.degraded else ''}")
        if handoff.seq in found.void:
            print(f"      ! it does not count: {plain(found.void[handoff.seq])}")
        if words:
            print(f"      {plain(words)[:220]}")
        for finding in [finding for finding in handoff.findings if finding.severity != "info"][:10]:
            print(f"      {finding.severity}: {plain(finding.title)[:160]} [{plain(finding.source)}]")
        if handoff.merged:
            print(f"      merged as {handoff.merged}")
    for damage in found.damage:
        print(f"  ! {plain(damage)}")


def status(found: Status, json: bool) -> None:
    if json:
        as_json(found.as_json())
        return
    print(f"{plain(found.name)}: {_counts(found)}")
    print(f"  {plain(found.gate)}")
    if found.paused:
        print(f"  {plain(found.paused)}")
    if found.waiting:
        print(f"\nwaits for you ({len(found.waiting)} item(s)):")
        _waiting(found.waiting)
    for reminder in found.reminders:
        print(f"  ! {plain(reminder)}")
    moving = [s for s in found.tickets if s.state not in ("merged", "closed", "rejected", "human")]
    if moving:
        print("\nunder way:")
        shown = moving[:MOST_LINES]
        table((s.ticket, STATES.get(s.state, s.state), s.why if s.state == "stuck" else s.title) for s in shown)
        _rest(len(moving), "see them with: watchbill ticket list")
    for trouble in found.troubles:
        print(f"  ! {plain(trouble)}")
    if found.quarantined:
        print("\nset aside because it cannot be read:")
        table((q["from"], q["why"]) for q in found.quarantined)
    if found.sessions:
        print("\nlast sessions:")
        recent = found.sessions[-3:]
        table((f"{r.end_date:%Y-%m-%d %H:%M}", r.id, f"{r.turns} turns", r.title) for r in recent)


def _counts(found: Status) -> str:
    counts = found.counts
    if not counts:
        return "no tickets yet"
    order = ("human", "build", "qa and security", "qa", "security", "merge", "stuck", "merged", "closed", "rejected")
    named = [_counted(state, counts[state]) for state in order if counts.get(state)]
    named += [f"{number} {state}" for state, number in counts.items() if state not in order]
    return ", ".join(named)


def _counted(state: str, number: int) -> str:
    words = STATES.get(state, state)
    return f"{number} {words if number == 1 else words.replace('waits', 'wait')}"


def brief(found: Brief, json: bool, scripted: bool = False) -> None:
    if json:
        as_json(found.as_json())
        return
    print("\nmerged:" if found.merged else "\nnothing was merged")
    table((name, commit[:10], title) for name, title, commit in found.merged)
    if found.waiting:
        print("\nwaits for you:")
        table(found.waiting)
    if found.deferred:
        print("\ndeferred, and why:")
        table(found.deferred)
    if found.untouched:
        print("\nleft for later:")
        table(found.untouched[:MOST_LINES])
        _rest(len(found.untouched), "see them with: watchbill ticket list")
    print(f"\n{_bill(found, scripted)}")


def _bill(found: Brief, scripted: bool) -> str:
    used = f"{found.requests} requests, {found.tokens_in:,} tokens read, {found.tokens_out:,} written"
    if scripted:
        return f"cost: nothing, the model was scripted ({used}, as the script reports them)"
    if found.requests == 0:
        return "cost: nothing, no request was made"
    if found.cost is None:
        return f"cost: {used}; set [model.prices] in watchbill.toml to see it in dollars"
    return f"cost: ${found.cost:.2f} ({used})"


def archive(packed: Packed, dry_run: bool, json: bool) -> None:
    if json:
        as_json(vars(packed))
        return
    if not packed.tickets:
        print("nothing to pack: no ticket ended so long ago with its history lying loose")
        return
    what = f"{packed.documents:,} document(s) of {len(packed.tickets):,} ticket(s)"
    print(f"{what} would be packed" if dry_run else f"packed {what}")
    for pack in packed.packs:
        print(f"  {pack}")


def verification(report: Report, json: bool) -> None:
    if json:
        as_json(
            {
                "violations": [vars(violation) for violation in report.violations],
                "notes": list(report.notes),
                "glanced": report.glanced,
            }
        )
    else:
        for violation in report.violations:
            print(f"{violation.path}: {plain(violation.what)}")
        for line in report.notes:
            print(f"note: {plain(line)}")
        print(_verdict(report))
    if report.violations:
        import typer

        raise typer.Exit(EXIT_DAMAGED)


def _verdict(report: Report) -> str:
    if not report.glanced:
        return f"{len(report.violations)} violation(s)" if report.violations else "everything holds"
    found = f"{len(report.violations)} violation(s)" if report.violations else "what is newer holds"
    histories = "1 history" if report.glanced == 1 else f"{report.glanced:,} histories"
    return f"{found}; of {histories} that ended before only the end was looked at"


def _safe(text: str) -> str:
    return "\n".join("".join(c if c.isprintable() or c == "\t" else "?" for c in line) for line in text.split("\n"))
