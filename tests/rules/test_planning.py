"""What one session should work on: the order, the budget, and the reason why each other ticket waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stories import NOW, ONE, TWO, Story, a_finding, a_ticket, passed
from watchbill.documents.manifest import Agent, Manifest
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.errors import Damaged
from watchbill.rules.card import Card, card_of
from watchbill.rules.next_step import next_step
from watchbill.rules.planning import Decision, Heading, Situation, listed, natural, plan

CAPS = AgentSettings(schedule="0 2 * * *", soft_turns=60, hard_turns=80, turns_per_ticket=30)
ROOMY = AgentSettings(schedule="0 2 * * *", soft_turns=600, hard_turns=900, turns_per_ticket=30)


def heading(agent: Agent = "build") -> Heading:
    return Heading(7, agent, NOW, ONE, "p" * 64, "v" * 64)


def situation(*stories: Story, waiting: int = 0, damaged: tuple[Damaged, ...] = ()) -> Situation:
    """The situation of these tickets."""
    return Situation(cards=listed(card(story) for story in stories), waiting=waiting, max_waiting=3, damaged=damaged)


def card(story: Story) -> Card:
    assert story.history.ticket
    return card_of(story.history.ticket, story.history, story.step)


def new(ticket: str, **more: Any) -> Story:
    return Story(a_ticket(ticket, **more))


def retold(ticket: str, story: Story) -> Story:
    """The same history under another id."""
    story.history = replace(story.history, id=ticket, ticket=a_ticket(ticket))
    return story


def order(manifest: Manifest) -> list[str]:
    return [entry.ticket for entry in manifest.entries]


def why_skipped(manifest: Manifest) -> dict[str, str]:
    return {skipped.ticket: skipped.reason for skipped in manifest.skipped}


def test_priority_comes_first() -> None:
    found = plan(
        heading(),
        situation(
            new("T-1", priority="low"),
            new("T-2", priority="critical"),
            new("T-3"),
            new("T-4", priority="high"),
        ),
        ROOMY,
    )
    assert order(found) == ["T-2", "T-4", "T-3", "T-1"]


def test_depth_comes_before_age() -> None:
    done = retold("T-1", passed().merge())
    deep = new("T-2", dependencies=["T-1"], created_date=date(2020, 1, 1))
    young = new("T-3", created_date=date(2026, 1, 1))
    assert order(plan(heading(), situation(done, deep, young), ROOMY)) == ["T-3", "T-2"]


def test_age_comes_before_the_id_and_no_date_is_the_youngest() -> None:
    old = new("T-9", created_date=date(2020, 1, 1))
    young = new("T-2", created_date=date(2026, 1, 1))
    assert order(plan(heading(), situation(new("T-1"), young, old), ROOMY)) == ["T-9", "T-2", "T-1"]


def test_ids_are_ordered_by_their_number() -> None:
    found = plan(heading(), situation(new("T-10"), new("T-2"), new("A-3"), new("T-2.1")), ROOMY)
    assert order(found) == ["A-3", "T-2", "T-2.1", "T-10"]
    assert [entry.order for entry in found.entries] == [1, 2, 3, 4]


def test_an_entry_carries_its_reason_its_turns_and_what_to_read() -> None:
    story = retold("T-1", Story().build().qa("fail", a_finding("high")).human("approve"))
    [entry] = plan(heading(), situation(story), CAPS).entries
    assert (entry.turns, entry.approval) == (30, 3)
    assert entry.read == ("T-1/0001", "T-1/0002", "T-1/0003")
    assert "approved" in entry.reason


def test_a_reviewer_reads_the_work_its_own_last_word_and_the_decisions() -> None:
    story = Story().build().qa("fail", a_finding("low")).build(commit=TWO).security(commit=TWO)
    [entry] = plan(heading("qa"), situation(retold("T-1", story)), CAPS).entries
    assert entry.read == ("T-1/0002", "T-1/0003")


# Why a ticket is left alone.


def test_a_closed_ticket_is_skipped() -> None:
    assert why_skipped(plan(heading(), situation(new("T-1", status="closed")), CAPS)) == {"T-1": "the ticket is closed"}


@pytest.mark.parametrize("story", [passed().merge(), Story().human("reject")])
def test_an_ended_ticket_is_skipped(story: Story) -> None:
    found = plan(heading(), situation(story), CAPS)
    assert why_skipped(found) == {"T-0001": story.step.ended}


def test_a_ticket_that_waits_for_a_human_is_skipped_with_the_question() -> None:
    story = Story().build().qa("fail", a_finding("high"))
    for agent in ("build", "qa", "security"):
        reason = why_skipped(plan(heading(agent), situation(story), CAPS))["T-0001"]
        assert reason == "waits for a human: qa found: A high flaw"


def test_spent_attempts_are_skipped_with_their_number() -> None:
    story = Story(max_attempts=1).build().qa("fail", a_finding("low"))
    assert "1 attempt and still not done" in why_skipped(plan(heading(), situation(story), CAPS))["T-0001"]


def test_an_unknown_dependency_is_skipped_by_name() -> None:
    found = plan(heading(), situation(new("T-1", dependencies=["T-9"])), CAPS)
    assert why_skipped(found) == {"T-1": "depends on T-9, which is not in the backlog"}


def test_a_circle_is_skipped_with_its_path() -> None:
    found = plan(heading(), situation(new("T-1", dependencies=["T-2"]), new("T-2", dependencies=["T-1"])), CAPS)
    assert why_skipped(found)["T-1"] == "is in a circle of dependencies: T-1 → T-2 → T-1"
    assert order(found) == []


def test_a_circle_is_broken_when_its_owner_closes_one_ticket() -> None:
    closed = new("T-2", dependencies=["T-1"], status="closed")
    assert order(plan(heading(), situation(new("T-1", dependencies=["T-2"]), closed), CAPS)) == ["T-1"]


def test_a_dependency_must_be_merged_or_closed_first() -> None:
    waiting = new("T-2", dependencies=["T-1"])
    found = plan(heading(), situation(new("T-1"), waiting), CAPS)
    assert (order(found), why_skipped(found)) == (["T-1"], {"T-2": "waits for T-1, which waits for build"})
    for done in (retold("T-1", passed().merge()), new("T-1", status="closed")):
        assert order(plan(heading(), situation(done, waiting), CAPS)) == ["T-2"]
    rejected = retold("T-1", Story().human("reject"))
    assert (
        why_skipped(plan(heading(), situation(rejected, waiting), CAPS))["T-2"] == "waits for T-1, which was rejected"
    )


def test_a_ticket_that_is_another_agents_turn_is_skipped() -> None:
    reviewed = retold("T-1", Story().build().qa())
    found = plan(heading(), situation(reviewed), CAPS)
    assert why_skipped(found) == {"T-1": "waits for security"}
    assert why_skipped(plan(heading("qa"), situation(retold("T-2", passed())), CAPS)) == {"T-2": "waits for the merge"}
    assert order(plan(heading("security"), situation(reviewed), CAPS)) == ["T-1"]


def test_a_full_inbox_starts_nothing_new_and_goes_on_with_what_was_begun() -> None:
    begun = retold("T-1", Story().build("deferred"))
    found = plan(heading(), situation(begun, new("T-2"), waiting=3), CAPS)
    assert order(found) == ["T-1"]
    assert why_skipped(found)["T-2"] == "3 items wait in the inbox, so no new work starts (max_waiting)"
    assert order(plan(heading(), situation(begun, new("T-2"), waiting=2), CAPS)) == ["T-1", "T-2"]


def test_reviews_go_on_with_a_full_inbox() -> None:
    assert order(plan(heading("qa"), situation(Story().build(), waiting=99), CAPS)) == ["T-0001"]


def test_the_turns_are_shared_out_and_the_rest_is_skipped() -> None:
    found = plan(heading(), situation(*(new(f"T-{number}") for number in range(1, 6))), CAPS)
    assert [entry.turns for entry in found.entries] == [30, 30, 20]
    assert why_skipped(found)["T-4"] == "no turns are left for it in this session (hard_turns = 80)"
    assert sum(entry.turns for entry in found.entries) <= found.hard_turns


def test_a_file_that_cannot_be_read_is_skipped_by_its_name() -> None:
    damaged = (Damaged(Path("tickets/T-7.md"), "it is not UTF-8 text"),)
    found = plan(heading(), situation(new("T-1"), damaged=damaged), CAPS)
    assert why_skipped(found) == {"T-7.md": "cannot be read: it is not UTF-8 text"}


@pytest.mark.parametrize("name", ["1²3.md", "T-\udcff.md", "٣.md"])
def test_a_file_with_a_strange_name_is_skipped_like_any_other(name: str) -> None:
    found = plan(heading(), situation(new("T-1"), damaged=(Damaged(Path(name), "it is broken"),)), CAPS)
    assert len(found.skipped) == 1
    assert Manifest.model_validate_json(found.render()) == found


def test_an_id_that_files_share_is_nobodys() -> None:
    seen = situation(new("T-1"))
    paths = (Path("a.md"), Path("b.md"), Path("c.md"))
    seen = replace(seen, duplicates={"T-5": paths})
    assert why_skipped(plan(heading(), seen, CAPS)) == {"T-5": "3 files claim this id: a.md, b.md and c.md"}


def test_no_words_in_a_reason_make_two_decisions_look_the_same() -> None:
    one = Decision((), [("T-1", "x\0T-2\0y"), ("T-3", "z")])
    other = Decision((), [("T-1", "x"), ("T-2", "y\0T-3\0z")])
    assert one.in_bytes != other.in_bytes


def test_the_same_decision_is_the_same_bytes_whoever_else_holds_its_words() -> None:
    words = ["waits for build", "".join(["waits for", " build"])]
    one, other = (Decision((), [("T-1", words[0]), ("T-2", second)]) for second in words)
    assert words[0] is not words[1]
    assert one.in_bytes == other.in_bytes


# Over any backlog.

NAMES = [f"T-{number:02}" for number in range(1, 7)]
TICKETS = st.fixed_dictionaries(
    {
        "priority": st.sampled_from(["critical", "high", "medium", "low"]),
        "dependencies": st.lists(st.sampled_from([*NAMES, "T-99"]), max_size=2),
        "status": st.sampled_from(["open", "open", "open", "closed"]),
        "created_date": st.none() | st.dates(date(2026, 1, 1), date(2026, 1, 3)),
    }
)
PASTS = st.sampled_from(["new", "built", "failed", "asked", "merged", "deferred", "rejected"])


def with_past(ticket: str, fields: dict[str, Any], past: str) -> Story:
    story = Story(a_ticket(ticket, **fields))
    if past == "deferred":
        story.build("deferred")
    elif past == "rejected":
        story.human("reject")
    elif past != "new":
        story.build()
    if past == "failed":
        story.qa("fail", a_finding("low"))
    elif past == "asked":
        story.qa("fail", a_finding("high"))
    elif past == "merged":
        story.qa().security().merge()
    return story


BACKLOGS = st.dictionaries(st.sampled_from(NAMES), st.tuples(TICKETS, PASTS), max_size=6)


@settings(max_examples=150, deadline=None)
@given(BACKLOGS, st.integers(0, 5), st.sampled_from(["build", "qa", "security"]), st.randoms(use_true_random=False))
def test_the_same_tickets_give_the_same_bytes_and_every_ticket_is_accounted_for(
    tickets: dict[str, tuple[dict[str, Any], str]], waiting: int, agent: Agent, random: Any
) -> None:
    stories = [with_past(name, fields, past) for name, (fields, past) in tickets.items()]
    found = plan(heading(agent), situation(*stories, waiting=waiting), CAPS)
    random.shuffle(stories)
    assert plan(heading(agent), situation(*stories, waiting=waiting), CAPS).render() == found.render()
    assert sorted([*order(found), *why_skipped(found)]) == sorted(tickets)
    assert len(found.entries) + len(found.skipped) == len(tickets)
    assert sum(entry.turns for entry in found.entries) <= CAPS.hard_turns
    assert Manifest.model_validate_json(found.render()) == found
    for entry in found.entries:
        [story] = [story for story in stories if story.history.id == entry.ticket]
        assert agent in next_step(story.history, story.routing, 3).to


def test_ids_that_read_alike_still_have_one_order() -> None:
    one, other = new("T-1"), new("T-01")
    assert order(plan(heading(), situation(one, other), CAPS)) == order(plan(heading(), situation(other, one), CAPS))


def test_numbers_in_names_are_read_as_numbers() -> None:
    assert sorted(["T-10", "T-9", "T-9.10", "T-9.9"], key=natural) == ["T-9", "T-9.9", "T-9.10", "T-10"]
