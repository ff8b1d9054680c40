"""Edits of inbox files are noticed, however they are made, and each answer is published once."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
import watchdog.events
import watchdog.observers

from tests.stages.waiting_workspace import NOW, ask_something, decisions, make_workspace, with_answer
from watchbill.errors import TryLater
from watchbill.stages import watch as stage
from watchbill.stages.decide import pick_up
from watchbill.workspace import Workspace

PATIENT = 60.0
EVENTS = [name for name in vars(watchdog.events) if name.startswith("EVENT_TYPE_")]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "watch bill")


@pytest.fixture
def only_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is found by looking regularly: what is noticed was reported by the system."""
    monkeypatch.setattr(stage, "LOOK", 600.0)


class Watch:
    """A watch in a thread of its own. `said` is what it told, `rounds` how often it asked for answers."""

    def __init__(self, workspace: Workspace, patience: float, now: datetime) -> None:
        self.workspace = workspace
        self.now = now
        self.said: list[str] = []
        self.rounds = 0
        self.fail: Exception | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(patience,))

    def _run(self, patience: float) -> None:
        stage.watch(self.workspace.layout, self._pick_up, self.said.append, stop=self._stop, patience=patience)

    def _pick_up(self) -> None:
        self.rounds += 1
        assert self.may_go_on.wait(30)
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        decided, troubles = pick_up(self.workspace, self.now)
        self.said += [f"{answer.item} {answer.decision}" for answer in decided] + troubles

    def start(self) -> None:
        self._thread.start()
        until(lambda: self.rounds > 0)

    def stop(self) -> None:
        self._stop.set()
        # The regular look may be far away; an event ends the wait.
        (self.workspace.layout.inbox / "wake").touch()
        self._thread.join(30)
        assert not self._thread.is_alive()


@contextmanager
def watching(workspace: Workspace, patience: float = PATIENT, now: datetime = NOW) -> Iterator[Watch]:
    watch = Watch(workspace, patience, now)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 30 seconds"
        time.sleep(0.02)


def write_in_place(item: Path, text: str) -> None:
    item.write_text(text, "utf-8")


def write_by_rename(item: Path, text: str) -> None:
    draft = item.with_name(f".{item.name}.swp")
    draft.write_text(text, "utf-8")
    draft.replace(item)


def write_with_a_backup(item: Path, text: str) -> None:
    item.rename(item.with_name(f"{item.name}~"))
    item.write_text(text, "utf-8")


@pytest.mark.parametrize("save", [write_in_place, write_by_rename, write_with_a_backup])
@pytest.mark.usefixtures("only_events")
def test_an_answer_is_published_when_its_file_is_saved(workspace: Workspace, save: Callable[[Path, str], None]) -> None:
    item = ask_something(workspace)
    with watching(workspace) as watch:
        save(item, with_answer(item, "approve"))
        until(lambda: bool(watch.said))
    assert watch.said == ["T-0001-0001 approve"]
    assert decisions(workspace) == ["approve"]
    assert workspace.layout.decided_item(item.stem).is_file()
    assert not item.exists()


@pytest.mark.usefixtures("only_events")
def test_a_save_that_is_half_done_is_no_trouble(workspace: Workspace) -> None:
    item = ask_something(workspace)
    text = with_answer(item, "dismiss")
    with watching(workspace) as watch:
        item.write_text("", "utf-8")
        until(lambda: watch.rounds == 2)
        item.write_text(text[:40], "utf-8")
        until(lambda: watch.rounds == 3)
        item.write_text(text, "utf-8")
        until(lambda: bool(watch.said))
    assert watch.said == ["T-0001-0001 dismiss"]
    assert decisions(workspace) == ["dismiss"]


def test_a_file_that_stays_unreadable_is_said_once_and_read_when_it_is_mended(workspace: Workspace) -> None:
    item, other = ask_something(workspace), ask_something(workspace, "T-0002")
    good = with_answer(item, "approve")
    with watching(workspace, patience=0) as watch:
        item.write_text(with_answer(item, "aprove"), "utf-8")
        until(lambda: any("T-0001-0001.md cannot be read: decision: Input" in line for line in watch.said))
        other.write_text(with_answer(other, "reject"), "utf-8")
        until(lambda: "T-0002-0001 reject" in watch.said)
        item.write_text(good, "utf-8")
        until(lambda: "T-0001-0001 approve" in watch.said)
    assert sum("decision: Input should be 'approve'" in line for line in watch.said) == 1


def test_a_save_counts_when_it_is_finished(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "QUIET", 3.0)
    monkeypatch.setattr(stage, "LONGEST_SAVE", 60.0)
    item = ask_something(workspace)
    first, second = with_answer(item, "reject"), with_answer(item, "approve")
    with watching(workspace) as watch:
        item.write_text(first, "utf-8")
        time.sleep(0.5)
        item.write_text(second, "utf-8")
        until(lambda: bool(watch.said))
    assert decisions(workspace) == ["approve"]


def test_what_was_answered_before_the_watch_is_published(workspace: Workspace) -> None:
    item = ask_something(workspace)
    item.write_text(with_answer(item, "approve"), "utf-8")
    with watching(workspace) as watch:
        until(lambda: bool(watch.said))
    assert decisions(workspace) == ["approve"]


def test_where_the_system_reports_no_edits_the_folder_is_polled(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_watches() -> NoReturn:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(watchdog.observers, "Observer", out_of_watches)
    item = ask_something(workspace)
    with watching(workspace) as watch:
        item.write_text(with_answer(item, "approve"), "utf-8")
        until(lambda: len(watch.said) == 2)
    assert "inotify instance limit reached" in watch.said[0]
    assert "every 0.5 seconds" in watch.said[0]
    assert watch.said[1] == "T-0001-0001 approve"


def move_away(inbox: Path) -> None:
    inbox.rename(inbox.with_name("inbox.old"))
    inbox.mkdir()


def delete(inbox: Path) -> None:
    """Delete the folder and make one that, where the file system does so, has the number of the old one."""
    number = inbox.stat().st_ino
    for _ in range(20):
        shutil.rmtree(inbox)
        inbox.mkdir()
        if inbox.stat().st_ino == number:
            break


@pytest.mark.parametrize("replace", [move_away, delete])
@pytest.mark.usefixtures("only_events")
def test_a_folder_that_takes_the_inboxs_place_is_listened_to(
    workspace: Workspace, replace: Callable[[Path], None]
) -> None:
    item = ask_something(workspace)
    asked = item.read_text("utf-8")
    with watching(workspace) as watch:
        watch.may_go_on.clear()
        item.write_text(asked + "\n", "utf-8")
        until(lambda: watch.rounds == 2)
        replace(workspace.layout.inbox)
        watch.may_go_on.set()
        item.write_text(asked, "utf-8")
        until(lambda: watch.rounds == 3)
        item.write_text(with_answer(item, "approve"), "utf-8")
        until(lambda: bool(watch.said))
    assert decisions(workspace) == ["approve"]


def test_an_edit_that_the_system_did_not_report_is_found_by_looking(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_ONLY_READ", tuple(vars(watchdog.events)[name] for name in EVENTS))
    item = ask_something(workspace)
    with watching(workspace) as watch:
        item.write_text(with_answer(item, "approve"), "utf-8")
        until(lambda: bool(watch.said))
    assert watch.said == ["T-0001-0001 approve"]


def test_three_watches_publish_an_answer_once(workspace: Workspace) -> None:
    items = [ask_something(workspace, f"T-000{number}") for number in range(1, 5)]
    with ExitStack() as stack:
        moments = [NOW + timedelta(seconds=number) for number in range(3)]
        watches = [stack.enter_context(watching(workspace, now=moment)) for moment in moments]
        for item in items:
            item.write_text(with_answer(item, "approve"), "utf-8")
        until(lambda: not any(item.exists() for item in items))
    published = [line for watch in watches for line in watch.said if line.endswith(" approve")]
    assert sorted(published) == [f"T-000{number}-0001 approve" for number in range(1, 5)]
    assert all(decisions(workspace, f"T-000{number}") == ["approve"] for number in range(1, 5))


def test_trouble_with_the_disk_is_said_and_tried_again(workspace: Workspace) -> None:
    item = ask_something(workspace)
    with watching(workspace) as watch:
        watch.fail = TryLater("cannot write 0002.md: the disk is full")
        item.write_text(with_answer(item, "approve"), "utf-8")
        until(lambda: len(watch.said) == 2)
    assert watch.said == ["cannot write 0002.md: the disk is full; this is tried again", "T-0001-0001 approve"]


def test_an_item_that_somebody_else_files_meanwhile_is_no_trouble(workspace: Workspace) -> None:
    item = ask_something(workspace)
    with watching(workspace) as watch:
        watch.fail = FileNotFoundError(errno.ENOENT, "No such file or directory")
        item.write_text(with_answer(item, "approve"), "utf-8")
        until(lambda: bool(watch.said))
    assert watch.said == ["T-0001-0001 approve"]


def test_the_watch_ends_when_its_seconds_are_over(workspace: Workspace) -> None:
    rounds: list[str] = []
    stage.watch(workspace.layout, lambda: rounds.append("asked"), rounds.append, seconds=0.1)
    assert rounds == ["asked"]
