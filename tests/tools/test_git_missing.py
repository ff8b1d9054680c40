"""Facts about asking for many commits at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repositories import commit_files, git, make_repository
from watchbill.errors import Refused
from watchbill.tools.git import Repository

NOBODYS = "a" * 40


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository.open(make_repository(tmp_path / "project"))


def test_what_names_no_commit_is_missing(repo: Repository) -> None:
    first = git(repo.root, "rev-parse", "HEAD")
    tree = git(repo.root, "rev-parse", "HEAD^{tree}")
    assert repo.missing([first, first, tree, NOBODYS, "HEAD", "--all", "", "b" * 64]) == {
        tree, NOBODYS, "HEAD", "--all", "", "b" * 64,
    }  # fmt: skip


def test_nothing_is_missing_of_nothing(repo: Repository) -> None:
    assert repo.missing([]) == set()
    assert repo.missing(iter(()), contained_in=[git(repo.root, "rev-parse", "HEAD")]) == set()


def test_what_none_of_the_commits_contains_is_missing(repo: Repository) -> None:
    first = git(repo.root, "rev-parse", "HEAD")
    git(repo.root, "switch", "--quiet", "--create", "side")
    side = commit_files(repo.root, {"side.txt": "side"}, "Side")
    git(repo.root, "switch", "--quiet", "main")
    main = commit_files(repo.root, {"main.txt": "main"}, "Main")
    wanted = (first, side, main, NOBODYS)
    assert repo.missing(iter(wanted), contained_in=[main]) == {side, NOBODYS}
    assert repo.missing(wanted, contained_in=[main, side]) == {NOBODYS}
    assert repo.missing([main], contained_in=[first]) == {main}


def test_only_a_commit_id_can_contain_another(repo: Repository) -> None:
    with pytest.raises(Refused):
        repo.missing([git(repo.root, "rev-parse", "HEAD")], contained_in=["--all"])
