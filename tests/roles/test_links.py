"""A symbolic link that leads out of the repository stops at the human's inbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repositories import commit_files, git, make_repository
from watchbill.roles.evidence import leads_out
from watchbill.tools.git import Repository


@pytest.mark.parametrize(
    ("path", "target", "is_outside"),
    [
        ("a", "b", False),
        ("docs/a", "../README.md", False),
        ("docs/a", "../../x", True),
        ("a", "/etc/passwd", True),
        ("a", "..", True),
        ("a", ".git/config", True),
        ("a/b", "../.GIT/hooks", True),
        ("a", "sub/../../x", True),
    ],
)
def test_where_a_link_leads_is_told_from_its_text(path: str, target: str, is_outside: bool) -> None:
    assert leads_out(path, target) is is_outside


def test_the_links_of_a_commit_are_read_from_git(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "project")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "also ü").symlink_to("README.md")
    commit_files(folder, {"plain.txt": "x"}, "plain")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "links")
    head = git(folder, "rev-parse", "HEAD")
    found = Repository.open(folder).links(head, ["link", "also ü", "plain.txt", "missing"])
    assert found == {"link": "/etc/passwd", "also ü": "README.md"}
