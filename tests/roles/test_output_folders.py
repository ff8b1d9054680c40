"""What commands leave behind is told from the work by where it lies."""

from __future__ import annotations

import pytest

from watchbill.roles.build import output_folder


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("dist/app.js", "dist"),
        ("web/dist/a/b.js", "web/dist"),
        ("src/app.py", ""),
        ("build", ""),
        ("a/target/b/build/c", "a/target"),
    ],
)
def test_output_is_known_by_its_outermost_folder(path: str, folder: str) -> None:
    assert output_folder(path) == folder
