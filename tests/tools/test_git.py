"""The git door, its repository side: opening, reading, candidates, branches, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.repositories import clone, commit_files, git, make_repository, owner_state, tree_of, write_files
from watchbill.errors import Misconfigured, Refused, Stale, TryLater
from watchbill.tools.git import Repository
from watchbill.tools.git.command import require_git

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
NOBODY = "0123456789" * 4


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


@pytest.fixture
def repository(home: Path) -> Repository:
    return Repository.open(home)


def two_sides(home: Path, ours: dict[str, str], theirs: dict[str, str]) -> tuple[str, str]:
    """Two commits with the first commit as their base: the integration head and the ticket's."""
    base = git(home, "rev-parse", "HEAD")
    git(home, "checkout", "-q", "--detach", base)
    head = commit_files(home, ours, "ours", "2026-11-20T10:00:00+02:00")
    git(home, "checkout", "-q", "--detach", base)
    ticket = commit_files(home, theirs, "theirs", "2026-11-20T07:30:00-05:00")
    git(home, "checkout", "-q", "main")
    return head, ticket


# Opening


def test_a_subfolder_opens_the_repository_around_it(home: Path) -> None:
    found = Repository.open(home / "src" / "deep")
    assert (found.root, found.common_dir) == (home.resolve(), (home / ".git").resolve())


def test_a_path_with_spaces_and_accents_works(tmp_path: Path) -> None:
    home = make_repository(tmp_path / "mein Gärtchen – été" / "Projekt 1", {"grüße an alle.txt": "x\n"})
    repository = Repository.open(home)
    start = repository.head_of("main")
    assert start is not None
    tree = repository.worktree(tmp_path / "Ärger 2" / "T-0001", "watchbill/T-0001", start)
    write_files(tree.path, {"süß/neu.txt": "1\n"})
    commit = tree.commit_all("Neu", NOW)
    assert commit is not None
    assert repository.diff_stat(start, commit).files == ("süß/neu.txt",)
    assert repository.read_file(commit, "grüße an alle.txt", 10) == b"x\n"


def test_a_linked_worktree_of_the_owner_opens_with_the_common_folder(home: Path, tmp_path: Path) -> None:
    git(home, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    found = Repository.open(tmp_path / "linked")
    assert (found.root, found.common_dir) == (tmp_path / "linked", home / ".git")
    assert (found.current_branch(), Repository.open(home).current_branch()) == ("other", "main")
    start = found.head_of("main") or ""
    assert found.worktree(tmp_path / "T-1", "watchbill/T-1", start).head() == start


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("missing", "not a folder"),
        ("plain", "not a git repository"),
        ("bare", "bare"),
        ("inside", "bare"),
        ("shallow", "shallow"),
        ("partial", "partial"),
        ("empty", "no commit"),
        ("sha256", "SHA-256"),
    ],
)
def test_a_repository_that_cannot_be_worked_with_is_named(kind: str, word: str, home: Path, tmp_path: Path) -> None:
    commit_files(home, {"b": "b"}, "Second commit")
    place = tmp_path / kind
    match kind:
        case "plain":
            place.mkdir()
        case "bare":
            git(tmp_path, "clone", "-q", "--bare", str(home), str(place))
        case "inside":
            place = home / ".git"
        case "shallow":
            git(tmp_path, "clone", "-q", "--depth=1", f"file://{home}", str(place))
        case "partial":
            git(home, "config", "uploadpack.allowFilter", "true")
            git(tmp_path, "clone", "-q", "--filter=blob:none", f"file://{home}", str(place))
        case "empty":
            make_repository(place, commit=False)
        case "sha256":
            git(tmp_path, "init", "-q", "--object-format=sha256", str(place))
    with pytest.raises(Misconfigured, match=word) as caught:
        Repository.open(place)
    assert caught.value.hint


@pytest.mark.parametrize(("script", "word"), [(None, "not found"), ("echo git version 2.37.4", "too old")])
def test_a_missing_or_old_git_is_named(
    script: str | None, word: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    if script is not None:
        (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(Misconfigured, match=word):
        Repository.open(home)
    require_git.cache_clear()


def test_a_repository_of_another_user_opens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # git's own switch for its tests: it then takes every repository for somebody else's.
    wrapper = home.parent / "bin"
    wrapper.mkdir()
    (wrapper / "git").write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    (wrapper / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper}:{os.environ['PATH']}")
    with pytest.raises(AssertionError, match="dubious ownership"):
        git(home, "status")
    repository = Repository.open(home)
    start = repository.head_of("main") or ""
    tree = repository.worktree(home.parent / "T-1", "watchbill/T-1", start)
    write_files(tree.path, {"new": "1"})
    commit = tree.commit_all("New", NOW) or ""
    assert repository.commit(commit).parents == (start,)
    assert repository.candidate(start, commit, "Merge").commit


# Reading


def test_a_commit_is_read_whole(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    message = "Fix the sum\n\nIt was wrong: very.\n\nWatchbill-Ticket: T-0012\nWatchbill-Handoff: T-0012/0003\n"
    second = commit_files(home, {"a": "1"}, message, "2026-11-20T08:00:00+05:30")
    commit = repository.commit(second)
    assert (commit.id, commit.parents, commit.subject) == (second, (first,), "Fix the sum")
    assert commit.trailers == {"Watchbill-Ticket": "T-0012", "Watchbill-Handoff": "T-0012/0003"}
    assert commit.committed == datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
    assert commit.committed.tzinfo is not None
    assert commit.author == "Ada Owner <ada@example.org>"
    assert commit.tree == git(home, "rev-parse", f"{second}^{{tree}}")


@pytest.mark.parametrize(
    "message",
    ["Watchbill-Ticket: T-1", "Subject\n\nWatchbill-Ticket: T-1\n\nThe end.", "Subject\n\nSaid:\nnot a trailer"],
)
def test_only_the_last_paragraph_holds_trailers(home: Path, repository: Repository, message: str) -> None:
    assert repository.commit(commit_files(home, {"a": message}, message)).trailers == {}


def test_objects_that_cannot_be_opened_are_tried_again_later(home: Path, repository: Repository) -> None:
    start = git(home, "rev-parse", "HEAD")
    (home / ".git" / "HEAD").rename(home / "HEAD")
    with pytest.raises(TryLater, match=r"\.git cannot be read"):
        repository.commit(start)
    (home / "HEAD").rename(home / ".git" / "HEAD")
    assert repository.commit(start).id == start


def test_commits_between_come_parents_first(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    git(home, "checkout", "-q", "-b", "side")
    side = commit_files(home, {"s": "1"}, "side")
    git(home, "checkout", "-q", "main")
    second = commit_files(home, {"m": "1"}, "main")
    git(home, "merge", "-q", "--no-ff", "-m", "merge", "side")
    merge = git(home, "rev-parse", "HEAD")
    assert {commit.id for commit in repository.commits_between(first, merge)} == {side, second, merge}
    assert repository.commits_between(first, merge)[-1].id == merge
    assert [commit.id for commit in repository.commits_between(first, merge, first_parent=True)] == [second, merge]
    assert repository.commits_between(merge, merge) == []
    assert repository.is_ancestor(side, merge)
    assert repository.is_ancestor(merge, merge)
    assert not repository.is_ancestor(merge, side)


def test_names_are_found_or_absent(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    git(home, "branch", "zoë/two")
    git(home, "tag", "-m", "v1", "v1")
    assert repository.branches() == ["main", "zoë/two"]
    assert [repository.commit_id(rev) for rev in ("v1", "main", first, "HEAD")] == [first] * 4
    assert [repository.commit_id(rev) for rev in ("nope", "", "--all", NOBODY, "main:README.md")] == [None] * 5
    assert (repository.head_of("v1"), repository.head_of("main"), repository.head_of("../../HEAD")) == (
        None,
        first,
        None,
    )
    git(home, "checkout", "-q", "--detach")
    assert repository.current_branch() is None


def test_ids_that_are_options_or_absent_are_refused(repository: Repository) -> None:
    for bad in ("--upload-pack=x", "main", NOBODY[:39], NOBODY):
        with pytest.raises(Refused):
            repository.commit(bad)
        with pytest.raises(Refused):
            repository.diff(bad, bad)


def test_replacement_objects_do_not_change_what_is_read(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    second = commit_files(home, {"a": "1"}, "Second")
    git(home, "replace", second, first)
    assert repository.commit(second).subject == "Second"
    assert repository.diff_stat(first, second).files == ("a",)


def test_dirty_means_changes_to_known_files(home: Path, repository: Repository) -> None:
    assert not repository.is_dirty()
    write_files(home, {"unknown.txt": "1"})
    assert not repository.is_dirty()
    write_files(home, {"README.md": "other\n"})
    assert repository.is_dirty()
    git(home, "add", "README.md")
    assert repository.is_dirty()


def test_asking_about_dirt_leaves_the_index_as_it_is(home: Path, repository: Repository) -> None:
    os.utime(home / "README.md", (1, 1))
    before = (home / ".git" / "index").read_bytes()
    assert not repository.is_dirty()
    assert (home / ".git" / "index").read_bytes() == before


def test_files_of_a_commit_are_read_within_a_limit(home: Path, repository: Repository) -> None:
    (home / "link").symlink_to("README.md")
    commit = commit_files(home, {"big.bin": b"\0" * 5000}, "more")
    git(home, "add", "link")
    git(home, "commit", "-q", "-m", "link")
    commit = git(home, "rev-parse", "HEAD")
    assert repository.read_file(commit, "README.md", 100) == b"# A small project\n"
    assert repository.read_file(commit, "big.bin", 10) == b"\0" * 10
    assert [repository.read_file(commit, name, 9) for name in ("nope", "src", "link", "", "../x", "README.md/x")] == [
        None
    ] * 6


# Differences


def test_a_diff_is_bounded_and_says_so(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    lines = "".join(f"line {number} é\n" for number in range(40_000))
    second = commit_files(home, {"long.txt": lines, "zz.txt": "the end\n"}, "long")
    text = repository.diff(first, second, limit=3_000)
    assert 2_900 < len(text) <= 3_000
    assert text.startswith("diff --git a/long.txt") and text.endswith("+the end\n")
    assert "left out here" in text
    assert "left out" not in repository.diff(first, second, limit=2_000_000)
    assert repository.diff(first, second, limit=2_000_000).count("\n+line ") == 40_000


def test_neither_attributes_nor_settings_change_a_diff(home: Path, repository: Repository, tmp_path: Path) -> None:
    first = git(home, "rev-parse", "HEAD")
    files = {".gitattributes": "*.py -diff\n*.md diff=evil\n", "src/app.py": "import os\n", "README.md": "new\n"}
    second = commit_files(home, files, "hide")
    mark = tmp_path / "ran"
    for setting in ("diff.external", "diff.evil.command", "diff.evil.textconv", "core.pager"):
        git(home, "config", setting, f"touch {mark}; true")
    git(home, "config", "color.ui", "always")
    git(home, "config", "diff.noprefix", "true")
    text = repository.diff(first, second)
    assert "\n+import os\n" in text and "\n+new\n" in text and "--- a/README.md\n" in text and "\x1b" not in text
    assert not mark.exists()


def test_a_diff_stat_counts_lines_and_names_files(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    git(home, "mv", "src/deep/er/data.txt", "moved.txt")
    strange = os.fsdecode(b"not-\xff-text")
    second = commit_files(home, {"b.bin": b"\0\1", "src/app.py": "x\n", strange: "1\n"}, "stat")
    stat_ = repository.diff_stat(first, second)
    assert stat_.files == ("b.bin", "moved.txt", "not-\\xff-text", "src/app.py", "src/deep/er/data.txt")
    assert (stat_.insertions, stat_.deletions) == (5, 5)


# Candidates


def test_a_candidate_is_the_merge_commit_with_both_parents(home: Path, repository: Repository) -> None:
    head, ticket = two_sides(home, {"ours": "1\n"}, {"theirs": "2\n"})
    message = "Merge T-0012\n\nWatchbill-Ticket: T-0012\nWatchbill-Handoff: T-0012/0003"
    candidate = repository.candidate(head, ticket, message)
    assert candidate.commit is not None and candidate.conflicts == ()
    commit = repository.commit(candidate.commit)
    assert commit.parents == (head, ticket)
    assert commit.tree == candidate.tree
    assert commit.trailers == {"Watchbill-Ticket": "T-0012", "Watchbill-Handoff": "T-0012/0003"}
    # The later of the two committer dates: 07:30 in New York.
    assert commit.committed == datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
    assert {"ours", "theirs", "README.md"} <= set(tree_of(home, candidate.commit))
    assert git(home, "fsck", "--strict", "--no-dangling") == ""


def test_the_same_inputs_give_the_same_candidate_anywhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed = {"src/plus.py": "def add(a, b):\n    return a + b\n", "CHANGES": "b\n"}
    head, ticket = two_sides(home, {"src/app.py": "def add(a, b):\n    return b + a\n", "CHANGES": "a\n"}, renamed)
    git(home, "branch", "one", head)
    git(home, "branch", "two", ticket)
    other = clone(home, tmp_path / "clone")
    here = Repository.open(home).candidate(head, ticket, "Merge\r\nit")
    # Another person: other name, zone, language, settings, drivers, attributes, and a checkout full of changes.
    for name, value in (
        ("user.name", "Bob"), ("merge.renames", "false"), ("merge.conflictStyle", "diff3"), ("core.autocrlf", "true"),
        ("merge.default", "evil"), ("merge.evil.driver", "false"), ("diff.algorithm", "patience"),
        ("commit.gpgSign", "true"), ("i18n.commitEncoding", "ISO-8859-1"),
    ):  # fmt: skip
        git(other, "config", name, value)
    write_files(other, {".gitattributes": "* merge=union\n", ".git/info/attributes": "* merge=binary\n"})
    for name, value in (
        ("TZ", "Asia/Kolkata"), ("LC_ALL", "C"), ("GIT_AUTHOR_NAME", "Eve"), ("GIT_COMMITTER_DATE", "@1 +0000"),
        ("GIT_DIR", "/nonexistent"), ("GIT_INDEX_FILE", "/nonexistent"), ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "merge.renames"), ("GIT_CONFIG_VALUE_0", "false"), ("HOME", str(tmp_path)),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    (tmp_path / ".gitconfig").write_text("[merge]\n\trenames = false\n[user]\n\tname = Eve\n")
    there = Repository.open(other).candidate(head, ticket, "Merge\r\nit")
    assert here == there
    assert here.conflicts == ("CHANGES",)
    repository = Repository.open(other)
    clean = [
        Repository.open(place).candidate(repository.commit(head).parents[0], ticket, "M") for place in (home, other)
    ]
    assert clean[0] == clean[1] and clean[0].commit is not None
    # GitPython, too, reads the repository it was given, not the one in the environment.
    assert repository.commit(clean[0].commit).author.startswith("Watchbill <")


def test_a_conflict_is_told_with_its_lines(home: Path, repository: Repository) -> None:
    head, ticket = two_sides(
        home,
        {"src/app.py": "def add(a, b):\n    return b + a\n", "README.md": "kept\n"},
        {"src/app.py": "def add(a, b):\n    return sum((a, b))\n"},
    )
    candidate = repository.candidate(head, ticket, "Merge")
    assert (candidate.commit, candidate.tree, candidate.conflicts) == (None, None, ("src/app.py",))
    assert "CONFLICT (content): Merge conflict in src/app.py" in candidate.text
    assert f"<<<<<<< {head}\n    return b + a\n=======\n    return sum((a, b))\n>>>>>>> {ticket}" in candidate.text


def test_a_deleted_file_that_was_edited_is_a_conflict(home: Path, repository: Repository) -> None:
    head, ticket = two_sides(home, {"README.md": "edited\n"}, {"x": "1"})
    git(home, "checkout", "-q", ticket)
    git(home, "rm", "-q", "README.md")
    git(home, "commit", "-q", "--amend", "-m", "theirs")
    candidate = repository.candidate(head, git(home, "rev-parse", "HEAD"), "Merge")
    assert candidate.conflicts == ("README.md",)
    assert "modify/delete" in candidate.text


def test_the_text_of_a_conflict_is_bounded(home: Path, repository: Repository) -> None:
    sides = [{f"f{n}": "".join(f"{side} {i}\n" for i in range(400)) for n in range(30)} for side in ("ours", "theirs")]
    head, ticket = two_sides(home, sides[0], sides[1])
    candidate = repository.candidate(head, ticket, "Merge")
    assert len(candidate.conflicts) == 30
    assert 15_000 < len(candidate.text) <= 20_000


def test_the_merge_attributes_of_the_integration_head_are_obeyed(home: Path, repository: Repository) -> None:
    commit_files(home, {".gitattributes": "CHANGES merge=union\n", "CHANGES": "start\n"}, "attributes")
    head, ticket = two_sides(home, {"CHANGES": "start\nours\n"}, {"CHANGES": "start\ntheirs\n"})
    candidate = repository.candidate(head, ticket, "Merge")
    assert candidate.commit is not None
    assert repository.read_file(candidate.commit, "CHANGES", 99) == b"start\nours\ntheirs\n"


def test_commits_without_common_history_are_refused(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    git(home, "checkout", "-q", "--orphan", "island")
    island = commit_files(home, {"x": "1"}, "island")
    with pytest.raises(Refused, match="unrelated histories"):
        repository.candidate(first, island, "Merge")


# Branches


def test_a_branch_moves_only_from_where_it_was_expected(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    second = commit_files(home, {"a": "1"}, "second")
    repository.create_branch("watchbill/integration", first)
    with pytest.raises(Stale):
        repository.create_branch("watchbill/integration", second)
    repository.move_branch("watchbill/integration", second, first)
    with pytest.raises(Stale, match=second[:12]):
        repository.move_branch("watchbill/integration", second, first)
    with pytest.raises(Stale, match="does not exist"):
        repository.move_branch("watchbill/gone", second, first)
    assert repository.head_of("watchbill/integration") == second


def test_a_branch_that_is_checked_out_is_not_moved(home: Path, repository: Repository, tmp_path: Path) -> None:
    first = git(home, "rev-parse", "HEAD")
    git(home, "worktree", "add", "-q", "-b", "side", str(tmp_path / "a side"))
    second = commit_files(home, {"a": "1"}, "second")
    assert repository.checked_out_at("main") == home
    assert repository.checked_out_at("side") == tmp_path / "a side"
    assert repository.checked_out_at("sid") is None
    for name, old in (("main", second), ("side", first)):
        with pytest.raises(Refused, match="checked out"):
            repository.move_branch(name, first, old)
    shutil.rmtree(tmp_path / "a side")
    assert repository.checked_out_at("side") is None
    repository.move_branch("side", second, first)


@pytest.mark.parametrize("name", ["", "a..b", "with space", "-x", "a/", "a.lock", "a\nb", "@{1}"])
def test_a_name_that_is_no_branch_is_refused(repository: Repository, name: str) -> None:
    with pytest.raises(Refused, match="name of a branch"):
        repository.create_branch(name, repository.head_of("main") or "")


def test_a_branch_in_the_way_is_told_in_words(home: Path, repository: Repository) -> None:
    git(home, "branch", "watchbill")
    with pytest.raises(Refused, match="refs/heads/watchbill' exists"):
        repository.create_branch("watchbill/T-0001", repository.head_of("main") or "")


def test_a_young_lock_on_a_branch_waits_and_an_old_one_is_dead(home: Path, repository: Repository) -> None:
    first = git(home, "rev-parse", "HEAD")
    repository.create_branch("watchbill/integration", first)
    second = commit_files(home, {"a": "1"}, "second")
    lock = home / ".git/refs/heads/watchbill/integration.lock"
    lock.touch()
    with pytest.raises(TryLater, match="lock"):
        repository.move_branch("watchbill/integration", second, first)
    os.utime(lock, (1, 1))
    repository.move_branch("watchbill/integration", second, first)
    assert repository.head_of("watchbill/integration") == second


def test_durability_is_confirmed_or_put_off(repository: Repository) -> None:
    repository.make_durable()
    gone = Repository(repository.root, repository.common_dir / "gone", repository.own_git_dir)
    with pytest.raises(TryLater):
        gone.make_durable()


def test_a_disk_that_reports_an_error_is_not_believed(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("watchbill.tools.git.durability._sync", fail)
    with pytest.raises(TryLater, match="Input/output error"):
        repository.make_durable()


# What is left alone


def test_the_owners_checkout_is_never_touched(home: Path, tmp_path: Path) -> None:
    commit_files(home, {"staged.txt": "1\n", "dirty.txt": "1\n"}, "more")
    write_files(home, {"staged.txt": "2\n", "dirty.txt": "2\n", "unknown.txt": "new\n"})
    git(home, "add", "staged.txt")
    os.utime(home / "README.md", (1_000_000, 1_000_000))
    before = owner_state(home)

    repository = Repository.open(home)
    start = repository.commit_id("main") or ""
    assert repository.is_dirty()
    repository.create_branch("watchbill/integration", start)
    tree = repository.worktree(tmp_path / "T-0001", "watchbill/T-0001", start)
    write_files(tree.path, {"README.md": "by an agent\n", "dirty.txt": "agent\n"})
    commit = tree.commit_all("Work", NOW) or ""
    other = repository.worktree(tmp_path / "T-0002", "watchbill/T-0002", start)
    write_files(other.path, {"README.md": "by another\n"})
    assert other.commit_all("Work", NOW)
    assert other.begin_merge(commit) == ["README.md"]
    other.reset_to(start)
    candidate = repository.candidate(start, commit, "Merge").commit or ""
    checks = repository.detached_worktree(tmp_path / "checks", candidate)
    assert checks.changed() == []
    repository.diff(start, candidate)
    repository.make_durable()
    repository.move_branch("watchbill/integration", candidate, start)
    for place in (tree.path, other.path, checks.path):
        repository.remove_worktree(place)

    assert owner_state(home) == before
    assert repository.head_of("watchbill/integration") == candidate
    assert git(home, "worktree", "list", "--porcelain").count("worktree ") == 1


def test_no_hook_and_no_monitor_of_the_repository_runs(home: Path, repository: Repository, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    hooks = home / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout", "pre-commit", "commit-msg", "post-commit", "reference-transaction", "pre-merge-commit",
        "post-merge", "post-index-change", "prepare-commit-msg", "post-rewrite",
    ):  # fmt: skip
        (hooks / name).write_text(f"#!/bin/sh\necho {name} >> '{mark}'\nexit 1\n")
        (hooks / name).chmod(0o755)
    git(home, "config", "core.fsmonitor", str(hooks / "pre-commit"))
    git(home, "config", "core.hooksPath", str(hooks))

    start = repository.head_of("main") or ""
    tree = repository.worktree(tmp_path / "T-1", "watchbill/T-1", start)
    write_files(tree.path, {"new": "1"})
    commit = tree.commit_all("New", NOW) or ""
    candidate = repository.candidate(start, commit, "Merge").commit or ""
    repository.detached_worktree(tmp_path / "checks", candidate)
    tree.begin_merge(candidate)
    repository.is_dirty()
    repository.create_branch("watchbill/integration", start)
    repository.move_branch("watchbill/integration", candidate, start)
    repository.remove_worktree(tree.path)
    assert not mark.exists()


def test_filters_of_the_owner_run(home: Path, repository: Repository, tmp_path: Path) -> None:
    git(home, "config", "filter.rot.clean", "tr a-m n-z")
    git(home, "config", "filter.rot.smudge", "tr n-z a-m")
    start = commit_files(home, {".gitattributes": "*.secret filter=rot\n", "x.secret": "abc\n"}, "filter")
    assert repository.read_file(start, "x.secret", 9) == b"nop\n"
    tree = repository.worktree(tmp_path / "T-1", "watchbill/T-1", start)
    assert (tree.path / "x.secret").read_text() == "abc\n"
    assert tree.changed() == []


def test_objects_of_a_shared_repository_stay_shared(home: Path) -> None:
    git(home, "config", "core.sharedRepository", "group")
    head, ticket = two_sides(home, {"ours": "1\n"}, {"theirs": "2\n"})
    commit = Repository.open(home).candidate(head, ticket, "Merge").commit or ""
    folder = home / ".git" / "objects" / commit[:2]
    assert folder.stat().st_mode & stat.S_IWGRP
