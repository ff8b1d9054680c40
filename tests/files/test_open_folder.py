"""Files of a folder that is held open are read at once, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from watchbill.files.open_folder import OpenFolder


def test_a_file_of_the_size_that_was_seen_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"words")
    with OpenFolder(tmp_path) as folder:
        assert folder.read("a.md", 5) == b"words"


def test_a_file_of_another_size_is_left_to_care(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"words")
    with OpenFolder(tmp_path) as folder:
        assert [folder.read("a.md", size) for size in (0, 4, 6)] == [None] * 3


def test_what_is_no_ordinary_file_is_left_to_care(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"words")
    (tmp_path / "link.md").symlink_to("a.md")
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    with OpenFolder(tmp_path) as folder:
        names = ("link.md", "folder.md", "pipe.md", "gone.md")
        assert [folder.read(name, 5) for name in names] == [None] * len(names)


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    with OpenFolder(tmp_path / "gone") as folder:
        assert folder.read("a.md", 5) is None


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"words")
    (tmp_path / "folder.md").mkdir()
    before = len(list(Path("/dev/fd").iterdir()))
    with OpenFolder(tmp_path) as folder:
        for name in ("a.md", "folder.md", "gone.md"):
            folder.read(name, 5)
    assert len(list(Path("/dev/fd").iterdir())) == before
