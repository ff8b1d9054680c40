"""The demo's sample is true: its project works, its script applies to it, and each take does what the demo shows.

No engine here: the script's file tools are played with plain Python, branches and merges with git itself.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import watchbill

SAMPLE = Path(watchbill.__file__).parent / "demo" / "sample"
SOFT_TURNS, TURNS = 6, 8  # of one ticket, as in the demo's settings
TESTS = "python -m pytest -q"
FINDING = {"severity", "confidence", "rule", "title", "path", "line", "evidence", "rationale"}
HANDOFF = {"outcome", "summary", "open_questions", "next", "confidence", "findings", "requests"}

Block = dict[str, Any]
Reply = dict[str, Any]


def takes(agent: str, ticket: str) -> list[list[Reply]]:
    return [take["replies"] for take in script()["takes"] if (take["agent"], take["ticket"]) == (agent, ticket)]


def script() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SAMPLE / "script.json").read_text(encoding="utf-8"))
    return loaded


def calls(replies: list[Reply], *names: str) -> list[Block]:
    blocks = [block for reply in replies for block in reply["content"] if block["type"] == "tool_use"]
    return [block for block in blocks if not names or block["name"] in names]


def criteria(ticket: str) -> list[str]:
    return re.findall(r"^- \[ \] #\d+ (.+)$", (SAMPLE / f"tickets/{ticket}.md").read_text(encoding="utf-8"), re.M)


def run(folder: Path, *command: str, accept: tuple[int, ...] = (0,)) -> str:
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "/usr/bin:/bin")]),
        "HOME": str(folder),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in accept, f"{command} in {folder.name}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def git(folder: Path, *words: str, accept: tuple[int, ...] = (0,)) -> str:
    return run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *words, accept=accept).strip()


def broken_tests(folder: Path) -> list[str]:
    """The ids of the tests that fail; the whole suite has run, or the assertion says what happened."""
    said = run(folder, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", accept=(0, 1))
    assert re.search(r"\d+ passed", said), said
    return re.findall(r"^(?:FAILED|ERROR) (\S+)", said, re.M)


def bandit(folder: Path) -> list[tuple[str, str, str]]:
    """(rule, severity, confidence) of what bandit finds above low severity."""
    command = (sys.executable, "-m", "bandit", "-q", "-f", "json", "-ll", "-r", "ladderlog")
    said = run(folder, *command, accept=(0, 1))
    results = json.loads(said[said.index("{") : said.rindex("}") + 1])["results"]
    return [(one["test_id"], one["issue_severity"], one["issue_confidence"]) for one in results]


@dataclass
class Story:
    """The demo's night, played with git alone: every branch where a take left it."""

    repo: Path
    said: dict[tuple[str, str, int], list[str]] = field(default_factory=dict)

    def play(self, agent: str, ticket: str, number: int) -> None:
        """Apply one take to what is checked out. What is refused after the soft cap is not applied."""
        said = self.said.setdefault((agent, ticket, number), [])
        for reply in takes(agent, ticket)[number - 1][: SOFT_TURNS - 1]:
            for block in calls([reply]):
                said.append(self._tool(block["name"], block["input"]))

    def build(self, ticket: str, number: int) -> None:
        """A build take, committed to the ticket's branch and tagged T-0001.1 for take 1."""
        self.play("build", ticket, number)
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "--allow-empty", "-m", f"{ticket} take {number}")
        git(self.repo, "tag", f"{ticket}.{number}")

    def review(self, ticket: str, number: int) -> None:
        for agent in ("qa", "security"):
            self.play(agent, ticket, number)
            assert git(self.repo, "status", "--porcelain") == "", f"{agent} changed files of {ticket}"

    def merge(self, ticket: str) -> None:
        git(self.repo, "checkout", "-q", "integration")
        git(self.repo, "merge", "-q", "--no-ff", "-m", f"merge {ticket}", f"b/{ticket}")

    def start(self, ticket: str, on: str) -> None:
        git(self.repo, "checkout", "-q", "-B", f"b/{ticket}", on)

    def resume(self, ticket: str) -> None:
        git(self.repo, "checkout", "-q", f"b/{ticket}")

    def at(self, revision: str, folder: Path) -> Path:
        git(self.repo, "worktree", "add", "-q", "--detach", str(folder), revision)
        return folder

    def _tool(self, name: str, given: Block) -> str:
        path = self.repo / given.get("file_path", ".")
        assert path.resolve().is_relative_to(self.repo.resolve()), f"{path} is outside the worktree"
        if name == "read":
            lines = path.read_text(encoding="utf-8").splitlines()
            first, last = given.get("view_range", [1, len(lines)])
            assert 1 <= first <= last, f"{path} has no lines {first} to {last}"
            assert first <= len(lines), f"{path} has only {len(lines)} lines"
        elif name == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(given["content"], encoding="utf-8")
        elif name == "edit":
            text = path.read_text(encoding="utf-8")
            assert text.count(given["old_string"]) == 1, f"{path}: not there exactly once: {given['old_string']}"
            path.write_text(text.replace(given["old_string"], given["new_string"]), encoding="utf-8")
        elif name == "grep":
            assert (self.repo / given["path"]).exists()
        elif name == "bash" and not given["command"].startswith(TESTS):
            return run(self.repo, "bash", "-c", given["command"])
        return ""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Three rounds, as `run all` and then the owner's two answers would play them."""
    repo = tmp_path_factory.mktemp("night") / "repo"
    shutil.copytree(SAMPLE / "project", repo, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    git(repo, "init", "-q", "-b", "integration")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "base")
    git(repo, "tag", "base")
    story = Story(repo)
    _first_round(story)
    _second_round(story)
    _after_the_owner_decided(story)
    git(repo, "checkout", "-q", "integration")
    return story


def _first_round(story: Story) -> None:
    for ticket in ("T-0001", "T-0009", "T-0003", "T-0004", "T-0010", "T-0005", "T-0011"):
        story.start(ticket, on="base")
        story.build(ticket, 1)
        if ticket not in ("T-0005", "T-0011"):
            story.review(ticket, 1)
    story.merge("T-0001")
    story.merge("T-0009")


def _second_round(story: Story) -> None:
    story.start("T-0002", on="integration")
    story.build("T-0002", 1)
    story.review("T-0002", 1)
    for ticket in ("T-0003", "T-0005"):
        story.resume(ticket)
        story.build(ticket, 2)
        story.review(ticket, 2 if ticket == "T-0003" else 1)
    story.resume("T-0010")
    story.said["git", "T-0010", 1] = [git(story.repo, "merge", "integration", accept=(1,))]
    story.said["git", "T-0010", 2] = git(story.repo, "diff", "--name-only", "--diff-filter=U").splitlines()
    story.build("T-0010", 2)
    story.review("T-0010", 2)
    for ticket in ("T-0002", "T-0003", "T-0010", "T-0005"):
        story.merge(ticket)


def _after_the_owner_decided(story: Story) -> None:
    for ticket in ("T-0004", "T-0011"):
        story.resume(ticket)
        story.build(ticket, 2)
        story.review(ticket, 2 if ticket == "T-0004" else 1)
        story.merge(ticket)


def handoffs() -> Iterator[tuple[str, str, Block]]:
    for take in script()["takes"]:
        for block in calls(take["replies"], "submit_handoff"):
            yield take["agent"], take["ticket"], block["input"]


def test_the_tests_of_the_project_pass_on_the_base(story: Story, tmp_path: Path) -> None:
    assert broken_tests(story.at("base", tmp_path / "base")) == []


@pytest.mark.parametrize("result", ["T-0001.1", "T-0009.1", "T-0010.1", "T-0004.1", "T-0005.1", "integration"])
def test_the_tests_pass_on_what_a_good_take_leaves(story: Story, tmp_path: Path, result: str) -> None:
    assert broken_tests(story.at(result, tmp_path / "tree")) == []


@pytest.mark.parametrize("result", ["T-0002.1", "T-0003.2", "T-0005.2", "T-0010.2", "T-0004.2", "T-0011.2"])
def test_the_tests_pass_on_what_a_later_take_leaves(story: Story, tmp_path: Path, result: str) -> None:
    assert broken_tests(story.at(result, tmp_path / "tree")) == []


def test_the_first_search_breaks_one_test_that_was_there_before(story: Story, tmp_path: Path) -> None:
    broken = broken_tests(story.at("T-0003.1", tmp_path / "tree"))
    assert broken == ["tests/test_catalogue.py::test_a_blank_search_finds_nothing"]


def test_the_fix_of_the_fee_is_needed_by_the_feature_that_depends_on_it(story: Story, tmp_path: Path) -> None:
    tree = story.at("T-0002.1", tmp_path / "tree")
    shutil.copy(SAMPLE / "project/ladderlog/loans.py", tree / "ladderlog/loans.py")
    assert "tests/test_owes.py::test_all_loans_of_one_neighbour_are_added_up" in broken_tests(tree)


def test_bandit_calls_the_first_label_high_with_high_confidence(story: Story, tmp_path: Path) -> None:
    assert bandit(story.at("T-0004.1", tmp_path / "tree")) == [("B602", "HIGH", "HIGH")]


def test_bandit_finds_nothing_above_low_in_what_is_merged_at_the_end(story: Story, tmp_path: Path) -> None:
    assert bandit(story.at("integration", tmp_path / "tree")) == []


def test_a_tools_name_runs_a_command_until_the_finding_is_fixed(story: Story) -> None:
    """Security's own proof: the words are printed by the shell before, and never after."""
    before, after = ("\n".join(story.said["security", "T-0004", number]) for number in (1, 2))
    proof = re.compile(r"^\S*A NEIGHBOUR RAN THIS$", re.M)
    assert proof.search(before)
    assert not proof.search(after)


def test_the_overdue_list_is_what_two_tickets_conflict_in(story: Story) -> None:
    assert "CONFLICT" in story.said["git", "T-0010", 1][0]
    assert story.said["git", "T-0010", 2] == ["ladderlog/report.py"]
    assert "<<<<<<<" not in git(story.repo, "show", "T-0010.2:ladderlog/report.py")


def test_no_other_two_tickets_conflict_in_whatever_order_they_land(story: Story) -> None:
    ends = ["T-0001.1", "T-0002.1", "T-0003.2", "T-0004.2", "T-0005.2", "T-0010.2", "T-0011.2"]
    for number, one in enumerate(ends):
        for other in ends[number + 1 :]:
            git(story.repo, "merge-tree", "--write-tree", one, other)


@pytest.mark.parametrize("ticket", ["T-0003", "T-0004", "T-0005", "T-0011"])
def test_a_later_take_applies_on_top_of_everything_merged_so_far_too(story: Story, tmp_path: Path, ticket: str) -> None:
    """Whether the engine goes on from the ticket's own branch or merges the newest integration into it first."""
    tree = story.at(f"{ticket}.1", tmp_path / "tree")
    others = {"T-0001.1", "T-0002.1", "T-0003.2", "T-0005.2", "T-0010.2"} - {f"{ticket}.2"}
    for other in sorted(others):
        git(tree, "merge", "-q", "--no-edit", other)
    Story(tree).play("build", ticket, 2)
    assert broken_tests(tree) == []


def test_the_ticket_that_is_too_big_leaves_real_work_and_never_hands_over(story: Story) -> None:
    replies = takes("build", "T-0005")[0]
    assert len(replies) > TURNS
    assert calls(replies, "submit_handoff") == []
    assert calls(replies[SOFT_TURNS - 1 :], "write", "edit") == []
    assert all(calls([reply]) for reply in replies)
    assert "ladderlog/holds.py" in git(story.repo, "diff", "--name-only", "base", "T-0005.1").splitlines()
    assert "reserve" not in git(story.repo, "show", "T-0005.1:ladderlog/cli.py")


def test_every_other_take_hands_over_once_at_its_end_and_before_the_soft_cap() -> None:
    for agent, ticket in sorted({(take["agent"], take["ticket"]) for take in script()["takes"]}):
        for number, replies in enumerate(takes(agent, ticket), start=1):
            if (agent, ticket, number) != ("build", "T-0005", 1):
                assert len(replies) < SOFT_TURNS
                assert [block["name"] for block in calls(replies[-1:])] == ["submit_handoff"]
                assert len(calls(replies, "submit_handoff")) == 1


def test_reviewers_tried_what_they_say_they_tried(story: Story) -> None:
    def heard(agent: str, ticket: str, number: int) -> str:
        return "".join(story.said[agent, ticket, number])

    assert heard("qa", "T-0001", 1) == "100 100 1000\n"
    assert heard("qa", "T-0002", 1).endswith("Ada owes 1.00.\nBen owes 0.00.\n")
    assert heard("qa", "T-0003", 2) == "[] [] [] 1\n"
    assert heard("qa", "T-0004", 1).endswith("No. 1\nCordless drill\nShelf A1\n")
    assert re.findall(r"It is (\w+)'s turn", heard("qa", "T-0005", 1)) == ["Ben", "Cleo"]


def test_every_handoff_has_the_shape_that_the_tool_asks_for() -> None:
    for agent, ticket, given in handoffs():
        assert set(given) == HANDOFF | ({"criteria"} if agent == "qa" else set()), f"{agent} {ticket}"
        assert given["outcome"] in ({"done", "blocked"} if agent == "build" else {"pass", "fail"})
        assert all(set(finding) == FINDING for finding in given["findings"])
        if agent == "qa":
            assert [one["criterion"] for one in given["criteria"]] == criteria(ticket)
            assert (given["outcome"] == "pass") == all(one["met"] for one in given["criteria"])


def test_the_findings_point_at_the_lines_that_they_are_about(story: Story) -> None:
    cited = {"T-0003": "all(word in _plain(tool.name)", "T-0004": "shell=True", "T-0002": "loan.neighbour == neighbour"}
    for _, ticket, given in handoffs():
        for finding in given["findings"]:
            text = git(story.repo, "show", f"{ticket}.1:{finding['path']}").splitlines()
            assert cited[ticket] in text[finding["line"] - 1]


def test_who_finds_what_and_how_bad_it_is() -> None:
    failed = [
        (agent, ticket, [finding["severity"] for finding in given["findings"]])
        for agent, ticket, given in handoffs()
        if given["outcome"] == "fail"
    ]
    assert failed == [("qa", "T-0003", ["medium"]), ("security", "T-0004", ["high"])]
    [asked] = [given["requests"] for _, _, given in handoffs() if given["outcome"] == "blocked"]
    assert len(asked) == 1


def test_every_reply_says_what_it_cost() -> None:
    for take in script()["takes"]:
        for reply in take["replies"]:
            assert set(reply["usage"]) == {
                "input_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "output_tokens",
            }
            assert reply["usage"]["output_tokens"] > 0


def test_tickets_and_takes_belong_together() -> None:
    tickets = {path.stem for path in (SAMPLE / "tickets").glob("*.md")}
    never_worked = {"T-0006", "T-0007", "T-0008"}  # a circle of two, and the malformed one
    assert {take["ticket"] for take in script()["takes"]} == tickets - never_worked
    assert len(tickets) >= 9
