"""Packing the histories of tickets that ended: nothing is lost, everything reads as before."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.stages.test_verify import Team, look, violations
from tests.workspaces import NOW, make_workspace, write_ticket
from watchbill.errors import Stale, TryLater
from watchbill.files.archive import range_of, write_pack
from watchbill.files.locks import held
from watchbill.files.publish import publish
from watchbill.hand_over import step_of
from watchbill.history import histories_on_disk
from watchbill.overview import overview_of
from watchbill.settle import settle
from watchbill.stages.archive import Packed, archive
from watchbill.stages.decide import close
from watchbill.stages.plan import plan
from watchbill.workspace import Workspace

LATER = NOW + timedelta(days=100)
MONTH = timedelta(days=30)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """T-0001 merged, T-0002 under way, T-0003 closed, T-0004 waits for the first and is new."""
    folder = tmp_path_factory.mktemp("night")
    team = Team(make_workspace(folder, {f"T-{number:04}": f"Work {number}" for number in (1, 2, 3)}, "true"))
    team.travel("T-0001")
    team.build("T-0002", {"two.txt": "2"})
    team.build("T-0003", {"three.txt": "3"})
    close(team.workspace, "T-0003", "not wanted", "Ada", NOW)
    write_ticket(team.workspace, "T-0004", "---\nid: T-0004\ntitle: Next\ndependencies: [T-0001]\n---\n")
    return folder


@pytest.fixture
def team(night: Path, tmp_path: Path) -> Team:
    shutil.copytree(night, tmp_path / "copy", symlinks=True)
    return Team(Workspace(tmp_path / "copy" / "watch"))


def pack(team: Team, older_than: timedelta = MONTH, **more: bool) -> Packed:
    return archive(Workspace(team.workspace.root), older_than, LATER, **more)


def told(workspace: Workspace) -> dict[str, object]:
    """All that anybody asks of the histories."""
    fresh = Workspace(workspace.root)
    seen = {ticket: fresh.history(ticket) for ticket in histories_on_disk(fresh.layout)}
    return {ticket: (history, step_of(fresh, history)) for ticket, history in seen.items()}


def loose(team: Team) -> list[str]:
    return sorted(path.name for path in team.workspace.layout.handoffs.iterdir() if path.is_dir())


def the_pack(team: Team) -> Path:
    return team.workspace.layout.archive / "T-0000" / "0001.zip"


def test_what_ended_is_packed_and_reads_as_before(team: Team) -> None:
    before, cards = told(team.workspace), overview_of(team.workspace).cards
    report = look(team, LATER)
    packed = pack(team)
    assert (packed.tickets, packed.packs) == (("T-0001", "T-0003"), ("archive/T-0000/0001.zip",))
    assert packed.documents == packed.removed == 6
    assert loose(team) == ["T-0002"]
    assert told(team.workspace) == before
    assert overview_of(Workspace(team.workspace.root)).cards == cards
    assert look(team, LATER) == report
    assert settle(Workspace(team.workspace.root), LATER) == []


def test_a_pack_is_an_ordinary_zip_file_of_the_very_bytes(team: Team) -> None:
    paths = sorted(team.workspace.layout.history_of("T-0001").iterdir())
    data = {f"T-0001/{path.name}": path.read_bytes() for path in paths}
    pack(team)
    with zipfile.ZipFile(the_pack(team)) as packed:
        assert {name: packed.read(name) for name in packed.namelist() if name.startswith("T-0001/")} == data
    assert the_pack(team).stat().st_mode & 0o777 == 0o600


def test_the_plan_goes_on_from_what_is_packed(team: Team) -> None:
    pack(team)
    (build,) = plan(Workspace(team.workspace.root), LATER, ("build",))
    assert [entry.ticket for entry in build.entries] == ["T-0004"], "what it waited for is merged"


def test_packed_tickets_are_not_read_again(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100, 140):
        write_ticket(team.workspace, f"T-{number:04}", "Another")
    pack(team)
    monkeypatch.setattr("watchbill.index.scan.TOO_FRESH_NS", -3_600_000_000_000)
    before = overview_of(Workspace(team.workspace.root))

    def refuse(*given: object) -> None:
        raise AssertionError(f"{given} was read")

    monkeypatch.setattr("watchbill.index.read_history", refuse)
    monkeypatch.setattr("watchbill.files.archive._open", refuse)
    assert overview_of(Workspace(team.workspace.root)).cards == before.cards


def test_nothing_that_goes_on_or_ended_lately_is_packed(team: Team) -> None:
    assert pack(team, older_than=timedelta(days=200)) == Packed((), 0, (), 0)
    assert loose(team) == ["T-0001", "T-0002", "T-0003"]
    assert not team.workspace.layout.archive.exists()


def test_a_dry_run_only_says_what_would_be_packed(team: Team) -> None:
    assert pack(team, dry_run=True) == Packed(("T-0001", "T-0003"), 6, (), 0)
    assert loose(team) == ["T-0001", "T-0002", "T-0003"]


def test_packing_again_packs_nothing_twice(team: Team) -> None:
    pack(team)
    assert pack(team) == Packed((), 0, (), 0)


def test_a_run_that_died_between_packing_and_removing_is_finished_by_the_next(team: Team) -> None:
    kept = shutil.copytree(team.workspace.layout.handoffs, team.workspace.root.parent / "kept")
    pack(team)
    (kept / "T-0001" / "0002.md").unlink()
    shutil.copytree(kept, team.workspace.layout.handoffs, dirs_exist_ok=True)
    before = told(team.workspace)
    assert violations(team) == []
    again = pack(team)
    assert (again.packs, again.removed) == ((), 5)
    assert told(team.workspace) == before


def test_nobody_works_while_histories_move(team: Team) -> None:
    for name in ("plan", "merge", "build", "qa", "security"):
        with held(team.workspace.layout.lock(name), name), pytest.raises(TryLater):
            pack(team)
    assert loose(team) == ["T-0001", "T-0002", "T-0003"]


def test_a_history_with_a_strangers_file_or_damage_stays_where_it_is(team: Team) -> None:
    (team.workspace.layout.history_of("T-0001") / "notes.txt").write_text("mine")
    team.workspace.layout.handoff("T-0003", 1).write_text("torn")
    assert pack(team).tickets == ()


def test_a_number_that_is_packed_is_not_given_twice(team: Team) -> None:
    pack(team)
    store = Workspace(team.workspace.root).histories
    with pytest.raises(Stale):
        store.publish("T-0001/0001.md", b"another")
    store.publish("T-0001/0001.md", store.read("T-0001/0001.md"))
    assert loose(team) == ["T-0002"]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-30])]
)
def test_tickets_of_a_broken_pack_wait_for_a_human_and_are_never_begun_anew(
    team: Team, spoil: Callable[[Path], None]
) -> None:
    pack(team)
    spoil(the_pack(team))
    workspace = Workspace(team.workspace.root)
    settle(workspace, LATER)
    manifests = {manifest.agent: manifest for manifest in plan(workspace, LATER)}
    assert manifests["build"].entries == ()
    reasons = {skipped.ticket: skipped.reason for skipped in manifests["build"].skipped}
    assert "archive/T-0000/0001.zip cannot be read" in reasons["T-0001"]
    assert any("no whole pack" in line for line in violations(team))
    with pytest.raises(Exception, match=r"0001\.zip"):
        workspace.histories.publish("T-0001/0001.md", b"anew")


@pytest.mark.parametrize("seq", [1, 4])
def test_a_flipped_bit_in_a_packed_document_brings_its_ticket_to_a_human(team: Team, seq: int) -> None:
    pack(team)
    with zipfile.ZipFile(the_pack(team)) as packed:
        name = f"T-0001/{seq:04}.md"
        start = packed.getinfo(name).header_offset + 30 + len(name)
    flip(the_pack(team), start + 40)
    assert any("archive/T-0000/0001.zip" in line for line in violations(team))
    workspace = Workspace(team.workspace.root)
    settle(workspace, LATER)
    cards = overview_of(workspace).cards
    state = "human" if seq == 4 else "merged"  # what its last document says holds, as long as it can be read
    assert (cards["T-0001"].state, cards["T-0003"].state) == (state, "closed")
    assert [item.name for item in workspace.layout.inbox.glob("T-*.md")] == [f"T-0001-{seq:04}.md"]


def test_what_did_not_come_into_the_pack_stays_loose(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may lie: a document goes only after it was read back."""

    def forgetful(folder: Path, documents: dict[str, bytes]) -> Path:
        return write_pack(folder, {name: data for name, data in documents.items() if name != "T-0001/0002.md"})

    monkeypatch.setattr("watchbill.stages.archive.write_pack", forgetful)
    before = told(team.workspace)
    assert pack(team).removed == 5
    assert team.workspace.layout.handoff("T-0001", 2).exists()
    assert told(team.workspace) == before


def test_a_pack_that_contradicts_a_loose_document_is_a_violation(team: Team) -> None:
    kept = team.workspace.layout.handoff("T-0001", 1).read_bytes()
    pack(team)
    publish(team.workspace.layout.handoff("T-0001", 1), kept.replace(b"turns: 2", b"turns: 1"))
    assert any("holds another document" in line for line in violations(team))


def test_tickets_of_a_range_share_a_folder() -> None:
    found = [range_of(ticket) for ticket in ("T-1", "T-0999", "T-1000", "T-123456", "AB-12.3", "nonsense")]
    assert found == ["T-0000", "T-0000", "T-1000", "T-123000", "AB-0000", ""]


def test_the_command_says_what_it_packed(team: Team) -> None:
    command = [sys.executable, "-m", "watchbill", "archive", "--older-than", "0"]
    done = subprocess.run(command, cwd=team.workspace.root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "packed 6 document(s) of 2 ticket(s)\n  archive/T-0000/0001.zip" in done.stdout
    again = subprocess.run(command, cwd=team.workspace.root, capture_output=True, text=True, timeout=120)
    assert "nothing to pack" in again.stdout
