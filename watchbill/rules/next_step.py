"""What should happen next to a ticket: a pure function of its history and the playbook.

Owns the path of a ticket. The planner, the router, the merge gate and every page ask this one function, so they
cannot disagree. Never reads a file.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from watchbill.documents.handoff import SEVERITIES, Finding, Handoff, Target
from watchbill.documents.routing import MODELS, Routing
from watchbill.documents.settings import Gate
from watchbill.history import History
from watchbill.rules.protected import protected_among

Kind = Literal["fix", "accept", "again"]
NOT_THE_BUILDERS = ("no-checks", "checks-unavailable")
# The rule by which a merge reports that somebody moved the ticket's branch.
MOVED = "branch-moved"
# A gate at which every question takes one answer and no path is protected.
ONE_ANSWER = Gate(protected=())
# Stands for the files of a list that was too long to be kept whole.
MORE_FILES = "(more files than the document holds)"


@dataclass(frozen=True)
class Question:
    """What a human is asked about document `seq`.

    `kind` says what approving does: fix (back to the build queue, now human-approved), accept (it counts as a
    pass) or again (the same agent tries once more). `subject` is the document the question is really about, which
    differs from `seq` after an escalation. `needs` people have to decide the same; `given` are the decisions so far,
    each with a name. `waits_for` names whom it was escalated to. `protected` are the paths that are the reason to ask.
    """

    seq: int
    subject: int
    kind: Kind
    why: str
    proposal: str
    needs: int = 1
    given: tuple[tuple[str, str], ...] = ()
    waits_for: str = ""
    protected: tuple[str, ...] = ()

    @property
    def waiting(self) -> str:
        """What it still waits for, in a few words."""
        whom = f"waits for {self.waits_for}" if self.waits_for else "waits"
        if self.needs == 1:
            return whom
        so_far = ", ".join(f"{decision} by {name}" for decision, name in self.given) or "none yet"
        return f"{whom}; {self.agreed} of {self.needs} agree ({so_far})"

    @property
    def agreed(self) -> int:
        """How many decided the same, at most."""
        decisions = [decision for decision, _ in self.given]
        return max((decisions.count(decision) for decision in decisions), default=0)

    def with_answer(self, decision: str, name: str) -> Question:
        """The question after one more answer. Who answers again has changed their mind."""
        others = tuple(given for given in self.given if _same_person(given[1]) != _same_person(name))
        return replace(self, given=(*others, (decision, name)))


@dataclass(frozen=True)
class Step:
    """Who acts next, and why. `commit` is the work under review; `approval` the decision that lets build go on."""

    to: tuple[Target, ...]
    reason: str
    commit: str | None = None
    work: int | None = None
    approval: int | None = None
    questions: tuple[Question, ...] = ()
    ended: str = ""
    attempts: int = 0


@dataclass
class _State:
    """Where a ticket stands after reading some of its documents."""

    routing: Routing
    max_attempts: int
    gate: Gate = ONE_ANSWER
    attempts: int = 0
    tries: dict[str, int] = field(default_factory=dict)
    work: Handoff | None = None
    verdicts: dict[str, Handoff] = field(default_factory=dict)
    rework: str = ""
    rework_by: int = 0
    approval: int | None = None
    dismissed: set[str] = field(default_factory=set)
    open: dict[int, Question] = field(default_factory=dict)
    ended: str = ""
    seen: dict[int, Handoff] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    accepted: bool = False

    def send_back(self, document: Handoff, why: str) -> None:
        self.rework, self.rework_by = why, document.seq

    def ask(self, document: Handoff, kind: Kind, why: str, proposal: str) -> None:
        self.open[document.seq] = Question(document.seq, document.seq, kind, why, proposal)


def next_step(history: History, routing: Routing, max_attempts: int, gate: Gate = ONE_ANSWER) -> Step:
    """The next step of a ticket. `max_attempts` builds without a human's word, then a human is asked."""
    state = read_state(history, routing, max_attempts, gate)
    return _decide(state, history)


def read_state(history: History, routing: Routing, max_attempts: int, gate: Gate = ONE_ANSWER) -> _State:
    """Read the documents in order, each from where the one before left the ticket. Void decisions move nothing."""
    state = _State(routing, max_attempts, gate)
    for handoff in history.counted:
        _READERS[handoff.sender](state, handoff)
        state.seen[handoff.seq] = handoff
        _note_files(state, handoff)
        _ask_when_spent(state)
        _ask_about_protected(state, handoff)
    return state


def verdicts(history: History, routing: Routing, max_attempts: int, gate: Gate = ONE_ANSWER) -> dict[str, Handoff]:
    """The reviewers' passes that hold for the work as it stands now, by reviewer."""
    return dict(read_state(history, routing, max_attempts, gate).verdicts)


def _decide(state: _State, history: History) -> Step:
    work = state.work
    step = Step(
        to=("nobody",),
        reason="",
        commit=work.commit if work else None,
        work=work.seq if work else None,
        approval=state.approval,
        attempts=state.attempts,
    )
    if state.ended:
        return replace(step, reason=state.ended, ended=state.ended)
    if history.ticket is None:
        return replace(step, reason="its ticket is not in the backlog", ended="missing")
    if history.ticket.status == "closed":
        return replace(step, reason="the ticket is closed", ended="closed")
    if history.damage:
        return replace(step, to=("human",), reason="; ".join(history.damage))
    if state.open:
        questions = tuple(replace(state.open[seq], needs=_needs(state, state.open[seq])) for seq in sorted(state.open))
        return replace(step, to=("human",), reason=questions[0].why, questions=questions)
    if state.rework:
        return replace(step, to=("build",), reason=state.rework)
    if work is None:
        return replace(step, to=("build",), reason="new ticket")
    missing = _missing_reviewers(state)
    if missing:
        return replace(step, to=missing, reason=f"waits for {' and '.join(missing)}")
    return replace(step, to=("merge",), reason="passed every review")


def _missing_reviewers(state: _State) -> tuple[Literal["qa", "security"], ...]:
    return tuple(reviewer for reviewer in state.routing.merge.require if reviewer not in state.verdicts)


def _read_build(state: _State, document: Handoff) -> None:
    state.attempts += 1
    state.verdicts.clear()
    state.tries.clear()
    state.rework = ""
    for_human = [finding for finding in _standing(state, document) if _goes_to(state, finding, "human")]
    if document.outcome == "done" and document.commit:
        state.work = document
        state.touched.clear()
        state.accepted = False
        state.approval = None
        if for_human:
            _ask_about(state, document, for_human)
    elif document.outcome == "deferred":
        state.send_back(document, f"was deferred: {document.reason or 'the turns were used up'}")
        if for_human:
            _ask_about(state, document, for_human)
    else:
        why = document.reason or _first(document.requests) or _summary(document) or "the build agent cannot go on"
        proposal = "Let the build agent try again, with your note as its answer."
        state.ask(document, "again", why, proposal)


def _read_review(state: _State, document: Handoff) -> None:
    if not _is_about_the_work(state, document):
        return
    state.verdicts.pop(document.sender, None)
    for_human = [finding for finding in _standing(state, document) if _goes_to(state, finding, "human")]
    if for_human:
        _ask_about(state, document, for_human)
    elif document.outcome == "deferred":
        _read_unfinished_review(state, document)
    elif document.outcome in ("pass", "fail"):
        _read_verdict(state, document)
    else:
        why = document.reason or _first(document.requests) or f"{document.sender} could not come to a verdict"
        state.ask(document, "again", why, f"Let {document.sender} look once more, with your note as its answer.")


def _read_unfinished_review(state: _State, document: Handoff) -> None:
    tries = state.tries.get(document.sender, 0) + 1
    state.tries[document.sender] = tries
    if tries >= state.max_attempts:
        why = f"{document.sender} came to no verdict in {tries} sessions ({document.reason or 'turns used up'})"
        state.ask(document, "again", why, f"Give {document.sender} another {state.max_attempts} sessions.")


def _read_verdict(state: _State, document: Handoff) -> None:
    """A verdict without anything that only a human may judge."""
    confidence = document.confidence
    is_unsure = confidence is not None and confidence < state.routing.confidence.ask_below
    to_mend = [finding for finding in _standing(state, document) if _goes_to(state, finding, "build")]
    is_no_pass = document.outcome == "fail" or bool(_unmet(document))
    if to_mend or (is_no_pass and not _is_all_dismissed(state, document)):
        why = _why_it_failed(document, to_mend)
        if is_unsure and all(finding.source == document.sender for finding in to_mend):
            why = f"{why}, but is only {confidence:.0%} sure"
            state.ask(document, "fix", why, "Send it back to the build agent to mend.")
        else:
            state.send_back(document, why)
    elif document.degraded and not state.routing.degraded.may_merge:
        why = f"no model could be reached, so only the machine's part of {document.sender} was done"
        state.ask(document, "accept", why, "Accept it on the machine's word alone.")
    elif is_unsure:
        why = f"{document.sender} passes it, but is only {confidence:.0%} sure"
        state.ask(document, "accept", why, "Accept the pass.")
    elif confidence is None and not document.degraded and state.routing.confidence.ask_below > 0:
        why = f"{document.sender} passes it, but does not say how sure it is"
        state.ask(document, "accept", why, "Accept the pass.")
    else:
        state.verdicts[document.sender] = document


def _read_merge(state: _State, document: Handoff) -> None:
    if document.outcome == "done" and document.merged:
        state.ended = "merged"
    elif not _is_about_the_work(state, document):
        return
    elif document.outcome == "pass":
        state.verdicts["merge"] = document
    elif document.outcome == "fail":
        _read_failed_merge(state, document)
    elif document.outcome != "deferred":
        why = document.reason or "the merge could not say how it ended"
        state.ask(document, "again", why, "Try to merge once more.")


def _read_failed_merge(state: _State, document: Handoff) -> None:
    for_human = [finding for finding in _standing(state, document) if _goes_to(state, finding, "human")]
    if for_human:
        _ask_about(state, document, for_human)
    elif document.candidate and _is_all_dismissed(state, document):
        state.verdicts["merge"] = document
    else:
        state.send_back(document, document.reason or "it could not be merged")


def _read_human(state: _State, document: Handoff) -> None:
    if document.decision == "close":
        state.ended = "closed"
        return
    if document.decision == "reject":
        state.ended = "rejected"
        return
    question = state.open.pop(document.answers or 0, None)
    if question is None:
        return
    subject = state.seen[question.subject]
    if document.decision == "escalate":
        whom = f" to {document.escalated_to}" if document.escalated_to else ""
        why = f"{question.why} (escalated{whom} by {document.by or 'a human'})"
        asked = replace(question, seq=document.seq, why=why, given=(), waits_for=document.escalated_to or "")
        state.open[document.seq] = asked
        return
    answered = question.with_answer(document.decision or "", document.by or "")
    if answered.agreed < _needs(state, question):
        state.open[question.seq] = answered
    elif question.protected:
        state.accepted = _is_about_the_work(state, subject)
    elif document.decision == "approve" and question.kind == "fix":
        found = any(_goes_to(state, finding, "human") for finding in subject.findings) or subject.outcome == "fail"
        why = f"a human approved the mending of what {subject.sender} found" if found else "a human lets it go on"
        _go_back(state, document, why)
    elif document.decision in ("approve", "dismiss"):
        if question.kind != "again":
            state.dismissed |= {finding.fingerprint for finding in subject.findings}
        _go_on(state, document, question, subject)


def _go_on(state: _State, document: Handoff, question: Question, subject: Handoff) -> None:
    """What was asked holds nothing up any more."""
    state.attempts = 0 if question.kind == "again" or subject.sender == "build" else state.attempts
    if subject.sender == "build":
        if subject.outcome != "done" or not subject.commit:
            _go_back(state, document, state.rework or "a human lets it go on")
    elif not _is_about_the_work(state, subject):
        return
    elif question.kind == "again":
        state.tries.pop(subject.sender, None)
    elif subject.sender == "merge" and subject.candidate is None:
        _go_back(state, document, subject.reason or "it could not be merged")
    else:
        if state.rework_by == subject.seq:
            state.rework = ""
        # What a reviewer found can be accepted; that it looked to the end cannot.
        if subject.outcome in ("pass", "fail"):
            state.verdicts[subject.sender] = subject


def _go_back(state: _State, document: Handoff, why: str) -> None:
    """Back to the build queue by a human's word."""
    state.approval = document.seq
    state.attempts = 0
    state.send_back(document, why)


_READERS = {
    "build": _read_build,
    "qa": _read_review,
    "security": _read_review,
    "merge": _read_merge,
    "human": _read_human,
}


def _needs(state: _State, question: Question) -> int:
    """How many people have to decide the same."""
    gate, subject = state.gate, state.seen[question.subject]
    if gate.approvals == 1 or not gate.approvals_for:
        return gate.approvals
    severities = {finding.severity for finding in _standing(state, subject)}
    files = {*state.touched, *question.protected, *(finding.path for finding in subject.findings)}
    globs = [word for word in gate.approvals_for if word not in SEVERITIES]
    chosen = severities & set(gate.approvals_for) or protected_among(files, globs)
    return gate.approvals if chosen else 1


def _note_files(state: _State, document: Handoff) -> None:
    """The files of the work, by every list that the engine took from git."""
    if document.verified and _is_about_the_work(state, document):
        state.touched |= set(document.verified.files)
        if document.verified.files_cut:
            state.touched.add(MORE_FILES)


def _ask_about_protected(state: _State, document: Handoff) -> None:
    """Work that touches a protected path, and that nothing else holds up, is a human's to let go on."""
    work = state.work
    if work is None or state.accepted or state.ended or state.open or state.rework or _missing_reviewers(state):
        return
    found = protected_among(state.touched, state.gate.protected)
    if MORE_FILES in state.touched and state.gate.protected:
        found = (*found, MORE_FILES)
    if found:
        why = f"it changes {found[0]}" + (f" and {len(found) - 1} more" if len(found) > 1 else "")
        why = f"{why}, which only a human may let through ([gate] protected)"
        proposal = "Let the change go on to the merge."
        state.open[document.seq] = Question(document.seq, work.seq, "accept", why, proposal, protected=found)


def _same_person(name: str) -> str:
    return " ".join(name.split()).casefold()


def _ask_when_spent(state: _State) -> None:
    """Work that would go back to build once too often. What is asked already comes first: it may settle this too."""
    if state.rework and state.attempts >= state.max_attempts and not state.open:
        why = f"{_count_of(state.attempts, 'attempt')} and still not done: {state.rework}"
        state.ask(
            state.seen[state.rework_by], "fix", why, f"Give it another {_count_of(state.max_attempts, 'attempt')}."
        )


def _ask_about(state: _State, document: Handoff, findings: list[Finding]) -> None:
    worst = min(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    why = f"{document.sender} found: {worst.title}" + (f" (and {len(findings) - 1} more)" if len(findings) > 1 else "")
    if all(finding.rule in NOT_THE_BUILDERS and finding.source not in MODELS for finding in findings):
        state.ask(document, "accept", why, "Accept the change although the checks say nothing about it.")
    elif worst.rule == MOVED and worst.source == "merge":
        state.ask(document, "fix", why, "Let the build agent take the branch up as it stands, and have that reviewed.")
    else:
        state.ask(document, "fix", why, "Send it back to the build agent to mend.")


def _is_about_the_work(state: _State, document: Handoff) -> bool:
    """Whether a document speaks of the commit that is under review now."""
    return state.work is not None and document.commit == state.work.commit


def _standing(state: _State, document: Handoff) -> list[Finding]:
    """The findings of a document that no human has dismissed."""
    return [finding for finding in document.findings if finding.fingerprint not in state.dismissed]


def _is_all_dismissed(state: _State, document: Handoff) -> bool:
    """Whether a failure rests on nothing but findings that a human dismissed."""
    nothing_else = all(_goes_to(state, finding, "note") for finding in _standing(state, document))
    was_dismissed = any(finding.fingerprint in state.dismissed for finding in document.findings)
    return was_dismissed and nothing_else and not _unmet(document)


def _goes_to(state: _State, finding: Finding, destination: str) -> bool:
    found = state.routing.destination(finding.severity, finding.source, finding.rule, finding.breaks_build)
    return found == destination


def _why_it_failed(document: Handoff, findings: list[Finding]) -> str:
    if findings:
        return f"{document.sender} found {_count(findings, 'thing')} to mend"
    if unmet := _unmet(document):
        return f"{document.sender} says that this is not met: {'; '.join(unmet)[:300]}"
    words = document.reason or _first(document.requests) or _summary(document)
    return f"{document.sender} says that it fails" + (f": {words}" if words else "")


def _unmet(document: Handoff) -> list[str]:
    """The acceptance criteria that a reviewer says are not met."""
    criteria = document.claimed.criteria if document.claimed else ()
    return [criterion.criterion for criterion in criteria if not criterion.met]


def _first(values: tuple[str, ...]) -> str:
    return values[0] if values else ""


def _summary(document: Handoff) -> str:
    return document.claimed.summary[:300] if document.claimed else ""


def _count(values: list[Finding], noun: str) -> str:
    return _count_of(len(values), noun)


def _count_of(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
