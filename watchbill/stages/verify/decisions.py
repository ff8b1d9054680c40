"""What humans decided: each decision answers a document of that ticket which asked, once, for the work of that moment.

Owns the checks of handoffs `from: human`, and of what a handoff says of its approval. It reads no file but asks whether
an inbox item exists.
"""

from __future__ import annotations

from dataclasses import replace

from watchbill.documents.handoff import Handoff
from watchbill.history import History, Recorded
from watchbill.layout import Layout, item_id
from watchbill.rules.next_step import read_state
from watchbill.stages.verify.chains import lost_documents
from watchbill.stages.verify.report import Findings
from watchbill.workspace import Workspace


def check_decisions(workspace: Workspace, history: History, found: Findings) -> None:
    """Check every human decision of one history, and every approval that a build names."""
    for index, recorded in enumerate(history.documents):
        before = replace(history, documents=history.documents[:index])
        why = history.void.get(recorded.handoff.seq)
        if why:
            found.violation(recorded.path, f"the decision does not count: {why}")
        elif recorded.handoff.sender == "human":
            _check_decision(workspace, before, recorded, history, found)
        elif recorded.handoff.approval is not None:
            _check_approval(before, recorded, found)


def _check_decision(workspace: Workspace, before: History, recorded: Recorded, whole: History, found: Findings) -> None:
    decision = recorded.handoff
    if decision.decision == "close":
        return
    if decision.answers is None:
        found.violation(recorded.path, f"the decision {decision.decision!r} answers no document")
        return
    settings = workspace.settings
    state = read_state(before, workspace.routing, settings.limits.max_attempts, settings.gate)
    asked = {*state.open, *_left_open(workspace, before, decision.answers)}
    why_not = _why_no_answer(workspace.layout, before, whole, decision, asked)
    if why_not:
        found.violation(recorded.path, why_not)
    reviewed = state.work.commit if state.work else None
    if decision.commit is not None and decision.commit != reviewed:
        under_review = reviewed[:10] if reviewed else "nothing"
        what = f"the decision is about {decision.commit[:10]}, but {under_review} was under review at that moment"
        found.violation(recorded.path, what)


def _left_open(workspace: Workspace, before: History, seq: int) -> set[int]:
    """The question `seq`, where it took more answers at that moment than it takes today ([gate] approvals).

    Then each answer so far left its ticket with the human, and under a gate that asks for one more it is open still.
    """
    so_far = [item for item in before.counted if item.sender == "human" and item.answers == seq]
    if not so_far or any("human" not in item.to for item in so_far):
        return set()
    settings = workspace.settings
    gate = settings.gate.model_copy(update={"approvals": len(so_far) + 1, "approvals_for": ()})
    return {seq} & set(read_state(before, workspace.routing, settings.limits.max_attempts, gate).open)


def _why_no_answer(layout: Layout, before: History, whole: History, decision: Handoff, asked: set[int]) -> str:
    """Why a decision answers nothing, or "". `asked` are the questions that were open."""
    seq = decision.answers or 0
    if seq in asked:
        return ""
    earlier = next((item for item in before.counted if item.sender == "human" and item.answers == seq), None)
    if earlier is not None:
        return f"document {seq:04} was answered already, by document {earlier.seq:04}"
    if seq in {one.seq for one in lost_documents(whole, layout)}:
        return ""
    subject = before.document(seq)
    if subject is None:
        return f"it answers document {seq:04}, which did not exist at that moment"
    if any(error.path == layout.damaged_handoff(subject.path) for error in whole.damaged_files):
        return ""
    # The routing may have been changed since: then it counts what the engine did at that moment.
    item = item_id(before.id, seq)
    was_asked = layout.inbox_item(item).exists() or layout.decided_item(item).exists()
    if "human" in subject.handoff.to and was_asked:
        return ""
    return f"it answers document {seq:04}, which asked nothing"


def _check_approval(before: History, recorded: Recorded, found: Findings) -> None:
    approval = before.document(recorded.handoff.approval or 0)
    if approval is None or approval.handoff.sender != "human" or approval.handoff.seq in before.void:
        what = f"it names document {recorded.handoff.approval:04} as its approval, which is no decision of a human"
        found.violation(recorded.path, what)
