"""The merge: what lands is what was reviewed, and nothing of the owner's moves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.repositories import commit_files, git, owner_state
from tests.sessions import (
    CHECK,
    PLAIN,
    Stage,
    bash,
    builds,
    calls,
    found,
    handing_over,
    hands_over,
    reviews,
    stage,
    take,
    writes,
)
from tests.workspaces import NOW, make_workspace, unnoted, unpublish
from watchbill.documents.script import Take
from watchbill.errors import Refused, TryLater
from watchbill.files.locks import held
from watchbill.files.publish import sha256
from watchbill.layout import branch_of
from watchbill.roles.evidence import verified_by
from watchbill.settle import settle
from watchbill.stages.decide import close
from watchbill.stages.report import status
from watchbill.stages.verify import verify
from watchbill.tools.git import DiffStat, Repository
from watchbill.workspace import Workspace

# Good while a.txt and b.txt do not both say "yes".
CLASH = {**PLAIN, "check.sh": "! { grep -qs yes a.txt && grep -qs yes b.txt; }\n"}
WHO = ("T-0001", "T-0002")
INTEGRATION = "watchbill/integration"


def plain(folder: Path, files: dict[str, str | bytes] | None = None) -> Workspace:
    return make_workspace(folder, {id: f"Do {id}" for id in WHO}, CHECK, files or dict(PLAIN))


def passed(first: tuple[str, str], second: tuple[str, str]) -> list[Take]:
    """Both tickets built and passed on the same base; each writes one file."""
    takes = []
    for ticket, (path, content) in zip(WHO, (first, second), strict=True):
        takes += [builds(ticket, path, content), *reviews(ticket)]
    return takes


def all_reviewed(on: Stage) -> None:
    on.run("build")
    on.review()


def head(on: Stage) -> str:
    return git(on.workspace.repo, "rev-parse", INTEGRATION)


def test_what_lands_is_the_very_candidate_that_both_reviewed(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    before = owner_state(workspace.repo)
    with stage(workspace, *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        main = git(workspace.repo, "rev-parse", "main")
        first, second = on.merge()
        candidates = {handoff.candidate for handoff in on.documents()[1:]}
        assert candidates == {first.commit}
        assert on.changes(first.commit or "") == {"a.txt": "A"}
        assert git(workspace.repo, "log", "-1", "--format=%P", first.commit or "").split()[0] == main
        assert second.commit == head(on)
        assert on.last().merged == first.commit
        assert git(workspace.repo, "rev-parse", "main") == main
    assert owner_state(workspace.repo) == before


def test_when_the_branch_has_moved_the_engine_checks_again_and_says_so_first(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        _, second = on.merge()
        again, done = on.documents("T-0002")[3:]
        assert (again.sender, again.outcome, again.candidate) == ("merge", "pass", second.commit)
        assert again.verified is not None and again.verified.checks is not None and again.verified.scanners
        assert again.verified.checks.commit == second.commit
        assert (done.outcome, done.merged) == ("done", second.commit)


def test_a_regression_that_only_the_merge_shows_goes_back_to_build(tmp_path: Path) -> None:
    with stage(plain(tmp_path, dict(CLASH)), *passed(("a.txt", "yes\n"), ("b.txt", "yes\n"))) as on:
        all_reviewed(on)
        first, second = on.merge()
        assert (first.outcome, second.outcome) == ("merged", "sent back")
        assert head(on) == first.commit
        assert (on.last("T-0002").outcome, on.step("T-0002").to) == ("fail", ("build",))
        assert "test command fails" in on.last("T-0002").reason


def conflicting(*more: Take) -> list[Take]:
    return [*passed(("notes.txt", "good\nmine\n"), ("notes.txt", "good\nyours\n")), *more]


def test_a_conflict_goes_back_with_its_text_and_is_resolved_in_a_commit_of_two_parents(tmp_path: Path) -> None:
    resolve = take(
        "build",
        "T-0002",
        bash("cat notes.txt"),
        hands_over(),
        writes("notes.txt", "good\nmine\nyours\n"),
        hands_over(),
    )
    workspace = plain(tmp_path)
    before = owner_state(workspace.repo)
    with stage(workspace, *conflicting(resolve, *reviews("T-0002"))) as on:
        all_reviewed(on)
        first, second = on.merge()
        back = on.last("T-0002")
        assert (second.outcome, back.sender, back.outcome, back.to) == ("sent back", "merge", "fail", ("build",))
        assert "<<<<<<<" in back.findings[0].evidence and "yours" in back.findings[0].evidence
        asked = len(on.requests)
        on.run("build")
        assert "files in conflict" in on.first_message(asked)
        assert "<<<<<<<" in on.results(asked + 1)
        assert "conflict markers are left" in on.results(asked + 2)
        assert "'names of files'>\\nnotes.txt\\n</data" in on.results(asked + 2)
        work = on.last("T-0002").commit or ""
        parents = git(workspace.repo, "log", "-1", "--format=%P", work).split()
        assert parents == [back.commit, first.commit]
        on.review()
        (landed,) = on.merge()
        assert on.read(landed.commit or "", "notes.txt") == "good\nmine\nyours"
        assert on.changes(landed.commit or "") == {"notes.txt": "M"}
    assert owner_state(workspace.repo) == before


def test_markers_that_an_unfinished_session_committed_are_still_refused(tmp_path: Path) -> None:
    gives_up = take("build", "T-0002", hands_over("deferred"))
    careless = take("build", "T-0002", writes("b.txt", "x\n"), hands_over(), hands_over("blocked"))
    with stage(plain(tmp_path), *conflicting(gives_up, careless)) as on:
        all_reviewed(on)
        on.merge()
        on.run("build")
        assert "<<<<<<<" in on.read(on.last("T-0002").commit or "", "notes.txt")
        asked = len(on.requests)
        on.run("build")
        assert "notes.txt" in on.first_message(asked)[on.first_message(asked).index("# A merge is under way") :]
        assert "conflict markers are left" in on.results(asked + 2)
        assert "'names of files'>\\nnotes.txt\\n</data" in on.results(asked + 2)
        assert on.last("T-0002").outcome == "blocked"


def test_a_file_that_is_about_markers_is_no_conflict(tmp_path: Path) -> None:
    about = "<<<<<<< ours\n=======\n>>>>>>> theirs\n"
    files = {**PLAIN, "about.md": about}
    with stage(plain(tmp_path, files), builds("T-0001", "about.md", about + "more\n"), builds("T-0002", "b.txt")) as on:
        on.run("build")
        assert on.last().outcome == "done"


def test_an_undecided_item_blocks_the_merge(tmp_path: Path) -> None:
    unsure = take("security", "T-0001", hands_over("pass", confidence=0.2))
    with stage(plain(tmp_path), builds("T-0001"), take("qa", "T-0001", hands_over("pass")), unsure) as on:
        on.workspace.layout.tickets.joinpath("T-0002.md").unlink()
        all_reviewed(on)
        assert on.items() == ["T-0001-0003"]
        assert on.merge() == []
        on.decide("T-0001-0003", "approve")
        assert [result.outcome for result in on.merge()] == ["merged"]


def moves(on: Stage, ticket: str, path: str) -> str:
    """Somebody adds a commit to the branch of a ticket behind the engine's back."""
    repo, elsewhere = on.workspace.repo, on.workspace.root.parent / path
    git(repo, "worktree", "add", "-q", "--detach", str(elsewhere), branch_of(ticket))
    sneaked = commit_files(elsewhere, {path: "sneaked in\n"}, "sneak")
    git(repo, "worktree", "remove", str(elsewhere))
    git(repo, "update-ref", f"refs/heads/{branch_of(ticket)}", sneaked)
    return sneaked


def test_a_branch_that_moved_after_the_review_asks_a_human_once(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        reviewed = on.last("T-0001").commit or ""
        sneaked = moves(on, "T-0001", "sneaked.txt")
        first, second = on.merge()
        assert (first.outcome, second.outcome) == ("sent back", "merged")
        title = f"the branch is at {sneaked[:10]}, but what was reviewed is {reviewed[:10]}"
        assert (first.reasons, on.step().reason) == ((title,), f"merge found: {title}")
        assert (on.items(), on.merge()) == ([f"T-0001-{on.last().seq:04}"], [])


def test_a_human_may_let_what_was_reviewed_go_on_without_what_came_later(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        moves(on, "T-0001", "sneaked.txt")
        on.merge()
        on.decide(on.items()[0], "dismiss")
        later = moves(on, "T-0001", "again.txt")
        (again,) = on.merge()
        assert (again.outcome, later[:10] in again.reasons[0]) == ("sent back", True)
        on.decide(on.items()[0], "dismiss")
        (landed,) = on.merge()
        assert (landed.outcome, on.changes(landed.commit or "")) == ("merged", {"a.txt": "A"})
        assert git(on.workspace.repo, "rev-parse", branch_of("T-0001")) == later
        assert verify(on.workspace, datetime.now(UTC)).violations == ()


def test_a_human_may_have_the_moved_branch_taken_up_and_reviewed(tmp_path: Path) -> None:
    again = (take("build", "T-0001", hands_over()), *reviews("T-0001"))
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n")), *again) as on:
        all_reviewed(on)
        sneaked = moves(on, "T-0001", "sneaked.txt")
        on.merge()
        on.decide(on.items()[0], "approve")
        on.run("build")
        assert Repository.open(on.workspace.repo).is_ancestor(sneaked, on.last().commit or "")
        on.review()
        (landed,) = on.merge()
        assert on.changes(landed.commit or "") == {"a.txt": "A", "sneaked.txt": "A"}


def test_a_verdict_that_was_edited_into_a_pass_is_not_acted_upon(tmp_path: Path) -> None:
    fails = take("security", "T-0001", hands_over("fail", findings=[found("high")]))
    with stage(plain(tmp_path), builds("T-0001", "a.txt"), reviews("T-0001")[0], fails, builds("T-0002")) as on:
        all_reviewed(on)
        asked, edited = on.items()[0], on.last("T-0001")
        passes = edited.model_copy(update={"outcome": "pass", "findings": (), "to": ("merge",)})
        on.workspace.layout.handoff("T-0001", edited.seq).write_bytes(passes.render())
        on.workspace.layout.inbox_item(asked).unlink()
        assert (on.merge(), on.step("T-0001").to) == ([], ("human",))
        with pytest.raises(Refused, match="is not what was published"):
            on.decide(asked, "approve")
        (trouble,) = status(on.workspace).troubles
        assert trouble.startswith(f"handoffs/T-0001/{edited.seq:04}.md is not what was published; put it back")


def test_an_integration_branch_that_is_checked_out_is_refused_with_the_reason(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        git(on.workspace.repo, "switch", "-q", INTEGRATION)
        before, status = head(on), git(on.workspace.repo, "status", "--porcelain")
        results = on.merge()
        assert [result.outcome for result in results] == ["refused", "refused"]
        assert "is checked out at" in results[0].reasons[0]
        assert (head(on), git(on.workspace.repo, "status", "--porcelain")) == (before, status)
        git(on.workspace.repo, "switch", "-q", "main")
        assert [result.outcome for result in on.merge()] == ["merged", "merged"]


def test_the_integration_branch_follows_the_base(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        tip = commit_files(on.workspace.repo, {"later.txt": "x\n"}, "the owner goes on")
        first, _ = on.merge()
        assert git(on.workspace.repo, "log", "-1", "--format=%P", first.commit or "").split()[0] == tip
        assert on.changes(first.commit or "") == {"a.txt": "A"}


def test_a_second_merge_is_told_to_try_later(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        with held(on.workspace.layout.lock("merge"), "merge"), pytest.raises(TryLater, match="another merge"):
            on.merge()
        assert [result.outcome for result in on.merge()] == ["merged", "merged"]


def test_a_merge_that_died_before_it_could_say_so_is_settled_by_the_next(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        candidate = on.last().candidate or ""
        repo = Repository.open(on.workspace.repo)
        repo.move_branch(INTEGRATION, candidate, head(on))
        first, second = on.merge()
        assert (first.outcome, first.commit) == ("merged", candidate)
        assert on.last().merged == candidate
        assert on.files() == ("a.txt",)
        assert second.outcome == "merged"
        assert git(on.workspace.repo, "rev-list", "--count", "--first-parent", f"main..{INTEGRATION}") == "2"


def test_any_verb_that_settles_says_that_a_merge_landed(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        candidate = on.last().candidate or ""
        Repository.open(on.workspace.repo).move_branch(INTEGRATION, candidate, head(on))
        (line,) = settle(on.workspace, NOW)
        assert line == f"T-0001 was merged as {candidate[:10]} by a run that died before it could say so"
        assert (on.last("T-0001").sender, on.last("T-0001").merged) == ("merge", candidate)
        assert settle(on.workspace, NOW) == []
        with pytest.raises(Refused, match="has ended already: merged"):
            close(on.workspace, "T-0001", "not wanted after all", "Ada", NOW)
        assert [violation.what for violation in verify(on.workspace, datetime.now(UTC)).violations] == []


def test_what_landed_is_left_to_a_merge_that_is_under_way(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        Repository.open(on.workspace.repo).move_branch(INTEGRATION, on.last().candidate or "", head(on))
        with held(on.workspace.layout.lock("merge"), "merge"):
            assert settle(on.workspace, NOW) == []
        assert len(settle(on.workspace, NOW)) == 1


def test_a_list_of_files_that_is_cut_says_so() -> None:
    names = tuple(f"{number}.txt" for number in range(2_001))
    assert verified_by(DiffStat(names, 1, 0), None).files_cut
    assert not verified_by(DiffStat(names[1:], 1, 0), None).files_cut


def test_a_lost_handoff_is_found_again_when_the_owner_has_taken_the_branch_over(tmp_path: Path) -> None:
    with stage(plain(tmp_path), *passed(("a.txt", "1\n"), ("b.txt", "2\n"))) as on:
        all_reviewed(on)
        first, _second = on.merge()
        unpublish(on.workspace, "T-0001", on.last("T-0001").seq)
        git(on.workspace.repo, "merge", "--quiet", "--ff-only", "watchbill/integration")
        (found,) = on.merge()
        assert (found.outcome, found.commit) == ("merged", first.commit)
        assert on.last("T-0001").merged == first.commit


def test_a_cap_in_the_middle_of_a_conflict_keeps_the_work(tmp_path: Path) -> None:
    both = calls(("write", {"file_path": "notes.txt", "content": "good\nboth\n"}), ("submit_handoff", handing_over()))
    starts = take("build", "T-0002", writes("half.txt", "half\n"), hands_over("deferred"))
    with stage(plain(tmp_path), *conflicting(starts, take("build", "T-0002", both), *reviews("T-0002"))) as on:
        all_reviewed(on)
        on.merge()
        on.run("build")
        on.run("build")
        on.review()
        (landed,) = on.merge()
        assert landed.outcome == "merged"
        assert on.changes(landed.commit or "") == {"half.txt": "A", "notes.txt": "M"}


def test_nothing_ready_needs_no_sandbox(tmp_path: Path) -> None:
    with stage(plain(tmp_path)) as on:
        assert on.merge() == []


PROTECTED = {"gate": {"protected": ["a.txt"]}}


def test_a_protected_path_is_merged_after_a_humans_word_alone(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN, PROTECTED)
    with stage(workspace, builds("T-0001", "a.txt", "yes\n"), *reviews("T-0001")) as on:
        all_reviewed(on)
        (item,) = on.items()
        assert (on.merge(), on.step().to) == ([], ("human",))
        on.decide(item, "approve")
        assert [result.outcome for result in on.merge()] == ["merged"]


def test_the_merge_asks_git_and_not_the_documents_what_is_protected(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN, PROTECTED)
    with stage(workspace, builds("T-0001", "a.txt", "yes\n"), *reviews("T-0001")) as on:
        all_reviewed(on)
        parent = on.documents()[0].parent
        for document in on.documents():
            told = document.verified.model_copy(update={"files": ()}) if document.verified else None
            forged = document.model_copy(update={"verified": told, "parent": parent}).render()
            workspace.layout.handoff("T-0001", document.seq).write_bytes(forged)
            parent = sha256(forged)
        unnoted(workspace, "T-0001")
        assert on.step().to == ("merge",)
        before = head(on)
        (result,) = on.merge()
        assert (result.outcome, result.reasons) == ("refused", ("it changes a.txt, which no human let through",))
        assert head(on) == before
