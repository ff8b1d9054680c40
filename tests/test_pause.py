"""The kill switch: whatever is unclear about it counts as paused, and what made it can be taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from watchbill.errors import Refused
from watchbill.layout import Layout
from watchbill.pause import resume, why_paused


def test_a_folder_in_its_place_pauses_and_an_empty_one_is_taken_away(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.paused.mkdir()
    assert why_paused(layout)
    assert resume(layout)
    assert (why_paused(layout), resume(layout)) == (None, False)


def test_a_folder_that_holds_something_is_left_and_said_to_be_in_the_way(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.paused.mkdir()
    (layout.paused / "notes").write_text("mine")
    with pytest.raises(Refused, match="is a folder with something in it"):
        resume(layout)
    assert (layout.paused / "notes").is_file()


def test_a_link_in_its_place_is_taken_away_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    layout = Layout(tmp_path)
    layout.paused.symlink_to(tmp_path / "elsewhere")
    assert resume(layout)
    assert (tmp_path / "elsewhere").is_dir()
