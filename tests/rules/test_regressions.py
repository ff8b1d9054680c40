"""Which tests a change broke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from watchbill.rules.regressions import Run, compare


def run(passed: Sequence[str] = "", failed: Sequence[str] = "", **more: Any) -> Run:
    """A run whose tests are single letters."""
    values: dict[str, Any] = {"ran": True, "exit_code": 1 if failed else 0, "names": True}
    return Run(**{**values, "passed": tuple(passed), "failed": tuple(failed), **more})


def rules_of(base: Run | None, candidate: Run | None) -> list[str]:
    return [finding.rule for finding in compare(base, candidate).findings]


def test_the_same_results_break_nothing() -> None:
    assert compare(run("ab", "c"), run("ab", "c")).findings == ()


def test_a_test_that_passed_and_fails_now_is_broken() -> None:
    found = compare(run("ab"), run("a", "b"))
    assert (found.broken, [finding.rule for finding in found.findings]) == (("b",), ["test-regression"])
    assert found.findings[0].severity == "medium"


def test_a_new_test_that_fails_is_broken() -> None:
    assert compare(run("a"), run("a", "n")).broken == ("n",)


def test_a_test_that_failed_before_is_not_blamed_on_the_change() -> None:
    assert compare(run("a", "b"), run("a", "b")).broken == ()
    assert compare(run("a", "b"), run("ab")).findings == ()


def test_passing_tests_that_are_gone_are_found() -> None:
    found = compare(run("abc"), run("a"))
    assert (found.gone, [finding.rule for finding in found.findings]) == (("b", "c"), ["tests-disappeared"])


def test_a_test_that_is_only_skipped_now_counts_as_gone() -> None:
    assert compare(run("ab"), run("a")).gone == ("b",)


def test_no_test_command_at_all_is_a_finding() -> None:
    assert rules_of(None, None) == ["no-checks"]


def test_checks_that_no_longer_run_break_the_build() -> None:
    dead = run(ran=False, exit_code=None, why="ImportError")
    [finding] = compare(run("a"), dead).findings
    assert (finding.rule, finding.severity, finding.breaks_build) == ("checks-did-not-run", "high", True)
    assert "ImportError" in finding.evidence


def test_a_set_up_that_fails_with_the_change_breaks_the_build() -> None:
    assert rules_of(run("a"), run(ran=False, setup_failed=True)) == ["setup-failed"]


def test_checks_that_run_on_neither_side_say_nothing_about_the_change() -> None:
    assert rules_of(run(ran=False), run(ran=False)) == ["checks-unavailable"]


def test_an_exit_code_is_judged_where_tests_have_no_names() -> None:
    good, bad = run(names=False, exit_code=0), run(names=False, exit_code=1)
    assert rules_of(good, good) == []
    assert rules_of(bad, good) == []
    assert rules_of(good, bad) == ["test-regression"]
    assert rules_of(bad, bad) == ["checks-unavailable"]


def test_a_bad_exit_without_a_failing_test_breaks_the_build() -> None:
    [finding] = compare(run("a"), run("a", exit_code=3)).findings
    assert (finding.rule, finding.breaks_build) == ("checks-did-not-run", True)


def test_the_fingerprint_of_missing_tests_depends_on_which_are_missing() -> None:
    one = compare(run("ab"), run("a")).findings[0]
    other = compare(run("ab"), run("b")).findings[0]
    assert one.fingerprint != other.fingerprint, "one that was dismissed must not hide another"


def test_the_fingerprint_of_a_broken_run_depends_on_what_it_said() -> None:
    one, other = (compare(run("a"), run(ran=False, why=why)).findings[0] for why in ("ImportError", "SyntaxError"))
    assert one.fingerprint != other.fingerprint


def test_a_thousand_broken_tests_are_few_enough_findings_for_a_handoff() -> None:
    names = tuple(f"test_{number:04}" for number in range(1_000))
    found = compare(run(passed=names), run(failed=names))
    assert len(found.broken) == 1_000
    assert len(found.findings) <= 101
    assert "900 more" in found.findings[-1].title
    assert "test_0999" in found.findings[-1].evidence


NAMES = st.sets(st.sampled_from("abcdef"))


@given(NAMES, NAMES, NAMES, NAMES)
def test_whatever_ran_each_test_is_judged_once(one: set[str], two: set[str], three: set[str], four: set[str]) -> None:
    base = run(passed="".join(sorted(one - two)), failed="".join(sorted(two)))
    candidate = run(passed="".join(sorted(three - four)), failed="".join(sorted(four)))
    found = compare(base, candidate)
    assert set(found.broken) == four - two
    assert set(found.gone) == (one - two) - three - four
    assert found == compare(base, candidate)
    fingerprints = [finding.fingerprint for finding in found.findings]
    assert len(fingerprints) == len(set(fingerprints))
