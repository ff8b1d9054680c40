"""Everything on disk about one ticket, read in one pass."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.files.straced import traced
from tests.stories import Story, a_ticket
from watchbill.errors import Stale
from watchbill.files.publish import publish, sha256
from watchbill.history import History, append, histories_on_disk, read_backlog, read_history, read_ticket
from watchbill.layout import Layout

TICKET = "T-0001"


def layout_with(folder: Path, story: Story) -> Layout:
    """A workspace's folders, with the documents of `story` published in it."""
    layout = Layout(folder)
    publish(layout.tickets / f"{TICKET}.md", a_ticket().render())
    history = read(layout)
    for handoff in story.history.handoffs:
        history = append(layout, history, handoff.model_copy(update={"parent": history.head}))
    return layout


def read(layout: Layout) -> History:
    return read_history(layout, TICKET, read_backlog(layout).get(TICKET))


def three_documents(folder: Path) -> Layout:
    return layout_with(folder, Story().build().qa().security())


def test_documents_come_back_in_order_each_naming_the_one_before(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    history = read(layout)
    assert [handoff.sender for handoff in history.handoffs] == ["build", "qa", "security"]
    shas = [sha256(path.read_bytes()) for path in sorted(layout.history_of(TICKET).iterdir())]
    ticket = sha256((layout.tickets / f"{TICKET}.md").read_bytes())
    assert [handoff.parent for handoff in history.handoffs] == [ticket, *shas[:2]]
    assert (history.head, history.next_seq, history.damage) == (shas[2], 4, ())


def test_a_ticket_without_history_begins_with_its_own_hash(tmp_path: Path) -> None:
    layout = layout_with(tmp_path, Story())
    history = read(layout)
    assert (history.documents, history.next_seq, history.head) == ((), 1, history.ticket_sha)
    assert read_history(layout, "T-9", None).head == "0" * 64


def test_appending_a_number_that_is_taken_is_stale(tmp_path: Path) -> None:
    layout = layout_with(tmp_path, Story().build())
    with pytest.raises(Stale):
        append(layout, read(layout), Story().build("deferred").history.handoffs[0])
    assert read(layout).handoffs[0].outcome == "done"


APPEND = """
from tests.stories import Story
from watchbill.history import append, read_history
from watchbill.layout import Layout
layout = Layout(folder)
for handoff in Story().build().qa().security().history.handoffs:
    history = read_history(layout, "T-0001", None)
    append(layout, history, handoff.model_copy(update={"parent": history.head}))
"""


def test_a_document_costs_two_syncs_and_no_more(tmp_path: Path) -> None:
    folder = tmp_path / "watch"
    (folder / "handoffs" / TICKET).mkdir(parents=True)
    done = traced(APPEND, folder)
    assert len(read(Layout(folder)).documents) == 3, done.stderr
    waiting = [call.name for call in done.calls if call.name in ("fsync", "fdatasync", "syncfs")]
    assert waiting == ["fsync"] * 6


def test_a_missing_number_is_damage(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    layout.handoff(TICKET, 2).unlink()
    history = read(layout)
    assert history.damage == ("document 0002 is missing",)
    assert history.next_seq == 4


@pytest.mark.parametrize("content", [b"", b"\xff", b"---\n---\n", b"x" * 2_000_000])
def test_a_document_that_cannot_be_read_is_damage_and_its_number_is_not_given_again(
    tmp_path: Path, content: bytes
) -> None:
    layout = three_documents(tmp_path)
    layout.handoff(TICKET, 3).write_bytes(content)
    history = read(layout)
    assert len(history.documents) == 2
    assert [error.path.name for error in history.damaged_files] == ["0003.md"]
    assert history.damage[0].startswith("document 0003.md cannot be read: ")
    assert history.next_seq == 4


def test_a_document_that_was_set_aside_stays_damage_until_a_human_has_looked(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    layout.handoff(TICKET, 3).rename(layout.damaged_handoff(layout.handoff(TICKET, 3)))
    assert read(layout).damage == ("document 0003.damaged cannot be read: it was set aside as damaged",)
    assert read(layout).next_seq == 4
    answered(layout, 3)
    assert read(layout).damage == ()


def answered(layout: Layout, seq: int) -> None:
    history = read(layout)
    story = Story()
    story.history = history
    decision = story.human("dismiss", answers=seq).history.handoffs[-1]
    append(layout, history, decision)


def test_a_decision_about_something_else_settles_no_damage(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    layout.handoff(TICKET, 3).write_bytes(b"torn")
    answered(layout, 2)
    assert len(read(layout).damage) == 1
    answered(layout, 3)
    assert read(layout).damage == ()


def test_damage_below_an_older_decision_is_damage_all_the_same(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    answered(layout, 3)
    layout.handoff(TICKET, 1).write_bytes(b"torn")
    layout.handoff(TICKET, 2).unlink()
    assert len(read(layout).damage) == 2
    answered(layout, 1)
    answered(layout, 2)
    assert read(layout).damage == ()


def test_no_decision_settles_damage_that_comes_after_it(tmp_path: Path) -> None:
    layout = layout_with(tmp_path, Story().build())
    answered(layout, 3)
    layout.handoff(TICKET, 3).write_bytes(b"torn")
    assert len(read(layout).damage) == 1


@pytest.mark.parametrize(
    "change", [{"ticket": "T-0002"}, {"seq": 9}, {"seq": 12}], ids=["another ticket", "a later number", "two digits"]
)
def test_a_document_under_a_name_that_is_not_its_own_is_damage(tmp_path: Path, change: dict[str, object]) -> None:
    layout = three_documents(tmp_path)
    path = layout.handoff(TICKET, 2)
    moved = read(layout).handoffs[1].model_copy(update=change)
    path.write_bytes(moved.render())
    assert "it says that it is document" in read(layout).damage[0]


def test_a_second_spelling_of_a_number_is_damage(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    layout.handoff(TICKET, 2).rename(layout.history_of(TICKET) / "000002.md")
    assert "document 000002.md cannot be read" in read(layout).damage[0]


def test_links_and_folders_in_a_history_are_damage(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    (layout.history_of(TICKET) / "0004.md").symlink_to("0003.md")
    (layout.history_of(TICKET) / "0005.md").mkdir()
    history = read(layout)
    assert [why.rpartition(": ")[2] for why in history.damage] == ["it is not an ordinary file"] * 2
    assert history.next_seq == 6


def test_other_files_in_a_history_are_nobodys_business(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    for name in ("notes.txt", "1.md", ".0004.md.1-abcdef01.tmp", "0003.md.bak", "0003.damaged.reason.txt"):
        (layout.history_of(TICKET) / name).write_text("x")
    assert (read(layout).damage, read(layout).next_seq) == ((), 4)


def test_histories_are_listed_by_their_folders(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    (layout.handoffs / "README.md").write_text("x")
    assert histories_on_disk(layout) == [TICKET]
    assert histories_on_disk(Layout(tmp_path / "none")) == []


def test_an_edited_ticket_changes_nothing_in_its_history(tmp_path: Path) -> None:
    layout = three_documents(tmp_path)
    (layout.tickets / f"{TICKET}.md").write_bytes(a_ticket(priority="critical").render())
    history = read(layout)
    assert history.damage == () and history.ticket and history.ticket.priority == "critical"


# The backlog.


def test_the_id_inside_counts_not_the_name_of_the_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    publish(layout.tickets / "anything at all.md", a_ticket("T-7").render())
    backlog = read_backlog(layout)
    assert list(backlog.tickets) == ["T-7"]
    assert backlog.get("T-7") and backlog.get("T-8") is None


def test_an_id_that_two_files_claim_is_nobodys(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name, ticket in (("a", "T-7"), ("b", "T-7"), ("c", "T-8")):
        publish(layout.tickets / f"{name}.md", a_ticket(ticket, title=name).render())
    backlog = read_backlog(layout)
    assert list(backlog.tickets) == ["T-8"]
    assert [path.name for path in backlog.duplicates["T-7"]] == ["a.md", "b.md"]


def test_ids_that_differ_only_in_case_are_one_id(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    publish(layout.tickets / "a.md", a_ticket("T-7").render())
    publish(layout.tickets / "b.md", a_ticket("t-7").render())
    backlog = read_backlog(layout)
    assert backlog.tickets == {} and sorted(backlog.duplicates) == ["T-7", "t-7"]


def test_a_ticket_that_cannot_be_read_spoils_no_other(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    publish(layout.tickets / "T-1.md", a_ticket("T-1").render())
    bad = {
        "latin.md": b"---\nid: T-2\ntitle: caf\xe9\n---\n",
        "alias.md": b"---\nid: &a T-3\ntitle: *a\n---\n",
        "tag.md": b"---\nid: T-4\ntitle: !!python/name:os.system x\n---\n",
        "traversal.md": b"---\nid: ../../etc\ntitle: x\n---\n",
        "huge.md": b"---\nid: T-5\ntitle: x\n---\n" + b"x" * 10_000_000,
        "empty.md": b"",
    }
    for name, content in bad.items():
        (layout.tickets / name).write_bytes(content)
    (layout.tickets / "folder.md").mkdir()
    (layout.tickets / "link.md").symlink_to("T-1.md")
    os.mkfifo(layout.tickets / "pipe.md")
    backlog = read_backlog(layout)
    assert list(backlog.tickets) == ["T-1"]
    assert [error.path.name for error in backlog.damaged] == sorted([*bad, "folder.md", "link.md", "pipe.md"])


def test_readme_hidden_and_other_files_are_no_tickets(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.tickets.mkdir()
    for name in ("README.md", ".T-1.md.1-abcdef01.tmp", ".hidden.md", "notes.txt"):
        (layout.tickets / name).write_text("x")
    assert read_backlog(layout).damaged == ()
    assert read_backlog(Layout(tmp_path / "none")).tickets == {}


def test_a_tickets_hash_is_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "T-1.md"
    path.write_bytes(a_ticket("T-1").render())
    assert read_ticket(path).sha == sha256(path.read_bytes())
    assert replace(read_ticket(path), sha="").ticket.id == "T-1"
