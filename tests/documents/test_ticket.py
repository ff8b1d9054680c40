"""A ticket is read quickly where it is plain, and always as the careful way reads it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.files.heads import BACKLOG_MD, TICKET, common, mutated, words
from watchbill.documents import ticket as tickets
from watchbill.documents.ticket import Gist, Ticket, gist
from watchbill.errors import Damaged
from watchbill.files.document import explain, upgraded
from watchbill.files.front_matter import Malformed, read_yaml

PATH = Path("x.md")
KEYS = [
    *(field.alias or name for name, field in Ticket.model_fields.items()),
    *("schema_name", "other", *tickets.READ_PAST),
]


def whole(ticket: Ticket) -> tuple[object, ...]:
    """Everything that can be told of a ticket."""
    return repr(ticket.__dict__), type(ticket), ticket.model_fields_set, ticket.render(), ticket.__pydantic_extra__


def read_quickly(head: str) -> object:
    try:
        return whole(Ticket.parse(document(head), PATH))
    except Damaged as damaged:
        return damaged.why


def read_carefully(head: str) -> object:
    try:
        meta = read_yaml(f"\n{head}")
        if "body" in meta:
            return "the key 'body' is not allowed: the body stands below the front matter"
        meta = upgraded(meta, Ticket.kind, Ticket.version, Ticket.upgrades)
        return whole(Ticket.model_validate({**meta, "body": "body"}, by_alias=True, by_name=False))
    except Malformed as refusal:
        return str(refusal)
    except ValidationError as error:
        return explain(error)


def reads_alike(head: str) -> bool:
    if any(sign in head for sign in ("\0", "\r", "\n---")) or head.startswith("---"):
        return True
    has_its_gist = gist(document(head)) in (None, gist_of(document(head)))
    return has_its_gist and read_quickly(head) == read_carefully(head)


def document(head: str) -> bytes:
    return f"---\n{head}\n---\n\nbody\n".encode()


def gist_of(data: bytes) -> Gist | None:
    """The gist of what the whole ticket says."""
    try:
        ticket = Ticket.parse(data, PATH)
    except Damaged:
        return None
    day = ticket.created_date.isoformat() if ticket.created_date else ""
    return Gist(ticket.id, ticket.title, ticket.priority, day, ticket.dependencies, ticket.status)


@settings(max_examples=250, deadline=None)
@given(mutated((TICKET, BACKLOG_MD)))
def test_a_real_ticket_with_a_few_changes_is_read_alike(head: str) -> None:
    assert reads_alike(head)


VALUES = (
    "open|Open| open|closed|To Do|done|Blocked|bug|BUG|high|High|urgent|T-1|[T-1]|[T-1, T-2.3]|[x]|[1]|[yes]|[null]|"
    "t-1|T-१|watchbill/ticket/1|watchbill/ticket/2|'2026-11-20'|'2026-11-20 10:30'|'2026-11-20T10:30:00Z'|2026-11-20|"
    "2026-11-20 00:00:00|1700000000|'1700000000'|''||\n- T-1\n- T-2"
)
some_values = words | st.sampled_from(VALUES.split("|"))


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), some_values), max_size=4, unique_by=lambda pair: pair[0]))
@example([("created_date", "2026-11-20 00:00:00")])
@example([("created_date", "2026-11-20 00:00:00 +02:00")])
@example([("body", "x")])
@example([("schema_name", "watchbill/ticket/1")])
@example([("dependencies", "[" + ", ".join(["T-1"] * 201) + "]")])
def test_any_value_of_any_key_is_read_alike(pairs: list[tuple[str, str]]) -> None:
    given_keys = {key for key, _ in pairs}
    head = "".join(f"{key}: {value}\n" for key, value in pairs)
    for key, value in (("id", "T-1"), ("title", "x")):
        head += f"{key}: {value}\n" if key not in given_keys else ""
    assert reads_alike(head.rstrip("\n"))


values: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, False, 0, 1, 1.0, "", "T-1", "T-1\n", " T-1", "x", "open", "OPEN", "bug", "low", "é", "x" * 301),
        *("2026-11-20", "2026-11-20T00:00:00Z", 1_700_000_000, date(2026, 11, 20), datetime(2026, 11, 20)),
        *(datetime(2026, 11, 20, 10, 30), datetime(2026, 11, 20, tzinfo=UTC), {}, {"a": 1}, [], [None], ["T-1"], [1]),
        *(["T-1", "x"], [["T-1"]], ["T-1"] * 201, ["\ud800"], "watchbill/ticket/1", b"T-1", ["open"]),
    ]
)


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=4))
@example({"created_date": datetime(2026, 11, 20)})
@example({"created_date": "2026-11-20"})
@example({"status": "OPEN"})
@example({"id": "T-1\n"})
@example({"labels": "x"})
def test_what_the_quick_model_takes_the_careful_one_takes_and_reads_alike(keys: dict[str, Any]) -> None:
    keys = {"id": "T-1", "title": "x", **keys}
    try:
        quick = tickets._AsWritten.model_validate(keys)
    except ValidationError:
        return
    careful = Ticket.model_validate(keys, by_alias=True, by_name=False)
    assert repr(quick.__dict__) == repr(careful.__dict__)
    assert quick.model_fields_set == careful.model_fields_set


titles = words | common
days = st.sampled_from(["2026-11-20", "'2026-11-20'", "'2026-11-20", "2026-13-45", "0000-01-01", "'0000-01-01'", "x"])
ids = st.sampled_from(["T-1", "task-42.1", "T-0007"]) | titles


@st.composite
def written(draw: st.DrawFn) -> str:
    """A ticket in the order and form of `render`, or nearly."""
    rows = [
        draw(st.sampled_from(["schema: watchbill/ticket/1", ""])),
        f"id: {draw(ids)}",
        f"title: {draw(titles)}",
        draw(st.sampled_from(["type: bug", "type: chore", "type: other", ""])),
        draw(st.sampled_from(["priority: high", "priority: none", ""])),
        draw(st.sampled_from(["status: open", "status: closed", "status: draft", ""])),
        draw(st.just("") | a_list("dependencies", ids)),
        draw(st.just("") | a_list("labels", titles)),
        draw(st.just("") | days.map("created_date: {}".format)),
    ]
    return "\n".join(row for row in rows if row)


moments = days | st.sampled_from(
    ["'2026-11-20 10:30'", "'2026-11-20 99:99'", "'2026-13-45 10:30'", "'2026-11-20 10:30 '", "2026-11-20 10:30", ""]
)
texts = titles | st.sampled_from(
    ["'@sara'", "'a: b #c'", "'it''s'", "''", "'a''", "'a, b'", '"@sara"', "@sara", ".5", "src/a.ts", "100", "0o7"]
)
STATUSES = ["To Do", "In Progress", "Done", "Draft", "to do", "To  Do", "Blocked", "yes", "null", "'Done'", "Done #x"]


@st.composite
def of_backlog_md(draw: st.DrawFn) -> str:
    """A ticket in the order and form of Backlog.md, or nearly."""

    def perhaps(key: str, values: st.SearchStrategy[str]) -> list[str]:
        return [f"{key}: {draw(values)}"] if draw(st.booleans()) else []

    def some(key: str, items: st.SearchStrategy[str]) -> list[str]:
        return [draw(a_list(key, items, "  - "))] if draw(st.booleans()) else []

    rows = [
        f"id: {draw(ids)}",
        f"title: {draw(texts)}",
        *perhaps("status", st.sampled_from(STATUSES)),
        *some("assignee", texts),
        *perhaps("reporter", texts),
        *perhaps("created_date", moments),
        *perhaps("updated_date", moments),
        *some("labels", texts),
        *perhaps("milestone", texts),
        *some("dependencies", ids),
        *some("references", texts),
        *some("documentation", texts),
        *some("modified_files", texts),
        *perhaps("parent_task_id", ids),
        *some("subtasks", ids),
        *perhaps("priority", st.sampled_from(["high", "High", "HIGH ", "none", "null", "no", "1"])),
        *perhaps("type", st.sampled_from(["bug", "Bug", "task", "yes", "~", "'bug'"])),
        *perhaps("ordinal", st.sampled_from(["1000", "0", "08", "1.5", "-1", "1e3", "1:20", "9" * 12])),
    ]
    match draw(st.sampled_from(["as it is", "twice", "turned", "spoilt"])):
        case "twice":
            rows.insert(draw(st.integers(0, len(rows))), draw(st.sampled_from(rows)))
        case "turned":
            rows = draw(st.permutations(rows))
        case "spoilt":
            row = draw(st.integers(0, len(rows) - 1))
            rows[row] += draw(
                st.sampled_from([" ", "\t", " #x", "#x", ":", ": x", "\n", "\n  x", "\n  - ", "\u2028", "é"])
            )
    return "\n".join(rows)


@settings(max_examples=400, deadline=None)
@given(of_backlog_md())
@example("id: T-1\ntitle: 'it''s'\nstatus: To Do")
@example("id: T-1\ntitle: x\nassignee: []\nassignee: []")
@example("id: T-1\ntitle: x\nreporter: x: y")
@example("id: T-1\ntitle: x\nassignee:\n  - x\n  - @sara")
@example("id: T-1\ntitle: x\nassignee:\n  - 'x\uffffy'")
@example("id: T-1\ntitle: x\nupdated_date: 2026-13-45")
@example("id: T-1\ntitle: x\nstatus: Blocked")
@example("id: T-1\ntitle: x\ncreated_date: '2026-11-20 10:30'")
@example("id: T-1\ntitle: x\nlabels:\n  - 'a'\n  - no")
@example("id: T-1\ntitle: x\nlabels:\n  - a\n- b")
def test_a_ticket_as_backlog_md_writes_it_is_read_alike(head: str) -> None:
    assert reads_alike(head)


def a_list(key: str, items: st.SearchStrategy[str], dash: str = "- ") -> st.SearchStrategy[str]:
    some = st.lists(items, min_size=1, max_size=3)
    in_a_block = some.map(lambda found: "".join([f"{key}:", *(f"\n{dash}{item}" for item in found)]))
    return in_a_block | some.map(lambda found: f"{key}: [{', '.join(found)}]") | st.just(f"{key}: []")


@settings(max_examples=250, deadline=None)
@given(written())
@example("id: T-1\ntitle: yes")
@example("id: T-1\ntitle: x\u2028y")
@example("id: T-1\ntitle: x\ufeffy")
@example("id: T-1\ntitle: x\nlabels: [a, yes]")
@example("id: T-1\ntitle: x\nlabels:\n- no")
@example("id: T-1\ntitle: x\nlabels:\n- 2026-13-45")
@example("id: T-1\ntitle: x\ncreated_date: '2026-11-20")
def test_a_ticket_as_the_engine_writes_it_is_read_alike(head: str) -> None:
    assert reads_alike(head)


@pytest.mark.parametrize("end", ["", "\n", "\n\nx\n\n", "\n---\n", "x", "\n" + "x" * 262_144])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\n", b"---\n", b"\xff", b"x" * 262_144])
def test_what_stands_around_the_front_matter_is_read_alike(
    start: bytes, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = ("\n", "\r\n", "\r", " \n", "\n\n")
    heads = (TICKET, AS_BACKLOG_MD_WRITES, AS_BACKLOG_MD_WRITES.replace("\n", "\r\n"))
    data = [start + f"---{gap}{head}{gap}---{end}".encode() for head in heads for gap in gaps]
    quick = [whole_or_why(document) for document in data]
    assert [gist(document) in (None, gist_of(document)) for document in data] == [True] * len(data)
    monkeypatch.setattr(Ticket, "_as_written", lambda _: None)
    assert quick == [whole_or_why(document) for document in data]


def whole_or_why(data: bytes) -> object:
    try:
        ticket = Ticket.parse(data, PATH)
        return whole(ticket), ticket.body
    except Damaged as damaged:
        return damaged.why


AS_BACKLOG_MD_WRITES = """\
id: BACK-42.1
title: 'Fix: the login isn''t safe (#12)'
status: In Progress
assignee:
  - '@sara'
reporter: '@me'
created_date: '2026-06-01 10:30'
updated_date: '2026-06-02 08:15'
labels:
  - auth
  - 'back end: x'
milestone: m-1
dependencies:
  - BACK-7
references:
  - 'https://example.org/a#b'
documentation: []
modified_files:
  - src/login.ts
parent_task_id: BACK-42
subtasks:
  - BACK-42.1.1
priority: high
type: bug
ordinal: 1000"""


@pytest.mark.parametrize("head", [TICKET, AS_BACKLOG_MD_WRITES])
def test_a_plain_ticket_needs_neither_the_parser_nor_a_validator_of_ours(
    head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the careful way was taken")

    data = f"---\n{head}\n---\n\nbody\n".encode()
    careful = whole(Ticket.model_validate({**read_yaml(head), "body": "body"}))
    monkeypatch.setattr("watchbill.files.front_matter.split", never)
    monkeypatch.setattr(Ticket, "model_validate", never)
    ticket = Ticket.parse(data, PATH)
    assert whole(ticket) == careful
    assert Ticket.parse(ticket.render(), PATH) == ticket


def test_the_gist_of_a_plain_ticket_is_had_at_once() -> None:
    assert gist(document(TICKET)) == gist_of(document(TICKET)) != None  # noqa: E711
    assert gist(document("id: T-1\ntitle: x")) == Gist("T-1", "x", "medium", "", (), "open")


@pytest.mark.parametrize(
    "head",
    [
        "id: T-1\ntitle: " + "x" * 301,
        "id: T-1\ntitle: yes",
        "id: T-1\ntitle: x\ntype: other",
        "id: T-1\ntitle: x\npriority: none",
        "id: T-1\ntitle: x\ndependencies: [" + ", ".join(["T-1"] * 201) + "]",
        "id: T-1\ntitle: x\nlabels: [a, yes]",
        "id: T-1\ntitle: x\nlabels: [2026-13-45]",
        "id: T-1\ntitle: x\ncreated_date: 2026-13-45",
        "id: T-1\ntitle: x\n---\n" + "x" * 262_144,
    ],
)
def test_what_a_ticket_may_not_say_has_no_gist(head: str) -> None:
    assert gist(document(head)) is None
    assert gist_of(document(head)) is None
