"""The git door, its worktree side: what an agent leaves in a folder, and what becomes of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.repositories import commit_files, git, make_repository, tree_of, write_files
from watchbill.errors import Refused, Stale
from watchbill.tools.git import Repository, Worktree

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
BRANCH = "watchbill/T-0001"


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
def place(tmp_path: Path) -> Path:
    return tmp_path / "worktrees" / "T-0001"


@pytest.fixture
def tree(repository: Repository, place: Path, start: str) -> Worktree:
    return repository.worktree(place, BRANCH, start)


def committed(tree: Worktree, home: Path) -> dict[str, str]:
    commit = tree.commit_all("Work", NOW)
    assert commit is not None
    return tree_of(home, commit)


# Committing


def test_everything_new_changed_and_deleted_is_committed(tree: Worktree, home: Path, start: str) -> None:
    write_files(tree.path, {"src/app.py": "changed\n", "new/file.txt": "1\n", "ignored.log": "x", "build/x": "x"})
    (tree.path / "README.md").unlink()
    (tree.path / "run.sh").write_text("#!/bin/sh\n")
    (tree.path / "run.sh").chmod(0o755)
    assert tree.changed() == ["README.md", "new/file.txt", "run.sh", "src/app.py"]
    assert tree.untracked() == ["new/file.txt", "run.sh"]
    commit = tree.commit_all("Work on it\n\nWatchbill-Ticket: T-0001", NOW)
    assert commit is not None
    files = tree_of(home, commit)
    assert sorted(files) == [".gitignore", "new/file.txt", "run.sh", "src/app.py", "src/deep/er/data.txt"]
    assert files["run.sh"] == "100755"
    assert git(home, "show", "-s", "--format=%P|%an|%ce|%cI|%s", commit) == (
        f"{start}|Watchbill|watchbill@localhost|2026-11-21T02:00:00+00:00|Work on it"
    )
    assert git(home, "rev-parse", BRANCH) == commit == tree.head()
    assert tree.changed() == []


def test_nothing_changed_makes_no_commit(tree: Worktree, start: str) -> None:
    assert tree.commit_all("Nothing", NOW) is None
    os.utime(tree.path / "README.md", (5, 5))
    assert tree.changed() == []
    assert tree.commit_all("Nothing", NOW) is None
    assert tree.head() == start


def test_a_time_without_a_zone_is_not_taken(tree: Worktree) -> None:
    with pytest.raises(ValueError, match="zone"):
        tree.commit_all("Work", NOW.replace(tzinfo=None))


def test_litter_is_left_out_unless_the_project_tracks_it(home: Path, repository: Repository, tmp_path: Path) -> None:
    start = commit_files(home, {"kept/__pycache__/data.pyc": "1"}, "tracked litter")
    tree = repository.worktree(tmp_path / "w", BRANCH, start)
    litter = [
        "a/__pycache__/x.pyc",
        "node_modules/m/i.js",
        ".venv/bin/python",
        ".coverage",
        "x.egg-info/PKG",
        ".DS_Store",
    ]
    write_files(tree.path, dict.fromkeys([*litter, "scratch/notes.md", "real.txt", "kept/__pycache__/data.pyc"], "2"))
    # Not even a project that wants them back gets the engine's own folders.
    write_files(tree.path, {"scratch/.gitignore": "!notes.md\n"})
    commit = tree.commit_all("Work", NOW, excludes=("/scratch/",))
    assert repository.diff_stat(start, commit or "").files == ("kept/__pycache__/data.pyc", "real.txt")


def test_links_are_committed_as_links_and_never_followed(tree: Worktree, home: Path, tmp_path: Path) -> None:
    write_files(tmp_path / "outside", {"secret.txt": "s3cret\n", "er/data.txt": "stolen\n"})
    (tree.path / "secret").symlink_to(tmp_path / "outside" / "secret.txt")
    (tree.path / "folder").symlink_to(tmp_path / "outside")
    shutil.rmtree(tree.path / "src" / "deep")
    (tree.path / "src" / "deep").symlink_to(tmp_path / "outside")
    files = committed(tree, home)
    assert {name: mode for name, mode in files.items() if mode == "120000"} == dict.fromkeys(
        ["folder", "secret", "src/deep"], "120000"
    )
    assert "src/deep/er/data.txt" not in files
    content = git(home, "cat-file", "--batch-all-objects", "--batch")
    assert "s3cret" not in content and "stolen" not in content


def test_files_and_folders_can_change_places(tree: Worktree, home: Path) -> None:
    (tree.path / "README.md").unlink()
    shutil.rmtree(tree.path / "src" / "deep")
    write_files(tree.path, {"README.md/inside.txt": "1", "src/deep": "now a file"})
    files = committed(tree, home)
    assert sorted(files) == [".gitignore", "README.md/inside.txt", "src/app.py", "src/deep"]


def test_a_nested_repository_becomes_ordinary_files(tree: Worktree, home: Path) -> None:
    make_repository(tree.path / "vendor" / "lib", {"code.py": "1\n", "deep/x.txt": "1\n", ".gitignore": "*.o\n"})
    make_repository(tree.path / "vendor" / "lib" / "inner", {"y.txt": "1\n"})
    make_repository(tree.path / ":(top)odd*", {"-y.txt": "1\n"})
    write_files(tree.path / "vendor" / "lib", {"new.py": "1", "x.o": "1", "x.log": "1", "__pycache__/x.pyc": "1"})
    make_repository(tree.path / "empty", {}, commit=False)
    # A tracked file whose place is taken by a repository must not turn into a gitlink either.
    (tree.path / "README.md").unlink()
    make_repository(tree.path / "README.md", {"z.txt": "1\n"})
    # And one planted in a folder that git knows.
    make_repository(tree.path / "planted", {"p.txt": "1"})
    shutil.move(tree.path / "planted" / ".git", tree.path / "src" / ".git")
    files = committed(tree, home)
    assert "160000" not in files.values()
    assert sorted(files) == [
        ".gitignore", ":(top)odd*/-y.txt", "README.md/z.txt", "planted/p.txt", "src/app.py", "src/deep/er/data.txt",
        "vendor/lib/.gitignore", "vendor/lib/code.py", "vendor/lib/deep/x.txt", "vendor/lib/inner/y.txt",
        "vendor/lib/new.py",
    ]  # fmt: skip


def test_a_submodule_of_the_project_stays_at_its_commit(home: Path, tmp_path: Path) -> None:
    library = make_repository(tmp_path / "library", {"l.py": "1\n"})
    git(home, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    git(home, "commit", "-q", "-m", "submodule")
    repository = Repository.open(home)
    tree = repository.worktree(tmp_path / "w", BRANCH, git(home, "rev-parse", "HEAD"))
    # The agent plants a repository there whose settings would run something in a naive `git status` or `git add`.
    make_repository(tmp_path / "evil", {"e": "1"})
    shutil.rmtree(tree.path / "lib")
    shutil.move(tmp_path / "evil", tree.path / "lib")
    git(tree.path / "lib", "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    modules = (tree.path / ".gitmodules").read_text()
    write_files(tree.path, {"lib/e": "2", "new.txt": "1", ".gitmodules": f"{modules}\tignore = none\n"})
    assert tree.changed() == [".gitmodules", "new.txt"]
    files = committed(tree, home)
    assert files["lib"] == "160000" and "new.txt" in files
    assert git(home, "rev-parse", f"{BRANCH}:lib") == git(library, "rev-parse", "HEAD")
    assert not (tmp_path / "ran").exists()
    assert sorted(entry.name for entry in repository.detached_worktree(tmp_path / "c", tree.head()).path.iterdir()) == [
        ".git", ".gitignore", ".gitmodules", "README.md", "lib", "new.txt", "src",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [".GIT/config", "a/git~1/config"])
def test_a_name_that_is_dangerous_elsewhere_is_refused(tree: Worktree, name: str, start: str) -> None:
    write_files(tree.path, {name: "x"})
    with pytest.raises(Refused, match="does not take"):
        tree.commit_all("Work", NOW)
    assert tree.head() == start


def test_names_that_are_not_text_are_kept_and_shown(tree: Worktree, home: Path) -> None:
    strange = [os.fsdecode(b"caf\xe9"), "new\nline", " space ", "*", "-f", '"quoted"', ":(top)x"]
    write_files(tree.path, dict.fromkeys(strange, "1"))
    assert "caf\\xe9" in tree.changed()
    files = committed(tree, home)
    assert set(strange) <= set(files)


def test_pipes_are_neither_opened_nor_committed(tree: Worktree, home: Path) -> None:
    os.mkfifo(tree.path / "pipe")
    (tree.path / "README.md").unlink()
    os.mkfifo(tree.path / "README.md")
    assert tree.conflict_markers() == []
    assert sorted(committed(tree, home)) == [".gitignore", "src/app.py", "src/deep/er/data.txt"]


@pytest.mark.parametrize("closed", [["locked.txt", "src/app.py"], ["closed/a.txt", "closed"]])
def test_what_is_unreadable_is_opened_up_and_committed(closed: list[str], tree: Worktree, home: Path) -> None:
    write_files(tree.path, {"closed/a.txt": "1", "locked.txt": "1", "src/app.py": "2"})
    for name in closed:
        (tree.path / name).chmod(0)
    files = committed(tree, home)
    assert {"closed/a.txt", "locked.txt"} <= set(files)
    assert git(home, "show", f"{BRANCH}:src/app.py") == "2"


@pytest.mark.parametrize("kind", ["elsewhere", "folder", "gone", "link", "evil"])
def test_the_git_file_in_the_folder_is_not_believed(
    kind: str, tree: Worktree, home: Path, repository: Repository, tmp_path: Path, start: str
) -> None:
    other = make_repository(tmp_path / "other", {"o": "1"})
    theirs = git(other, "rev-parse", "HEAD")
    file = tree.path / ".git"
    file.unlink()
    match kind:
        case "elsewhere":
            file.write_text(f"gitdir: {other}/.git\n")
        case "folder":
            shutil.move(make_repository(tmp_path / "third") / ".git", file)
        case "link":
            file.symlink_to(other / ".git")
        case "evil":
            shutil.copytree(other / ".git", tmp_path / "evil")
            git(
                other,
                "config",
                "-f",
                str(tmp_path / "evil" / "config"),
                "core.fsmonitor",
                f"touch {tmp_path}/ran;false",
            )
            file.write_text(f"gitdir: {tmp_path}/evil\n")
    write_files(tree.path, {"new.txt": "1"})
    assert tree.changed() == ["new.txt"]
    commit = tree.commit_all("Work", NOW)
    assert commit is not None and repository.commit(commit).parents == (start,)
    assert git(home, "rev-parse", BRANCH) == commit
    assert git(other, "rev-parse", "HEAD") == theirs
    assert not (tmp_path / "ran").exists()
    # The next session finds it in order again.
    again = repository.worktree(tree.path, BRANCH, start)
    assert (again.git_dir, again.head()) == (tree.git_dir, commit)
    assert git(tree.path, "rev-parse", "HEAD") == commit
    assert git(other, "rev-parse", "HEAD") == theirs


def test_a_branch_that_moved_meanwhile_makes_the_commit_stale(
    tree: Worktree, home: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    write_files(tree.path, {"new.txt": "1"})
    other = commit_files(home, {"x": "1"}, "other")
    # The branch moves after the commit was made and before it is named.
    stage = Worktree._stage

    def stage_while_somebody_moves_the_branch(self: Worktree, excludes: Sequence[str]) -> None:
        stage(self, excludes)
        monkeypatch.setattr(Worktree, "head", lambda _self: heads.pop())
        git(home, "update-ref", f"refs/heads/{BRANCH}", other)

    heads = [other, start]
    monkeypatch.setattr(Worktree, "_stage", stage_while_somebody_moves_the_branch)
    with pytest.raises(Stale):
        tree.commit_all("Work", NOW)
    assert git(home, "rev-parse", BRANCH) == other


LFS = {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "big.bin": "version of a pointer\n"}


def test_a_file_whose_filter_only_the_owner_has_is_not_committed_raw(home: Path, tmp_path: Path) -> None:
    start = commit_files(home, LFS, "large files")
    tree = Repository.open(home).worktree(tmp_path / "w", BRANCH, start)
    write_files(tree.path, {"big.bin": "raw\n", "notes.txt": "1"})
    with pytest.raises(Refused, match=r"big\.bin goes through the filter 'lfs'.*raw"):
        tree.commit_all("Work", NOW)
    assert (tree.head(), tree.changed()) == (start, ["big.bin", "notes.txt"])
    # A new one is no better.
    write_files(tree.path, {"big.bin": LFS["big.bin"], "new.bin": "raw\n"})
    with pytest.raises(Refused, match=r"new\.bin"):
        tree.commit_all("Work", NOW)
    # Other files are, and so are these as soon as the repository has the filter itself.
    (tree.path / "new.bin").unlink()
    assert committed(tree, home)["notes.txt"]
    git(home, "config", "filter.lfs.clean", "tr a-z A-Z")
    write_files(tree.path, {"new.bin": "raw\n"})
    committed(tree, home)
    assert git(home, "show", f"{BRANCH}:new.bin") == "RAW"


def test_the_filters_that_are_missing_are_known(home: Path, repository: Repository) -> None:
    assert repository.missing_filters() == {}
    commit_files(home, LFS, "large files")
    assert repository.missing_filters() == {"lfs": "big.bin"}
    git(home, "config", "filter.lfs.process", "git-lfs filter-process")
    assert repository.missing_filters() == {}


# Merging


def conflict(home: Path, tree: Worktree) -> str:
    """The ticket and the integration branch change the same line; the answer is the integration head."""
    head = commit_files(home, {"src/app.py": "ours\n", "fresh.txt": "ours\n"}, "ours")
    write_files(tree.path, {"src/app.py": "theirs\n"})
    assert tree.commit_all("theirs", NOW)
    return head


def test_a_resolved_conflict_merges_cleanly(tree: Worktree, home: Path, repository: Repository) -> None:
    head = conflict(home, tree)
    ticket = tree.head()
    assert repository.candidate(head, ticket, "Merge").conflicts == ("src/app.py",)
    assert tree.begin_merge(head) == ["src/app.py"]
    assert tree.conflict_markers() == ["src/app.py"]
    assert "<<<<<<< HEAD\ntheirs\n=======\nours\n>>>>>>> " in (tree.path / "src/app.py").read_text()
    assert tree.changed() == ["fresh.txt", "src/app.py"]
    write_files(tree.path, {"src/app.py": "both\n"})
    assert tree.conflict_markers() == []
    commit = tree.commit_all("Resolve", NOW, second_parent=head)
    assert commit is not None and tree.merging() is None
    assert repository.commit(commit).parents == (ticket, head)
    candidate = repository.candidate(head, commit, "Merge")
    assert candidate.commit is not None
    assert repository.read_file(candidate.commit, "src/app.py", 99) == b"both\n"
    assert repository.diff_stat(head, candidate.commit).files == ("src/app.py",)


def test_a_merge_that_changes_nothing_is_still_a_merge(tree: Worktree, home: Path, repository: Repository) -> None:
    write_files(tree.path, {"new.txt": "same\n"})
    ticket = tree.commit_all("Work", NOW)
    head = commit_files(home, {"new.txt": "same\n"}, "the same")
    assert tree.begin_merge(head) == []
    commit = tree.commit_all("Merge", NOW, second_parent=head)
    assert commit is not None and repository.commit(commit).parents == (ticket, head)
    assert tree.begin_merge(head) == []
    assert tree.commit_all("Merge", NOW, second_parent=head) is None


def test_a_file_put_back_during_a_merge_stays_so(tree: Worktree, home: Path, repository: Repository) -> None:
    head = conflict(home, tree)
    tree.begin_merge(head)
    write_files(tree.path, {"src/app.py": "theirs\n"})
    (tree.path / "fresh.txt").unlink()
    commit = tree.commit_all("Ours wins", NOW, second_parent=head) or ""
    assert repository.read_file(commit, "src/app.py", 99) == b"theirs\n"
    assert repository.read_file(commit, "fresh.txt", 99) is None


def test_a_merge_onto_uncommitted_work_is_refused(tree: Worktree, home: Path) -> None:
    head = conflict(home, tree)
    write_files(tree.path, {"README.md": "work\n"})
    with pytest.raises(Refused, match="uncommitted"):
        tree.begin_merge(head)
    assert (tree.path / "README.md").read_text() == "work\n"


def test_a_merge_that_git_refuses_leaves_the_folder_as_it_was(tree: Worktree, home: Path) -> None:
    git(home, "checkout", "-q", "--orphan", "island")
    island = commit_files(home, {"x": "1"}, "island")
    with pytest.raises(Refused, match="unrelated"):
        tree.begin_merge(island)
    assert tree.changed() == [] and tree.merging() is None


def test_a_merge_that_breaks_off_halfway_leaves_the_folder_as_it_was(tree: Worktree, home: Path, start: str) -> None:
    head = commit_files(home, {"README.md": "ours\n", "a.txt": "1\n", "z.bad": "1\n"}, "ours")
    git(home, "config", "filter.bad.smudge", "false")
    git(home, "config", "filter.bad.required", "true")
    write_files(home / ".git" / "info", {"attributes": "*.bad filter=bad\n"})
    write_files(tree.path, {"cache.log": "kept"})
    with pytest.raises(Refused, match="could not be merged"):
        tree.begin_merge(head)
    assert (tree.changed(), tree.merging(), tree.head()) == ([], None, start)


def test_a_merge_that_was_committed_is_over_even_if_the_session_died_right_then(tree: Worktree, home: Path) -> None:
    head = conflict(home, tree)
    tree.begin_merge(head)
    write_files(tree.path, {"src/app.py": "both\n"})
    tree.commit_all("Resolve", NOW, second_parent=head)
    (tree.git_dir / "MERGE_HEAD").write_text(head + "\n")
    assert tree.merging() is None


def test_a_merge_survives_the_session_that_began_it(
    tree: Worktree, home: Path, repository: Repository, start: str
) -> None:
    head = conflict(home, tree)
    ticket = tree.head()
    tree.begin_merge(head)
    again = repository.worktree(tree.path, BRANCH, start)
    assert again.merging() == head
    assert again.begin_merge(head) == ["src/app.py"]
    write_files(again.path, {"src/app.py": "both\n"})
    commit = again.commit_all("Resolve", NOW, second_parent=head) or ""
    assert repository.commit(commit).parents == (ticket, head)


# Settling what was left


def test_uncommitted_work_of_a_dead_session_is_kept(tree: Worktree, repository: Repository, start: str) -> None:
    write_files(tree.path, {"README.md": "half\n", "new.txt": "1", "cache.log": "kept too"})
    (tree.path / "src/app.py").unlink()
    for name in ("index.lock", "HEAD.lock"):
        (tree.git_dir / name).touch()
    (repository.common_dir / "refs/heads" / f"{BRANCH}.lock").touch()
    again = repository.worktree(tree.path, BRANCH, start)
    assert again.changed() == ["README.md", "new.txt", "src/app.py"]
    assert (again.path / "cache.log").exists()
    assert again.commit_all("Kept", NOW)


def test_uncommitted_work_is_dropped_when_asked(tree: Worktree, repository: Repository, start: str) -> None:
    write_files(tree.path, {"README.md": "half\n", "new.txt": "1", "cache.log": "1", "src/.git/config": "x"})
    again = repository.worktree(tree.path, BRANCH, start, keep_uncommitted=False)
    assert again.changed() == []
    assert sorted(entry.name for entry in again.path.iterdir()) == [".git", ".gitignore", "README.md", "src"]
    assert not (again.path / "src" / ".git").exists()


def test_an_existing_branch_keeps_its_own_tip(tree: Worktree, repository: Repository, start: str) -> None:
    write_files(tree.path, {"new.txt": "1"})
    commit = tree.commit_all("Work", NOW)
    repository.remove_worktree(tree.path)
    assert repository.worktree(tree.path, BRANCH, start).head() == commit
    assert (tree.path / "new.txt").exists()


@pytest.mark.parametrize("damage", ["index", "no index", "HEAD", "commondir", "admin", "folder", "gitdir", "pruned"])
def test_a_damaged_worktree_is_settled(
    damage: str, tree: Worktree, repository: Repository, home: Path, start: str
) -> None:
    write_files(tree.path, {"README.md": "half\n"})
    match damage:
        case "index":
            (tree.git_dir / "index").write_bytes(b"DIRC\0\0")
        case "no index":
            (tree.git_dir / "index").unlink()
        case "HEAD" | "commondir":
            (tree.git_dir / damage).write_bytes(b"")
        case "admin":
            shutil.rmtree(tree.git_dir)
        case "folder":
            shutil.rmtree(tree.path)
        case "gitdir":
            (tree.git_dir / "gitdir").unlink()
        case "pruned":
            (tree.path / ".git").unlink()
            git(home, "worktree", "prune", "--expire=now")
    again = repository.worktree(tree.path, BRANCH, start)
    assert again.changed() == ([] if damage == "folder" else ["README.md"])
    write_files(again.path, {"new.txt": "1"})
    commit = again.commit_all("Work", NOW)
    assert commit is not None and git(home, "rev-parse", BRANCH) == commit
    assert git(again.path, "status", "--porcelain") == ""


def test_a_checkout_that_was_cut_short_is_not_taken_for_deletions(
    tree: Worktree, repository: Repository, start: str
) -> None:
    # As a kill in the middle of the first checkout leaves it: registered, some files there, nothing marked complete.
    tree.not_ready()
    (tree.path / "README.md").unlink()
    assert repository.worktree(tree.path, BRANCH, start).changed() == []
    # And as a kill leaves it after the registration was lost.
    shutil.rmtree(tree.git_dir)
    (tree.path / "README.md").unlink()
    assert repository.worktree(tree.path, BRANCH, start).changed() == []


def test_work_of_another_branch_is_not_overwritten(tree: Worktree, repository: Repository, start: str) -> None:
    write_files(tree.path, {"README.md": "half\n"})
    with pytest.raises(Refused, match="uncommitted work of watchbill/T-0001"):
        repository.worktree(tree.path, "watchbill/T-0002", start)
    assert (tree.path / "README.md").read_text() == "half\n"
    assert tree.commit_all("Work", NOW)
    other = repository.worktree(tree.path, "watchbill/T-0002", start)
    assert (other.head(), other.changed()) == (start, [])


@pytest.mark.usefixtures("tree")
def test_a_branch_is_checked_out_only_once(repository: Repository, tmp_path: Path, start: str) -> None:
    with pytest.raises(Refused, match="checked out at"):
        repository.worktree(tmp_path / "second", BRANCH, start)
    with pytest.raises(Refused, match="checked out at"):
        repository.worktree(tmp_path / "second", "main", start)
    assert not (tmp_path / "second").exists()


def test_a_leftover_of_a_registration_is_cleared(repository: Repository, place: Path, start: str) -> None:
    nursery = place.with_name("T-0001.new")
    git(repository.root, "worktree", "add", "-q", "--detach", "--no-checkout", str(nursery), start)
    tree = repository.worktree(place, BRANCH, start)
    assert tree.changed() == [] and not nursery.exists()
    assert git(repository.root, "worktree", "list").count("\n") == 1


@pytest.mark.parametrize("was_complete", [True, False])
def test_what_a_power_cut_left_half_checked_out_is_not_taken_for_work(
    repository: Repository, place: Path, start: str, was_complete: bool
) -> None:
    tree = repository.worktree(place, BRANCH, start)
    (tree.path / "README.md").write_bytes(b"")
    (tree.git_dir / "gitdir").write_bytes(b"")
    if not was_complete:
        tree.not_ready()
    again = repository.worktree(place, BRANCH, start)
    assert again.changed() == (["README.md"] if was_complete else [])


@pytest.mark.parametrize("left", [b"\0" * 17, b"", b"\n", b"watchbill/T-00"])
def test_a_mark_that_a_power_cut_spoilt_is_no_mark(
    left: bytes, tree: Worktree, repository: Repository, start: str
) -> None:
    (tree.git_dir / "watchbill-ready").write_bytes(left)
    (tree.path / "README.md").write_bytes(b"")
    again = repository.worktree(tree.path, BRANCH, start)
    assert (again.changed(), again.ready_for()) == ([], BRANCH)


def test_a_reset_moves_branch_and_files(tree: Worktree, home: Path, start: str) -> None:
    write_files(tree.path, {"new.txt": "1"})
    tree.commit_all("Work", NOW)
    write_files(tree.path, {"more.txt": "1", "README.md": "half\n", "x.log": "1"})
    tree.reset_to(start)
    assert tree.head() == git(home, "rev-parse", BRANCH) == start
    assert sorted(entry.name for entry in tree.path.iterdir()) == [".git", ".gitignore", "README.md", "src"]
    assert tree.changed() == []


# Clean checkouts


def test_a_detached_worktree_is_exactly_its_commit(
    repository: Repository, tmp_path: Path, home: Path, start: str
) -> None:
    checks = repository.detached_worktree(tmp_path / "checks", start)
    outside = tmp_path / "outside"
    write_files(outside, {"er/data.txt": "untouched\n", "app.py": "untouched\n"})
    write_files(checks.path, {"junk.log": "1", "empty/x": "1", "README.md": "changed\n", "src/.git/HEAD": "x"})
    shutil.rmtree(checks.path / "src" / "deep")
    (checks.path / "src" / "deep").symlink_to(outside)
    (checks.path / "src" / "app.py").unlink()
    (checks.path / "src" / "app.py").mkdir()
    (checks.path / "src").chmod(0o555)
    os.mkfifo(checks.path / "pipe")
    (checks.path / ".gitignore").unlink()
    os.mkfifo(checks.path / ".gitignore")
    (checks.path / "empty").chmod(0)
    second = commit_files(home, {"second.txt": "2\n"}, "second")
    again = repository.detached_worktree(tmp_path / "checks", second)
    assert again.head() == second and again.changed() == []
    assert (again.path / ".gitignore").is_file()
    files = {str(file.relative_to(again.path)) for file in again.path.rglob("*") if not file.is_dir()}
    assert files == {".git", ".gitignore", "README.md", "second.txt", "src/app.py", "src/deep/er/data.txt"}
    assert (again.path / "src/deep/er/data.txt").read_text() == "one\ntwo\nthree\n"
    assert (outside / "er/data.txt").read_text() == (outside / "app.py").read_text() == "untouched\n"
    assert repository.checked_out_at("main") == home


def test_a_file_whose_times_were_set_back_is_still_made_clean(
    repository: Repository, tmp_path: Path, home: Path, start: str
) -> None:
    git(home, "config", "core.trustctime", "false")
    git(home, "config", "core.checkStat", "minimal")
    checks = repository.detached_worktree(tmp_path / "checks", start)
    file = checks.path / "README.md"
    os.utime(file, (1_000_000, 1_000_000))
    git(checks.path, "update-index", "-q", "--really-refresh")
    old = file.stat()
    # git compares whole seconds, and always runs before or after the commands of an agent.
    while int(time.time()) == int(old.st_ctime):
        time.sleep(0.05)
    file.write_bytes(file.read_bytes().swapcase())
    os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert checks.changed() == ["README.md"]
    assert repository.detached_worktree(tmp_path / "checks", start).changed() == []
    assert file.read_text() == "# A small project\n"


@pytest.mark.parametrize("was", ["file", "folder", "link", "worktree of a ticket"])
def test_a_detached_worktree_takes_the_place_of_anything(
    was: str, repository: Repository, tmp_path: Path, start: str
) -> None:
    place = tmp_path / "checks"
    outside = tmp_path / "outside"
    write_files(outside, {"kept.txt": "1"})
    match was:
        case "file":
            place.write_text("x")
        case "folder":
            write_files(place, {"README.md/x": "1", "src/junk": "1"})
        case "link":
            place.symlink_to(outside)
        case _:
            write_files(repository.worktree(place, BRANCH, start).path, {"README.md": "half"})
    tree = repository.detached_worktree(place, start)
    assert tree.head() == start and tree.changed() == []
    assert sorted(entry.name for entry in place.iterdir()) == [".git", ".gitignore", "README.md", "src"]
    assert [entry.name for entry in outside.iterdir()] == ["kept.txt"]


def test_a_sparse_checkout_of_the_owner_does_not_thin_a_worktree(home: Path, tmp_path: Path, start: str) -> None:
    git(home, "sparse-checkout", "set", "--cone", "nothing")
    assert not (home / "src").exists()
    tree = Repository.open(home).worktree(tmp_path / "w", BRANCH, start)
    assert (tree.path / "src/app.py").exists()
    assert tree.changed() == []


# Removing


def test_removing_a_worktree_twice_is_fine(tree: Worktree, repository: Repository) -> None:
    write_files(tree.path, {"closed/deep/a.txt": "1"})
    (tree.path / "closed" / "deep").chmod(0o500)
    (tree.path / "closed").chmod(0)
    for _ in range(2):
        repository.remove_worktree(tree.path)
        assert not tree.path.exists() and not tree.git_dir.exists()
    assert repository.head_of(BRANCH) is not None


def test_a_worktree_whose_folder_is_gone_is_unregistered(tree: Worktree, repository: Repository, home: Path) -> None:
    shutil.rmtree(tree.path)
    repository.remove_worktree(tree.path)
    assert git(home, "worktree", "list").count("\n") == 0


def test_a_very_deep_folder_is_removed(tree: Worktree, repository: Repository) -> None:
    here = os.open(tree.path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    repository.remove_worktree(tree.path)
    assert not tree.path.exists()


def test_the_owners_folders_are_never_taken_for_worktrees(repository: Repository, home: Path, start: str) -> None:
    for place in (home, home.parent, home / ".git", home / ".git" / "worktrees" / "x"):
        with pytest.raises(Refused, match=r"owner's|own folder"):
            repository.remove_worktree(place)
        with pytest.raises(Refused, match=r"owner's|own folder"):
            repository.detached_worktree(place, start)
    assert (home / "README.md").exists()
