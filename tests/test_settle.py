"""What a dead run, a careless editor or a full disk left is put in order, once, and said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.repositories import commit_files, git
from tests.sessions import CHECK, PLAIN
from tests.workspaces import NOW, make_workspace
from watchbill.hand_over import hand_over
from watchbill.settle import settle
from watchbill.stages.decide import decide
from watchbill.workspace import Workspace


def plain(folder: Path) -> Workspace:
    return make_workspace(folder, {"T-0001": "Do it"}, CHECK, PLAIN)


def blocked(workspace: Workspace) -> None:
    fields = {"from": "build", "outcome": "blocked", "reason": "it contradicts itself"}
    hand_over(workspace, "T-0001", fields, NOW, lambda _history, _step: True)


def items(workspace: Workspace) -> list[str]:
    return sorted(path.stem for path in workspace.layout.inbox.glob("*-*.md"))


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_workspace_in_order_is_left_as_it_is(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    blocked(workspace)
    before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
    assert settle(workspace, NOW) == []
    assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before


def test_temporary_files_of_the_dead_go_and_those_of_the_living_and_of_others_stay(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    blocked(workspace)
    folder = workspace.layout.history_of("T-0001")
    dead = folder / f".0002.md.{dead_process()}-0123abcd.tmp"
    alive = folder / f".0002.md.{os.getppid()}-0123abcd.tmp"
    own = folder / ".notes.tmp"
    for path in (dead, alive, own):
        path.write_text("half")
    (line,) = settle(workspace, NOW)
    assert dead.name in line
    assert [path.exists() for path in (dead, alive, own)] == [False, True, True]


def test_temporary_files_of_derived_things_go_as_well(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    folder = workspace.layout.cache / "checks"
    folder.mkdir(parents=True)
    left = folder / f".0a1b.json.{dead_process()}-0123abcd.tmp"
    left.write_text("half")
    (line,) = settle(workspace, NOW)
    assert left.name in line
    assert not left.exists()


def test_a_ticket_that_cannot_be_read_is_set_aside_whole_and_a_human_is_asked(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    bad = workspace.layout.tickets / "T-0002.md"
    bad.write_bytes(b"\xff\xfe not a ticket")
    (line,) = settle(workspace, NOW)
    assert "T-0002.md" in line
    assert not bad.exists()
    kept = [path for path in workspace.layout.quarantine.rglob("*T-0002*") if path.is_file()]
    assert b"\xff\xfe not a ticket" in [path.read_bytes() for path in kept]
    assert items(workspace) == ["T-0002-0000"]
    assert settle(workspace, NOW) == []


def test_a_damaged_document_keeps_its_number_and_its_ticket_waits(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    blocked(workspace)
    path = workspace.layout.handoff("T-0001", 1)
    path.write_bytes(path.read_bytes()[:60])
    workspace.layout.inbox_item("T-0001-0001").unlink()
    (line,) = settle(workspace, NOW)
    assert "0001.md" in line
    assert path.with_suffix(".damaged").is_file()
    assert workspace.history("T-0001").next_seq == 2
    assert items(workspace) == ["T-0001-0001"]
    assert settle(workspace, NOW) == []
    decide(workspace, "T-0001-0001", "dismiss", "go on", "ada", NOW)
    assert workspace.history("T-0001").damage == ()


def test_a_question_that_a_dead_run_could_not_ask_is_asked(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    blocked(workspace)
    page = workspace.layout.inbox_item("T-0001-0001").read_bytes()
    workspace.layout.inbox_item("T-0001-0001").unlink()
    (line,) = settle(workspace, NOW)
    assert "T-0001-0001" in line
    assert workspace.layout.inbox_item("T-0001-0001").read_bytes() == page
    assert settle(workspace, NOW) == []


def test_an_answered_item_that_a_dead_run_could_not_file_is_filed(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    blocked(workspace)
    item = workspace.layout.inbox_item("T-0001-0001")
    page = item.read_bytes()
    decide(workspace, "T-0001-0001", "approve", "", "ada", NOW)
    workspace.layout.decided_item("T-0001-0001").unlink()
    item.write_bytes(page)
    (line,) = settle(workspace, NOW)
    assert "answered already" in line
    assert (items(workspace), workspace.layout.decided_item("T-0001-0001").is_file()) == ([], True)
    assert settle(workspace, NOW) == []


def test_an_item_that_an_editor_spoilt_is_named_and_left(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    blocked(workspace)
    item = workspace.layout.inbox_item("T-0001-0001")
    item.write_text("my cat walked over the keyboard")
    (line,) = settle(workspace, NOW)
    assert item.name in line
    assert item.read_text() == "my cat walked over the keyboard"


def test_what_a_power_cut_left_empty_in_the_repository_is_removed(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    objects = workspace.repo / ".git" / "objects"
    empty = objects / "ab" / ("0" * 38)
    being_written = objects / "ab" / "tmp_obj_x"
    empty.parent.mkdir(exist_ok=True)
    for path in (empty, being_written):
        path.touch()
    (line,) = settle(workspace, NOW)
    assert "1 empty object" in line
    assert not empty.exists()
    assert being_written.exists()


def test_branches_that_a_power_cut_left_empty_are_put_back_where_the_documents_say(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it", "T-0002": "And this"}, CHECK, PLAIN)
    base = git(workspace.repo, "rev-parse", "HEAD")
    work = commit_files(workspace.repo, {"notes.txt": "more\n"}, "Work")
    git(workspace.repo, "branch", "watchbill/T-0001", work)
    git(workspace.repo, "branch", "watchbill/T-0002", base)
    git(workspace.repo, "branch", "watchbill/integration", work)
    fields = {"from": "build", "outcome": "done", "commit": work, "base": base}
    hand_over(workspace, "T-0001", fields, NOW, lambda _history, _step: True)
    merged = {"from": "merge", "outcome": "done", "commit": work, "candidate": work, "merged": work}
    hand_over(workspace, "T-0001", merged, NOW, lambda _history, _step: True)
    for name in ("T-0001", "T-0002", "integration"):
        (workspace.repo / ".git" / "refs" / "heads" / "watchbill" / name).write_bytes(b"")
    lines = settle(workspace, NOW)
    assert len(lines) == 3
    assert git(workspace.repo, "rev-parse", "watchbill/T-0001", "watchbill/integration").split() == [work, work]
    assert git(workspace.repo, "branch", "--list", "watchbill/T-0002") == ""
    assert settle(workspace, NOW) == []
