"""Whatever the actors do, and in whatever order: the rules keep their promises, and the work can be finished.

A machine makes up days: plans, sessions that end in every way or die, reviews, decisions, merges, edits of the backlog.
After each step everything that must always hold is looked at; at the end of each day everything is finished.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.rules.world import Death, World
from tests.stories import a_finding, a_ticket
from watchbill.documents.handoff import Handoff
from watchbill.documents.manifest import Agent
from watchbill.history import History
from watchbill.layout import item_id
from watchbill.rules.next_step import Step, next_step, read_state
from watchbill.stages.verify.approvals import objections

AGENTS: tuple[Agent, ...] = ("build", "qa", "security")
NAMES = ("T-1", "T-2", "T-3")
LONGEST_WAY = 40

TICKETS = st.sampled_from(NAMES)
WHO = st.sampled_from(AGENTS)
DECISIONS = st.sampled_from([*["approve", "dismiss"] * 4, "escalate", "reject"])
EDITS = st.sampled_from(
    [
        {"priority": "critical"},
        {"priority": "low"},
        {"dependencies": ()},
        {"dependencies": ("T-2",)},
        {"dependencies": ("T-9",)},
        {"status": "open"},
        {"status": "open"},
        {"status": "closed"},
        "base",
        "base",
        "close",
        "delete",
    ]
)
MOSTLY = st.sampled_from([*[True] * 4, False])
COURSES = st.sampled_from([*["goes on"] * 6, "dies", "is overtaken"])
SELDOM = st.sampled_from([*[False] * 5, True])
DEATHS = st.sampled_from(["", "", "", "before", "after"])
FINDINGS = st.lists(
    st.builds(
        a_finding,
        st.sampled_from(["critical", "high", "medium", "low", "info"]),
        st.sampled_from(["flaw", "hole"]),
        source=st.sampled_from(["qa", "bandit"]),
    ),
    max_size=2,
)
ENDINGS = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from([*["done", "fail"] * 3, "blocked", "deferred"]),
        "findings": st.one_of(st.just([]), FINDINGS),
        "confidence": st.sampled_from([0.9, 0.9, 0.2, None]),
        "degraded": st.sampled_from([False, False, False, True]),
        "claimed": st.sampled_from([None, None, {"criteria": [{"criterion": "adds", "met": False}]}]),
    }
)
GOOD: dict[str, Any] = {"outcome": "done", "confidence": 0.9}


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

    # --- what can happen --------------------------------------------------------------------------------------------
    # Few rules with choices of their own: hypothesis leaves some rules out of each day, and without builds it is dull.

    @rule(which=st.integers(0, 5), how=ENDINGS, death=DEATHS, at_once=st.booleans(), anew=MOSTLY)
    def an_agent_goes_on(self, which: int, how: dict[str, Any], death: Death, at_once: bool, anew: bool) -> None:
        """Begin a ticket, end the one that was begun, in any way at all, or both at once."""
        agent = self.one_with_work(which)
        if not self.is_busy(agent):
            if anew:
                self.world.plan(agent)
            if not self.world.begin(agent) or not at_once:
                return
        self.world.finish(agent, as_said_by(agent, how), death)

    @rule(which=st.integers(0, 5))
    def a_session_goes_well(self, which: int) -> None:
        self.world.settle()
        work(self.world, self.one_with_work(which))

    def one_with_work(self, which: int) -> Agent:
        """An agent that is in the middle of a ticket, or that a ticket waits for; any, when there is none."""
        wanted = {to for ticket in self.world.known() for to in self.world.step(ticket).to}
        able = [agent for agent in AGENTS if agent in wanted or self.is_busy(agent)] or AGENTS
        return able[which % len(able)]

    def is_busy(self, agent: Agent) -> bool:
        return agent in self.world.desks and bool(self.world.desks[agent].ticket)

    @precondition(lambda self: self.world.items)
    @rule(which=st.integers(0, 5), decision=DECISIONS, death=DEATHS)
    def the_human_decides(self, which: int, decision: str, death: Death) -> None:
        items = sorted(self.world.items, key=lambda item: (self.world.items[item] != "open", item))
        self.world.decide(items[which % len(items)], decision, death)

    @rule(which=st.integers(0, 2), conflicts=SELDOM, findings=FINDINGS, how=COURSES)
    def the_merge_goes_on(self, which: int, conflicts: bool, findings: list[Any], how: str) -> None:
        """Up to the gate; from there into git; from git into the history; or it dies, or a human closes the ticket."""
        world, ready = self.world, self.world.ready()
        if world.landing is None and ready:
            again = {"outcome": "fail" if findings else "pass", "findings": findings}
            world.merge_to_the_gate(ready[which % len(ready)], conflicts, again)
        elif how == "dies":
            world.landing = None
        elif how == "is overtaken" and world.landing is not None:
            world.close(world.landing.ticket)
        elif world.landing is not None and not world.landing.moved:
            world.merge_in_git()
        else:
            world.merge_is_said()

    @rule(ticket=TICKETS, change=EDITS)
    def the_owner_changes_something(self, ticket: str, change: dict[str, Any] | str) -> None:
        world = self.world
        if change == "base":
            world.head = world.new_commit()
        elif change == "close":
            world.close(ticket)
        elif ticket not in world.tickets:
            world.tickets[ticket] = a_ticket(ticket)
        elif change == "delete":
            del world.tickets[ticket]
        elif isinstance(change, dict):
            world.tickets[ticket] = world.tickets[ticket].model_copy(update=change)

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


def as_said_by(agent: str, how: dict[str, Any]) -> dict[str, Any]:
    """An ending in the words of that agent."""
    said = {**how, "findings": tuple(how.get("findings", ()))}
    if agent == "build":
        return {
            **said,
            "outcome": "done" if how["outcome"] == "fail" else how["outcome"],
            "claimed": None,
            "degraded": False,
        }
    return {**said, "outcome": "pass" if how["outcome"] == "done" else how["outcome"]}


# --- the way to the end --------------------------------------------------------------------------------------------


def work(world: World, agent: Agent) -> None:
    """Plan for an agent, and a session in which everything goes well."""
    world.plan(agent)
    while world.begin(agent) or (agent in world.desks and world.desks[agent].ticket):
        world.finish(agent, as_said_by(agent, GOOD))


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


AnyDay.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
TestAnyDay = AnyDay.TestCase
