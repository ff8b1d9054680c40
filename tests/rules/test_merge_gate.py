"""The gate before the integration branch: every refusal, and that nothing else passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.stories import CANDIDATE, ONE, THREE, TWO, Story, a_finding, a_ticket, passed
from watchbill.documents.routing import Routing
from watchbill.rules.merge_gate import checked_again, moved_branch, refusals, reviewed

OTHER = "d" * 40


def refused(story: Story, commit: str | None = ONE, candidate: str = CANDIDATE) -> list[str]:
    return refusals(story.history, story.routing, story.max_attempts, commit, candidate)


def test_what_both_reviewers_passed_may_be_merged() -> None:
    assert refused(passed()) == []


def test_a_ticket_that_is_not_in_the_backlog_is_refused() -> None:
    story = passed()
    story.history = replace(story.history, ticket=None)
    assert "its ticket is not in the backlog" in refused(story)


@pytest.mark.parametrize("end", ["merged", "rejected", "closed"])
def test_an_ended_ticket_is_refused(end: str) -> None:
    story = passed()
    if end == "merged":
        story.merge()
    elif end == "rejected":
        story.human("reject")
    else:
        story.history = replace(story.history, ticket=a_ticket(status="closed"))
    assert f"the ticket is {end}" in refused(story)


def test_a_damaged_history_is_refused() -> None:
    story = passed()
    story.history = replace(story.history, damage=("document 0002 is missing",))
    assert "the history is damaged: document 0002 is missing" in refused(story)


def test_an_open_question_is_refused_and_named() -> None:
    story = Story().build().qa().security("fail", a_finding("high"))
    assert any(reason.startswith("document 0003 waits for a human: ") for reason in refused(story))
    assert refused(story.human("dismiss")) == []


def test_each_open_question_is_a_refusal_of_its_own() -> None:
    story = Story().build().qa("fail", a_finding("high", "one")).security("fail", a_finding("high", "two"))
    waiting = [reason for reason in refused(story) if "waits for a human" in reason]
    assert len(waiting) == 2


def test_a_ticket_without_finished_work_is_refused() -> None:
    assert "no finished work is known" in refused(Story(), commit=None)
    assert "no finished work is known" in refused(Story().build("deferred"))


def test_a_branch_that_moved_after_the_review_is_refused() -> None:
    assert any(reason.startswith("the branch is at 2222222222") for reason in refused(passed(), commit=TWO))
    assert any(reason.startswith("the branch is at nothing") for reason in refused(passed(), commit=None))


def test_a_humans_word_about_a_moved_branch_holds_for_that_move_alone() -> None:
    story = passed()
    moved = moved_branch(story.history, story.routing, 3, TWO)
    assert moved is not None
    story.merge("fail", moved, candidate=CANDIDATE).human("dismiss")
    assert refused(story, commit=TWO) == []
    assert refused(story, commit=THREE) == ["the branch is at 3333333333, but what was reviewed is 1111111111"]


def test_what_is_back_with_the_build_agent_is_refused() -> None:
    story = passed().qa("fail", a_finding("low"))
    assert any(reason.startswith("it is back with the build agent: ") for reason in refused(story))


@pytest.mark.parametrize("reviewer", ["qa", "security"])
def test_a_missing_verdict_is_refused(reviewer: str) -> None:
    other = "security" if reviewer == "qa" else "qa"
    assert refused(Story().build().review(other)) == [f"{reviewer} has not passed this commit"]


def test_a_reviewer_that_the_playbook_does_not_ask_for_is_not_missed() -> None:
    routing = Routing.model_validate({"merge": {"require": ["qa"]}})
    assert refused(Story(routing=routing).build().qa()) == []


def test_a_verdict_about_another_candidate_is_refused() -> None:
    reasons = refused(passed(), candidate=OTHER)
    assert reasons == ["qa passed cccccccccc, not dddddddddd", "security passed cccccccccc, not dddddddddd"]


def test_another_candidate_passes_once_the_engine_checked_it_again() -> None:
    story = passed().merge("pass", candidate=OTHER)
    assert refused(story, candidate=OTHER) == []
    assert refused(story, candidate="e" * 40) != []


def test_only_the_newest_check_of_a_candidate_counts() -> None:
    finding = a_finding("medium", "flaky", source="checks")
    story = passed().merge("pass", candidate=OTHER).merge("fail", finding, candidate=OTHER)
    assert not checked_again(story.history, OTHER)
    assert refused(story, candidate=OTHER) != []


def test_a_check_by_anyone_but_the_engine_counts_for_nothing() -> None:
    story = passed().qa("pass", candidate=OTHER)
    assert not checked_again(story.history, OTHER)
    assert any(reason.startswith("security passed cccccccccc") for reason in refused(story, candidate=OTHER))


def test_the_session_that_wrote_a_commit_cannot_review_it() -> None:
    story = Story().build(session="s-1").qa(session="s-1").security(session="s-2")
    assert refused(story) == ["qa was the session that wrote the commit"]


def test_the_writers_session_is_refused_on_a_candidate_that_was_checked_again_too() -> None:
    story = Story().build(session="s-1").qa(session="s-1").security(session="s-2").merge("pass", candidate=OTHER)
    assert refused(story, candidate=OTHER) == ["qa was the session that wrote the commit"]


def test_reviewed_means_every_required_reviewer_and_this_very_candidate() -> None:
    story = passed()
    assert reviewed(story.history, story.routing, 3, CANDIDATE)
    assert not reviewed(story.history, story.routing, 3, OTHER)
    story = Story().build().qa()
    assert not reviewed(story.history, story.routing, 3, CANDIDATE)
