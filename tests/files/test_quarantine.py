"""Moving aside what cannot be read."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchbill.files.quarantine import reasons, set_aside

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "tickets").mkdir()
    return tmp_path / "tickets", tmp_path / ".watchbill" / "quarantine"


def test_a_file_keeps_its_bytes_and_gets_a_reason(tmp_path: Path) -> None:
    tickets, quarantine = folders(tmp_path)
    (tickets / "T-1.md").write_bytes(b"\xff broken")
    kept = set_aside(tickets / "T-1.md", "it is not UTF-8 text", quarantine, tmp_path, NOW)
    assert kept.parent == quarantine and kept.read_bytes() == b"\xff broken"
    assert list(tickets.iterdir()) == []
    assert reasons(quarantine) == [
        {"from": "tickets/T-1.md", "why": "it is not UTF-8 text", "when": "2026-11-20T02:00:00Z", "file": kept.name}
    ]


def test_two_broken_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    tickets, quarantine = folders(tmp_path)
    kept = []
    for content in (b"one", b"two"):
        (tickets / "T-1.md").write_bytes(content)
        kept.append(set_aside(tickets / "T-1.md", "broken", quarantine, tmp_path, NOW))
    assert [path.read_bytes() for path in kept] == [b"one", b"two"]
    assert len(reasons(quarantine)) == 2


def test_what_was_cut_off_between_reason_and_move_ends_in_the_same_place(tmp_path: Path) -> None:
    tickets, quarantine = folders(tmp_path)
    path = tickets / "T-1.md"
    path.write_bytes(b"one")
    kept = set_aside(path, "broken", quarantine, tmp_path, NOW)
    kept.rename(path)  # as if the move had not happened
    assert set_aside(path, "broken", quarantine, tmp_path, NOW + timedelta(hours=3)) == kept
    assert len(reasons(quarantine)) == 1


def test_strange_names_folders_and_pipes_can_be_set_aside(tmp_path: Path) -> None:
    tickets, quarantine = folders(tmp_path)
    odd = Path(os.fsdecode(os.fsencode(tickets) + b"/T-\xff.md"))
    odd.write_bytes(b"x")
    long = tickets / ("n" * 250 + ".md")
    long.write_bytes(b"x")
    os.mkfifo(tickets / "pipe.md")
    (tickets / "folder.md").mkdir()
    (tickets / "folder.md" / "inside").write_bytes(b"x")
    (tickets / "link.md").symlink_to("nowhere")
    for path in sorted(tickets.iterdir()):
        kept = set_aside(path, "broken", quarantine, tmp_path, NOW)
        assert os.path.lexists(kept)
    assert list(tickets.iterdir()) == []
    assert len(reasons(quarantine)) == 5


def test_an_empty_quarantine_has_no_reasons(tmp_path: Path) -> None:
    assert reasons(tmp_path / "none") == []


def test_a_reason_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    tickets, quarantine = folders(tmp_path)
    (tickets / "T-1.md").write_bytes(b"x")
    set_aside(tickets / "T-1.md", "broken", quarantine, tmp_path, NOW)
    (quarantine / "torn.reason.json").write_bytes(b'{"fro')
    assert [entry["why"] for entry in reasons(quarantine)] == ["broken", "its reason cannot be read"]
