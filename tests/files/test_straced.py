"""What a dry run says of a program holds for the run with a fault that follows it."""

from __future__ import annotations

import py_compile
from pathlib import Path

from tests.files.straced import traced


def test_what_others_compile_meanwhile_changes_no_number(tmp_path: Path) -> None:
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "late.py").write_text("WORD = 'here'\n")
    program = "sys.path.insert(0, str(folder)); import late; open(folder / 'late.py').close()"
    before = traced(program, folder)
    assert py_compile.compile(str(folder / "late.py")) is not None
    after = traced(program, folder)
    last = len(before.about(folder))
    assert before.position("open", last, folder) == after.position("open", len(after.about(folder)), folder)
