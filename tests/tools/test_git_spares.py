"""A worktree that one ticket is done with is re-pointed for the next, and nothing of what was in it comes along."""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.repositories import commit_files, git, make_repository, owner_state, write_files
from watchbill.tools.git import Repository, Worktree, folders
from watchbill.tools.git.command import Git
from watchbill.tools.git.spares import MOST

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


@pytest.fixture
def repository(home: Path) -> Repository:
    return Repository.open(home)


@pytest.fixture
def start(home: Path) -> str:
    return git(home, "rev-parse", "HEAD")


@pytest.fixture
def places(tmp_path: Path) -> Path:
    return tmp_path / "worktrees"


def ticket(repository: Repository, places: Path, name: str, start: str) -> Worktree:
    return repository.worktree(places / name, f"watchbill/{name}", start)


def spares(places: Path) -> list[Path]:
    return sorted(places.glob("spare.*"))


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a worktree but its `.git` file: mode and bytes, or the target of a link, by name."""
    found = {}
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts == (".git",):
            continue
        told = path.lstat()
        what = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (told.st_mode, what)
    return found


def new_checkout(repository: Repository, tmp_path: Path, commit: str) -> dict[str, tuple[int, bytes]]:
    """What git itself checks out of `commit`."""
    place = tmp_path / "new"
    git(repository.root, "worktree", "add", "-q", "--detach", str(place), commit)
    try:
        return content(place)
    finally:
        git(repository.root, "worktree", "remove", "--force", str(place))


def settled(tree: Worktree) -> Worktree:
    """The same, as if the checkout had taken a while: of files of the last second, git reads the content again."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.02)
    tree.forget_index()
    tree._note_clean()
    return tree


def at_the_beginning_of_a_second() -> None:
    while time.time() % 1 > 0.3:
        time.sleep(0.02)


def test_the_next_ticket_gets_the_worktree_that_was_put_by(repository: Repository, places: Path, start: str) -> None:
    first = ticket(repository, places, "T-0001", start)
    write_files(first.path, {"new.txt": "1"})
    work = first.commit_all("Work", NOW)
    inode = first.path.stat().st_ino
    repository.put_by(first.path)
    assert not first.path.exists() and len(spares(places)) == 1
    second = ticket(repository, places, "T-0002", start)
    assert (second.path.stat().st_ino, second.git_dir) == (inode, first.git_dir)
    assert (second.head(), second.changed(), spares(places)) == (start, [], [])
    assert git(second.path, "status", "--porcelain", "--ignored", "--branch") == "## watchbill/T-0002"
    assert repository.head_of("watchbill/T-0001") == work


def test_a_spare_stands_in_the_way_of_nobody(repository: Repository, home: Path, places: Path, start: str) -> None:
    repository.put_by(ticket(repository, places, "T-0001", start).path)
    git(home, "switch", "-q", "watchbill/T-0001")
    git(home, "switch", "-q", "main")
    git(home, "branch", "-D", "watchbill/T-0001")


def test_a_clean_checkout_takes_a_spare_too(repository: Repository, places: Path, home: Path, start: str) -> None:
    repository.put_by(ticket(repository, places, "T-0001", start).path)
    second = commit_files(home, {"second.txt": "2\n"}, "second")
    tree = repository.detached_worktree(places / "T-0001.qa", second)
    assert (tree.head(), tree.changed(), spares(places)) == (second, [], [])
    repository.put_by(tree.path)
    assert ticket(repository, places, "T-0003", start).ready_for() == "watchbill/T-0003"


def test_a_spare_belongs_to_nobody_even_if_a_power_cut_brought_back_its_mark(
    repository: Repository, places: Path, start: str
) -> None:
    tree = ticket(repository, places, "T-0001", start)
    write_files(tree.path, {"left.txt": "1"})
    repository.put_by(tree.path)
    (tree.git_dir / "watchbill-ready").write_text("watchbill/T-0001\n")
    again = ticket(repository, places, "T-0002", start)
    assert (again.git_dir, again.changed()) == (tree.git_dir, [])


def test_a_worktree_that_is_in_use_is_never_taken(repository: Repository, places: Path, start: str) -> None:
    used = ticket(repository, places, "T-0001", start)
    write_files(used.path, {"README.md": "half\n"})
    other = ticket(repository, places, "T-0002", start)
    assert other.git_dir != used.git_dir
    assert (used.changed(), used.ready_for()) == (["README.md"], "watchbill/T-0001")


def test_there_are_never_more_spares_than_a_few(repository: Repository, places: Path, start: str) -> None:
    trees = [ticket(repository, places, f"T-{number:04}", start) for number in range(MOST + 2)]
    for tree in trees:
        repository.put_by(tree.path)
    assert len(spares(places)) == len(list(places.iterdir())) == MOST
    assert git(repository.root, "worktree", "list").count("\n") == MOST


def test_a_spare_that_somebody_else_took_is_passed_over(
    repository: Repository, places: Path, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.put_by(ticket(repository, places, "T-0001", start).path)
    (spare,) = spares(places)
    monkeypatch.setattr("watchbill.tools.git.spares._spares", lambda _: iter([spare.with_name("spare.gone"), spare]))
    assert ticket(repository, places, "T-0002", start).changed() == []
    assert not spare.exists()


def test_what_nobody_touched_is_left_as_it_lies(repository: Repository, places: Path, home: Path, start: str) -> None:
    second = commit_files(home, {"src/app.py": "second\n"}, "second")
    tree = settled(ticket(repository, places, "T-0001", start))
    write_files(tree.path, {".gitignore": "edited\n"})
    before = {path.name: path.stat() for path in tree.path.rglob("*") if path.is_file()}
    repository.put_by(tree.path)
    again = ticket(repository, places, "T-0002", second)
    after = {path.name: path.stat() for path in again.path.rglob("*") if path.is_file()}
    unchanged = {name for name, told in after.items() if told.st_ctime_ns == before[name].st_ctime_ns}
    assert unchanged == {"README.md", "data.txt"}


def test_of_several_who_reach_for_a_spare_each_gets_a_worktree_of_its_own(
    repository: Repository, places: Path, start: str
) -> None:
    for tree in [ticket(repository, places, f"T-{number:04}", start) for number in range(2)]:
        repository.put_by(tree.path)
    begin = threading.Barrier(4)
    found: list[Worktree] = []

    def reach(number: int) -> None:
        begin.wait()
        found.append(repository.detached_worktree(places / f"T-{number:04}.qa", start))

    threads = [threading.Thread(target=reach, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({tree.git_dir for tree in found}) == 4
    assert [(tree.head(), tree.changed()) for tree in found] == [(start, [])] * 4


def test_nothing_that_an_agent_left_survives(
    repository: Repository, places: Path, home: Path, tmp_path: Path, start: str
) -> None:
    second = commit_files(home, {"src/app.py": "second\n", "more/x.txt": "1\n"}, "second")
    outside = tmp_path / "outside"
    write_files(outside, {"er/data.txt": "untouched\n"})
    before = owner_state(home)
    tree = ticket(repository, places, "T-0001", start)
    write_files(tree.path, {"new.txt": "1", "x.log": "1", "build/out": "1", "README.md": "edited\n", "closed/a/b": "1"})
    make_repository(tree.path / "vendored")
    make_repository(tree.path / "more")
    (tree.path / "src" / "deep" / "er" / "data.txt").chmod(0o777)
    shutil.rmtree(tree.path / "src" / "deep")
    (tree.path / "src" / "deep").symlink_to(outside)
    os.mkfifo(tree.path / "src" / "pipe")
    (tree.path / "closed" / "a").chmod(0)
    (tree.path / "closed").chmod(0o500)
    (tree.path / "src").chmod(0o2777)
    (tree.path / ".git").unlink()
    make_repository(tmp_path / "third")
    shutil.move(tmp_path / "third" / ".git", tree.path / ".git")
    repository.put_by(tree.path)
    again = ticket(repository, places, "T-0002", second)
    assert again.git_dir == tree.git_dir, "it was made anew, and not re-pointed"
    assert content(again.path) == new_checkout(repository, tmp_path, second)
    assert (outside / "er/data.txt").read_text() == "untouched\n"
    assert owner_state(home) == before


@pytest.mark.parametrize("clock", ["goes on", "was set back"])
def test_an_edit_that_hides_behind_old_times_and_the_same_size_is_found(
    clock: str, repository: Repository, places: Path, start: str
) -> None:
    tree = ticket(repository, places, "T-0001", start)
    file = tree.path / "README.md"
    # git compares whole seconds. Its index gets the times that the agent made up, and the edit comes in that second.
    at_the_beginning_of_a_second()
    os.utime(file, (1_000_000, 1_000_000))
    assert tree.commit_all("Nothing", NOW) is None
    file.write_bytes(file.read_bytes().swapcase())
    os.utime(file, (1_000_000, 1_000_000))
    if clock == "was set back":
        mark = tree.git_dir / "watchbill-clean"
        _, _, settings = mark.read_text().partition(" ")
        mark.write_text(f"{time.time_ns() + 3_600 * 10**9} {settings}")
    repository.put_by(tree.path)
    assert (ticket(repository, places, "T-0002", start).path / "README.md").read_text() == "# A small project\n"


def test_folders_that_changed_places_are_found(home: Path, places: Path, tmp_path: Path) -> None:
    start = commit_files(home, {"one/x.txt": "1\n", "two/x.txt": "2\n"}, "alike")
    repository = Repository.open(home)
    tree = settled(ticket(repository, places, "T-0001", start))
    # The files themselves are not touched by this; both are of one size and of one second.
    for old, new in (("one", "three"), ("two", "one"), ("three", "two")):
        (tree.path / old).rename(tree.path / new)
    repository.put_by(tree.path)
    assert content(ticket(repository, places, "T-0002", start).path) == new_checkout(repository, tmp_path, start)


@pytest.mark.parametrize("bit", ["--skip-worktree", "--assume-unchanged"])
def test_an_index_that_hides_files_is_not_believed(bit: str, repository: Repository, places: Path, start: str) -> None:
    tree = ticket(repository, places, "T-0001", start)
    git(tree.path, "update-index", bit, "README.md", "src/app.py")
    write_files(tree.path, {"README.md": "hidden\n"})
    (tree.path / "src/app.py").unlink()
    repository.put_by(tree.path)
    again = ticket(repository, places, "T-0002", start)
    assert (again.path / "README.md").read_text() == "# A small project\n"
    assert (again.path / "src/app.py").exists()
    assert {line[0] for line in git(again.path, "ls-files", "-v").splitlines()} == {"H"}


@pytest.mark.parametrize("how", ["a commit", "info/attributes", "a filter"])
def test_what_decides_how_files_are_checked_out_decides_it_for_every_file(
    how: str, home: Path, places: Path, tmp_path: Path
) -> None:
    git(home, "config", "filter.loud.smudge", "tr a-z A-Z")
    git(home, "config", "filter.loud.clean", "tr A-Z a-z")
    start = commit_files(home, {"README.md": "all in small letters\n"}, "small")
    attributes = {".gitattributes": "*.md filter=loud\n", "src/.gitattributes": "*.py text eol=crlf\n"}
    other = commit_files(home, attributes, "attributes")
    repository = Repository.open(home)
    first = start if how == "a commit" else other
    repository.put_by(settled(ticket(repository, places, "T-0001", first)).path)
    match how:
        case "info/attributes":
            write_files(home / ".git" / "info", {"attributes": "*.md -filter\n"})
        case "a filter":
            git(home, "config", "filter.loud.smudge", "tr a-z B-ZA")
    tree = ticket(repository, places, "T-0002", other)
    assert content(tree.path) == new_checkout(repository, tmp_path, other)


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every step that changes something is counted, and step `number` (from 0) is not made any more."""
    steps: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **more: Any) -> Any:
            if name != "run" or args[1] in ("update-ref", "symbolic-ref", "read-tree", "worktree"):
                if len(steps) >= number:
                    raise Killed
                steps.append(f"{name} {args[1:]}")
            return real(*args, **more)

        return step

    with monkeypatch.context() as patched:
        for owner, name in (
            (Git, "run"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "write_text"),
            (Path, "write_bytes"), (Path, "mkdir"), (folders, "_erase_some"),
        ):  # fmt: skip
            patched.setattr(owner, name, counted(name, getattr(owner, name)))
        yield steps


@pytest.mark.parametrize("what", ["put by", "ticket"])
def test_killed_at_any_step_the_next_worktree_is_whole(
    what: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    # Nothing here is about the disk, and waiting for it would take most of the time.
    monkeypatch.setattr("watchbill.tools.git.worktree.sync_file_system", lambda _folder: None)
    repository = Repository.open(home)
    second = commit_files(home, {"src/app.py": "second\n"}, "second")
    wanted = new_checkout(repository, tmp_path, second)
    ended = False
    for number in range(40):
        places = tmp_path / f"worktrees{number}"
        name, other = f"T-{number:04}", f"T-{number:04}.1"
        tree = ticket(repository, places, name, start)
        write_files(tree.path, {"README.md": "committed\n", "left.txt": "1"})
        work = tree.commit_all("Work", NOW, excludes=("left.txt",))
        if what != "put by":
            repository.put_by(tree.path)
        with killed_at(number, monkeypatch) as steps:
            try:
                if what == "put by":
                    repository.put_by(tree.path)
                else:
                    ticket(repository, places, other, second)
                ended = True
            except Killed:
                pass
        following = ticket(repository, places, other, second)
        assert (following.head(), following.changed(), content(following.path)) == (second, [], wanted), steps
        # Until it is put by, what lies in the ticket's own worktree is the ticket's.
        again = ticket(repository, places, name, start)
        assert (again.head(), set(again.changed()) - {"left.txt"}) == (work, set()), steps
        assert not (again.path / "left.txt").exists() or (what == "put by" and not steps), steps
        shutil.rmtree(places)
        if ended:
            break
    assert ended and number > 3


def test_folders_of_others_stay_closed_to_them(repository: Repository, places: Path, start: str) -> None:
    tree = ticket(repository, places, "T-0001", start)
    (tree.path / "src").chmod(0o777)
    repository.put_by(tree.path)
    again = ticket(repository, places, "T-0002", start)
    assert stat.S_IMODE((again.path / "src").stat().st_mode) & 0o022 == 0
