"""The demo shows what it promises, and everything that it leaves behind is sound."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.outside import asks, call, works
from tests.demo.played import TURNS_PER_TICKET, Played, played
from tests.repositories import git
from watchbill.demo.server import ScriptedModel
from watchbill.documents.script import Script, parse

__all__ = ["played"]
pytestmark = pytest.mark.xdist_group("demo")

SAMPLE = Path(__file__).parents[2] / "watchbill" / "demo" / "sample"
MERGED = ["T-0001", "T-0002", "T-0003", "T-0005", "T-0009", "T-0010"]
# The second reviews, for candidates that had to be reviewed again, and the answer to the second session of T-0005.
SPARE = {"build": ["T-0005"], "reviews": ["T-0002", "T-0003", "T-0004", "T-0005", "T-0009", "T-0010", "T-0011"]}


def the_script() -> Script:
    path = SAMPLE / "script.json"
    return parse(path.read_text("utf-8"), path)


def what_is_left_of(script: Script, gone: Counter[tuple[str, str]]) -> Script:
    """The script without the takes that were played."""
    left, seen = [], Counter[tuple[str, str]]()
    for take in script.takes:
        pair = (take.agent, take.ticket)
        seen[pair] += 1
        if seen[pair] > gone[pair]:
            left.append(take)
    return script.model_copy(update={"takes": tuple(left)})


def test_it_says_plainly_that_the_model_is_scripted(played: Played) -> None:
    assert "The model is NOT" in played.out
    assert "cost: nothing, the model was scripted" in played.out


def test_six_tickets_are_merged_and_the_rest_is_left_alone(played: Played) -> None:
    status = works(played.workspace.root, "status", "--json").json
    merged = [ticket["ticket"] for ticket in status["tickets"] if ticket["state"] == "merged"]
    assert merged == MERGED
    assert status["counts"] == {"merged": 6, "human": 2, "stuck": 2}
    for ticket in MERGED:
        assert re.search(rf"  {ticket}  [0-9a-f]{{10}}  ", played.out), f"the brief does not name {ticket}"


def test_a_feature_waits_for_the_fix_that_it_depends_on(played: Played) -> None:
    fix, feature = played.handoffs("T-0001")[-1], played.handoffs("T-0002")
    assert fix.merged
    assert git(played.repo, "merge-base", "--is-ancestor", fix.merged, str(feature[0].base)) == ""
    assert played.told("T-0002")[-1] == ("merge", "done")


def test_qa_finds_the_broken_test_of_a_first_attempt_and_it_comes_back(played: Played) -> None:
    told = played.told("T-0003")
    assert told[0] == ("build", "done")
    assert ("qa", "fail") in told[1:3]
    assert told[3] == ("build", "done")
    assert told[-1] == ("merge", "done")
    failed = next(handoff for handoff in played.handoffs("T-0003") if handoff.outcome == "fail")
    assert failed.verified is not None
    assert failed.verified.regressions == ("tests.test_catalogue::test_a_blank_search_finds_nothing",)


def test_a_high_finding_stops_at_the_inbox(played: Played) -> None:
    item = works(played.workspace.root, "inbox", "show", the_item(played, "T-0004"), "--json").json
    assert (item["severity"], item["asked_by"]) == ("high", "security")
    assert "shell=True" in works(played.workspace.root, "inbox", "show", item["id"]).out
    # QA goes on beside security, and looks at the ticket only if it gets there before the finding is published.
    assert {sender for sender, _ in played.told("T-0004")} - {"qa"} == {"build", "security"}


def test_a_ticket_is_deferred_at_its_cap_and_finished_by_the_next_session(played: Played) -> None:
    first, second = played.handoffs("T-0005")[:2]
    assert (first.outcome, first.turns, first.sender) == ("deferred", TURNS_PER_TICKET, "build")
    assert "hard cap" in (first.reason or "")
    assert (second.outcome, second.sender) == ("done", "build")
    assert first.session != second.session
    assert first.commit
    assert git(played.repo, "merge-base", "--is-ancestor", first.commit, str(second.commit)) == ""
    assert played.told("T-0005")[-1] == ("merge", "done")


def test_a_circle_of_dependencies_is_reported(played: Played) -> None:
    assert "T-0006 → T-0007 → T-0006" in played.out
    assert played.told("T-0006") == played.told("T-0007") == []


def test_a_malformed_ticket_is_set_aside_and_asked_about(played: Played) -> None:
    (kept,) = [path for path in played.layout.quarantine.iterdir() if path.suffix == ".md"]
    assert kept.read_bytes() == (SAMPLE / "tickets" / "T-0008.md").read_bytes()
    assert played.layout.inbox_item("T-0008-0000").is_file()
    assert not (played.layout.tickets / "T-0008.md").exists()


def test_a_conflict_goes_back_to_build_and_is_resolved(played: Played) -> None:
    told = played.told("T-0010")
    conflict = told.index(("merge", "fail"))
    assert "conflict" in (played.handoffs("T-0010")[conflict].reason or "")
    assert told[conflict + 1] == ("build", "done")
    assert told[-1] == ("merge", "done")
    report = git(played.repo, "show", "watchbill/integration:ladderlog/report.py")
    assert "<<<<<<<" not in report


def test_what_was_merged_is_what_the_reviewers_passed(played: Played) -> None:
    for ticket in MERGED:
        handoffs = played.handoffs(ticket)
        assert handoffs[-1].merged == handoffs[-1].candidate
        reviewed = {(handoff.sender, handoff.outcome, handoff.commit) for handoff in handoffs}
        for reviewer in ("qa", "security"):
            assert (reviewer, "pass", handoffs[-1].commit) in reviewed


def test_a_merged_ticket_brings_exactly_its_own_files(played: Played) -> None:
    for ticket in MERGED:
        work = [handoff for handoff in played.handoffs(ticket) if handoff.sender == "build"][-1]
        landed = played.handoffs(ticket)[-1].merged
        brought = git(played.repo, "diff", "--name-only", f"{landed}^1", str(landed)).split()
        assert work.verified is not None
        assert sorted(brought) == sorted(work.verified.files)


def test_the_tests_pass_on_the_integration_branch(played: Played, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--branch=watchbill/integration", str(played.repo), "merged")
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(tests, cwd=tmp_path / "merged", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_no_session_made_a_request_above_a_cap(played: Played) -> None:
    manifests = {path.stem: json.loads(path.read_text()) for path in played.layout.manifests.glob("*.json")}
    total = 0
    for name, requests in played.requests().items():
        total += len(requests)
        assert len(requests) <= manifests[name]["hard_turns"]
        given = {entry["ticket"]: entry["turns"] for entry in manifests[name]["entries"]}
        for (_session, ticket), count in Counter((line["session"], line["ticket"]) for line in requests).items():
            assert count <= given[ticket] <= TURNS_PER_TICKET
    assert f"({total} requests," in played.out


def test_the_users_checkout_is_untouched(played: Played) -> None:
    assert git(played.repo, "status", "--porcelain", "--ignored") == ""
    assert git(played.repo, "log", "--format=%s", "main") == "begin the lending book"
    assert git(played.repo, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert git(played.repo, "stash", "list") == ""


def test_verify_finds_nothing_wrong(played: Played) -> None:
    found = works(played.workspace.root, "verify", "--json").json
    assert found["violations"] == []


def test_every_line_of_the_log_says_who_about_what_and_when(played: Played) -> None:
    (log,) = played.layout.logs.glob("*.jsonl")
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert len(lines) > 100
    for line in lines:
        assert {"session", "agent", "ticket", "turn", "timestamp", "level", "event"} <= line.keys(), line


def test_the_next_run_has_nothing_to_do_and_asks_nobody(played: Played, tmp_path: Path) -> None:
    copy = a_copy(played, tmp_path)
    with ScriptedModel(Script(title="silence")) as model:
        done = works(copy.workspace.root, "run", "all", env=asks(model.url))
        assert model.requests == []
    assert "no request was made" in done.out


def test_what_the_human_approves_is_built_reviewed_and_merged_by_the_rest_of_the_script(
    played: Played, tmp_path: Path
) -> None:
    copy = a_copy(played, tmp_path)
    for ticket in ("T-0004", "T-0011"):
        works(copy.workspace.root, "inbox", "approve", the_item(copy, ticket), "-m", "do it", "--by", "Ada")
    with ScriptedModel(what_is_left_of(the_script(), played.takes_played())) as model:
        works(copy.workspace.root, "run", "all", env=asks(model.url), timeout=300)
        spare = [(leftover.take.agent, leftover.take.ticket, leftover.played) for leftover in model.unused()]
    for ticket in ("T-0004", "T-0011"):
        assert copy.told(ticket)[-1] == ("merge", "done"), copy.told(ticket)
        assert ("human", "approve") in copy.told(ticket)
    expected = [(agent, ticket, 0) for ticket in SPARE["reviews"] for agent in ("qa", "security")]
    expected += [("build", ticket, 0) for ticket in SPARE["build"]]
    expected += [("qa", "T-0004", 0)] if played.takes_played()["qa", "T-0004"] == 0 else []
    assert sorted(spare) == sorted(expected)
    assert "shell=True" not in git(copy.repo, "show", "watchbill/integration:ladderlog/labels.py")
    assert works(copy.workspace.root, "verify", "--json").json["violations"] == []
    assert git(copy.repo, "status", "--porcelain") == ""


def test_the_demo_refuses_a_folder_that_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine\n")
    done = call(tmp_path, "demo", tmp_path)
    assert done.code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("text", [None, "no json", '{"schema": "watchbill/script/2", "title": "x", "takes": []}'])
def test_the_demo_explains_a_script_that_it_cannot_play(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "script.json"
    if text is not None:
        path.write_text(text)
    done = call(tmp_path, "demo", tmp_path / "there", "--replay", path)
    assert done.code in (2, 4), done.err
    assert "script.json" in done.err
    assert not (tmp_path / "there" / "ladderlog").exists(), "it began before it had read the script"


def the_item(played: Played, ticket: str) -> str:
    """The one item that waits about a ticket."""
    (path,) = played.layout.inbox.glob(f"{ticket}-*.md")
    return path.stem


def a_copy(played: Played, folder: Path) -> Played:
    """The demo's folder, copied whole, to go on in. Git's own worktree lists hold absolute paths and are mended."""
    target = folder / "copy"
    shutil.copytree(played.folder, target, symlinks=True)
    for path in (target / "ladderlog" / ".git" / "worktrees").glob("*/gitdir"):
        path.write_text(path.read_text().replace(str(played.folder), str(target)))
    for path in (target / "workspace" / ".watchbill" / "worktrees").glob("*/.git"):
        path.write_text(path.read_text().replace(str(played.folder), str(target)))
    return replace(played, folder=target)
