"""QA and security: the engine's own findings come first, and no model can talk them away."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.repositories import owner_state
from tests.sessions import (
    CHECK,
    PLAIN,
    Stage,
    bash,
    builds,
    calls,
    found,
    hands_over,
    reviews,
    stage,
    take,
    writes,
)
from tests.workspaces import make_workspace
from watchbill.documents.handoff import Finding, Handoff
from watchbill.workspace import Workspace

# A shell that writes JUnit: each file t-NAME is a test, which passes while it says "ok".
JUNIT = """\
out=$1
echo '<testsuite>' > "$out"
status=0
for file in t-*; do
    echo "<testcase classname='shell' name='$file'>" >> "$out"
    if ! grep -q ok "$file"; then echo "<failure message='$file'/>" >> "$out"; status=1; fi
    echo '</testcase>' >> "$out"
done
echo '</testsuite>' >> "$out"
exit $status
"""
TESTED: Mapping[str, str | bytes] = {"run.sh": JUNIT, "t-one": "ok\n", "t-two": "ok\n", "t-old": "fails for years\n"}
RUN = "sh run.sh {junit}"
HOLE = "import subprocess\n\n\ndef run(words):\n    return subprocess.call(words, shell=True)\n"


PASS = take("qa", "T-0001", hands_over("pass"))
SAFE = take("security", "T-0001", hands_over("pass"))


def plain(folder: Path, test: str = CHECK, files: Mapping[str, str | bytes] = PLAIN, **checks: Any) -> Workspace:
    settings = {"checks": {"setup": "", "test": test, **checks}}
    return make_workspace(folder, {"T-0001": "Do it"}, test, files, settings)


def reviewed(on: Stage, agent: Any = "qa") -> Handoff:
    on.run("build")
    on.run(agent)
    return on.last()


def rules(review: Handoff) -> list[str]:
    return [finding.rule for finding in review.findings]


def only(review: Handoff) -> Finding:
    (finding,) = review.findings
    return finding


def test_a_pass_is_refused_while_checks_regress_and_the_engine_names_what_broke(tmp_path: Path) -> None:
    stubborn = take("qa", "T-0001", *[hands_over("pass")] * 20)
    with stage(plain(tmp_path, RUN, TESTED), builds("T-0001", "t-two", "no longer\n"), stubborn) as on:
        review = reviewed(on)
        assert "It cannot pass" in on.results(3)
        assert "'the checks'>\\nshell::t-two fails with this change\\n</data" in on.results(3)
        assert review.outcome == "fail"
        assert review.claimed is None
        assert review.verified is not None
        assert review.verified.regressions == ("shell::t-two",)
        assert only(review).title == "shell::t-two fails with this change"
        assert on.step().to == ("build",)


def test_a_model_that_says_fail_adds_its_words_to_the_engines_findings(tmp_path: Path) -> None:
    words = take("qa", "T-0001", hands_over("fail", findings=[found("low", "And it is ugly")]))
    with stage(plain(tmp_path, RUN, TESTED), builds("T-0001", "t-two", "no\n"), words) as on:
        assert rules(reviewed(on)) == ["test-regression", "hole"]


def test_what_failed_before_does_not_count(tmp_path: Path) -> None:
    with stage(plain(tmp_path, RUN, TESTED), builds("T-0001", "t-new", "ok\n"), PASS) as on:
        review = reviewed(on)
        assert (review.outcome, review.findings) == ("pass", ())
        assert review.verified is not None and review.verified.checks is not None
        assert review.verified.checks.failed == ("shell::t-old",)


def test_a_deleted_test_asks_a_human(tmp_path: Path) -> None:
    build = take("build", "T-0001", bash("rm t-two"), hands_over())
    with stage(plain(tmp_path, RUN, TESTED), build, take("qa", "T-0001", hands_over("pass"), hands_over("fail"))) as on:
        review = reviewed(on)
        assert review.verified is not None
        assert review.verified.disappeared == ("shell::t-two",)
        assert (review.outcome, rules(review), on.items()) == ("fail", ["tests-disappeared"], ["T-0001-0002"])


def test_no_test_command_asks_a_human_whatever_the_model_says(tmp_path: Path) -> None:
    with stage(plain(tmp_path, ""), builds("T-0001"), PASS) as on:
        review = reviewed(on)
        assert (rules(review), on.items()) == (["no-checks"], ["T-0001-0002"])
        on.decide("T-0001-0002", "approve")
        assert on.step().to == ("security",)


def test_a_test_command_that_is_nowhere_asks_a_human(tmp_path: Path) -> None:
    with stage(plain(tmp_path, "no-such-program"), builds("T-0001"), PASS) as on:
        review = reviewed(on)
        assert review.verified is not None and review.verified.checks is not None
        assert "not found" in review.verified.checks.why
        assert (rules(review), on.items()) == (["checks-unavailable"], ["T-0001-0002"])
        assert review.claimed is not None and review.claimed.outcome == "pass"


def test_a_reviewer_sees_the_output_of_checks_that_fail_on_the_base_as_well(tmp_path: Path) -> None:
    files = {"check.sh": "echo WHY-THEY-FAIL\nexit 1\n", "notes.txt": "good\n"}
    with stage(plain(tmp_path, CHECK, files), builds("T-0001"), PASS) as on:
        review = reviewed(on)
        assert rules(review) == ["checks-unavailable"]
        assert "WHY-THEY-FAIL" in on.first_message(2)


def test_a_verdict_is_kept_when_the_other_reviewer_asks_a_human_meanwhile(tmp_path: Path) -> None:
    high = take("qa", "T-0001", hands_over("fail", findings=[found("high")]))
    with stage(plain(tmp_path), builds("T-0001"), high, SAFE) as on:
        on.run("build")
        on.plan("qa", "security")

        def qa_is_quicker(line: Mapping[str, Any]) -> None:
            if line["agent"] == "security" and line["event"] == "turn":
                other = threading.Thread(target=on.run, args=("qa",), kwargs={"plan": False})
                other.start()
                other.join()

        on.log.on_event = qa_is_quicker
        session = on.run("security", plan=False)
        assert [(one.sender, one.outcome) for one in on.documents()[1:]] == [("qa", "fail"), ("security", "pass")]
        assert session.outcomes == {"T-0001": "pass"}
        assert (on.step().to, on.items()) == (("human",), ["T-0001-0002"])


def test_a_change_after_which_the_checks_no_longer_run_breaks_the_build(tmp_path: Path) -> None:
    build = take("build", "T-0001", writes("run.sh", "exit 127\n"), hands_over())
    with stage(plain(tmp_path, RUN, TESTED), build, take("qa", "T-0001", hands_over("fail"))) as on:
        review = reviewed(on)
        assert only(review).breaks_build
        assert on.items() == ["T-0001-0002"]


def test_checks_that_hang_are_killed_and_reported(tmp_path: Path) -> None:
    hang = "sleep 4000 & sleep 4001; echo never\n"
    build = take("build", "T-0001", writes("check.sh", hang), hands_over())
    workspace = plain(tmp_path, timeout_seconds=1)
    with stage(workspace, build, take("qa", "T-0001", hands_over("fail"))) as on:
        review = reviewed(on)
        assert review.verified is not None and review.verified.checks is not None
        assert "did not end within 1 seconds" in review.verified.checks.why
        assert rules(review) == ["checks-did-not-run"]
        assert not _runs("sleep\x004000") and not _runs("sleep\x004001")


def _runs(words: str) -> bool:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue  # it ended while we looked
    return any(line.startswith(words) for line in lines)


def test_a_high_finding_of_the_model_goes_to_the_inbox_and_approved_back_to_build(tmp_path: Path) -> None:
    high = take("qa", "T-0001", hands_over("fail", findings=[found("high", "It deletes everything")]))
    mended = take("build", "T-0001", writes("notes.txt", "good\nmended\n"), hands_over())
    with stage(plain(tmp_path), builds("T-0001"), high, mended) as on:
        review = reviewed(on)
        assert (review.to, on.items()) == (("human",), ["T-0001-0002"])
        assert "It deletes everything" in on.workspace.layout.inbox_item("T-0001-0002").read_text()
        on.decide("T-0001-0002", "approve", "NOTE-OF-THE-HUMAN")
        on.run("build")
        assert "NOTE-OF-THE-HUMAN" in on.first_message(3)
        assert "It deletes everything" in on.first_message(3)
        assert on.last().approval == 3


def test_a_scanners_high_stands_whatever_the_model_calls_it(tmp_path: Path) -> None:
    rule = "B602"
    opinion = found(
        "info", "False positive", rule=rule, path="tool.py", line=5, rationale="OPINION: words are constant"
    )
    verdict = take("security", "T-0001", hands_over("pass", findings=[opinion]))
    with stage(plain(tmp_path), builds("T-0001", "tool.py", HOLE), verdict) as on:
        review = reviewed(on, "security")
        (alert,) = [finding for finding in review.findings if finding.rule.startswith(rule)]
        assert (alert.severity, alert.source) == ("high", "bandit")
        assert "OPINION" in alert.rationale
        assert (review.outcome, on.step().to) == ("fail", ("human",))
        assert review.claimed is not None and review.claimed.outcome == "pass"


def test_a_low_alert_of_bandit_holds_nothing_up(tmp_path: Path) -> None:
    low = "def half(number):\n    assert number\n    return number / 2\n"
    verdict = SAFE
    with stage(plain(tmp_path), builds("T-0001", "tool.py", low), verdict) as on:
        review = reviewed(on, "security")
        assert [(finding.source, finding.severity) for finding in review.findings] == [("bandit", "low")]
        assert (review.outcome, on.step().to) == ("pass", ("qa",))


def test_more_alerts_than_a_document_holds_are_summed_up(tmp_path: Path) -> None:
    many = "import subprocess\n" + "".join(f"subprocess.call('{n}' * 900, shell=True)\n" for n in range(700))
    verdict = take("security", "T-0001", hands_over("fail", findings=[found("low", f"No {n}") for n in range(100)]))
    with stage(plain(tmp_path), builds("T-0001", "tool.py", many), verdict) as on:
        review = reviewed(on, "security")
        assert review.outcome == "fail"
        assert 0 < len(review.findings) <= 500
        assert any("more" in finding.title for finding in review.findings)
        assert on.workspace.history("T-0001").damage == ()
        assert len(on.items()) == 1


def test_a_reviewer_changes_nothing(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    meddles = (
        bash("echo bad > notes.txt; git commit -qam x; rm -rf .git; touch ../../../inbox/T-0001-0002.md"),
        calls(("write", {"file_path": "notes.txt", "content": "bad"})),
        hands_over("pass"),
    )
    before = owner_state(workspace.repo)
    with stage(workspace, builds("T-0001"), take("qa", "T-0001", *meddles), SAFE) as on:
        review = reviewed(on)
        on.run("security")
        (merged,) = on.merge()
        assert (review.outcome, merged.commit) == ("pass", review.candidate)
        assert on.read(merged.commit or "", "notes.txt") == "good\nnew"
        assert on.items() == []
    assert owner_state(workspace.repo) == before


def test_worktrees_are_handed_on_from_ticket_to_ticket_and_from_agent_to_agent(tmp_path: Path) -> None:
    tickets = {"T-0001": "Do it", "T-0002": "Do that"}
    workspace = make_workspace(tmp_path, tickets, CHECK, PLAIN)
    both = builds("T-0001"), builds("T-0002", "other.txt", "good\n")
    with stage(workspace, both, reviews("T-0001"), reviews("T-0002")) as on:
        on.run("build")
        on.review()
    # One for the candidate, and meanwhile one for the base.
    left = sorted(path.name for path in workspace.layout.worktrees.iterdir())
    assert [name.partition(".")[0] for name in left] == ["spare", "spare"]


def test_reviewers_are_told_what_the_engine_saw(tmp_path: Path) -> None:
    body = "---\nid: T-0001\ntitle: Do it\n---\n## Acceptance Criteria\n\n- [ ] #1 CRITERION-A\n"
    workspace = make_workspace(tmp_path, {"T-0001": body}, RUN, TESTED)
    takes = (PASS, SAFE)
    with stage(workspace, builds("T-0001", "t-new", "ok LINE-OF-THE-DIFF\n"), *takes) as on:
        on.run("build")
        on.review()
        qa, security = on.first_message(2), on.first_message(3)
        for words in ("CRITERION-A", "+ok LINE-OF-THE-DIFF", "On the candidate: 3 passed, 1 failed"):
            assert words in qa
        for words in ("+ok LINE-OF-THE-DIFF", "Scanners that ran: bandit"):
            assert words in security
