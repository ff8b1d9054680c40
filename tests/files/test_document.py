"""What every document has in common."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from tests.files.shortage import no_descriptors
from tests.files.straced import traced
from watchbill.errors import Damaged, TryLater
from watchbill.files.document import Document, Moment, Upgrades, read_bytes

PATH = Path("note.md")
NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


class Note(Document):
    kind: ClassVar[str] = "note"
    limit: ClassVar[int] = 2_000

    id: str
    when: Moment = NOW
    sender: str = Field("", alias="from")
    count: int = 0
    tags: tuple[str, ...] = ()
    more: str | None = None


def why(text: str) -> str:
    with pytest.raises(Damaged) as caught:
        Note.parse(text.encode(), PATH)
    assert caught.value.path == PATH
    return caught.value.why


def test_what_is_rendered_is_parsed_into_the_same() -> None:
    note = Note.model_validate({"id": "1", "from": "x", "tags": ("a",), "body": "# One\n\ntwo"})
    assert Note.parse(note.render(), PATH) == note


def test_empty_parts_are_left_out() -> None:
    assert b"more" not in Note(id="1").render()


def test_a_time_is_kept_in_utc_to_the_second_and_needs_a_zone() -> None:
    here = datetime(2026, 11, 20, 4, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))
    note = Note(id="1", when=here)
    assert note.when == NOW
    assert b"2026-11-20T02:00:00Z" in note.render()
    assert Note.parse(note.render(), PATH) == note
    assert "needs a time zone" in why("---\nid: a\nwhen: 2026-11-20 02:00\n---\n")


def test_an_unknown_key_is_named() -> None:
    assert why("---\nid: a\nsize: 1\n---\n") == "size: this key is not known"


def test_a_missing_key_is_named() -> None:
    assert why("---\ncount: 1\n---\n") == "id: this key is missing"


def test_the_body_is_not_a_key() -> None:
    assert "the body stands below" in why("---\nid: a\nbody: x\n---\n")


def test_the_models_own_name_for_a_key_is_not_a_key() -> None:
    assert why("---\nid: a\nsender: x\n---\n") == "sender: this key is not known"


def test_many_problems_are_five_and_a_count() -> None:
    keys = "\n".join(f"k{number}: 1" for number in range(9))
    assert why(f"---\nid: a\n{keys}\n---\n").endswith("; and 4 more")


def test_what_is_no_document_is_damaged() -> None:
    assert "three dashes" in why("hello")


def test_only_an_ordinary_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "real.md").write_bytes(Note(id="1").render())
    assert Note.load(tmp_path / "real.md").id == "1"
    (tmp_path / "link.md").symlink_to("real.md")
    (tmp_path / "folder.md").mkdir()
    os.mkfifo(tmp_path / "pipe.md")
    for name in ("link.md", "folder.md", "pipe.md", "none.md"):
        with pytest.raises(Damaged, match="not an ordinary file"):
            Note.load(tmp_path / name)


def test_a_file_that_cannot_be_opened_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may open everything, so the refusal is the only thing that is made up here.
    def refuse(*_: object, **__: object) -> object:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.md").write_bytes(b"")
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Damaged, match="Permission denied"):
        Note.load(tmp_path / "a.md")


def test_a_document_is_not_damaged_because_too_many_files_are_open(tmp_path: Path) -> None:
    path = tmp_path / "note.md"
    path.write_bytes(Note(id="1").render())
    with no_descriptors(), pytest.raises(TryLater, match="too many files are open in this process"):
        Note.load(path)


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "huge.md").open("wb") as file:
        file.truncate(10**12)
    assert len(read_bytes(tmp_path / "huge.md", 2_000)) == 2_001
    with pytest.raises(Damaged, match="at most 2,000 are read"):
        Note.load(tmp_path / "huge.md")


def test_the_schema_is_of_the_front_matter_alone() -> None:
    schema = Note.json_schema()
    assert schema["$id"] == "watchbill/note/1"
    assert schema["additionalProperties"] is False
    assert "body" not in schema["properties"] and "from" in schema["properties"]


@pytest.mark.parametrize("error", ["EIO", "EMFILE"])
def test_a_document_is_not_damaged_because_the_machine_cannot_read_it_now(tmp_path: Path, error: str) -> None:
    folder = tmp_path / "handoffs"
    folder.mkdir()
    (folder / "0001.md").write_bytes(b"whole")
    program = """
from watchbill.files.document import read_bytes
try:
    print(read_bytes(folder / "0001.md"))
except TryLater as error:
    print("later:", error.reason)
"""
    dry = traced(program, folder)
    assert dry.stdout == "b'whole'\n"
    number = dry.position("open", 1, folder / "0001.md")
    done = traced(program, folder, f"openat:error={error}:when={number}")
    assert done.stdout.startswith(f"later: cannot read {folder / '0001.md'}: "), done


# Versions: what an older one says is understood, what a later one says is not guessed.


class Memo(Document):
    kind: ClassVar[str] = "memo"
    version: ClassVar[int] = 3
    upgrades: ClassVar[Upgrades] = {
        1: lambda meta: {**{key: value for key, value in meta.items() if key != "name"}, "title": meta["name"]},
        2: lambda meta: {**meta, "words": [meta["words"]]},
    }

    schema_name: Literal["watchbill/memo/3"] = Field("watchbill/memo/3", alias="schema")
    title: str
    words: tuple[str, ...]


def memo(schema: str, keys: str) -> Memo:
    return Memo.parse(f"---\nschema: {schema}\n{keys}---\n\nThe body.\n".encode(), PATH)


def test_an_older_version_is_read_as_the_present_one() -> None:
    now = memo("watchbill/memo/3", "title: A\nwords: [b]\n")
    assert memo("watchbill/memo/2", "title: A\nwords: b\n") == now
    assert memo("watchbill/memo/1", "name: A\nwords: b\n") == now
    assert now.body == "The body."


def test_an_older_version_is_held_to_the_same_rules() -> None:
    with pytest.raises(Damaged, match="size: this key is not known"):
        memo("watchbill/memo/2", "title: A\nwords: b\nsize: 1\n")


def test_a_later_version_is_not_guessed_and_says_what_to_do() -> None:
    with pytest.raises(Damaged, match=r"watchbill/memo/4, which a later Watchbill wrote.*update Watchbill"):
        memo("watchbill/memo/4", "title: A\nwords: [b]\n")


@pytest.mark.parametrize("schema", ["watchbill/memo/0", "watchbill/note/3", "memo/3", "watchbill/memo/x", "[]"])
def test_what_is_no_version_of_its_kind_is_damaged(schema: str) -> None:
    with pytest.raises(Damaged):
        memo(schema, "title: A\nwords: [b]\n")
