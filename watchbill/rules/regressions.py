"""Which tests a change broke: the checks on the base held against the checks on the candidate.

Owns that comparison and the findings which follow from it. The engine computes it; no model has a say.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass

from watchbill.documents.handoff import Finding

# So many broken tests are findings of their own; the rest are one. A handoff holds 500 findings at most.
NAMED = 100


@dataclass(frozen=True)
class Run:
    """One run of the checks, as far as the comparison needs it. `names` tells whether tests have names."""

    ran: bool
    exit_code: int | None
    names: bool
    passed: Collection[str]
    failed: Collection[str]
    why: str = ""
    setup_failed: bool = False


@dataclass(frozen=True)
class Comparison:
    """`broken`: passed before or new, and fails now. `gone`: passed before, and is not there now."""

    broken: tuple[str, ...]
    gone: tuple[str, ...]
    findings: tuple[Finding, ...]


def compare(base: Run | None, candidate: Run | None) -> Comparison:
    """Hold the two runs against each other. None for both means that there is no test command."""
    if candidate is None:
        return Comparison((), (), (_no_checks(),))
    if not candidate.ran:
        if base is not None and not base.ran:
            return Comparison((), (), (_unavailable(candidate.why),))
        return Comparison((), (), (_did_not_run(candidate),))
    if not candidate.names:
        return _by_exit_code(base, candidate)
    before = set(base.passed) if base and base.ran else set()
    failing_before = set(base.failed) if base and base.ran else set()
    broken = tuple(sorted(name for name in candidate.failed if name not in failing_before))
    now = set(candidate.passed) | set(candidate.failed)
    gone = tuple(sorted(before - now))
    findings = [_regression(name) for name in broken[:NAMED]]
    if gone:
        findings.append(_disappeared(gone))
    if not broken and not candidate.failed and candidate.exit_code not in (0, 5):
        why = f"no test failed, yet the test command ended with {candidate.exit_code}"
        title = "The checks did not end well"
        findings.append(_finding("checks-did-not-run", "high", title, why, breaks=True, about=why))
    if broken[NAMED:]:
        findings.append(_more_regressions(broken[NAMED:]))
    return Comparison(broken, gone, tuple(findings))


def _by_exit_code(base: Run | None, candidate: Run) -> Comparison:
    if candidate.exit_code == 0:
        return Comparison((), (), ())
    if base is None or not base.ran or base.exit_code != 0:
        why = f"the test command fails on the base as well\n{candidate.why}".strip()
        return Comparison((), (), (_unavailable(why),))
    broken = ("the test command",)
    return Comparison(broken, (), (_regression(broken[0]),))


def _no_checks() -> Finding:
    why = "[checks] test is empty in watchbill.toml, so nothing was run"
    return _finding("no-checks", "medium", "There is no test command", why)


def _unavailable(why: str) -> Finding:
    return _finding("checks-unavailable", "medium", "The checks fail without the change too", why)


def _did_not_run(candidate: Run) -> Finding:
    rule = "setup-failed" if candidate.setup_failed else "checks-did-not-run"
    title = "The setup command fails with this change" if candidate.setup_failed else "The checks no longer run"
    return _finding(rule, "high", title, candidate.why, breaks=True, about=_first_line(candidate.why))


def _regression(name: str) -> Finding:
    return _finding("test-regression", "medium", f"{name} fails with this change", name)


def _disappeared(gone: tuple[str, ...]) -> Finding:
    shown = "\n".join(gone[:50])
    title = f"{len(gone)} passing test(s) are gone"
    return _finding("tests-disappeared", "medium", title, shown, about="\n".join(gone))


def _more_regressions(broken: tuple[str, ...]) -> Finding:
    title = f"{len(broken)} more tests fail with this change"
    return _finding("test-regression", "medium", title, "\n".join(broken), about="\n".join(broken))


def _first_line(text: str) -> str:
    """What of a run's words is the same when it is run again: no numbers, such as times and addresses."""
    return re.sub(r"[0-9]+", "#", text.strip().partition("\n")[0])


def _finding(
    rule: str, severity: str, title: str, evidence: str, breaks: bool = False, about: str | None = None
) -> Finding:
    """A finding of the checks. Its fingerprint has rule, title and `about` in it: one dismissed hides no other."""
    parts = ("checks", rule, title, *([] if about is None else [about]))
    return Finding.model_validate(
        {
            "fingerprint": hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16],
            "severity": severity,
            "confidence": 1.0,
            "rule": rule,
            "title": title[:300],
            "evidence": evidence[:10_000],
            "rationale": "",
            "source": "checks",
            "breaks_build": breaks,
        }
    )
