"""A whole workspace in memory: backlog, histories, inbox, manifests, and as much of git as the rules can see.

Owns the doing around the rules, step for step as the stages do it, but in pieces between which anything else may
happen, and with a process that may die before or after it has published. The decisions are the engine's own:
`next_step`, `planning.plan`, `merge_gate`. Nothing here checks anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tests.stories import NOW, a_finding
from watchbill.documents.handoff import Handoff
from watchbill.documents.manifest import Agent, Manifest
from watchbill.documents.routing import Routing
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.documents.ticket import Ticket
from watchbill.files.publish import sha256
from watchbill.history import History, Recorded
from watchbill.layout import item_id
from watchbill.rules.card import card_of
from watchbill.rules.merge_gate import checked_again, refusals, reviewed
from watchbill.rules.next_step import Step, next_step
from watchbill.rules.planning import Heading, Situation, listed, plan

CAPS = AgentSettings(schedule="0 2 * * *", soft_turns=60, hard_turns=80, turns_per_ticket=30)
MAX_WAITING = 3
Death = Literal["", "before", "after"]
Valid = Callable[[Step], bool]


@dataclass
class Desk:
    """A session of one agent. `left` are the tickets of its manifest that it has not begun."""

    session: str
    manifest: Manifest
    left: list[str]
    ticket: str = ""
    commit: str | None = None
    candidate: str = ""


@dataclass
class Landing:
    """A merge that passed the gate and has not moved the branch yet, or has and has not said so."""

    ticket: str
    work: str
    head: str
    candidate: str
    moved: bool = False


@dataclass
class World:
    """Everything. Ids of commits are made from a counter, so that a world is the same each time."""

    tickets: dict[str, Ticket] = field(default_factory=dict)
    documents: dict[str, tuple[Recorded, ...]] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, list[Manifest]] = field(default_factory=lambda: {"build": [], "qa": [], "security": []})
    used: set[str] = field(default_factory=set)
    opened: dict[str, int] = field(default_factory=dict)
    desks: dict[str, Desk] = field(default_factory=dict)
    dead: list[tuple[str, Desk]] = field(default_factory=list)
    head: str = "0" * 40
    tips: dict[str, str] = field(default_factory=dict)
    landed: dict[str, Landing] = field(default_factory=dict)
    landing: Landing | None = None
    commits: int = 0
    routing: Routing = field(default_factory=Routing)
    max_attempts: int = 2
    steps: dict[tuple[str, int, str], Step] = field(default_factory=dict)

    # --- what is read -----------------------------------------------------------------------------------------------

    def history(self, ticket: str) -> History:
        return History(ticket, self.tickets.get(ticket), "0" * 64, self.documents.get(ticket, ()))

    def step(self, ticket: str) -> Step:
        """The next step, worked out once for each state of a ticket: that is most of what these tests do."""
        file = self.tickets.get(ticket)
        key = (ticket, len(self.documents.get(ticket, ())), file.status if file else "")
        if key not in self.steps:
            self.steps[key] = next_step(self.history(ticket), self.routing, self.max_attempts)
        return self.steps[key]

    def known(self) -> list[str]:
        """Every ticket that is in the backlog or has a history."""
        return sorted({*self.tickets, *self.documents})

    def situation(self, tickets: list[str] | None = None) -> Situation:
        """What planning looks at, the tickets in the order given."""
        order = tickets if tickets is not None else sorted(self.tickets)
        cards = listed(card_of(self.tickets[ticket], self.history(ticket), self.step(ticket)) for ticket in order)
        waiting = sum(state == "open" for state in self.items.values())
        return Situation(cards=cards, waiting=waiting, max_waiting=MAX_WAITING)

    def planned(self, agent: Agent, tickets: list[str] | None = None) -> Manifest:
        """What a plan would write now."""
        heading = Heading(len(self.manifests[agent]) + 1, agent, NOW, self.head, "p" * 64, "v" * 64)
        return plan(heading, self.situation(tickets), CAPS)

    def candidate_of(self, ticket: str, commit: str, head: str) -> str:
        return sha256(f"{ticket} {commit} {head}".encode())[:40]

    # --- what is written --------------------------------------------------------------------------------------------

    def new_commit(self) -> str:
        self.commits += 1
        return f"{self.commits:040x}"

    def hand_over(self, ticket: str, fields: dict[str, Any], valid: Valid, asks: bool = True) -> bool:
        """As `hand_over`: number it, say to whom it goes, publish it, ask. False when the ticket has moved on."""
        history = self.history(ticket)
        if not valid(self.step(ticket)):
            return False
        numbered = {"ticket": ticket, "seq": history.next_seq, "created": NOW, "to": ("nobody",)}
        handoff = Handoff.model_validate({**numbered, "parent": history.head, **fields})
        recorded = Recorded(handoff, f"{handoff.seq:064}", Path(f"{handoff.seq:04}.md"))
        after = replace(history, documents=(*history.documents, recorded))
        to = next_step(after, self.routing, self.max_attempts).to
        recorded = replace(recorded, handoff=handoff.model_copy(update={"to": to}))
        self.documents[ticket] = (*history.documents, recorded)
        if asks:
            self.ask(ticket)
        return True

    def ask(self, ticket: str) -> None:
        for question in self.step(ticket).questions:
            self.items.setdefault(item_id(ticket, question.seq), "open")

    def settle(self) -> None:
        """What every verb begins with."""
        for ticket in self.tickets:
            self.ask(ticket)
        for item, state in self.items.items():
            ticket, _, seq = item.rpartition("-")
            if state == "open" and _is_answered(self.history(ticket), int(seq)):
                self.items[item] = "decided"

    # --- plan and run -----------------------------------------------------------------------------------------------

    def plan(self, agent: Agent) -> None:
        manifest, newest = self.planned(agent), self.newest(agent)
        is_unused = newest is not None and not self.opened.get(newest.id) and newest.id not in self.used
        if not (newest and is_unused and _says_the_same(newest, manifest)):
            self.manifests[agent].append(manifest)

    def newest(self, agent: Agent) -> Manifest | None:
        return self.manifests[agent][-1] if self.manifests[agent] else None

    def begin(self, agent: Agent) -> bool:
        """Take up the next ticket of a session, or open one. False when there is nothing to do."""
        desk = self.desks.get(agent) or self._open(agent)
        if desk is None or desk.ticket:
            return False
        while desk.left:
            ticket = desk.left.pop(0)
            step = self.step(ticket)
            if ticket in self.tickets and agent in step.to:
                desk.ticket, desk.commit = ticket, step.commit
                desk.candidate = self.candidate_of(ticket, step.commit or "", self.head)
                return True
        self.used.add(desk.manifest.id)
        del self.desks[agent]
        return False

    def _open(self, agent: Agent) -> Desk | None:
        self._settle_dead(agent)
        manifest = self.newest(agent)
        entries = [entry.ticket for entry in manifest.entries] if manifest else []
        if manifest is None or manifest.id in self.used or not any(agent in self.step(one).to for one in entries):
            return None
        self.opened[manifest.id] = self.opened.get(manifest.id, 0) + 1
        self.desks[agent] = Desk(f"{manifest.id}-{self.opened[manifest.id]}", manifest, entries)
        return self.desks[agent]

    def _settle_dead(self, agent: Agent) -> None:
        for desk in [desk for name, desk in self.dead if name == agent and desk.ticket]:
            if any(one.session == desk.session for one in self.history(desk.ticket).handoffs):
                continue
            commit = self.tips.get(desk.ticket) if agent == "build" else self.step(desk.ticket).commit
            fields = {"from": agent, "outcome": "deferred", "session": desk.session, "commit": commit}
            self.hand_over(desk.ticket, fields, lambda step: agent in step.to)
        self.dead = [(name, desk) for name, desk in self.dead if name != agent]

    def finish(self, agent: Agent, fields: dict[str, Any], death: Death = "") -> None:
        """End the work on a ticket. A build's commit is on its branch before its handoff is published."""
        desk = self.desks[agent]
        own: dict[str, Any] = {"from": agent, "session": desk.session, "commit": desk.commit, "verified": {}}
        if agent == "build":
            own |= {"approval": self.step(desk.ticket).approval}
            if fields["outcome"] != "blocked":
                own["commit"] = self.tips[desk.ticket] = self.new_commit()
        else:
            own |= {"candidate": desk.candidate}

        def still_wanted(step: Step) -> bool:
            is_verdict = agent != "build" and not step.ended
            return agent in step.to or (is_verdict and desk.commit == step.commit)

        if death != "before":
            self.hand_over(desk.ticket, {**own, **fields}, still_wanted, asks=not death)
        if death:
            self.die(agent)
        else:
            desk.ticket = ""

    def die(self, agent: Agent) -> None:
        """The session's process ends here, and remembers nothing."""
        self.dead.append((agent, self.desks.pop(agent)))

    # --- the human --------------------------------------------------------------------------------------------------

    def decide(self, item: str, decision: str, death: Death = "") -> bool:
        """Answer an item, in its file or by command. False when that is refused: its question is not open any more."""
        ticket, _, number = item.rpartition("-")
        seq, step = int(number), self.step(ticket)
        is_open = any(question.seq == seq for question in step.questions)
        fields = {"from": "human", "outcome": "pass", "decision": decision, "answers": seq, "by": "ada"}
        commit = step.commit if is_open else None
        if death == "before" or not self.hand_over(
            ticket, {**fields, "commit": commit}, lambda _step: is_open, asks=not death
        ):
            return False
        if not death:
            self.items[item] = "decided"
            self._file_all(ticket)
        return True

    def close(self, ticket: str) -> bool:
        fields = {"from": "human", "outcome": "done", "decision": "close", "by": "ada"}
        is_closed = ticket in self.tickets and self.hand_over(ticket, fields, lambda step: not step.ended)
        if is_closed:
            self._file_all(ticket)
        return is_closed

    def _file_all(self, ticket: str) -> None:
        if self.step(ticket).ended:
            self.items |= {item: "decided" for item in self.items if item.rpartition("-")[0] == ticket}

    # --- the merge --------------------------------------------------------------------------------------------------

    def ready(self) -> list[str]:
        return [ticket for ticket in sorted(self.tickets) if "merge" in self.step(ticket).to]

    def merge_to_the_gate(self, ticket: str, conflicts: bool = False, fields: dict[str, Any] | None = None) -> None:
        """Build the candidate, check it again where that is needed (`fields` is what that says), and ask the gate."""
        history, step = self.history(ticket), self.step(ticket)
        if "merge" not in step.to or self.landing is not None or step.commit is None:
            return
        known = self.landed.get(ticket)
        if known and known.work == step.commit and self._was_passed(history, known.candidate):
            self.landing = known
            return
        candidate = self.candidate_of(ticket, step.commit, self.head)
        about = {"from": "merge", "commit": step.commit, "base": self.head, "verified": {}}
        if conflicts:
            finding = a_finding("medium", self.head[-9:], rule="merge-conflict", source="merge")
            self._merge_says(ticket, {**about, "outcome": "fail", "findings": (finding,)})
            return
        if not self._was_passed(history, candidate):
            again = {"outcome": "pass", **(fields or {})}
            self._merge_says(ticket, {**about, "candidate": candidate, **again})
            if again["outcome"] != "pass":
                return
        reasons = refusals(self.history(ticket), self.routing, self.max_attempts, self.tips.get(ticket), candidate)
        if not reasons:
            self.landing = Landing(ticket, step.commit, self.head, candidate)

    def _was_passed(self, history: History, candidate: str) -> bool:
        return reviewed(history, self.routing, self.max_attempts, candidate) or checked_again(history, candidate)

    def _merge_says(self, ticket: str, fields: dict[str, Any]) -> None:
        self.hand_over(ticket, fields, lambda step: "merge" in step.to)

    def merge_in_git(self) -> None:
        """Move the integration branch, if it is still where it was."""
        landing = self.landing
        if landing is None or landing.moved:
            return
        if self.head != landing.head:
            self.landing = None
            return
        self.head, landing.moved = landing.candidate, True
        self.landed[landing.ticket] = landing

    def merge_is_said(self, asks: bool = True) -> None:
        landing = self.landing
        if landing is None or not landing.moved:
            return
        fields = {"from": "merge", "outcome": "done", "commit": landing.work, "base": landing.head, "verified": {}}
        merged = {"candidate": landing.candidate, "merged": landing.candidate}
        self.hand_over(landing.ticket, {**fields, **merged}, lambda step: step.ended != "merged", asks)
        self.landing = None


def _is_answered(history: History, seq: int) -> bool:
    return any(
        one.sender == "human" and (one.answers == seq or one.decision in ("reject", "close"))
        for one in history.handoffs
    )


def _says_the_same(one: Manifest, other: Manifest) -> bool:
    apart = {"id", "created"}
    return one.model_dump(exclude=apart) == other.model_dump(exclude=apart)
