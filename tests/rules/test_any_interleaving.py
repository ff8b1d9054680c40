"""Whatever the actors do, and in whatever order: the rules keep their promises, and the work can be finished.

A machine makes up days: plans, sessions that end in every way or die, reviews, decisions, merges, edits of the backlog.
After each step everything that must always hold is looked at; at the end of each day everything is finished.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.rules.world import Death, World
from tests.stories import a_finding, a_ticket
from watchbill.documents.handoff import Finding, Handoff
from watchbill.documents.manifest import Agent
from watchbill.history import History
from watchbill.layout import item_id
from watchbill.rules.next_step import Step, next_step, read_state
from watchbill.stages.verify.approvals import objections

AGENTS: tuple[Agent, ...] = ("build", "qa", "security")
NAMES = ("T-1", "T-2", "T-3")
LONGEST_WAY = 40

SEVERITIES = ("critical", "high", "medium", "low", "info")
EDITS: tuple[dict[str, Any] | str, ...] = (
    {"priority": "critical"},
    {"priority": "low"},
    {"dependencies": ()},
    {"dependencies": ("T-2",)},
    {"dependencies": ("T-9",)},
    {"status": "open"},
    {"status": "open"},
    {"status": "closed"},
    "the base moves",
    "the base moves",
    "it is closed by command",
    "it is taken away",
)
DECISIONS = (*("approve", "dismiss") * 4, "escalate", "reject")
DEATHS: tuple[Death, ...] = ("", "", "", "before", "after")
UNMET = {"criteria": ({"criterion": "adds", "met": False},)}


class AnyDay(RuleBasedStateMachine):
    """One workspace, and everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.asked: dict[str, set[int]] = {}
        self.seen: dict[str, int] = {}
        self.merged: dict[str, int] = {}

    @initialize(attempts=st.integers(1, 2), second=st.sampled_from([(), ("T-1",), ("T-3",)]))
    def a_backlog(self, attempts: int, second: tuple[str, ...]) -> None:
        self.world.max_attempts = attempts
        for name in NAMES:
            self.world.tickets[name] = a_ticket(name, dependencies=second if name == "T-2" else ())

    @rule(luck=st.integers(0, 2**32 - 1))
    def something_happens(self, luck: int) -> None:
        """One of the things that can happen now. Luck chooses, so that each day is another and few are dull."""
        dice = Random(luck)
        weights = {name: weight for name, weight in self.possible().items() if weight}
        [name] = dice.choices(list(weights), list(weights.values()))
        note(f"{name} ({luck})")
        getattr(self, name)(dice)

    def possible(self) -> dict[str, int]:
        """What can happen now, and how often it should."""
        world = self.world
        return {
            "an_agent_begins": 4 * bool(self.wanted()),
            "an_agent_ends": 6 * bool(self.busy()),
            "a_session_goes_well": 2 * bool(self.wanted()),
            "reviewers_overlap": 4 * bool({"qa", "security"} <= {*self.wanted()}),
            "a_session_dies": bool(self.busy()),
            "somebody_plans": 1,
            "a_human_decides": 4 * bool(world.items),
            "a_merge_begins": 4 * bool(world.ready() and not world.landing),
            "a_merge_goes_on": 5 * bool(world.landing),
            "a_merge_dies": bool(world.landing),
            "a_merge_is_overtaken": bool(world.landing),
            "the_owner_changes_something": 2,
        }

    # --- what can happen --------------------------------------------------------------------------------------------

    def an_agent_begins(self, dice: Random) -> None:
        agent = dice.choice(self.wanted())
        if dice.random() < 0.8:
            self.world.plan(agent)
        if self.world.begin(agent) and dice.random() < 0.3:
            self.world.finish(agent, any_ending(agent, dice), dice.choice(DEATHS))

    def an_agent_ends(self, dice: Random) -> None:
        agent = dice.choice(self.busy())
        self.world.finish(agent, any_ending(agent, dice), dice.choice(DEATHS))

    def reviewers_overlap(self, dice: Random) -> None:
        """Both begin before either ends, so that one may pass what the other asks about."""
        reviewers: list[Agent] = ["qa", "security"]
        dice.shuffle(reviewers)
        for agent in reviewers:
            self.world.plan(agent)
        for place, agent in enumerate([agent for agent in reviewers if self.world.begin(agent)]):
            is_any = place == 0 or dice.random() < 0.3
            self.world.finish(agent, any_ending(agent, dice) if is_any else well(agent))

    def a_session_goes_well(self, dice: Random) -> None:
        self.world.settle()
        work(self.world, dice.choice(self.wanted()))

    def a_session_dies(self, dice: Random) -> None:
        self.world.die(dice.choice(self.busy()))

    def somebody_plans(self, dice: Random) -> None:
        self.world.settle()
        self.world.plan(dice.choice(AGENTS))

    def a_human_decides(self, dice: Random) -> None:
        """An open item as a rule; now and then one that was answered, or whose ticket has ended."""
        items = sorted(self.world.items)
        open_ones = [item for item in items if self.world.items[item] == "open"]
        item = dice.choice(open_ones if open_ones and dice.random() < 0.9 else items)
        self.world.decide(item, dice.choice(DECISIONS), dice.choice(DEATHS))

    def a_merge_begins(self, dice: Random) -> None:
        findings = some_findings(dice)
        again = {"outcome": "fail" if findings else "pass", "findings": findings}
        self.world.merge_to_the_gate(dice.choice(self.world.ready()), dice.random() < 0.1, again)

    def a_merge_goes_on(self, dice: Random) -> None:
        """From the gate into git; or from git into the history."""
        if self.world.landing is not None and not self.world.landing.moved:
            self.world.merge_in_git()
        else:
            self.world.merge_is_said(asks=dice.random() < 0.8)

    def a_merge_dies(self, _dice: Random) -> None:
        self.world.landing = None

    def a_merge_is_overtaken(self, _dice: Random) -> None:
        if self.world.landing is not None:
            self.world.close(self.world.landing.ticket)

    def the_owner_changes_something(self, dice: Random) -> None:
        world, ticket, change = self.world, dice.choice(NAMES), dice.choice(EDITS)
        if change == "the base moves":
            world.head = world.new_commit()
        elif ticket not in world.tickets:
            world.tickets[ticket] = a_ticket(ticket)
        elif world.tickets[ticket].status == "closed":
            world.tickets[ticket] = world.tickets[ticket].model_copy(update={"status": "open"})
        elif isinstance(change, dict):
            world.tickets[ticket] = world.tickets[ticket].model_copy(update=change)
        elif dice.random() < 0.5:
            world.tickets.pop(ticket) if change == "it is taken away" else world.close(ticket)

    def busy(self) -> list[Agent]:
        """The agents that are in the middle of a ticket."""
        return [agent for agent in AGENTS if agent in self.world.desks and self.world.desks[agent].ticket]

    def wanted(self) -> list[Agent]:
        """The agents that a ticket waits for, and that are free."""
        asked = {to for ticket in self.world.tickets for to in self.world.step(ticket).to}
        return [agent for agent in AGENTS if agent in asked and agent not in self.busy()]

    # --- what must always hold --------------------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        self.every_ticket_has_one_next_step()
        self.a_question_stays_until_a_human_answers_it()
        self.only_a_human_takes_a_ticket_from_a_human()
        self.what_is_merged_was_passed()
        self.no_more_attempts_than_a_human_allowed()
        self.a_plan_accounts_for_every_ticket_and_is_the_same_in_any_order()
        self.no_open_question_was_filed_away()

    def every_ticket_has_one_next_step(self) -> None:
        world = self.world
        for ticket in world.known():
            step = world.step(ticket)
            assert step.to and step.reason
            assert step == self._step_of(world.history(ticket))
            assert ("human" in step.to) == bool(step.questions)
            assert bool(step.ended) == (step.to == ("nobody",))

    def a_question_stays_until_a_human_answers_it(self) -> None:
        for ticket in self.world.known():
            history = self.world.history(ticket)
            state = read_state(history, self.world.routing, self.world.max_attempts)
            answers = {one.answers for one in history.handoffs if one.sender == "human"}
            assert state.ended or not set(state.open) & answers, "a question that was answered is open again"
            gone = self.asked.get(ticket, set()) - set(state.open) - answers
            assert not gone, f"the questions {gone} of {ticket} went away unanswered"
            self.asked[ticket] = {*self.asked.get(ticket, set()), *state.open}

    def only_a_human_takes_a_ticket_from_a_human(self) -> None:
        for ticket in self.world.known():
            for before, document in self._new(ticket, self.seen):
                if document.sender != "human" and "human" in self._step_of(before).to:
                    after = self._step_of(_cut(self.world.history(ticket), len(before.documents) + 1))
                    assert "human" in after.to, f"{document.sender} took {ticket} from the human"

    def what_is_merged_was_passed(self) -> None:
        for ticket in self.world.known():
            for before, document in self._new(ticket, self.merged):
                if not document.merged:
                    continue
                wrong = list(objections(before.handoffs, document.commit, document.merged, self.world.routing))
                assert not wrong, wrong
                answers = {one.answers for one in before.handoffs if one.sender == "human"}
                assert self.asked.get(ticket, set()) <= answers, "something about it was never answered"

    def _step_of(self, history: History) -> Step:
        return next_step(history, self.world.routing, self.world.max_attempts)

    def _new(self, ticket: str, upto: dict[str, int]) -> list[tuple[History, Handoff]]:
        """The documents that were not looked at yet, each with the history before it."""
        history = self.world.history(ticket)
        first = upto.get(ticket, 0)
        upto[ticket] = len(history.documents)
        return [(_cut(history, number), history.documents[number].handoff) for number in range(first, upto[ticket])]

    def no_more_attempts_than_a_human_allowed(self) -> None:
        for ticket in self.world.known():
            attempts = 0
            for handoff in self.world.history(ticket).handoffs:
                attempts = 0 if handoff.sender == "human" else attempts + (handoff.sender == "build")
                assert attempts <= self.world.max_attempts, f"{ticket} was built {attempts} times"

    def a_plan_accounts_for_every_ticket_and_is_the_same_in_any_order(self) -> None:
        world = self.world
        for agent in AGENTS:
            found = world.planned(agent)
            named = [entry.ticket for entry in found.entries] + [skipped.ticket for skipped in found.skipped]
            assert sorted(named) == sorted(world.tickets)
            assert all(skipped.reason for skipped in found.skipped)
            assert all(agent in world.step(entry.ticket).to for entry in found.entries)
            assert found.render() == world.planned(agent, sorted(world.tickets, reverse=True)).render()

    def no_open_question_was_filed_away(self) -> None:
        for ticket in self.world.tickets:
            for question in self.world.step(ticket).questions:
                assert self.world.items.get(item_id(ticket, question.seq), "open") == "open"

    def teardown(self) -> None:
        finish_everything(self.world)


def _cut(history: History, number: int) -> History:
    return History(history.id, history.ticket, history.ticket_sha, history.documents[:number])


def some_findings(dice: Random) -> tuple[Finding, ...]:
    """None as a rule, or one or two."""
    number = dice.choice((0, 0, 0, 1, 1, 2))
    return tuple(
        a_finding(dice.choice(SEVERITIES), dice.choice(("flaw", "hole")), source=dice.choice(("qa", "bandit")))
        for _ in range(number)
    )


def any_ending(agent: str, dice: Random) -> dict[str, Any]:
    """How a conversation may end: well, badly, unsure, cut off."""
    outcomes = ("done", "blocked", "deferred") if agent == "build" else ("pass", "fail", "blocked", "deferred")
    ending: dict[str, Any] = {
        "outcome": dice.choices(outcomes, (6, 1, 2) if agent == "build" else (4, 3, 1, 1))[0],
        "findings": some_findings(dice),
        "confidence": dice.choice((0.9, 0.9, 0.9, 0.2, None)),
    }
    if agent == "build":
        return ending
    return {**ending, "degraded": dice.random() < 0.1, "claimed": UNMET if dice.random() < 0.1 else None}


def well(agent: str) -> dict[str, Any]:
    return {"outcome": "done" if agent == "build" else "pass", "confidence": 0.9}


# --- the way to the end --------------------------------------------------------------------------------------------


def work(world: World, agent: Agent) -> None:
    """Plan for an agent, and a session in which everything goes well."""
    world.plan(agent)
    while world.begin(agent) or (agent in world.desks and world.desks[agent].ticket):
        world.finish(agent, well(agent))


def finish_everything(world: World) -> None:
    """Agents that succeed and a human who approves and clears the dependencies bring every ticket to its end."""
    for ticket in world.tickets:
        world.tickets[ticket] = world.tickets[ticket].model_copy(update={"dependencies": ()})
    for _ in range(LONGEST_WAY):
        if all(world.step(ticket).ended for ticket in world.known()) and not unsaid(world):
            return
        one_round(world)
    ways = {ticket: world.step(ticket) for ticket in world.known()}
    raise AssertionError(f"there is no way out: {ways}; landed, and nobody says so: {unsaid(world)}")


def unsaid(world: World) -> list[str]:
    """The tickets whose merge is in git and in no document."""
    return [
        ticket
        for ticket, landing in world.landed.items()
        if not world.step(ticket).ended and not any(one.merged for one in world.history(ticket).handoffs)
    ]


def one_round(world: World) -> None:
    world.settle()
    for item in [item for item, state in world.items.items() if state == "open"]:
        world.decide(item, "approve")
    world.merge_in_git()
    world.merge_is_said()
    for ticket in world.ready():
        world.merge_to_the_gate(ticket)
        world.merge_in_git()
        world.merge_is_said()
    for agent in AGENTS:
        work(world, agent)


def test_a_merge_that_landed_is_said_even_if_a_human_closes_the_ticket_meanwhile() -> None:
    world = World(tickets={"T-1": a_ticket("T-1")})
    for agent in AGENTS:
        work(world, agent)
    world.merge_to_the_gate("T-1")
    world.merge_in_git()
    assert world.close("T-1")
    world.merge_is_said()
    history = world.history("T-1")
    *before, landing = history.handoffs
    assert (landing.merged, world.step("T-1").ended) == (world.head, "merged")
    assert not list(objections(tuple(before), landing.commit, world.head, world.routing))


AnyDay.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None, derandomize=True)
TestAnyDay = AnyDay.TestCase
