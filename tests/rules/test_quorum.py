"""How many people a decision takes, and for whom an escalated question waits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.stories import NOW, ONE, Story, a_finding
from watchbill.documents.handoff import Verified
from watchbill.documents.settings import Gate
from watchbill.rules.decisions import overdue, waits_for

TWO_PEOPLE = Gate(approvals=2, protected=())


def found(severity: str = "high", gate: Gate = TWO_PEOPLE, *files: str) -> Story:
    return Story(gate=gate).build(verified=Verified(files=files)).qa("fail", a_finding(severity))


def test_the_first_approval_waits_for_the_second() -> None:
    story = found().human("approve", 2, by="ada")
    (question,) = story.step.questions
    assert (question.seq, question.waiting) == (2, "waits; 1 of 2 agree (approve by ada)")
    assert story.human("approve", 2, by="grace").step.to == ("build",)


@pytest.mark.parametrize("name", ["ada", "Ada", " ada "])
def test_one_person_is_not_two(name: str) -> None:
    assert found().human("approve", 2, by="ada").human("approve", 2, by=name).step.to == ("human",)


def test_two_people_who_decide_differently_have_not_decided() -> None:
    story = found().human("approve", 2, by="ada").human("dismiss", 2, by="grace")
    assert story.step.questions[0].agreed == 1
    assert story.human("dismiss", 2, by="linus").step.to == ("security",)


def test_who_answers_again_has_changed_their_mind() -> None:
    story = found().human("approve", 2, by="ada").human("dismiss", 2, by="ada").human("approve", 2, by="grace")
    assert story.step.questions[0].agreed == 1
    assert story.human("approve", 2, by="ada").step.to == ("build",)


def test_one_no_ends_it() -> None:
    assert found().human("approve", 2, by="ada").human("reject", 2, by="grace").step.ended == "rejected"


def test_one_escalation_asks_again_from_the_beginning() -> None:
    story = found().human("approve", 2, by="ada").human("escalate", 2, by="grace", escalated_to="linus")
    (question,) = story.step.questions
    assert (question.seq, question.given, question.waits_for) == (4, (), "linus")
    assert question.waiting == "waits for linus; 0 of 2 agree (none yet)"


@pytest.mark.parametrize(
    ("severity", "file", "needs"), [("critical", "a.py", 2), ("high", "a.py", 1), ("high", "src/auth/x.py", 2)]
)
def test_two_are_needed_for_chosen_severities_and_paths(severity: str, file: str, needs: int) -> None:
    gate = Gate(approvals=2, approvals_for=("critical", "src/auth/**"), protected=())
    assert found(severity, gate, file).step.questions[0].needs == needs


def test_a_protected_path_takes_two_as_well() -> None:
    gate = Gate(approvals=2, approvals_for=("pyproject.toml",), protected=("pyproject.toml",))
    story = Story(gate=gate).build(verified=Verified(files=("pyproject.toml",))).qa().security()
    assert story.human("approve", 3, by="ada").step.to == ("human",)
    assert story.human("approve", 3, by="grace").step.to == ("merge",)


# Escalation.


def test_an_escalated_question_reaches_one_more_by_its_age() -> None:
    gate = Gate(escalate_after_days=2, escalate_to=("grace", "linus"))
    story = found().human("escalate", 2, by="ada", escalated_to="margaret")
    for days, names in ((0, ()), (1, ()), (2, ("grace",)), (4, ("grace", "linus")), (400, ("grace", "linus"))):
        answer = story.history.handoffs[-1].model_copy(update={"created": NOW + timedelta(days=days)})
        assert waits_for(story.history, 3, answer, gate) == ("margaret", *names)
    assert waits_for(story.history, 2, story.history.handoffs[-1], gate) == ()


def test_a_question_that_nobody_answers_is_said_to_be_late_and_stays_open() -> None:
    gate = Gate(escalate_after_days=2, escalate_to=("grace",), protected=())
    story = found(gate=gate)
    assert overdue(NOW, gate, NOW + timedelta(days=1)) == ""
    late = overdue(NOW, gate, NOW + timedelta(days=5))
    assert late == "unanswered for 5 days, so it went on to grace"
    assert overdue(NOW, Gate(), NOW + timedelta(days=500)) == ""
    assert (story.step.to, story.step.commit) == (("human",), ONE)
