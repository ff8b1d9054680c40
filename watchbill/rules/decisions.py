"""What a human's decision is about, and whether it counts; everything but the cryptography.

Owns the derivation of the signed statement from a history, and every reason to hold a signed decision void that can be
read from the documents. Trusts nothing because it stands in the decision: what can be looked up is looked up.

When a decision counts: it is judged at the moment at which its document says that it was published (`created`), never
at the moment of the judgement, so that an old decision does not expire in the archive. That moment lies between
`issued` and `expires`, and not before the documents that it follows; a signature that was kept back cannot be used
later by dating its document back, where the ticket has moved on since.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from watchbill.documents.handoff import Handoff, Outcome
from watchbill.documents.settings import Gate
from watchbill.documents.statement import Statement
from watchbill.history import History, Recorded
from watchbill.layout import PRINCIPAL, item_id

OUTCOMES: dict[str, Outcome] = {
    "approve": "pass",
    "dismiss": "pass",
    "reject": "fail",
    "escalate": "blocked",
    "close": "done",
}
CLOCKS_DIFFER = timedelta(minutes=5)

# What a signed decision may say: what is signed, and what the engine adds to every document.
_SIGNED = ("decision", "answers", "by", "reason", "escalated_to", "commit", "outcome", "nonce", "issued", "expires")
_ADDED = ("schema_name", "ticket", "seq", "created", "sender", "to", "parent", "playbook", "signature")


def statement_of(before: History, decision: Handoff, repository: str) -> Statement | None:
    """What must have been signed for `decision`, published after `before`. None when it lacks a part."""
    if not (decision.by and decision.nonce and decision.issued and decision.expires and decision.decision):
        return None
    if not PRINCIPAL.fullmatch(decision.by):
        return None
    subject = subject_of(before, decision.answers)
    work = work_under_review(before)
    item = item_id(before.id, decision.answers) if decision.answers is not None else before.id
    return Statement(
        decision=decision.decision,
        item=item,
        ticket=before.id,
        handoff=subject.sha if subject else None,
        repository=repository,
        base=work.base if work else None,
        commit=work.commit if work else None,
        candidate=subject.handoff.candidate if subject else None,
        nonce=f"{item}:{decision.nonce}",
        issued=decision.issued,
        expires=decision.expires,
        principal=decision.by,
        words=decision.reason,
        escalated_to=decision.escalated_to,
    )


def subject_of(before: History, answers: int | None) -> Recorded | None:
    """The document that a decision is really about: behind every escalation of it, the one that asked first."""
    found = before.document(answers) if answers is not None else None
    while found is not None and found.handoff.sender == "human" and found.handoff.answers is not None:
        # An escalation answers an earlier document; anything else would lead in a circle.
        if found.handoff.answers >= found.handoff.seq:
            return None
        found = before.document(found.handoff.answers)
    return found


def work_under_review(before: History) -> Handoff | None:
    """The newest finished build, which `next_step` calls the work."""
    done = (item for item in reversed(before.handoffs) if item.sender == "build" and item.outcome == "done")
    return next((item for item in done if item.commit), None)


def why_void(before: History, decision: Handoff, gate: Gate) -> str:
    """Why a signed decision does not count, whoever signed it; or ""."""
    return next(_objections(before, decision, gate), "")


def _objections(before: History, decision: Handoff, gate: Gate) -> Iterator[str]:
    if not decision.signature:
        yield "it is not signed"
    if decision.issued is None or decision.expires is None or decision.nonce is None or not decision.by:
        yield "it does not say by whom, when and until when it was signed"
        return
    if not PRINCIPAL.fullmatch(decision.by):
        yield "its name cannot stand in a list of signers"
    more = [name for name in type(decision).model_fields if name not in (*_SIGNED, *_ADDED) and _says(decision, name)]
    if more:
        yield f"it says more than was signed: {', '.join(more)}"
    if decision.outcome != OUTCOMES.get(decision.decision or ""):
        yield f"its outcome is {decision.outcome!r}"
    work = work_under_review(before)
    commit = work.commit if work else None
    if decision.commit != commit:
        yield f"it was signed for {_short(decision.commit)}, but {_short(commit)} was under review at that moment"
    yield from _about_the_time(before, decision)
    if any(decision.nonce == item.nonce for item in before.counted):
        yield "its nonce was counted already"
    yield from _about_an_escalation(before, decision, gate)


def _about_the_time(before: History, decision: Handoff) -> Iterator[str]:
    issued, expires, published = decision.issued, decision.expires, decision.created
    if issued is None or expires is None:
        return
    if published > expires:
        yield f"it was published on {_moment(published)}, but had expired on {_moment(expires)}"
    if published < issued - CLOCKS_DIFFER:
        yield f"it was published on {_moment(published)}, before it was signed on {_moment(issued)}"
    newest = max((item.created for item in before.handoffs), default=published)
    if published < newest - CLOCKS_DIFFER:
        yield f"it is dated {_moment(published)}, but follows a document of {_moment(newest)}"


def _about_an_escalation(before: History, decision: Handoff, gate: Gate) -> Iterator[str]:
    if decision.decision == "close" or decision.answers is None:
        return
    names = waits_for(before, decision.answers, decision, gate)
    given = {item.by for item in before.counted if item.answers == decision.answers}
    if names and decision.by not in names and not given & set(names):
        yield f"it waits for {' or '.join(names)}, not for {decision.by}"


def waits_for(before: History, answers: int, at: Handoff, gate: Gate) -> tuple[str, ...]:
    """The principals for whom an escalated question waits at the time of `at`; empty: for anyone who may sign."""
    asked = before.document(answers)
    if asked is None or asked.handoff.sender != "human" or not asked.handoff.escalated_to:
        return ()
    return (asked.handoff.escalated_to, *gate.escalated(asked.handoff.created, at.created))


def overdue(asked: datetime, gate: Gate, now: datetime) -> str:
    """What has become of a question by its age, or "": nobody answers it for it, but it reaches somebody else."""
    if not gate.periods(asked, now):
        return ""
    names = gate.escalated(asked, now)
    return f"unanswered for {(now - asked).days} days" + (f", so it went on to {' and '.join(names)}" if names else "")


def _says(decision: Handoff, name: str) -> bool:
    return bool(getattr(decision, name) != type(decision).model_fields[name].get_default(call_default_factory=True))


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _short(commit: str | None) -> str:
    return commit[:10] if commit else "nothing"
