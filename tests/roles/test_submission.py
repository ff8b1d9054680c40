"""`submit_handoff`: the schema that is sent, and what is said to a model that does not keep to it."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.roles.calling import called
from watchbill.documents.handoff import Handoff
from watchbill.roles.submission import Submission, submission_tool
from watchbill.tools.model import ToolRefused

FINDING = {
    "severity": "medium",
    "confidence": 0.8,
    "rule": "off-by-one",
    "title": "The last line is lost",
    "path": "app.py",
    "line": 3,
    "evidence": "for i in range(n - 1)",
    "rationale": "It should be n.",
}
GOOD: dict[str, Any] = {
    "outcome": "done",
    "summary": "It works.",
    "open_questions": [],
    "next": "Review it.",
    "confidence": 0.9,
    "findings": [FINDING],
    "requests": [],
}
CRITERIA = [{"criterion": "it prints", "met": True, "evidence": "it did"}]


def good(role: str) -> dict[str, Any]:
    outcome = "done" if role == "build" else "pass"
    return {**GOOD, "outcome": outcome, **({"criteria": CRITERIA} if role == "qa" else {})}


def submit(role: str, given: Any) -> Submission:
    """What is accepted. Raises `ToolRefused`."""
    accepted: list[Submission] = []

    async def accept(submission: Submission) -> None:
        accepted.append(submission)

    called(submission_tool(role, accept), given)
    [submission] = accepted
    return submission


def refusal(role: str, given: Any) -> str:
    with pytest.raises(ToolRefused) as caught:
        submit(role, given)
    return str(caught.value)


async def nothing(_: Submission) -> None: ...


@pytest.mark.parametrize("role", ["build", "qa", "security"])
def test_a_good_submission_fits_the_schema_and_is_accepted(role: str) -> None:
    tool = submission_tool(role, nothing)
    jsonschema.Draft202012Validator.check_schema(tool.schema)
    jsonschema.validate(good(role), tool.schema)
    submission = submit(role, good(role))
    assert submission.findings[0].title == "The last line is lost"


@pytest.mark.parametrize("role", ["build", "qa", "security"])
def test_the_schema_is_strict_all_the_way_down(role: str) -> None:
    tool = submission_tool(role, nothing)
    assert tool.definition()["strict"] is True
    objects = [tool.schema]
    while objects:
        schema = objects.pop()
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
        for value in schema["properties"].values():
            inner = value.get("items", value)
            if inner.get("type") == "object":
                objects.append(inner)


def test_each_role_is_offered_its_own_outcomes() -> None:
    def outcomes(role: str) -> list[str]:
        found: list[str] = submission_tool(role, nothing).schema["properties"]["outcome"]["enum"]
        return found

    assert outcomes("build") == ["done", "blocked", "deferred"]
    assert outcomes("qa") == outcomes("security") == ["pass", "fail", "blocked", "deferred"]


def test_the_definition_is_the_same_for_every_ticket() -> None:
    assert submission_tool("qa", nothing).definition() == submission_tool("qa", nothing).definition()


@pytest.mark.parametrize("given", [None, [], "done", 3])
def test_what_is_no_object_is_refused(given: Any) -> None:
    assert refusal("build", given) == "submit_handoff takes an object with named keys."


@pytest.mark.parametrize(
    ("role", "outcome"),
    [("build", "pass"), ("build", "approved"), ("qa", "done"), ("security", None), ("qa", ["pass"]), ("qa", "PASS")],
)
def test_an_outcome_of_another_role_is_refused_with_its_own(role: str, outcome: Any) -> None:
    said = refusal(role, {**good(role), "outcome": outcome})
    assert said.startswith("outcome must be one of: ") and "submit again" in said


def test_what_was_done_may_not_be_left_out() -> None:
    said = refusal("build", {name: value for name, value in GOOD.items() if name != "summary"})
    assert "summary: this key is missing" in said and "submit again" in said


@pytest.mark.parametrize("key", [key for key in GOOD if key not in ("outcome", "summary")])
def test_the_rest_may_be_left_out_by_a_server_without_strict_schemas(key: str) -> None:
    given = {name: value for name, value in GOOD.items() if name != key}
    assert submit("build", given).outcome == "done"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"summary": ""}, "summary"),
        ({"summary": 3}, "summary"),
        ({"summary": "x" * 50_000}, "summary"),
        ({"confidence": 2}, "confidence"),
        ({"confidence": "high"}, "confidence"),
        ({"confidence": "0.5"}, "confidence"),
        ({"confidence": True}, "confidence"),
        ({"confidence": float("nan")}, "confidence"),
        ({"open_questions": "none"}, "open_questions"),
        ({"open_questions": [1]}, "open_questions.0"),
        ({"requests": ["x"] * 51}, "requests"),
        ({"findings": [{**FINDING, "severity": "urgent"}]}, "findings.0.severity"),
        ({"findings": [{**FINDING, "line": -1}]}, "findings.0.line"),
        ({"findings": [{**FINDING, "line": "3"}]}, "findings.0.line"),
        ({"findings": [{**FINDING, "source": "bandit"}]}, "findings.0.source"),
        ({"findings": [{**FINDING, "fingerprint": "f" * 16}]}, "findings.0.fingerprint"),
        ({"findings": [{**FINDING, "breaks_build": True}]}, "findings.0.breaks_build"),
        ({"findings": [FINDING] * 201}, "findings"),
        ({"findings": {}}, "findings"),
        ({"decision": "approve"}, "decision: this key is not known"),
        ({"verified": {}}, "verified: this key is not known"),
        ({"from": "human"}, "from: this key is not known"),
    ],
)
def test_a_wrong_shape_is_refused_with_what_is_wrong(change: dict[str, Any], said: str) -> None:
    refused = refusal("build", {**GOOD, **change})
    assert said in refused and refused.endswith("submit again.")


def test_criteria_are_qas_alone() -> None:
    assert submit("qa", good("qa")).criteria[0].met is True
    assert submit("qa", {**GOOD, "outcome": "pass"}).criteria == ()
    for role in ("build", "security"):
        assert "criteria: this key is not known" in refusal(role, {**good(role), "criteria": CRITERIA})
    assert "criteria.0.met" in refusal("qa", {**good("qa"), "criteria": [{**CRITERIA[0], "met": "yes"}]})


def test_half_a_character_is_made_whole() -> None:
    assert submit("build", {**GOOD, "summary": "\ud800"}).summary == "?"


def test_whole_numbers_are_numbers() -> None:
    assert submit("build", {**GOOD, "confidence": 1}).confidence == 1.0


def test_what_the_role_refuses_reaches_the_model_and_it_may_try_again() -> None:
    tries: list[str] = []

    async def accept(submission: Submission) -> None:
        tries.append(submission.outcome)
        if len(tries) == 1:
            raise ToolRefused("Not done: nothing differs.")

    tool = submission_tool("build", accept)
    with pytest.raises(ToolRefused, match="nothing differs"):
        called(tool, GOOD)
    assert "Handed over" in called(tool, {**GOOD, "outcome": "blocked"})
    assert tries == ["done", "blocked"]


def test_a_fingerprint_stays_when_lines_move_and_differs_by_what_and_where() -> None:
    def print_of(**change: Any) -> str:
        submission = submit("security", {**good("security"), "findings": [{**FINDING, **change}]})
        return submission.findings_from("security")[0].fingerprint

    assert print_of() == print_of(line=99) == print_of(evidence="other", confidence=0.1)
    assert len({print_of(), print_of(path="b.py"), print_of(rule="x"), print_of(title="Another")}) == 4
    submission = submit("qa", good("qa"))
    assert submission.findings_from("qa")[0].fingerprint != print_of()


def test_a_models_finding_is_the_roles_and_never_breaks_the_build_by_its_word() -> None:
    [finding] = submit("qa", good("qa")).findings_from("qa")
    assert (finding.source, finding.breaks_build) == ("qa", False)


WORDS = st.text(max_size=30)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*GOOD, "criteria", "x"]), ANY, max_size=4), st.sampled_from(["build", "qa"]))
def test_whatever_a_model_gives_is_accepted_or_refused_in_words(change: dict[str, Any], role: str) -> None:
    try:
        submission = submit(role, {**good(role), **change})
    except ToolRefused as error:
        assert str(error)
        return
    fields = {"ticket": "T-1", "seq": 1, "created": "2026-11-20T02:00:00Z", "to": ["human"], "parent": "0" * 64}
    Handoff.model_validate({**fields, "from": role, "outcome": submission.outcome, "claimed": submission.claimed()})
