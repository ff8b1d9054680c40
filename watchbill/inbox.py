"""What waits for a human: the questions as pages to read and answer.

Owns the words of an inbox item, its publishing, and the listing of what is open. Which questions exist is
`next_step`'s to say; what an answer means is the decide stage's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watchbill.documents.handoff import SEVERITIES, CheckRun, Finding, Handoff
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.redacted import redacted
from watchbill.errors import Damaged, Stale
from watchbill.files.publish import publish
from watchbill.files.visible import visible
from watchbill.gate import Holds
from watchbill.history import History
from watchbill.layout import ITEM_ID, Layout, item_id
from watchbill.rules.next_step import Question, Step
from watchbill.tools.redaction import redact

# The parts of a page together stay below what is read of a document.
DIFF, EVIDENCE, WORDS = 40_000, 2_500, 8_000

HOW = "## How to answer"
HOW_TO_ANSWER = """\
Write one word after `decision:` {where} and save {it}{sign}, or run one of

    watchbill inbox approve {item} -m "why"     the proposal goes ahead
    watchbill inbox dismiss {item} -m "why"     it is wrong or accepted: go on
    watchbill inbox reject {item} -m "why"      abandon the ticket
    watchbill inbox escalate {item} --to WHOM   still blocked: somebody else decides
"""

MEND_A_TICKET = """\
Until it is mended nothing happens to that ticket, whatever is answered here: only a ticket in tickets/ is worked on.
Mend a copy of the file and save it in tickets/; the next run takes it up. Or leave it, if nobody needs it any more.
Then put this page away, which is all that an answer does:

    watchbill inbox dismiss {item}
"""


@dataclass(frozen=True)
class Waiting:
    """An open item and its file."""

    item: InboxItem
    path: Path


@dataclass(frozen=True)
class Listed:
    """One line of the list of what waits. `mark` is what is the matter with its answer, or ""."""

    id: str
    severity: str
    title: str
    mark: str = ""


def listed(layout: Layout, signed: bool) -> list[Listed]:
    """Every file that waits, in the order of its name, also one that an edit has spoilt: its question is open as ever.

    `signed` says whether the gate counts signed answers only.
    """
    lines = []
    for path in _files(layout):
        try:
            item = _read(path)
            lines.append(Listed(item.id, item.severity, item.title, _about_its_answer(item, signed)))
        except Damaged as error:
            why = f"its file cannot be read: {error.why}; correct it and save it again"
            lines.append(Listed(path.stem, "", "", why))
    return lines


def _about_its_answer(item: InboxItem, signed: bool) -> str:
    if not item.decision:
        return ""
    if signed and item.answers:
        return f"{item.decision} stands in its file, but not signed; sign it with: watchbill inbox sign"
    return f"{item.decision} stands in its file; the next run takes it up"


def open_items(layout: Layout) -> list[Waiting]:
    """Every item that waits, in the order of its name. Files that cannot be read are left out (see `unreadable`)."""
    found = []
    for path in _files(layout):
        with suppress(Damaged):
            found.append(Waiting(_read(path), path))
    return found


def unreadable(layout: Layout) -> list[Damaged]:
    """Files in the inbox that are no items, for instance after an edit that went wrong."""
    found = []
    for path in _files(layout):
        try:
            _read(path)
        except Damaged as error:
            found.append(error)
    return found


def count_open(layout: Layout) -> int:
    """How many items wait."""
    return len(list(_files(layout)))


def ask(
    layout: Layout, history: History, step: Step, now: datetime, diff: str = "", gate: Holds | None = None
) -> list[str]:
    """Publish an item for every question that has none yet. Returns the ids of the new ones."""
    asked = []
    for question in step.questions:
        item = item_id(history.id, question.seq)
        if is_known(layout, item):
            continue
        page = _page(history, question, now, diff, gate)
        if _publish_once(layout.inbox_item(item), page):
            asked.append(item)
    return asked


def ask_about_damage(layout: Layout, ticket: str, seq: int, path: Path, why: str, now: datetime) -> str | None:
    """Publish the item about a file that was set aside. `seq` is the document's number, 0 for the ticket's own file."""
    item = item_id(ticket, seq)
    if is_known(layout, item):
        return None
    what = f"document {seq:04} of {ticket}" if seq else "a ticket"
    if seq:
        proposal = "Go on without that document, from what the rest of the history says."
        mend = f"If you can mend the file, put it back as `handoffs/{ticket}/{seq:04}.md` and dismiss this item."
        how = f"## How to answer\n\n{_how(item)}"
    else:
        proposal = "Mend the file and put it back into tickets/."
        mend = f"The file lies at {code(path.relative_to(layout.root).as_posix())}, unchanged."
        how = f"## What to do\n\n{MEND_A_TICKET.format(item=item).rstrip()}"
    body = f"# {what.capitalize()} cannot be read\n\n{fenced(why, limit=WORDS)}\n\n{mend}\n\n{how}"
    page = InboxItem(
        id=item,
        ticket=ticket,
        answers=seq,
        created=now,
        title=f"{what} cannot be read",
        asked_by="the engine",
        proposal=proposal,
        body=body,
    )
    return item if _publish_once(layout.inbox_item(item), page) else None


def fenced(text: str, kind: str = "", limit: int = 40_000) -> str:
    """A code block that its content cannot end, of at most `limit` characters."""
    shown = visible(_cut(text.rstrip(), limit))
    fence = "`" * max(3, _longest_run(shown) + 1)
    return f"{fence}{kind}\n{shown}\n{fence}"


def code(text: str) -> str:
    """A code span on one line that its content cannot end."""
    shown = one_line(text) or " "
    ticks = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def one_line(text: str, limit: int = 300) -> str:
    """Text that stays on its line."""
    flat = visible(" ".join(text.split()))
    # Redacted before it is cut: a half of a key has no shape by which it could be known.
    return flat if len(flat) <= limit else redact(flat)[: limit - 1] + "…"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _cut(text: str, limit: int) -> str:
    if len(text) > limit:
        text = redact(text)
    return text if len(text) <= limit else f"{text[:limit]}\n[… {len(text) - limit:,} characters left out …]"


def _read(path: Path) -> InboxItem:
    """The item at `path`. Raises `Damaged`, also when it contradicts the file's name."""
    item = InboxItem.load(path)
    if path.stem != item.id or path.stem != item_id(item.ticket, item.answers):
        raise Damaged(path, f"it says that it is {item.id} about {item.ticket}; the file's name counts")
    return item


def _files(layout: Layout) -> Iterable[Path]:
    if not layout.inbox.is_dir():
        return []
    return sorted(path for path in layout.inbox.glob("*.md") if ITEM_ID.fullmatch(path.stem))


def is_known(layout: Layout, item: str) -> bool:
    """Whether an item was published, answered or not."""
    return layout.inbox_item(item).exists() or layout.decided_item(item).exists()


def _publish_once(path: Path, page: InboxItem) -> bool:
    try:
        publish(path, redacted(page).render())
    except Stale:
        return False
    return True


def _page(history: History, question: Question, now: datetime, diff: str, gate: Holds | None) -> InboxItem:
    recorded = history.document(question.subject)
    subject = recorded.handoff if recorded else None
    title = history.ticket.title if history.ticket else history.id
    item = item_id(history.id, question.seq)
    parts = [
        f"# {history.id}: {one_line(title)}",
        f"**Why you are asked:** {one_line(question.why)}",
        f"**Proposal:** {one_line(question.proposal)}",
        HOW,
        _how(item, gate),
        *_about_the_gate(question, gate),
    ]
    if subject is not None:
        parts += _about(subject)
    parts += ["## What the agents tried", _timeline(history.handoffs)]
    if diff.strip():
        parts += ["## The change", fenced(diff, "diff", DIFF)]
    return InboxItem(
        id=item,
        ticket=history.id,
        answers=question.seq,
        created=now,
        title=one_line(question.why, 200),
        asked_by=_asker(history, question, subject),
        severity=(subject.worst or "") if subject else "",
        confidence=subject.confidence if subject else None,
        handoff=recorded.sha if recorded else None,
        commit=subject.commit if subject else None,
        candidate=subject.candidate if subject else None,
        proposal=question.proposal,
        body="\n\n".join(parts),
    )


def _asker(history: History, question: Question, subject: Handoff | None) -> str:
    """Who handed over what raised the question, which need not be whose work it is about; behind an escalation, too."""
    asking = history.document(question.seq)
    if asking and asking.handoff.sender != "human":
        return asking.handoff.sender
    return subject.sender if subject else "the engine"


def how_to_answer_now(item: str, question: Question, gate: Holds, path: Path) -> str:
    """The part of a page that says how to answer, by the gate that holds now, for who does not see the file."""
    return "\n\n".join([HOW, _how(item, gate, f"in {path}", "it"), *_about_the_gate(question, gate, then="")])


def with_part(body: str, part: str) -> str:
    """A page with `part` in place of the one that says how to answer; before everything else where it has none."""
    lines = body.split("\n")
    if HOW not in lines:
        return f"{part}\n\n{body}"
    start = lines.index(HOW)
    end = next((at for at in range(start + 1, len(lines)) if lines[at].startswith("## ")), len(lines))
    return "\n".join([*lines[:start], part, "", *lines[end:]]).rstrip()


def _how(item: str, gate: Holds | None = None, where: str = "above", it: str = "this file") -> str:
    sign = ", then sign it with `watchbill inbox sign`" if gate and gate.require == "signature" else ""
    return HOW_TO_ANSWER.format(item=item, sign=sign, where=where, it=it).rstrip()


def _about_the_gate(question: Question, gate: Holds | None, then: str = "When this was asked: ") -> Iterable[str]:
    """What an answer takes, and how far the gate can be trusted. A page in the folder is not written anew: `then`."""
    if question.needs > 1:
        yield f"{question.needs} people have to decide the same."
    if question.needs > 1 or question.waits_for:
        yield f"It {one_line(question.waiting)}."
    if question.protected:
        yield "Protected paths that it changes:"
        yield "\n".join(f"- {code(path)}" for path in question.protected[:50])
    if gate:
        yield f"({then}{gate.words})"


def _about(subject: Handoff) -> list[str]:
    parts: list[str] = []
    if subject.findings:
        worst_first = sorted(subject.findings, key=lambda finding: SEVERITIES.index(finding.severity))
        shown = [finding for finding in worst_first if finding.severity != "info"][:20] or worst_first[:5]
        parts += ["## What was found", *(_finding(finding) for finding in shown)]
        if len(subject.findings) > len(shown):
            parts.append(f"… and {len(subject.findings) - len(shown)} more or lesser, in document {subject.seq:04}.")
    if subject.requests:
        parts += ["## What the agent asks (its own words)", fenced("\n".join(subject.requests), limit=WORDS)]
    if subject.verified:
        parts += ["## What the engine verified", _verified(subject)]
    if subject.claimed and subject.claimed.summary:
        parts += ["## What the agent claims (its own words)", fenced(subject.claimed.summary, limit=WORDS)]
    return parts


def _finding(finding: Finding) -> str:
    where = f"{finding.path}:{finding.line}" if finding.line else finding.path
    head = f"### {finding.severity}: {one_line(finding.title)}"
    facts = [
        f"- reported by: {finding.source} ({finding.confidence:.0%} sure), rule {code(finding.rule)}",
        f"- where: {code(where)}" if where else "",
        "- it breaks the build" if finding.breaks_build else "",
    ]
    parts = [head, "\n".join(fact for fact in facts if fact)]
    if finding.evidence:
        parts.append(fenced(finding.evidence, limit=EVIDENCE))
    if finding.rationale:
        parts.append(fenced(finding.rationale, limit=EVIDENCE))
    return "\n\n".join(parts)


def _verified(subject: Handoff) -> str:
    verified = subject.verified
    if verified is None:
        return "nothing"
    lines = [f"- {len(verified.files)} file(s), +{verified.insertions} −{verified.deletions}"] if verified.files else []
    if verified.base_checks:
        lines.append(f"- checks on the base: {describe_checks(verified.base_checks)}")
    if verified.checks:
        lines.append(f"- checks with the change: {describe_checks(verified.checks)}")
    lines += [f"- broken: {code(name)}" for name in verified.regressions[:20]]
    lines += [f"- gone: {code(name)}" for name in verified.disappeared[:20]]
    if verified.scanners:
        lines.append(f"- scanners that ran: {', '.join(verified.scanners)}")
    lines += [f"- a scanner failed: {code(text)}" for text in verified.scanners_failed]
    if verified.sandbox == "none":
        lines.append("- commands ran WITHOUT a sandbox, as the owner's settings say")
    return "\n".join(lines) or "- nothing"


def describe_checks(run: CheckRun) -> str:
    """One run of the checks in a few words."""
    if not run.ran:
        return f"could not be run ({one_line(run.why, 160)})"
    if run.passed or run.failed:
        return f"{run.passed} passed, {len(run.failed)} failed"
    return f"ended with {run.exit_code}"


def _timeline(handoffs: tuple[Handoff, ...]) -> str:
    lines = []
    for handoff in handoffs[-20:]:
        words = handoff.reason or (handoff.claimed.summary if handoff.claimed else "") or handoff.body
        lines.append(f"- {handoff.seq:04} {handoff.sender}: {handoff.decision or handoff.outcome}. {one_line(words)}")
    return "\n".join(lines)
