"""Facts about the ends of histories: the last document is held by what was noted of it, and `--since` reads no more."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.outside import refused, works
from tests.repositories import commit_files, git
from tests.stages.test_verify import INTEGRATION, Team, a_finding, edit, handoff, look, violations
from tests.workspaces import NOW, make_workspace
from watchbill.documents.handoff import Handoff
from watchbill.errors import Misconfigured, Stale, TryLater
from watchbill.files import journal
from watchbill.hand_over import hand_over
from watchbill.heads import note_intended, read_heads
from watchbill.history import History
from watchbill.stages.archive import archive
from watchbill.stages.decide import decide
from watchbill.stages.verify import Report, moment_of, verify
from watchbill.workspace import Workspace

YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T-0001 merged; T-0002 mended by a human's word and merged; T-0003 waits for its reviews."""
    folder = tmp_path_factory.mktemp("night")
    team = Team(make_workspace(folder, {f"T-{n:04}": f"Work {n}" for n in (1, 2, 3)}, test_command="true"))
    team.travel("T-0001")
    team.build("T-0002", {"two.txt": "wrong"})
    team.review("security", "T-0002", "fail", a_finding())
    decide(team.workspace, "T-0002-0002", "approve", "mend it", "Ada", NOW)
    team.build("T-0002", {"two.txt": "right"}, approval=3)
    team.pass_reviews("T-0002")
    assert team.merge("T-0002") == ["merged"]
    team.build("T-0003", {"three.txt": "3"})
    return folder


@pytest.fixture
def team(night: Path, tmp_path: Path) -> Team:
    shutil.copytree(night, tmp_path / "copy", symlinks=True)
    return Team(Workspace(tmp_path / "copy" / "watch"))


def since(team: Team, days: int) -> Report:
    """Verify as if a year had gone by, looking so many days back."""
    return verify(Workspace(team.workspace.root), NOW + YEAR, NOW + YEAR - timedelta(days=days))


def told(report: Report) -> list[str]:
    return [f"{violation.path}: {violation.what}" for violation in report.violations]


# The last document


def test_an_edit_of_the_last_document_is_found(team: Team) -> None:
    edit(handoff(team, "T-0003", 1), "^turns: 2", "turns: 1")
    (found,) = violations(team)
    assert found.startswith("handoffs/T-0003/0001.md: it is not what was published")


def test_a_last_document_that_is_gone_is_found(team: Team) -> None:
    handoff(team, "T-0002", 7).unlink()
    assert any(line.startswith("handoffs/T-0002/0007.md: it was published") for line in violations(team))


def test_a_run_that_died_before_it_published_leaves_a_note_until_the_number_is_given(team: Team) -> None:
    unborn = team.workspace.history("T-0003").handoffs[0].model_copy(update={"seq": 2})
    note_intended(team.workspace.layout, unborn)
    report = look(team)
    assert report.violations == ()
    assert any(note.startswith("handoffs/T-0003/0002.md: it was about to be published") for note in report.notes)
    team.review("qa", "T-0003")
    report = look(team)
    assert (report.violations, report.notes) == ((), ())


def test_an_edit_is_found_although_a_run_died_after_it(team: Team) -> None:
    last = team.workspace.history("T-0003").handoffs[0]
    note_intended(team.workspace.layout, last.model_copy(update={"seq": 2}))
    edit(handoff(team, "T-0003", 1), "^turns: 2", "turns: 1")
    assert any("it is not what was published" in found for found in violations(team))


def test_it_is_noted_before_it_is_published(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []

    def publishing(layout: Any, _: History, document: Handoff, *_more: Any) -> History:
        seen.append(read_heads(layout)["T-0003"].shas.get(document.seq, set()))
        raise TryLater("the disk is full")

    monkeypatch.setattr("watchbill.hand_over.append", publishing)
    with pytest.raises(TryLater):
        team.review("qa", "T-0003")
    assert [len(shas) for shas in seen] == [1]


def test_what_cannot_be_noted_is_not_published(team: Team) -> None:
    team.workspace.layout.heads.unlink()
    team.workspace.layout.heads.mkdir()
    with pytest.raises(TryLater):
        team.review("qa", "T-0003")
    assert not handoff(team, "T-0003", 2).exists()
    assert any(found.startswith(".watchbill/journals/heads.jsonl: cannot read") for found in violations(team))


def test_that_it_was_published_need_not_be_noted(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise TryLater("the disk is full")

    monkeypatch.setattr("watchbill.hand_over.note_published", full)
    assert team.review("qa", "T-0003").seq == 2
    assert violations(team) == []


def test_writers_that_race_are_both_noted_and_the_winner_is_what_was_published(team: Team) -> None:
    workspace = team.workspace
    beaten: list[Handoff] = []

    def still_valid(*_: Any) -> bool:
        if not beaten:
            beaten.append(team.review("qa", "T-0003"))
            raise Stale("beaten")
        return True

    with pytest.raises(Stale):
        hand_over(workspace, "T-0003", {"from": "merge", "outcome": "deferred"}, NOW, still_valid)
    note_intended(workspace.layout, beaten[0].model_copy(update={"turns": 9}))
    assert violations(team) == []


def test_the_line_of_a_run_that_died_is_no_proof_after_a_power_cut(team: Team) -> None:
    lines = team.workspace.layout.heads.read_bytes()
    dead = team.review("qa", "T-0003").model_copy(update={"turns": 9})
    team.workspace.layout.heads.write_bytes(lines)
    note_intended(team.workspace.layout, dead)
    report = look(team)
    assert report.violations == ()
    assert any("another hash, but not that it was published" in note for note in report.notes)


def test_a_workspace_without_the_journal_holds_as_before(team: Team) -> None:
    team.workspace.layout.heads.unlink()
    assert (look(team).violations, look(team).notes) == ((), ())


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"ticket": 1}', '{"ticket": "T-0003", "seq": "x", "published": 1.5}', "null"]
)
def test_a_spoilt_line_is_passed_over(team: Team, line: str) -> None:
    with team.workspace.layout.heads.open("a") as file:
        file.write(line)
    journal.jot(team.workspace.layout.heads, {"ticket": "T-0099"})
    assert violations(team) == []


def test_a_packed_history_still_ends_as_noted(team: Team) -> None:
    packed = archive(Workspace(team.workspace.root), timedelta(0), NOW + YEAR)
    assert "T-0001" in packed.tickets
    assert violations(team) == []
    (team.workspace.layout.root / packed.packs[0]).unlink()
    assert any(line.startswith("handoffs/T-0001/0004.md: it was published") for line in violations(team))


# Since when


def test_what_ended_before_is_read_at_its_end_only(team: Team) -> None:
    report = since(team, days=10)
    assert report.violations == ()
    assert (report.notes, report.glanced) == ((), 3)
    assert report.counts.documents == 3
    assert since(team, days=400).counts.documents == 12


def test_an_edit_within_what_ended_before_is_not_looked_for(team: Team) -> None:
    edit(handoff(team, "T-0001", 2), "^turns: 2", "turns: 1")
    assert told(since(team, days=10)) == []
    assert told(since(team, days=400)) != []


@pytest.mark.parametrize("seq", [1, 2, 3, 4])
def test_a_document_that_is_gone_from_what_ended_before_is_found(team: Team, seq: int) -> None:
    handoff(team, "T-0001", seq).unlink()
    assert any(line.startswith(f"handoffs/T-0001/{seq:04}.md: it ") for line in told(since(team, days=10)))


def test_an_edit_of_the_end_of_what_ended_before_is_found(team: Team) -> None:
    edit(handoff(team, "T-0001", 4), "^outcome: done", "outcome: pass")
    assert any("0004.md: it is not what was published" in line for line in told(since(team, days=10)))


def test_a_history_with_one_newer_document_is_read_whole(team: Team) -> None:
    edit(handoff(team, "T-0002", 2), "^turns: 2", "turns: 1")
    fields = {"from": "merge", "outcome": "deferred"}
    hand_over(team.workspace, "T-0002", fields, NOW + YEAR, lambda *_: True)
    assert any(line.startswith("handoffs/T-0002/0002.md: it is not what") for line in told(since(team, days=10)))


def test_the_branch_is_looked_at_whole(team: Team) -> None:
    repo = team.workspace.repo
    git(repo, "switch", "--quiet", INTEGRATION)
    commit_files(repo, {"x": "y"}, "Sneaked in\n\nWatchbill-Ticket: T-0001\nWatchbill-Handoff: T-0001/0001")
    assert any("T-0001 unapproved" in line for line in told(since(team, days=10)))
    git(repo, "reset", "--quiet", "--hard", "main")
    assert sum("is not on" in line for line in told(since(team, days=10))) == 2


def test_a_moment_is_a_number_of_days_a_date_or_a_time() -> None:
    assert moment_of("7", NOW) == NOW - timedelta(days=7)
    assert moment_of("2026-11-01", NOW).isoformat() == "2026-11-01T00:00:00+00:00"
    assert moment_of("2026-11-01T02:00:00+02:00", NOW) == moment_of("2026-11-01T00:00:00Z", NOW)


@pytest.mark.parametrize("word", ["", "yesterday", "-3", "2026-13-01", "2999-01-01", "999999", "1e3", "٣"])
def test_what_is_no_moment_is_refused(word: str) -> None:
    with pytest.raises(Misconfigured, match="--since"):
        moment_of(word, NOW)


def test_the_command_takes_it(team: Team) -> None:
    held = "what is newer holds; of 3 histories that ended before only the end was looked at\n"
    assert works(team.workspace.root, "verify", "--since", "1").out == held
    assert "is no moment" in refused(2, team.workspace.root, "verify", "--since", "soon")


# The decision that a commit names


def merged(team: Team, ticket: str) -> str:
    return next(item.merged for item in team.workspace.history(ticket).handoffs if item.merged) or ""


def trailers(team: Team, commit: str) -> dict[str, str]:
    return dict(team.repo.commit(commit).trailers)


def test_a_commit_names_the_decision_by_which_the_work_went_on(team: Team) -> None:
    assert trailers(team, merged(team, "T-0002"))["Watchbill-Decision"] == "T-0002/0003"
    assert "Watchbill-Decision" not in trailers(team, merged(team, "T-0001"))


def test_a_decision_about_the_reviews_leaves_the_candidate_as_it_was_reviewed(team: Team) -> None:
    failed = team.review("security", "T-0003", "fail", a_finding())
    decide(team.workspace, "T-0003-0002", "dismiss", "it is fine", "Ada", NOW)
    passed = team.review("qa", "T-0003")
    assert passed.candidate == failed.candidate
    assert team.merge("T-0003") == ["merged"]
    assert merged(team, "T-0003") == failed.candidate
    assert violations(team) == []


@pytest.mark.parametrize(
    ("named", "why"),
    [("T-0002/0002", "which is none that counts"), ("T-0009/0001", "none that counts"), ("T-0002/0003", "")],
)
def test_a_commit_that_names_another_decision_is_found(team: Team, named: str, why: str) -> None:
    repo, commit = team.workspace.repo, merged(team, "T-0002")
    one, two = team.repo.commit(commit).parents
    text = git(repo, "log", "-1", "--format=%B", commit).replace("T-0002/0003", named)
    made = git(repo, "commit-tree", f"{commit}^{{tree}}", "-p", one, "-p", two, "-m", text)
    git(repo, "update-ref", f"refs/heads/{INTEGRATION}", made)
    for path in team.workspace.layout.history_of("T-0002").glob("*.md"):
        path.write_text(path.read_text("utf-8").replace(commit, made), "utf-8")
    found = "\n".join(violations(team))
    assert why in found if why else "as the decision" not in found
