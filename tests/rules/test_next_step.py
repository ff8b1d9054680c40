"""The path of a ticket: one fact for each transition, and properties over any history at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.stories import CANDIDATE, ONE, TWO, Story, a_finding, a_ticket, passed
from watchbill.documents.handoff import Finding, Handoff
from watchbill.documents.routing import Routing

# The ordinary path.


def test_a_new_ticket_goes_to_build() -> None:
    step = Story().step
    assert (step.to, step.commit, step.reason) == (("build",), None, "new ticket")


def test_finished_work_goes_to_qa_and_security() -> None:
    step = Story().build(commit=ONE).step
    assert (step.to, step.commit, step.work) == (("qa", "security"), ONE, 1)


def test_one_pass_leaves_the_other_reviewer() -> None:
    assert Story().build().qa().step.to == ("security",)
    assert Story().build().security().step.to == ("qa",)


def test_two_passes_go_to_the_merge() -> None:
    assert passed().step.to == ("merge",)


def test_merged_work_ends_the_ticket() -> None:
    step = passed().merge().step
    assert (step.to, step.ended) == (("nobody",), "merged")


def test_a_closed_ticket_ends_whatever_was_done() -> None:
    for story in (Story(a_ticket(status="closed")), Story(a_ticket(status="closed")).build().qa().security()):
        assert (story.step.to, story.step.ended) == (("nobody",), "closed")


def test_a_ticket_that_is_not_in_the_backlog_goes_nowhere() -> None:
    assert (Story(known=False).build().step.to, Story(known=False).step.ended) == (("nobody",), "missing")


def test_only_the_reviewers_that_the_playbook_names_are_needed() -> None:
    routing = Routing.model_validate({"merge": {"require": ["security"]}})
    assert Story(routing=routing).build().step.to == ("security",)
    assert Story(routing=routing).build().security().step.to == ("merge",)


# What a review can find.


@pytest.mark.parametrize("severity", ["medium", "low"])
@pytest.mark.parametrize("reviewer", ["qa", "security"])
def test_a_medium_or_low_finding_goes_back_to_build(reviewer: str, severity: str) -> None:
    step = Story().build().review(reviewer, "fail", ONE, a_finding(severity)).step
    assert (step.to, step.questions) == (("build",), ())


@pytest.mark.parametrize("severity", ["high", "critical"])
@pytest.mark.parametrize("reviewer", ["qa", "security"])
@pytest.mark.parametrize("outcome", ["pass", "fail", "deferred", "blocked"])
def test_a_high_or_critical_finding_goes_to_a_human_whatever_the_verdict(
    reviewer: str, severity: str, outcome: str
) -> None:
    story = Story().build().review(reviewer, outcome, ONE, a_finding(severity))
    assert (story.step.to, story.asked) == (("human",), [2])
    assert story.step.questions[0].kind == "fix"


def test_what_breaks_the_build_goes_to_a_human_whatever_its_severity() -> None:
    for finding in (a_finding("low", breaks_build=True), a_finding("low", rule="setup-failed", source="checks")):
        assert Story().build().qa("fail", finding).step.to == ("human",)


def test_an_info_finding_holds_nothing_up() -> None:
    assert Story().build().qa("pass", a_finding("info")).security().step.to == ("merge",)


def test_a_pass_with_a_medium_finding_is_no_pass() -> None:
    assert Story().build().security().qa("pass", a_finding("medium")).step.to == ("build",)


def test_a_failure_without_a_finding_goes_back_to_build_with_its_words() -> None:
    step = Story().build().qa("fail", claimed={"outcome": "fail", "summary": "the page stays empty"}).step
    assert step.to == ("build",)
    assert "the page stays empty" in step.reason


def test_the_worst_finding_is_the_one_that_a_human_reads_first() -> None:
    found = (a_finding("high", "small"), a_finding("critical", "large"))
    assert "A critical large (and 1 more)" in Story().build().qa("fail", *found).step.reason


@pytest.mark.parametrize("rule", ["no-checks", "checks-unavailable"])
def test_missing_checks_are_a_humans_to_accept(rule: str) -> None:
    routing = Routing.model_validate({"rules": {rule: "human"}})
    story = Story(routing=routing).build().security().qa("fail", a_finding("medium", rule=rule, source="checks"))
    assert story.step.questions[0].kind == "accept"
    assert story.human("approve").step.to == ("merge",)


@pytest.mark.parametrize("sender", ["build", "qa", "security"])
def test_blocked_goes_to_a_human_with_the_question(sender: str) -> None:
    story = Story() if sender == "build" else Story().build()
    step = story.add(sender, "blocked", commit=ONE, requests=("Which currency?",)).step
    assert (step.to, step.questions[0].kind) == (("human",), "again")
    assert "Which currency?" in step.reason


@pytest.mark.parametrize(("sender", "outcome"), [("build", "pass"), ("build", "fail"), ("qa", "done")])
def test_an_outcome_that_makes_no_sense_goes_to_a_human(sender: str, outcome: str) -> None:
    story = Story() if sender == "build" else Story().build()
    assert story.add(sender, outcome, commit=ONE).step.to == ("human",)


def test_done_without_a_commit_goes_to_a_human() -> None:
    assert Story().build(commit=None).step.to == ("human",)


def test_a_degraded_pass_asks_unless_the_playbook_lets_it_merge() -> None:
    story = Story().build().security().qa(degraded=True, confidence=None)
    assert (story.step.to, story.step.questions[0].kind) == (("human",), "accept")
    assert story.human("approve").step.to == ("merge",)
    trusting = Routing.model_validate({"degraded": {"may_merge": True}})
    assert Story(routing=trusting).build().security().qa(degraded=True, confidence=None).step.to == ("merge",)


def test_a_pass_of_low_confidence_asks() -> None:
    story = Story().build().security().qa(confidence=0.49)
    assert (story.step.to, story.step.questions[0].kind) == (("human",), "accept")
    assert story.human("approve").step.to == ("merge",)
    assert Story().build().security().qa(confidence=0.5).step.to == ("merge",)


def test_a_failure_of_low_confidence_asks_unless_the_engine_saw_it_too() -> None:
    assert Story().build().qa("fail", a_finding("medium"), confidence=0.3).step.to == ("human",)
    seen = a_finding("medium", "broken", source="checks", rule="test-regression")
    assert Story().build().qa("fail", seen, a_finding("medium"), confidence=0.3).step.to == ("build",)


def test_a_pass_that_does_not_say_how_sure_it_is_asks() -> None:
    story = Story().build().security().qa(confidence=None)
    assert (story.step.to, story.step.questions[0].kind) == (("human",), "accept")
    assert "does not say how sure" in story.step.reason
    assert story.human("approve").step.to == ("merge",)
    asking_nobody = Routing.model_validate({"confidence": {"ask_below": 0}})
    assert Story(routing=asking_nobody).build().security().qa(confidence=None).step.to == ("merge",)


def test_a_failure_that_does_not_say_how_sure_it_is_goes_back_to_build() -> None:
    assert Story().build().qa("fail", a_finding("medium"), confidence=None).step.to == ("build",)


def test_a_pass_beside_a_criterion_that_is_not_met_is_no_pass() -> None:
    criteria = ({"criterion": "adds", "met": True}, {"criterion": "subtracts", "met": False})
    story = Story().build().security().qa("pass", claimed={"criteria": criteria})
    assert (story.step.to, story.step.reason) == (("build",), "qa says that this is not met: subtracts")
    unsure = Story().build().security().qa("pass", claimed={"criteria": criteria}, confidence=0.2)
    assert (unsure.step.to, unsure.step.questions[0].kind) == (("human",), "fix")


def test_a_high_finding_of_the_build_agent_itself_goes_to_a_human() -> None:
    story = Story().build(findings=(a_finding("high", rule="prompt-injection", source="build"),))
    assert (story.step.to, story.asked) == (("human",), [1])
    assert Story().build(findings=(a_finding("medium", source="build"),)).step.to == ("qa", "security")
    story.human("dismiss")
    assert (story.step.to, story.step.commit) == (("qa", "security"), ONE)


def test_the_build_agents_high_finding_waits_even_when_the_work_was_cut_off() -> None:
    story = Story().build("deferred", findings=(a_finding("high", source="build"),))
    assert story.step.to == ("human",)
    assert story.human("dismiss").step.to == ("build",)


# Attempts and deferrals.


def test_spent_attempts_go_to_a_human() -> None:
    story = Story(max_attempts=2).build().qa("fail", a_finding("low"))
    assert story.step.to == ("build",)
    story.build(commit=TWO).qa("fail", a_finding("low"), commit=TWO)
    assert (story.step.to, story.step.questions[0].kind) == (("human",), "fix")


def test_approving_gives_as_many_attempts_again() -> None:
    story = Story(max_attempts=1).build().qa("fail", a_finding("low"))
    assert story.step.to == ("human",)
    assert story.human("approve").step.to == ("build",)
    assert story.build(commit=TWO).step.to == ("qa", "security")
    assert story.qa("fail", a_finding("low"), commit=TWO).step.to == ("human",)


def test_reviewers_who_both_spend_the_last_attempt_ask_one_question() -> None:
    story = Story(max_attempts=1).build().qa("fail", a_finding("low")).security("fail", a_finding("medium", "hole"))
    assert story.asked == [2]
    assert story.human("approve", answers=2).step.to == ("build",)


def test_dismissing_one_failure_of_the_last_attempt_asks_about_the_other() -> None:
    story = Story(max_attempts=1).build().qa("fail", a_finding("low")).security("fail", a_finding("medium", "hole"))
    step = story.human("dismiss", answers=2).step
    assert (step.to, story.asked) == (("human",), [3])
    assert story.human("dismiss", answers=3).step.to == ("merge",)


def test_a_failure_of_the_last_attempt_beside_an_open_question_waits_for_its_answer() -> None:
    story = Story(max_attempts=1).build().security("fail", a_finding("high", "hole")).qa("fail", a_finding("low"))
    assert story.asked == [2]
    assert story.human("dismiss", answers=2).asked == [3]
    assert "1 attempt and still not done" in story.step.reason


def test_deferred_work_goes_back_to_build_with_its_reason() -> None:
    step = Story().build("deferred", reason="the hard cap is reached (30 requests)").step
    assert step.to == ("build",)
    assert "the hard cap is reached (30 requests)" in step.reason


def test_deferred_work_also_counts_as_an_attempt() -> None:
    story = Story(max_attempts=2).build("deferred")
    assert story.step.to == ("build",)
    story.build("deferred")
    assert story.step.to == ("human",)
    assert story.human("approve").step.to == ("build",)


def test_a_deferred_review_is_taken_up_again_by_the_same_reviewer() -> None:
    assert Story().build().security().qa("deferred").step.to == ("qa",)


def test_a_review_that_never_ends_goes_to_a_human_and_may_be_given_more() -> None:
    story = Story(max_attempts=2).build().security().qa("deferred").qa("deferred")
    assert story.step.to == ("human",)
    assert story.human("approve").step.to == ("qa",)
    assert story.qa().step.to == ("merge",)


# Only the newest work, only the newest verdict.


def test_a_verdict_about_an_older_commit_is_ignored() -> None:
    story = Story().build(commit=ONE).build(commit=TWO).qa(commit=ONE).security(commit=ONE)
    assert (story.step.to, story.step.commit) == (("qa", "security"), TWO)
    assert Story().build(commit=TWO).qa("fail", a_finding("critical"), commit=ONE).step.to == ("qa", "security")


def test_new_work_needs_both_reviews_again() -> None:
    story = Story().build().security().qa("fail", a_finding("low")).build(commit=TWO)
    assert story.step.to == ("qa", "security")
    assert story.qa(commit=TWO).step.to == ("security",)


def test_a_review_before_any_work_changes_nothing() -> None:
    assert Story().qa().security().step.to == ("build",)


@pytest.mark.parametrize("outcome", ["blocked", "deferred", "fail"])
def test_a_newer_review_takes_back_an_older_pass(outcome: str) -> None:
    story = passed().qa(outcome)
    assert story.step.to != ("merge",)
    if story.asked:
        assert story.human("approve").step.to in (("qa",), ("build",))


def test_a_failure_is_not_outlived_by_the_other_reviewers_pass() -> None:
    assert Story().build().qa("fail", a_finding("low")).security().step.to == ("build",)


# A human's answers.


def test_an_approved_finding_reenters_the_build_queue_with_the_approval() -> None:
    step = Story().build().security("fail", a_finding("high")).human("approve").step
    assert (step.to, step.approval, step.questions) == (("build",), 3, ())


def test_an_answered_question_of_the_build_agent_counts_as_approval_too() -> None:
    step = Story().build("blocked").human("approve").step
    assert (step.to, step.approval) == (("build",), 2)


def test_the_approval_is_used_up_by_the_work_that_follows() -> None:
    story = Story().build().security("fail", a_finding("high")).human("approve").build(commit=TWO)
    assert (story.step.to, story.step.approval) == (("qa", "security"), None)


def test_the_approval_lasts_while_the_work_is_deferred() -> None:
    story = Story().build().security("fail", a_finding("high")).human("approve").build("deferred", commit=TWO)
    assert (story.step.to, story.step.approval) == (("build",), 3)


def test_a_dismissed_finding_lets_the_ticket_go_on() -> None:
    story = Story().build().qa().security("fail", a_finding("high")).human("dismiss")
    assert story.step.to == ("merge",)


def test_a_dismissed_finding_stays_dismissed_in_later_reviews() -> None:
    same = a_finding("high", "accepted")
    story = Story().build().security("fail", same).human("dismiss").qa("fail", a_finding("low"))
    story.build(commit=TWO).qa(commit=TWO)
    assert story.security("pass", same, commit=TWO).step.to == ("merge",)


def test_a_failure_for_nothing_but_dismissed_findings_counts_as_a_pass() -> None:
    same = a_finding("high", "accepted")
    story = Story().build().security("fail", same).human("dismiss").qa("fail", a_finding("low"))
    story.build(commit=TWO).qa(commit=TWO)
    assert story.security("fail", same, a_finding("info", "note"), commit=TWO).step.to == ("merge",)


def test_a_failure_for_a_criterion_too_is_more_than_its_dismissed_findings() -> None:
    same = a_finding("high", "accepted")
    story = Story().build().qa("fail", same).human("dismiss").security("fail", a_finding("low", "other"))
    story.build(commit=TWO).security(commit=TWO)
    unmet = {"criteria": ({"criterion": "it prints", "met": False},)}
    assert story.qa("fail", same, commit=TWO, claimed=unmet).step.to == ("build",)


def test_a_dismissal_covers_only_what_it_was_asked_about() -> None:
    story = Story().build().security("fail", a_finding("high", "first")).human("dismiss")
    story.qa("fail", a_finding("high", "second"))
    assert (story.step.to, story.asked) == (("human",), [4])


@pytest.mark.parametrize("outcome", ["deferred", "blocked"])
@pytest.mark.parametrize("decision", ["dismiss", "approve"])
def test_accepting_what_an_unfinished_review_found_does_not_finish_it(outcome: str, decision: str) -> None:
    missing = a_finding("high", rule="no-checks", source="checks")
    story = Story().build().qa(outcome, missing).security().human(decision, answers=2)
    assert story.step.to == ("qa",)
    assert story.qa("pass", missing).step.to == ("merge",)


def test_letting_a_reviewer_look_again_dismisses_none_of_its_findings() -> None:
    found = a_finding("medium", "doubt")
    story = Story().build().qa().security("blocked", found).human("approve")
    assert story.step.to == ("security",)
    assert story.security("pass", found).step.to == ("build",)


def test_a_dismissal_about_older_work_is_no_pass_for_newer_work() -> None:
    story = Story().build(commit=ONE).security("fail", a_finding("high"), commit=ONE)
    story.build(commit=TWO).qa(commit=TWO)
    assert story.step.to == ("human",)
    assert story.human("dismiss", answers=2).step.to == ("security",)


def test_dismissing_spent_attempts_lets_the_failed_work_go_on() -> None:
    story = Story(max_attempts=1).build().security().qa("fail", a_finding("low"))
    assert story.human("dismiss").step.to == ("merge",)


def test_dismissing_one_finding_does_not_forget_what_the_other_reviewer_sent_back() -> None:
    story = Story().build().qa("fail", a_finding("low", "other")).security("fail", a_finding("high")).human("dismiss")
    assert story.step.to == ("build",)


def test_a_rejected_ticket_ends() -> None:
    step = Story().build().security("fail", a_finding("high")).human("reject").step
    assert (step.to, step.ended) == (("nobody",), "rejected")


def test_a_closed_question_ends_the_ticket() -> None:
    assert Story().build().human("close", answers=0).step.ended == "closed"


def test_an_escalated_question_stays_open_under_the_number_of_the_answer() -> None:
    story = Story().build().qa().security("fail", a_finding("high")).human("escalate")
    [question] = story.step.questions
    assert (story.step.to, question.seq, question.subject, question.kind) == (("human",), 4, 3, "fix")
    assert "escalated by Ada" in question.why
    assert story.human("dismiss", answers=3).step.to == ("human",), "the old number asks nothing any more"
    assert story.human("dismiss", answers=4).step.to == ("merge",)


def test_two_open_questions_need_two_answers() -> None:
    story = Story().build().qa("fail", a_finding("high", "one")).security("fail", a_finding("high", "two"))
    assert story.asked == [2, 3]
    assert story.human("dismiss", answers=2).asked == [3]
    assert story.human("dismiss", answers=3).step.to == ("merge",)


def test_one_approval_among_two_answers_goes_back_to_build() -> None:
    for first, second in (("approve", "dismiss"), ("dismiss", "approve")):
        story = Story().build().qa("fail", a_finding("high", "one")).security("fail", a_finding("high", "two"))
        story.human(first, answers=2)
        assert story.step.to == ("human",)
        assert story.human(second, answers=3).step.to == ("build",)


@pytest.mark.parametrize("decision", ["approve", "dismiss", "escalate"])
@pytest.mark.parametrize("answers", [0, 1, 7])
def test_an_answer_to_a_question_that_does_not_exist_changes_nothing(decision: str, answers: int) -> None:
    for story in (Story().build(), passed(), Story().build("deferred")):
        before = story.step
        assert story.human(decision, answers=answers).step == before


def test_the_same_answer_twice_changes_nothing_the_second_time() -> None:
    story = Story().build().security("fail", a_finding("high")).human("approve", answers=2).build(commit=TWO)
    assert story.human("approve", answers=2).step.to == ("qa", "security")


def test_a_rejection_needs_no_question() -> None:
    assert Story().build().human("reject", answers=7).step.ended == "rejected"


def test_nothing_comes_after_the_end() -> None:
    for story in (passed().merge(), Story().human("reject")):
        ended = story.step.ended
        story.build(commit=TWO).qa(commit=TWO).security("fail", a_finding("high"), commit=TWO).human("approve")
        assert (story.step.to, story.step.ended) == (("nobody",), ended)


@pytest.mark.parametrize("sender", ["build", "qa", "security", "merge"])
@pytest.mark.parametrize("extra", [{"decision": "approve"}, {"answers": 0}, {"by": ""}, {"signature": "x"}])
def test_no_agent_can_write_a_human_decision(sender: str, extra: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="only a human decides"):
        Story().add(sender, "pass", **extra)


def test_a_human_cannot_verify_or_merge() -> None:
    with pytest.raises(ValidationError):
        Story().add("human", "pass", decision="approve", verified={})
    with pytest.raises(ValidationError):
        Story().add("human", "pass", decision="approve", merged=CANDIDATE)
    with pytest.raises(ValidationError):
        Story().add("human", "pass")


# The merge.


def test_a_conflict_goes_back_to_build_with_its_text() -> None:
    step = passed().conflict().step
    assert (step.to, step.reason) == (("build",), "it conflicts with what was merged meanwhile")


def test_a_conflict_with_older_work_is_ignored() -> None:
    story = Story().build(commit=ONE).build(commit=TWO).qa(commit=TWO).security(commit=TWO).conflict(commit=ONE)
    assert story.step.to == ("merge",)


def test_a_conflict_cannot_be_dismissed_away() -> None:
    story = Story(max_attempts=1).build().qa().security().conflict()
    assert story.step.to == ("human",)
    assert story.human("dismiss").step.to == ("build",)


def test_a_conflict_that_was_dismissed_once_is_still_a_conflict() -> None:
    story = Story(max_attempts=1).build().qa().security().conflict().human("dismiss").build(commit=TWO)
    story.qa(commit=TWO).security(commit=TWO).conflict(commit=TWO)
    assert story.step.to == ("human",)


def test_a_regression_on_the_new_candidate_goes_back_to_build() -> None:
    finding = a_finding("medium", "broken", source="checks", rule="test-regression")
    assert passed().merge("fail", finding, candidate=CANDIDATE).step.to == ("build",)


def test_what_a_merge_found_can_be_dismissed_and_the_merge_goes_on() -> None:
    found = a_finding("high", "broken", source="checks", rule="checks-did-not-run")
    story = passed().merge("fail", found, candidate=CANDIDATE)
    assert (story.step.to, story.asked) == (("human",), [4])
    assert story.human("dismiss").step.to == ("merge",)


def test_what_a_merge_found_can_be_sent_back_to_build() -> None:
    found = a_finding("high", "broken", source="checks", rule="checks-did-not-run")
    step = passed().merge("fail", found, candidate=CANDIDATE).human("approve").step
    assert (step.to, step.approval) == (("build",), 5)


def test_what_was_dismissed_at_a_merge_is_not_asked_again() -> None:
    found = a_finding("high", "broken", source="checks", rule="checks-did-not-run")
    story = passed().merge("fail", found, candidate=CANDIDATE).human("dismiss")
    assert story.merge("fail", found, candidate=CANDIDATE).step.to == ("merge",)


def test_a_merge_that_cannot_say_how_it_ended_goes_to_a_human() -> None:
    assert passed().merge("blocked", reason="the repository is gone").step.to == ("human",)
    assert passed().merge("blocked").human("approve").step.to == ("merge",)


# Damage.


def test_damage_waits_for_a_human() -> None:
    from dataclasses import replace

    story = passed()
    story.history = replace(story.history, damage=("document 0002.md cannot be read: it is empty",))
    assert story.step.to == ("human",)
    assert "0002.md" in story.step.reason


# Any history at all.

COMMITS = st.sampled_from([ONE, TWO])
FINDINGS = st.lists(
    st.builds(
        a_finding,
        st.sampled_from(["critical", "high", "medium", "low", "info"]),
        st.sampled_from(["a", "b", "c"]),
        source=st.sampled_from(["qa", "checks"]),
        breaks_build=st.booleans(),
    ),
    max_size=2,
)
OUTCOMES = st.sampled_from(["done", "pass", "fail", "deferred", "blocked"])
REVIEWS = st.fixed_dictionaries(
    {
        "from": st.sampled_from(["qa", "security"]),
        "outcome": OUTCOMES,
        "commit": COMMITS,
        "candidate": st.just(CANDIDATE),
        "findings": FINDINGS,
        "confidence": st.sampled_from([None, 0.2, 0.9]),
        "degraded": st.booleans(),
    }
)
BUILDS = st.fixed_dictionaries(
    {"from": st.just("build"), "outcome": OUTCOMES, "commit": st.none() | COMMITS, "findings": FINDINGS}
)
MERGES = st.fixed_dictionaries(
    {
        "from": st.just("merge"),
        "outcome": st.sampled_from(["pass", "fail", "deferred", "blocked", "done"]),
        "commit": COMMITS,
        "candidate": st.none() | st.just(CANDIDATE),
        "findings": FINDINGS,
    }
)
DECISIONS = st.fixed_dictionaries(
    {
        "from": st.just("human"),
        "outcome": st.just("pass"),
        "decision": st.sampled_from(["approve", "dismiss", "escalate", "approve", "dismiss", "reject", "close"]),
        "answers": st.none() | st.integers(0, 12),
    }
)
# What the step asks for, told well; among it, documents that nobody asked for.
FOLLOW = st.fixed_dictionaries({"answer": st.sampled_from(["approve", "dismiss"]), "commit": COMMITS})
FOLLOW_BADLY = st.fixed_dictionaries({"findings": FINDINGS, "outcome": OUTCOMES, "confidence": st.just(0.9)})
PATHS = st.lists(
    st.one_of(FOLLOW, FOLLOW, FOLLOW, FOLLOW_BADLY, BUILDS, REVIEWS, MERGES, DECISIONS), min_size=3, max_size=14
)


def told(documents: list[dict[str, Any]], max_attempts: int) -> Story:
    story = Story(max_attempts=max_attempts)
    for document in documents:
        fields = dict(document)
        if "from" in fields:
            story.add(fields.pop("from"), fields.pop("outcome"), **fields)
        else:
            follow(story, fields)
    return story


def follow(story: Story, how: dict[str, Any]) -> None:
    """Add the document that the next step asks for: a good one, or as `how` says."""
    step = story.step
    well = "answer" in how
    if "human" in step.to:
        story.human(how.get("answer", "dismiss"), answers=step.questions[0].seq)
    elif "build" in step.to:
        story.build(commit=how["commit"]) if well else story.build(how["outcome"], ONE, findings=how["findings"])
    elif step.to[0] in ("qa", "security"):
        assert step.commit
        if well:
            story.review(step.to[0], "pass", step.commit)
        else:
            story.review(step.to[0], how["outcome"], step.commit, *how["findings"])


@settings(max_examples=250, deadline=None)
@given(PATHS, st.integers(1, 3))
def test_nothing_merges_unless_every_newest_verdict_is_a_pass_or_was_accepted(
    documents: list[dict[str, Any]], max_attempts: int
) -> None:
    story = told(documents, max_attempts)
    step = story.step
    assert step.to
    assert ("human" in step.to) == bool(step.questions)
    if "merge" not in step.to:
        return
    handoffs = story.history.handoffs
    work = max(
        handoff.seq
        for handoff in handoffs
        if handoff.sender == "build" and handoff.outcome == "done" and handoff.commit == step.commit
    )
    assert all(handoff.seq <= work for handoff in handoffs if handoff.sender == "build"), "no build came after it"
    for reviewer in ("qa", "security"):
        # A review of the very commit counts, also where the same commit was handed over once more after it.
        newest = [handoff for handoff in handoffs if handoff.sender == reviewer and handoff.commit == step.commit][-1]
        assert newest.outcome == "pass" or accepted(newest, handoffs), (reviewer, newest.seq)
        for finding in newest.findings:
            assert finding.severity == "info" or is_dismissed(finding, handoffs) or accepted(newest, handoffs)


def accepted(review: Handoff, handoffs: tuple[Handoff, ...]) -> bool:
    """Whether a human, asked about this very review or one with the same findings, let it go on."""
    return _answered(review.seq, handoffs) or (
        bool(review.findings) and any(is_dismissed(finding, handoffs) for finding in review.findings)
    )


def is_dismissed(finding: Finding, handoffs: tuple[Handoff, ...]) -> bool:
    return any(
        _answered(handoff.seq, handoffs)
        for handoff in handoffs
        if finding.fingerprint in {other.fingerprint for other in handoff.findings}
    )


def _answered(seq: int, handoffs: tuple[Handoff, ...]) -> bool:
    for answer in handoffs:
        if answer.sender == "human" and answer.answers == seq:
            if answer.decision in ("approve", "dismiss"):
                return True
            if answer.decision == "escalate" and _answered(answer.seq, handoffs):
                return True
    return False


@settings(max_examples=150, deadline=None)
@given(PATHS, st.integers(1, 3), st.sampled_from(["approve", "dismiss"]))
def test_from_every_history_the_work_can_be_finished(
    documents: list[dict[str, Any]], max_attempts: int, answer: str
) -> None:
    story = told(documents, max_attempts)
    for turn in range(40):
        step = story.step
        if step.ended or "merge" in step.to:
            return
        if "human" in step.to:
            story.human(answer, answers=step.questions[0].seq)
        elif "build" in step.to:
            story.build(commit=f"{turn:040x}")
        else:
            assert step.commit
            story.review(step.to[0], "pass", step.commit)
    raise AssertionError(f"no way out: {step}")


@settings(max_examples=60, deadline=None)
@given(PATHS, st.integers(1, 3))
def test_the_same_history_gives_the_same_step_and_a_question_is_always_about_a_document(
    documents: list[dict[str, Any]], max_attempts: int
) -> None:
    story = told(documents, max_attempts)
    assert story.step == story.step
    seqs = {handoff.seq for handoff in story.history.handoffs}
    assert {number for question in story.step.questions for number in (question.seq, question.subject)} <= seqs


def test_a_rule_that_a_model_names_routes_nothing() -> None:
    story = Story().build().security().qa("pass", a_finding("info", rule="no-checks", source="qa"))
    assert story.step.to == ("merge",)
    high = a_finding("high", rule="checks-unavailable", source="qa")
    assert Story().build().security().qa("fail", high).step.questions[0].kind == "fix"
