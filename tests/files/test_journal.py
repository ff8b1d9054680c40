"""An append-only file of JSON lines."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.files.straced import traced
from watchbill.errors import TryLater
from watchbill.files.journal import append, read


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journals" / "build-0001.jsonl"
    for number in range(3):
        append(path, {"turn": number, "said": "é\n"})
    assert read(path) == [{"turn": number, "said": "é\n"} for number in range(3)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_file_is_no_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_passed_over_and_spoils_no_other(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    append(path, {"n": 1})
    append(path, {"n": 2})
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = read(path)
    assert kept[0] == {"n": 1} if cut < 10 else True
    append(path, {"n": 3})
    assert read(path) == [*kept, {"n": 3}]


def test_what_is_no_line_of_ours_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xff\xfe\n[1]\n"x"\n\n{"n": 1}\n' + b"\0" * 100 + b"\n" + b"[" * 100_000 + b"\n")
    assert read(path) == [{"n": 1}]


def test_a_line_is_on_disk_before_append_returns(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    folder.mkdir()
    program = (
        "from watchbill.files.journal import append\nappend(folder / 'a.jsonl', {'n': 1}); print('told', flush=True)"
    )
    done = traced(program, folder)
    calls = [call for call in done.calls if str(folder) in call.about or '"told' in call.about]
    steps = [call.name for call in calls if call.name != "open"]
    assert steps == ["write", "fsync", "fsync", "write"], done.stderr
    synced = [call.about for call in calls if call.name == "fsync"]
    assert f"<{folder}/a.jsonl>" in synced[0] and f"<{folder}>" in synced[1]
    again = traced(program, folder)
    steps = [call.name for call in again.about(folder) if call.name != "open"]
    assert steps == ["write", "fsync"], "the name is on disk already"


def test_a_journal_whose_maker_died_before_its_first_line_is_made_durable_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    folder.mkdir()
    (folder / "a.jsonl").touch()
    done = traced("from watchbill.files.journal import append\nappend(folder / 'a.jsonl', {'n': 1})", folder)
    steps = [call.name for call in done.about(folder) if call.name != "open"]
    assert steps == ["write", "fsync", "fsync"], done.stderr


def test_a_line_that_is_jotted_down_is_not_synced(tmp_path: Path) -> None:
    folder = tmp_path / "journals"
    folder.mkdir()
    done = traced("from watchbill.files.journal import jot\njot(folder / 'a.jsonl', {'n': 1})", folder)
    assert [call.name for call in done.about(folder) if call.name != "open"] == ["write"], done.stderr
    assert read(folder / "a.jsonl") == [{"n": 1}]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    (tmp_path / "a.jsonl").symlink_to("victim")
    with pytest.raises(TryLater):
        append(tmp_path / "a.jsonl", {"n": 1})
    assert (tmp_path / "victim").read_text() == ""


def test_a_journal_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(TryLater, match="cannot read"):
        read(tmp_path / "a.jsonl")
