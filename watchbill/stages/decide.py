"""Decide: publish a human's answer to an inbox item.

Owns the way from an answer (given by command or written into the item's file) to a handoff `from: human`, and its
signature where the gate requires one. Only the question's number, the decision, the note and the name are taken from
the item; the rest is looked up in the history. A signed decision is judged as every later reader will judge it before
it is published, so nothing that does not count is ever written.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from watchbill.documents.handoff import Handoff
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.statement import Statement
from watchbill.errors import Damaged, Refused, Stale, WatchbillError
from watchbill.files.publish import move
from watchbill.files.quarantine import set_aside
from watchbill.gate import counted_answers, read_signers, signers_folder, why_not_counted
from watchbill.hand_over import hand_over, step_of
from watchbill.history import History
from watchbill.inbox import one_line, open_items, unreadable
from watchbill.layout import ITEM_ID, PRINCIPAL, item_id
from watchbill.rules.decisions import OUTCOMES, statement_of, why_void, work_under_review
from watchbill.rules.next_step import Step
from watchbill.signer import Signing, names_in
from watchbill.workspace import Workspace

DECISIONS = ("approve", "dismiss", "reject", "escalate")
NOT_SIGNED = "it is answered in its file, but not signed; sign it with: watchbill inbox sign"


@dataclass(frozen=True)
class Decided:
    """An answer that was published. `step` is what happens next to the ticket; `waits` says that the question still
    waits, and for what, such as a second approval."""

    item: str
    ticket: str
    decision: str
    step: Step | None
    waits: str = ""
    asked_again: str = ""
    to: str = ""


def decide(
    workspace: Workspace,
    item: str,
    decision: str,
    note: str,
    by: str,
    now: datetime,
    signing: Signing | None = None,
    to: str = "",
) -> Decided:
    """Answer an inbox item; `to` names the principal that an escalation goes to.

    Raises `Refused` when there is no such open question, or when the gate would not count the answer.
    """
    match = ITEM_ID.fullmatch(item)
    if match is None:
        raise Refused(f"{item!r} is not the name of an inbox item", "See what waits with: watchbill inbox list")
    ticket, seq = match[1], int(match[2])
    if seq == 0:
        _require_waiting(workspace, item)
        _file(workspace, item, now)
        return Decided(item, ticket, decision, None)
    _require_principal(workspace, decision, to)
    fields = {
        "from": "human",
        "outcome": OUTCOMES[decision],
        "decision": decision,
        "answers": seq,
        "by": by[:200],
        "reason": note[:20_000],
        "commit": _commit_asked_about(workspace, ticket, seq),
        "body": note[:20_000],
        "escalated_to": to or None,
    }
    who = signing.principal if signing else by

    def is_asked(history: History, step: Step) -> bool:
        return _is_asked(history, step, seq, item) and _is_news(step, seq, decision, who)

    published, step = _publish(workspace, ticket, fields, now, signing, is_asked)
    waits = _still_waits(step, seq)
    if not waits:
        _file(workspace, item, now)
    if step.ended:
        _file_all(workspace, ticket, now)
    again = item_id(ticket, published.seq) if any(one.seq == published.seq for one in step.questions) else ""
    return Decided(item, ticket, decision, step, waits, again, to)


def close(workspace: Workspace, ticket: str, note: str, by: str, now: datetime, signing: Signing | None = None) -> Step:
    """Close a ticket by a human's word: nothing more happens to it. Raises `Refused`."""
    if workspace.ticket_file(ticket) is None:
        raise Refused(f"there is no ticket {ticket}", "See them with: watchbill ticket list")

    def is_open(_history: History, step: Step) -> bool:
        if step.ended:
            raise Refused(f"{ticket} has ended already: {step.reason}")
        return True

    fields = {"from": "human", "outcome": "done", "decision": "close", "by": by[:200], "reason": note[:20_000]}
    _, step = _publish(workspace, ticket, fields, now, signing, is_open)
    _file_all(workspace, ticket, now)
    return step


def pick_up(workspace: Workspace, now: datetime) -> tuple[list[Decided], list[str]]:
    """Publish every answer that was written into an item's file, or say that it has to be signed.

    Returns what was decided, and what could not be.
    """
    decided: list[Decided] = []
    troubles: list[str] = []
    for waiting in open_items(workspace.layout):
        if not waiting.item.decision:
            continue
        if workspace.settings.gate.require == "signature" and waiting.item.answers:
            troubles.append(f"{waiting.path.name}: {NOT_SIGNED}")
            continue
        try:
            decided.append(_from_file(workspace, waiting.item, waiting.path.stem, now))
        except (Refused, Stale, Damaged) as error:
            troubles.append(f"{waiting.path.name}: {error.reason}")
    return decided, troubles


def answered_in_files(workspace: Workspace, items: list[str]) -> list[InboxItem]:
    """The open items with an answer in their files; only those of `items`, where some are named. Raises `Refused`."""
    answered = {waiting.item.id: waiting.item for waiting in open_items(workspace.layout) if waiting.item.decision}
    for item in items:
        if item not in answered:
            raise Refused(f"{item} has no answer in its file", "Write one after `decision:` in it, and save it.")
    return [answered[item] for item in (items or sorted(answered))]


def in_plain_words(workspace: Workspace, statement: Statement) -> str:
    """What a signature under `statement` decides, in one line: which ticket, the decision, and what it comes to."""
    history = workspace.history(statement.ticket)
    asked = {item_id(history.id, one.seq): one.proposal for one in step_of(workspace, history).questions}
    proposal = asked.get(statement.item, "what the page proposes")
    means = {
        "approve": f"go ahead: {proposal}",
        "dismiss": f"it is wrong or accepted, go on. Not done: {proposal}",
        "reject": "abandon the ticket",
        "escalate": f"still blocked, {statement.escalated_to or 'somebody else'} decides. Proposed: {proposal}",
        "close": "nothing more happens to it",
    }
    title = history.ticket.title if history.ticket else "its ticket cannot be read"
    return f"{statement.ticket} ({one_line(title, 100)}): {statement.decision}, {means[statement.decision]}"


def _from_file(workspace: Workspace, item: InboxItem, name: str, now: datetime) -> Decided:
    by = item.by or "whoever edited the inbox file"
    return decide(workspace, name, item.decision, item.note, by, now)


def _publish(
    workspace: Workspace,
    ticket: str,
    fields: dict[str, Any],
    now: datetime,
    signing: Signing | None,
    is_asked: Callable[[History, Step], bool],
) -> tuple[Handoff, Step]:
    if workspace.settings.gate.require == "folder":
        return hand_over(workspace, ticket, fields, now, is_asked)
    if signing is None:
        hint = "Set your key up with: watchbill gate setup"
        raise Refused('the gate counts signed decisions only ([gate] require = "signature")', hint)
    history = workspace.history(ticket)
    if not is_asked(history, step_of(workspace, history)):
        raise Stale(f"{ticket} has moved on meanwhile", "Nothing was published; run it again.")
    signed = _signed(workspace, history, fields, now, signing)
    published = signing.clock()

    def still_counts(history: History, step: Step) -> bool:
        # Between the signature and its number anything may have been published.
        if not is_asked(history, step):
            return False
        _require_counted(workspace, history, _draft(history, signed, published))
        return True

    return hand_over(workspace, ticket, signed, published, still_counts)


def _signed(
    workspace: Workspace, history: History, fields: dict[str, Any], now: datetime, signing: Signing
) -> dict[str, Any]:
    """The fields of a decision with its signature. Nothing but what is signed stands in it."""
    gate = workspace.settings.gate
    work = work_under_review(history)
    unsigned = {
        **fields,
        "by": signing.principal,
        "commit": work.commit if work else None,
        "body": "",
        "nonce": secrets.token_hex(16),
        "issued": now,
        "expires": now + timedelta(hours=gate.valid_hours),
    }
    # The words as they will be read again: a document cannot carry every character.
    draft = _draft(history, unsigned, now)
    draft = Handoff.parse(draft.render(), workspace.layout.handoff(history.id, draft.seq))
    statement = statement_of(history, draft, gate.repository)
    if statement is None:
        raise Refused(f"{signing.principal!r} is no name that can stand under a signed decision")
    _require_worth_signing(workspace, history, draft)
    return {**unsigned, "reason": draft.reason, "signature": signing.sign(statement)}


def _require_worth_signing(workspace: Workspace, history: History, draft: Handoff) -> None:
    """What would not count whoever signs it is refused before anybody is asked for a passphrase."""
    why = why_void(history, draft.model_copy(update={"signature": "to come"}), workspace.settings.gate)
    if why:
        raise Refused(f"the gate would not count this decision: {why}", "Nothing was signed.")


def _draft(history: History, fields: dict[str, Any], created: datetime) -> Handoff:
    heading = {
        "ticket": history.id,
        "seq": history.next_seq,
        "created": created,
        "to": ("nobody",),
        "parent": history.head,
    }
    return Handoff.model_validate({**heading, **fields})


def _require_counted(workspace: Workspace, history: History, draft: Handoff) -> None:
    gate = workspace.settings.gate
    why = why_not_counted(history, draft, gate, read_signers(signers_folder(workspace.root, gate)))
    if why:
        raise Refused(f"the gate would not count this decision: {why}", "Nothing was published.")


def _require_principal(workspace: Workspace, decision: str, to: str) -> None:
    if to and decision != "escalate":
        raise Refused("only an escalation names somebody else")
    if to and not PRINCIPAL.fullmatch(to):
        raise Refused(f"{to!r} is not a name that can stand in allowed_signers", "For example: ada@example.org")
    gate = workspace.settings.gate
    if to and gate.require == "signature":
        names = names_in(read_signers(signers_folder(workspace.root, gate)).allowed)
        if to not in names:
            raise Refused(f"{to} is not among those who may sign: {', '.join(names)}", "Add them: watchbill gate allow")


def _still_waits(step: Step, seq: int) -> str:
    """What the question waits for after an answer, such as another approval; "" when it is settled."""
    return next((question.waiting for question in step.questions if question.seq == seq), "")


def _is_asked(history: History, step: Step, seq: int, item: str) -> bool:
    if any(question.seq == seq for question in step.questions):
        return True
    if history.changed:
        where = f"handoffs/{history.id}/{history.changed[0]:04}.md"
        raise Refused(
            f"{where} is not what was published: somebody changed it, and no answer may cover that",
            f"Put it back as it was, or end the ticket: watchbill ticket close {history.id}",
        )
    if history.damage and "human" in step.to:
        return True
    answer = next((recorded.handoff for recorded in counted_answers(history, seq)), None)
    if answer is not None:
        again = any(question.seq == answer.seq for question in step.questions)
        hint = f"It goes on as {item_id(history.id, answer.seq)}." if again else ""
        said = f"{item} was answered already: {answer.decision} by {answer.by}, document {answer.seq:04}"
        raise Refused(said, hint)
    raise Refused(f"nothing of {history.id} waits under {item}", "See what waits with: watchbill inbox list")


def _is_news(step: Step, seq: int, decision: str, who: str) -> bool:
    """Raises `Refused` for the same word of the same person once more, where several people have to agree."""
    question = next((question for question in step.questions if question.seq == seq), None)
    if question and question.with_answer(decision, who).given == question.given:
        raise Refused(f"{who} said so already; it {question.waiting}", "Somebody else has to decide the same.")
    return True


def _commit_asked_about(workspace: Workspace, ticket: str, seq: int) -> str | None:
    step = step_of(workspace, workspace.history(ticket))
    return step.commit if any(question.seq == seq for question in step.questions) else None


def _require_waiting(workspace: Workspace, item: str) -> None:
    if not workspace.layout.inbox_item(item).is_file():
        raise Refused(f"there is no item {item} in the inbox", "See what waits with: watchbill inbox list")


def _file_all(workspace: Workspace, ticket: str, now: datetime) -> None:
    """Of a ticket that has ended nothing is asked any more."""
    for waiting in open_items(workspace.layout):
        if waiting.item.ticket == ticket and waiting.item.answers:
            _file(workspace, waiting.path.stem, now)


def _file(workspace: Workspace, item: str, now: datetime) -> None:
    """Move an answered item to `inbox/decided/`. Left undone by a crash, the next run does it."""
    layout = workspace.layout
    path = layout.inbox_item(item)
    if not path.exists():
        return
    try:
        if any(error.path == path for error in unreadable(layout)):
            # An edit went wrong. The answer is in the history; the spoilt page is kept, but not as a document.
            set_aside(
                path, "it could not be read; its question was answered by command", layout.quarantine, layout.root, now
            )
        else:
            move(path, layout.decided_item(item))
    except WatchbillError as error:
        raise Stale(f"{item} is decided, but its file could not be moved: {error.reason}") from error
