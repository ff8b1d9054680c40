"""A ticket: one piece of work that a human wants done.

Owns the format of `tickets/*.md`. The engine reads tickets and creates them for a human; no agent writes one.
The keys are Backlog.md's, so its files work as they are: what the engine has no use for is accepted and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from watchbill.documents.types import TicketId
from watchbill.files import front_matter, plain_yaml
from watchbill.files.document import Document
from watchbill.files.plain_yaml import HARMLESS, QUOTED, WORDS, WORDS_IN_A_LIST
from watchbill.layout import TICKET_ID

PRIORITIES = ("critical", "high", "medium", "low")
Priority = Literal["critical", "high", "medium", "low"]
Kind = Literal["bug", "feature", "chore", "security"]

_KINDS = frozenset((None, *get_args(Kind)))
_URGENCY: dict[str | None, str] = {None: "medium", **{priority: priority for priority in PRIORITIES}}
_IN_THE_GIST = ("id", "title", "type", "priority", "created_date", "status", "dependencies", "labels")
_LONGEST_TITLE = 300
_MOST_DEPENDENCIES = 200

_STATUSES = {
    "open": "open",
    "to do": "open",
    "todo": "open",
    "in progress": "open",
    "closed": "closed",
    "done": "closed",
    "draft": "closed",
    "archived": "closed",
}
_CRITERION = re.compile(r"^\s*[-*] \[[ xX]\] (?:#(\d+)\s+)?(.+)$")


READ_PAST = (
    *("assignee", "reporter", "updated_date", "due_date", "completed_date", "milestone", "parent_task_id", "parent"),
    *("subtasks", "ordinal", "references", "documentation", "modified_files", "onStatusChange"),
)
"""Backlog.md's own keys: accepted with any value, and not kept."""

_ID = TICKET_ID.pattern
_TEXT = f"(?:{WORDS}|{QUOTED})"
_A_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _key(name: str, value: str) -> str:
    return rf"(?>{name}: (?P<{name}>{value})\n)?+"


def _list(name: str, item: str, item_on_one_line: str) -> str:
    on_one_line = rf" \[{item_on_one_line}(?:, {item_on_one_line})*\]"
    return rf"(?>{name}:(?P<{name}> \[\]|(?:\n- {item})+|(?:\n  - {item})+|{on_one_line})\n)?+"


def _past(*names: str) -> str:
    return "".join(rf"(?>{name}:(?: \[\]| {HARMLESS}|(?:\n  - {HARMLESS})+)?\n)?+" for name in names)


_CREATED = _key("created_date", f"'{_A_DAY}(?: [0-9]{{2}}:[0-9]{{2}})?'|{_A_DAY}")
_DEPENDENCIES = _list("dependencies", _ID, _ID)
_LABELS = _list("labels", _TEXT, WORDS_IN_A_LIST)


# The usual front matters, whole. A value that the pattern takes is surely YAML, whatever it means. Compiled when first
# needed, for that takes as long as starting Python.
@cache
def _form_of_the_engine() -> re.Pattern[str]:
    """As `render` writes it."""
    return re.compile(
        "".join(
            [
                *("---\n", _key("schema", "watchbill/ticket/1"), _key("id", _ID), _key("title", _TEXT)),
                *(_key("type", "[a-z]+"), _key("priority", "[a-z]+"), _key("status", "[a-z]+")),
                *(_DEPENDENCIES, _LABELS, _CREATED, "---\n"),
            ]
        )
    )


@cache
def _form_of_backlog_md() -> re.Pattern[str]:
    """As its `serializeTask` writes it."""
    return re.compile(
        "".join(
            [
                *("---\n", _key("id", _ID), _key("title", _TEXT), _key("status", "[A-Za-z ]+")),
                *(_past("assignee", "reporter"), _CREATED, _past("updated_date", "due_date"), _LABELS),
                *(_past("milestone"), _DEPENDENCIES, _past("references", "documentation", "modified_files")),
                *(_past("parent_task_id", "subtasks"), _key("priority", "[A-Za-z]+"), _key("type", "[A-Za-z]+")),
                *(_past("ordinal"), "---\n"),
            ]
        )
    )


class _AsWritten(Document):
    """A ticket in the engine's own form, which pydantic checks without calling back into Python: that is quick.

    It only answers sooner: what it takes, `Ticket` takes and reads alike; what it refuses, `Ticket` judges.
    """

    model_config = ConfigDict(populate_by_name=False)

    kind: ClassVar[str] = "ticket"
    limit: ClassVar[int] = 262_144

    schema_name: Literal["watchbill/ticket/1"] = Field("watchbill/ticket/1", alias="schema")
    id: TicketId
    title: str = Field(min_length=1, max_length=_LONGEST_TITLE)
    type: Kind = "feature"
    priority: Priority = "medium"
    status: Literal["open", "closed"] = "open"
    dependencies: tuple[TicketId, ...] = Field((), max_length=_MOST_DEPENDENCIES)
    labels: tuple[str, ...] = ()
    created_date: date | None = None


class Ticket(_AsWritten):
    """One ticket. `id` counts, not the file's name."""

    model_config = ConfigDict(populate_by_name=True)

    id: str
    dependencies: tuple[str, ...] = Field((), max_length=_MOST_DEPENDENCIES)

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Self:
        """Read a ticket, at once if it is in the engine's own form. Raises `Damaged` with `path` and the reasons."""
        return cls._as_written(data) or super().parse(data, path)

    @classmethod
    def _as_written(cls, data: bytes) -> Self | None:
        """The ticket, if all of it is in the engine's own form; None leaves it to the careful way."""
        ticket = cls.__new__(cls)
        try:
            keys = _keys_as_written(data) if len(data) <= cls.limit else None
            if keys is None:
                return None
            _AsWritten.__pydantic_validator__.validate_python(keys, self_instance=ticket)
        except (front_matter.Malformed, plain_yaml.NotPlain, ValidationError):
            return None
        return ticket

    @model_validator(mode="before")
    @classmethod
    def _without_what_is_read_past(cls, keys: Any) -> Any:
        if isinstance(keys, dict) and not keys.keys().isdisjoint(READ_PAST):
            return {key: value for key, value in keys.items() if key not in READ_PAST}
        return keys

    @field_validator("id")
    @classmethod
    def _is_a_plain_id(cls, value: str) -> str:
        return plain_id(value)

    @field_validator("dependencies")
    @classmethod
    def _are_plain_ids(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(plain_id(value) for value in values)

    @field_validator("type", mode="before")
    @classmethod
    def _kind_in_lower_case(cls, value: Any) -> Any:
        return _in_lower_case(value, "feature")

    @field_validator("priority", mode="before")
    @classmethod
    def _priority_in_lower_case(cls, value: Any) -> Any:
        return _in_lower_case(value, "medium")

    @field_validator("status", mode="before")
    @classmethod
    def _known_status(cls, value: Any) -> Any:
        status = _in_lower_case(value, "open")
        if not isinstance(status, str) or status not in _STATUSES:
            raise ValueError(f"{value!r} is not a status; write open or closed")
        return _STATUSES[status]

    @field_validator("dependencies", "labels", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("created_date", mode="before")
    @classmethod
    def _day_only(cls, value: Any) -> Any:
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, str) and re.match(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}", value):
            return value[:10]
        return value

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The published schema: what is read, which is more than what the engine writes."""
        schema = super().json_schema()
        word = {"type": ["string", "null"]}
        texts = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}, {"type": "null"}]}
        as_read: dict[str, dict[str, Any]] = {
            "status": word,
            "type": word,
            "priority": word,
            "dependencies": texts,
            "labels": texts,
        }
        as_read["created_date"] = word
        for key, shape in as_read.items():
            schema["properties"][key] = {"default": schema["properties"][key].get("default"), **shape}
        schema["properties"].update((key, {"default": None}) for key in READ_PAST)
        schema["properties"]["status"]["description"] = f"one of: {', '.join(_STATUSES)}; in any case"
        return schema

    @property
    def criteria(self) -> tuple[str, ...]:
        """The acceptance criteria, one sentence each, in order."""
        matches = (_CRITERION.match(line) for line in self.body.splitlines())
        return tuple(match[2].strip() for match in matches if match)


class Gist(NamedTuple):
    """What planning asks of a ticket, in the order of a card. `created` is a day such as 2026-11-20, or empty."""

    id: str
    title: str
    priority: str
    created: str
    needs: tuple[str, ...]
    status: str


def gist(data: bytes) -> Gist | None:
    """The gist of a ticket in the engine's own form, quickly; None leaves it to `Ticket.parse`, which reads alike."""
    try:
        match = _matched(front_matter.decode(data), _form_of_the_engine) if len(data) <= Ticket.limit else None
        if match is None:
            return None
        ticket, title, kind, priority, created, status, needs, labels = match.group(*_IN_THE_GIST)
        if not ticket or not title or kind not in _KINDS:
            return None
        found = Gist(
            ticket,
            plain_yaml.value(title),
            _URGENCY[priority],
            _day(created),
            tuple(_items(needs)) if needs else (),
            _STATUSES[status or "open"],
        )
        if found.title.__class__ is not str or not _are_words(labels):
            return None
    except (front_matter.Malformed, plain_yaml.NotPlain, KeyError, ValueError):
        return None
    fits = 0 < len(found.title) <= _LONGEST_TITLE and len(found.needs) <= _MOST_DEPENDENCIES
    return found if fits else None


@lru_cache(4_096)
def _day(text: str | None) -> str:
    """`text` without quotes if it is a day, or nothing. Raises `ValueError`."""
    return date.fromisoformat(text.strip("'")[:10]).isoformat() if text else ""


@lru_cache(64)
def _are_words(labels: str | None) -> bool:
    return not labels or all(plain_yaml.value(label).__class__ is str for label in _items(labels))


def _in_lower_case(value: Any, when_empty: str) -> Any:
    """A word as it is compared; a key without a value means its default."""
    if value is None:
        return when_empty
    return value.strip().lower() if isinstance(value, str) else value


def plain_id(value: str) -> str:
    """`value` if it is an id such as T-0012. An id names folders and branches, so nothing else may pass."""
    if not TICKET_ID.fullmatch(value):
        raise ValueError(f"{value!r} is not an id such as T-0012")
    return value


def _matched(text: str, *forms: Callable[[], re.Pattern[str]]) -> re.Match[str] | None:
    """The front matter of a text that begins with one of these forms."""
    match = next((match for form in forms if (match := form().match(text))), None)
    return match if match and (text.isascii() or plain_yaml.is_readable(match[0])) else None


def _keys_as_written(data: bytes) -> dict[str, Any] | None:
    """The keys and the body, if the front matter is in one of the usual forms. Raises `NotPlain`, `Malformed`."""
    text = front_matter.decode(data)
    match = _matched(text, _form_of_the_engine, _form_of_backlog_md)
    if match is None:
        return None
    keys: dict[str, Any] = match.groupdict()
    if None in keys.values():
        keys = {key: value for key, value in keys.items() if value is not None}
    for key in keys:
        if key in _READ_AS:
            keys[key] = _READ_AS[key](keys[key])
    keys["body"] = text[match.end() :].strip("\n")
    return keys


def _items(text: str) -> list[str]:
    if text == " []":
        return []
    if text[0] != "\n":
        return text[2:-1].split(", ")
    return text[3:].split("\n- ") if text[1] == "-" else text[5:].split("\n  - ")


_READ_AS: dict[str, Callable[[str], Any]] = {
    "title": plain_yaml.value,
    "type": str.lower,
    "priority": str.lower,
    "status": lambda text: _STATUSES.get(text.lower()),
    "dependencies": _items,
    "labels": lambda text: list(map(plain_yaml.value, _items(text))),
    "created_date": lambda text: text.strip("'")[:10],
}
