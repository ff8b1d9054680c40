"""Protected paths: what a glob means, and that a change of one asks a human before the merge, whatever was found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stories import CANDIDATE, ONE, TWO, Story, a_finding
from watchbill.documents.handoff import Handoff, Verified
from watchbill.documents.settings import Gate
from watchbill.rules.merge_gate import refusals
from watchbill.rules.next_step import MORE_FILES
from watchbill.rules.protected import protected_among

GATE = Gate(protected=("pyproject.toml", ".github/**"))


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("pyproject.toml", "pyproject.toml"),
        ("pyproject.toml", "packages/one/pyproject.toml"),
        ("PyProject.TOML", "pyproject.toml"),
        (".github/**", ".github/workflows/ci.yml"),
        (".github/**", ".GitHub/workflows/ci.yml"),
        (".github/**", ".github"),
        (".github/", ".github/workflows/ci.yml"),
        (".github", ".github/workflows/ci.yml"),
        ("./.github/**", ".github/x"),
        ("/.github/**", ".github/x"),
        (".github/**", ".github/a\nb"),
        ("*.toml", "a/b/-rf.toml"),
        ("pyproject.toml", "a\nb/pyproject.toml"),
        ("src/**/key", "src/a\nb/key"),
        ("**/secrets/**", "secrets/key"),
        ("**/secrets/**", "a/b/secrets/key"),
        ("src/**/auth.py", "src/auth.py"),
        ("src/**/auth.py", "src/a/b/auth.py"),
        ("src/*/auth.py", "src/a/auth.py"),
        ("caf\u00e9.txt", "cafe\u0301.txt"),
        ("STRASSE/**", "straße/x"),
        ("**", "anything/at/all"),
        ("a?c", "abc"),
        ("a[1].txt", "a[1].txt"),
    ],
)
def test_a_glob_protects(glob: str, path: str) -> None:
    assert protected_among([path], [glob]) == (path,)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("pyproject.toml", "pyproject.toml.bak"),
        ("pyproject.toml", "xpyproject.toml"),
        ("pyproject.toml", "pyprojectXtoml"),
        (".github/**", "docs/.github/x"),
        (".github/**", ".githubx/y"),
        ("src/*/auth.py", "src/a/b/auth.py"),
        ("src/auth.py", "lib/src/auth.py"),
        ("a[1].txt", "a1.txt"),
        ("", "x"),
        ("/", "x"),
    ],
)
def test_a_glob_leaves_the_rest_alone(glob: str, path: str) -> None:
    assert protected_among([path], [glob]) == ()


@given(st.lists(st.text(max_size=20)), st.lists(st.text(alphabet="ab*?/.[(+\\\n", max_size=12)))
def test_any_names_and_globs_can_be_matched(files: list[str], globs: list[str]) -> None:
    assert set(protected_among(files, globs)) <= set(files)


@given(st.text(alphabet="ab/-\n", min_size=1, max_size=12).filter(lambda path: path.strip("/")))
def test_a_path_without_signs_protects_itself(path: str) -> None:
    assert protected_among([path.strip("/")], [path]) == (path.strip("/"),)


# The question.


def work(*files: str, commit: str = ONE, gate: Gate = GATE) -> Story:
    return Story(gate=gate).build(commit=commit, verified=Verified(files=files))


def gate_refuses(story: Story, *files: str, commit: str = ONE) -> list[str]:
    return refusals(story.history, story.routing, story.max_attempts, commit, CANDIDATE, story.gate, files)


def test_a_change_of_a_protected_path_asks_once_everything_else_has_passed() -> None:
    story = work("a.py", ".github/workflows/ci.yml")
    assert story.step.to == ("qa", "security")
    story.qa().security()
    (question,) = story.step.questions
    assert (question.seq, question.subject, question.kind) == (3, 1, "accept")
    assert question.protected == (".github/workflows/ci.yml",)
    assert gate_refuses(story, ".github/workflows/ci.yml")


def test_a_change_of_other_paths_asks_nobody() -> None:
    assert work("a.py").qa().security().step.to == ("merge",)


@pytest.mark.parametrize("decision", ["approve", "dismiss"])
def test_a_humans_word_lets_it_go_on(decision: str) -> None:
    story = work("pyproject.toml").qa().security().human(decision)
    assert story.step.to == ("merge",)
    assert gate_refuses(story, "pyproject.toml") == []


def test_a_humans_no_ends_it() -> None:
    assert work("pyproject.toml").qa().security().human("reject").step.ended == "rejected"


def test_another_commit_asks_again() -> None:
    story = work("pyproject.toml").qa().security().human("approve")
    story.build(commit=TWO, verified=Verified(files=("pyproject.toml",))).qa(commit=TWO).security(commit=TWO)
    assert story.step.to == ("human",)
    assert "it changes pyproject.toml, which no human let through" in gate_refuses(story, "pyproject.toml", commit=TWO)


def test_an_answer_to_another_question_lets_nothing_through() -> None:
    story = work("pyproject.toml").qa("fail", a_finding("high")).human("dismiss").security()
    assert story.step.questions[0].protected == ("pyproject.toml",)


def test_what_only_a_reviewer_or_the_merge_saw_counts_as_well() -> None:
    seen = Verified(files=(".github/x",))
    assert work("a.py").qa(verified=seen).security().step.to == ("human",)
    rebuilt = work("a.py").qa().security().merge("pass", candidate="d" * 40, verified=seen)
    assert rebuilt.step.to == ("human",)


def test_the_gate_believes_git_and_not_the_documents() -> None:
    story = work("a.py").qa().security()
    assert gate_refuses(story, "a.py") == []
    assert gate_refuses(story, "a.py", ".github/x") == ["it changes .github/x, which no human let through"]


def test_a_void_decision_lets_nothing_through() -> None:
    story = work("pyproject.toml").qa().security().human("approve")
    story.history = replace(story.history, void={4: "it is not signed"})
    assert story.step.to == ("human",)
    assert gate_refuses(story, "pyproject.toml")


def test_an_escalated_question_keeps_its_paths() -> None:
    story = work("pyproject.toml").qa().security().human("escalate")
    assert (story.asked, story.step.questions[0].protected) == ([4], ("pyproject.toml",))
    assert story.human("approve").step.to == ("merge",)


def test_a_list_of_files_that_was_cut_hides_nothing() -> None:
    files = tuple(f"{'x' * 900}/{number}" for number in range(2_000))
    story = work(*files, ".github/x")
    shortened = story.history.handoffs[0].fitting()
    assert isinstance(shortened, Handoff)
    assert shortened.verified is not None
    assert (shortened.verified.files_cut, ".github/x" in shortened.verified.files) == (True, False)
    cut = Story(gate=GATE).build(verified=shortened.verified).qa().security()
    assert cut.step.questions[0].protected == (MORE_FILES,)
