"""The index: quicker, never different, and safe to lose."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bare_workspaces import bare_workspace, built, reviewed
from tests.stories import NOW, a_finding, a_ticket
from watchbill import index
from watchbill.hand_over import hand_over, step_of
from watchbill.history import read_backlog
from watchbill.index import FEW, Overview
from watchbill.index.kept import load
from watchbill.overview import overview_of
from watchbill.rules.card import Card, card_of
from watchbill.rules.planning import natural
from watchbill.workspace import Workspace

NUMBER = 40
MOMENT_NS = 20_000_000


@pytest.fixture(autouse=True)
def a_moment_makes_a_file_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds are long in a test; the disk's clock here is finer than this."""
    monkeypatch.setattr("watchbill.index.scan.TOO_FRESH_NS", MOMENT_NS)


def grow_old() -> None:
    time.sleep(2 * MOMENT_NS / 1e9)


def many(folder: Path) -> Workspace:
    """Enough tickets for an index, some with a past."""
    workspace = bare_workspace(folder, *(a_ticket(f"T-{number}") for number in range(1, NUMBER + 1)))
    for number in range(1, 8):
        hand(workspace, f"T-{number}", built())
    grow_old()
    return workspace


def hand(workspace: Workspace, ticket: str, fields: dict[str, object]) -> None:
    hand_over(workspace, ticket, fields, NOW, lambda _history, _step: True)


def read_anew(workspace: Workspace) -> dict[str, Card]:
    """What the documents themselves say, without any index."""
    backlog = read_backlog(workspace.layout)
    cards = {}
    for ticket in sorted(backlog.tickets, key=natural):
        file = backlog.tickets[ticket]
        history = workspace.history_of(ticket, file)
        cards[ticket] = card_of(file.ticket, history, step_of(workspace, history))
    return cards


def compare(workspace: Workspace) -> Overview:
    """The overview, after it was held against the documents."""
    found = overview_of(Workspace(workspace.root))
    assert list(found.cards.items()) == list(read_anew(workspace).items())
    backlog = read_backlog(workspace.layout)
    assert sorted(error.path.name for error in found.damaged) == [error.path.name for error in backlog.damaged]
    assert dict(sorted(found.duplicates.items())) == {
        ticket: tuple(path.name for path in paths) for ticket, paths in sorted(backlog.duplicates.items())
    }
    return found


def reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError(f"{given} was read")

    monkeypatch.setattr(index, "gist", refuse)
    monkeypatch.setattr(index, "read_ticket", refuse)
    monkeypatch.setattr(index, "read_history", refuse)


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = many(tmp_path)
    first = compare(workspace)
    reads_nothing(monkeypatch)
    again = overview_of(workspace)
    assert (again.cards, again.name) == (first.cards, first.name)


def test_a_small_backlog_has_no_index(tmp_path: Path) -> None:
    workspace = bare_workspace(tmp_path, *(a_ticket(f"T-{number}") for number in range(FEW)))
    compare(workspace)
    assert not workspace.layout.index.exists()


def test_a_few_changes_are_read_again_rather_than_written(tmp_path: Path) -> None:
    workspace = many(tmp_path)
    compare(workspace)
    before = workspace.layout.index.read_bytes()
    (workspace.layout.tickets / "T-9.md").write_bytes(a_ticket("T-9", priority="critical").render())
    compare(workspace)
    assert workspace.layout.index.read_bytes() == before


def test_a_ticket_that_was_just_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be written again within the same tick of the disk's clock, without a trace."""
    monkeypatch.setattr("watchbill.index.scan.TOO_FRESH_NS", 3_600_000_000_000)
    workspace = bare_workspace(tmp_path, *(a_ticket(f"T-{number}") for number in range(1, NUMBER + 1)))
    overview_of(workspace)
    reads_nothing(monkeypatch)
    with pytest.raises(AssertionError, match="was read"):
        overview_of(workspace)


def test_a_history_that_was_just_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchbill.index.scan.TOO_FRESH_NS", 3_600_000_000_000)
    monkeypatch.setattr("watchbill.index.scan.Seen.is_settled", lambda _seen, _place: True)
    workspace = many(tmp_path)
    overview_of(workspace)
    reads_nothing(monkeypatch)
    with pytest.raises(AssertionError, match="was read"):
        overview_of(workspace)


def test_an_edit_that_hides_its_time_is_seen(tmp_path: Path) -> None:
    workspace = many(tmp_path)
    compare(workspace)
    path = workspace.layout.tickets / "T-9.md"
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"priority: medium", b"priority:   high"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert compare(workspace).cards["T-9"].priority == "high"


def test_what_is_no_ordinary_file_is_damaged_whatever_it_would_say(tmp_path: Path) -> None:
    workspace = many(tmp_path)
    tickets = workspace.layout.tickets
    (tmp_path / "elsewhere.md").write_bytes(a_ticket("T-900").render())
    (tickets / "link.md").symlink_to(tmp_path / "elsewhere.md")
    (tickets / "folder.md").mkdir()
    os.mkfifo(tickets / "pipe.md")
    (tickets / "long.md").write_bytes(a_ticket("T-901").render() + b"x" * 262_144)
    for _ in range(2):
        assert sorted(error.path.name for error in compare(workspace).damaged) == [
            "folder.md", "link.md", "long.md", "pipe.md"
        ]  # fmt: skip


@pytest.mark.parametrize("few", [1, 200])
def test_what_a_ticket_became_takes_its_place_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    workspace = many(tmp_path)
    compare(workspace)
    monkeypatch.setattr(index, "OF_ALL", few)
    tickets = workspace.layout.tickets
    for file, ticket, before in (("T-9.md", "T-11.5", "T-11"), ("T-300.md", "T-7.1", "T-7")):
        (tickets / file).write_bytes(a_ticket(ticket).render())
        cards = list(compare(workspace).cards)
        assert cards.index(ticket) == cards.index(before) + 1


def test_other_rules_make_other_cards(tmp_path: Path) -> None:
    workspace = many(tmp_path)
    hand(workspace, "T-1", reviewed("qa", "fail", findings=[a_finding("medium")]))
    grow_old()
    assert compare(workspace).cards["T-1"].to == ("build",)
    routing = workspace.layout.routing
    text = routing.read_text("utf-8")
    assert 'medium = "build"' in text
    routing.write_text(text.replace('medium = "build"', 'medium = "human"'), "utf-8")
    assert compare(Workspace(workspace.root)).cards["T-1"].to == ("human",)


def test_an_index_that_cannot_be_written_is_no_obstacle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = many(tmp_path)
    (workspace.layout.index / "in the way").mkdir(parents=True)
    compare(workspace)
    assert "everything works without it" in capsys.readouterr().err
    assert [path.name for path in workspace.layout.private.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: data.replace(b"watchbill index ", b"watchbill index 9", 1),
        lambda _data: b"",
        lambda data: bytes(len(data)),
    ],
)
def test_a_spoilt_index_counts_as_none(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    workspace = many(tmp_path)
    compare(workspace)
    assert load(workspace.layout.index).cards
    workspace.layout.index.write_bytes(spoil(workspace.layout.index.read_bytes()))
    assert not load(workspace.layout.index).cards
    compare(workspace)


def test_damage_and_gaps_are_found_with_an_index_too(tmp_path: Path) -> None:
    workspace = many(tmp_path)
    hand(workspace, "T-1", reviewed("qa"))
    hand(workspace, "T-2", reviewed("qa"))
    shutil.copytree(workspace.layout.history_of("T-3"), workspace.layout.history_of("T-900"))
    grow_old()
    first = compare(workspace)
    assert [history.id for history in first.troubled] == ["T-900"], "its document names another ticket"
    workspace.layout.handoff("T-1", 2).write_bytes(b"torn")
    workspace.layout.handoff("T-2", 1).unlink()
    for _ in range(2):
        assert sorted(history.id for history in compare(workspace).troubled) == ["T-1", "T-2", "T-900"]
        grow_old()


def test_one_ticket_is_found_by_its_id_wherever_it_lies(tmp_path: Path) -> None:
    workspace = many(tmp_path)
    overview_of(workspace)
    tickets = workspace.layout.tickets
    (tickets / "T-5.md").rename(tickets / "five.md")
    (tickets / "also.md").write_bytes((tickets / "T-6.md").read_bytes())
    found = workspace.ticket_file("T-5")
    assert found is not None
    assert found.path.name == "five.md"
    assert workspace.ticket_file("T-6") is None, "two files claim it"
    assert workspace.ticket_file("t-7") is None, "that is not how it is written"
    assert workspace.ticket_file("T-404") is None


class Owner:
    """Somebody who does all kinds of things to a workspace."""

    def __init__(self, workspace: Workspace, seed: int) -> None:
        self.workspace, self.chance = workspace, random.Random(seed)
        self.deeds: tuple[Callable[[], None], ...] = (
            self.writes, self.writes, self.edits, self.renames, self.removes, self.spoils, self.claims_twice,
            self.hands_over, self.hands_over, self.tampers, self.loses_a_document, self.loses_a_history,
            self.changes_the_limits, self.spoils_the_index, self.imports_many,
        )  # fmt: skip

    def acts(self) -> str:
        deed = self.chance.choice(self.deeds)
        deed()
        return deed.__name__

    def files(self) -> list[Path]:
        return sorted(self.workspace.layout.tickets.glob("*.md"))

    def documents(self) -> list[Path]:
        return sorted(self.workspace.layout.handoffs.glob("*/*.md"))

    def writes(self) -> None:
        ticket = a_ticket(f"T-{self.chance.randrange(1, 90)}", dependencies=[f"T-{self.chance.randrange(1, 90)}"])
        (self.workspace.layout.tickets / f"{ticket.id}.md").write_bytes(ticket.render())

    def edits(self) -> None:
        path = self.chance.choice(self.files())
        path.write_bytes(path.read_bytes().replace(b"The work", b"The task").replace(b"medium", b"low"))

    def renames(self) -> None:
        path = self.chance.choice(self.files())
        path.rename(path.with_name(f"{path.stem}-renamed.md"))

    def removes(self) -> None:
        self.chance.choice(self.files()).unlink()

    def spoils(self) -> None:
        self.chance.choice(self.files()).write_bytes(b"---\nid: nonsense\n---\n")

    def claims_twice(self) -> None:
        path = self.chance.choice(self.files())
        path.with_name("copy.md").write_bytes(path.read_bytes())

    def hands_over(self) -> None:
        ticket = f"T-{self.chance.randrange(1, 50)}"
        hand(self.workspace, ticket, self.chance.choice([built(), reviewed("qa"), reviewed("security")]))

    def tampers(self) -> None:
        for path in self.documents()[:1]:
            path.write_bytes(path.read_bytes().replace(b"outcome: done", b"outcome: fail"))

    def loses_a_document(self) -> None:
        if self.documents():
            self.chance.choice(self.documents()).unlink()

    def loses_a_history(self) -> None:
        if self.documents():
            shutil.rmtree(self.chance.choice(self.documents()).parent)

    def changes_the_limits(self) -> None:
        path = self.workspace.layout.settings
        text = path.read_text("utf-8").partition("[limits]")[0]
        path.write_text(f"{text}[limits]\nmax_attempts = {self.chance.randrange(1, 5)}\n", "utf-8")
        self.workspace = Workspace(self.workspace.root)

    def spoils_the_index(self) -> None:
        if self.workspace.layout.index.exists():
            self.workspace.layout.index.unlink()

    def imports_many(self) -> None:
        for number in range(200, 200 + FEW + 5):
            ticket = a_ticket(f"T-{number}", priority=self.chance.choice(["low", "high"]))
            (self.workspace.layout.tickets / f"{ticket.id}.md").write_bytes(ticket.render())


@pytest.mark.parametrize("seed", range(5))
def test_with_and_without_an_index_everything_looks_the_same(tmp_path: Path, seed: int) -> None:
    owner = Owner(many(tmp_path), seed)
    compare(owner.workspace)
    told = []
    for _ in range(10):
        told.append(owner.acts())
        before, again = compare(owner.workspace), compare(owner.workspace)
        assert before.name == again.name, told
        if owner.chance.random() < 0.5:
            grow_old()
