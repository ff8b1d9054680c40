"""Plain front matter, read fast: what our own documents and most people's look like.

Owns the reading of `key: value`, `key: [a, b]`, `- item` and `- key: value`, each whole on its line and indented as
usual. Never guesses and never refuses: for anything else the answer is "not plain", and the caller asks the YAML
parser. What a word means (a date, a number, yes and no) is looked up in PyYAML's own table.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MEANINGS = Loader.yaml_implicit_resolvers

_LONGEST_REMEMBERED = 32
_MOST_REMEMBERED = 4_096
# Far below the depth that front matter may have, and deeper than any document of ours.
_DEEPEST_INDENT = 6

# A line that is neither indented nor an item of a list begins the next entry.
_NEXT_ENTRY = re.compile(r"\n(?![ -])")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,40}")
_LINE = re.compile(r"( *)(- )?(?:([A-Za-z_][A-Za-z0-9_]*):(?: (.+))?|(.+))")

# No class names anything beyond Latin 1, for Python compiles such classes a hundred times as slowly. What YAML
# refuses or takes for a line break up there is looked for once, in the whole text.
_ODD = re.compile("\u2028|\u2029|\ufeff|\ufffe|\uffff")
_CONTROL = r"\x00-\x1f\x7f-\x9f"
_FIRST = r"[^\x00-#%-')-\-:-@\[\]\^`{-\x9f]"
# Patterns of text without quotes that surely ends where the pattern ends. `meaning` says what it means.
WORDS = rf"{_FIRST}[^#:{_CONTROL}]*(?<! )"
WORDS_IN_A_LIST = rf"{_FIRST}[^#,:?\[\]{{}}{_CONTROL}]*(?<! )"
# A pattern of text in quotes. `value` says what it or words mean.
QUOTED = rf"'(?:[^'{_CONTROL}]|'')*'"
# A pattern of words that are text, a number, yes, no or null, so that they can be read past.
HARMLESS = rf"(?:[A-Za-z][^#:{_CONTROL}]*(?<! )|[0-9]{{1,9}}|{QUOTED})"
_SIMPLE = re.compile(WORDS)
_WITH_SIGNS = re.compile(rf"{_FIRST}[^{_CONTROL}]*(?<![ :])")
_IN_A_LIST = re.compile(WORDS_IN_A_LIST)
_SIMPLE_ENTRY = re.compile(rf"([A-Za-z_][A-Za-z0-9_]*): ({WORDS})")
_SIMPLE_BLOCK = re.compile(rf"([A-Za-z_][A-Za-z0-9_]*):(\n {{0,6}}- )({WORDS}(?:\2{WORDS})*)")
_SINGLE_QUOTED = re.compile(QUOTED)
_DOUBLE_QUOTED = re.compile(rf'"[^"\\{_CONTROL}]*"')

Entry = tuple[str, Any]
Line = tuple[int, bool, str | None, Any]

_NOTHING = object()
"""Stands for what follows a key that has nothing on its line: null, or a block."""


class NotPlain(Exception):
    """The YAML parser must read this."""


class _Remembered(dict[str, Entry]):
    """Short entries with their key and value, because most come again: `status: open`.

    A list of scalars stands in it as a tuple, for every reader gets a list of their own.
    """

    def __missing__(self, text: str) -> Entry:
        if simple := _SIMPLE_ENTRY.fullmatch(text):
            key, value = simple.groups()
            entry = _key(key), meaning(value)
        else:
            entry = _entry(text)
        if len(text) <= _LONGEST_REMEMBERED and entry[1].__class__ not in (list, dict):
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[text] = entry
        return entry


_remembered = _Remembered()


def read(head: str) -> dict[str, Any] | None:
    """The mapping that `head`, lines without the fences, surely is. None: not plain, ask the YAML parser."""
    if not is_readable(head):
        return None
    texts = _NEXT_ENTRY.split(head) if "\n-" in head or "\n " in head else head.split("\n")
    try:
        entries = [_remembered[text] for text in texts]
    except NotPlain:
        return None
    found = dict(entries)
    if len(found) != len(entries):
        return None
    for key, value in entries:
        if value.__class__ is tuple:
            found[key] = list(value)
    return found


def is_readable(head: str) -> bool:
    """Whether no character beyond Latin 1 in it means something else to YAML than itself."""
    return head.isascii() or _ODD.search(head) is None


def _entry(text: str) -> Entry:
    if simple := _SIMPLE_BLOCK.fullmatch(text):
        key, dash, items = simple.groups()
        return _key(key), tuple(map(meaning, items.split(dash)))
    if "\n" in text or text[-1:] == ":":
        return _entry_with_a_block(text)
    key, _, value = text.partition(": ")
    return _key(key), _value(value)


def _entry_with_a_block(text: str) -> Entry:
    lines = [_short_line(line) if len(line) <= _LONGEST_REMEMBERED else _line(line) for line in text.split("\n")]
    lines.append((-1, False, None, None))
    found, end = _mapping(lines, 0, 0)
    if end != len(lines) - 1:
        raise NotPlain
    return next(iter(found.items()))


def _mapping(lines: list[Line], at: int, indent: int) -> tuple[dict[str, Any], int]:
    """The keys that stand at `indent` from line `at` on, and the first line that does not belong to them."""
    found: dict[str, Any] = {}
    while lines[at][0] == indent and not lines[at][1]:
        _, _, key, value = lines[at]
        if key is None or key in found:
            raise NotPlain
        at += 1
        if value is _NOTHING:
            value, at = _block(lines, at, indent)
        found[key] = list(value) if isinstance(value, tuple) else value
    return found, at


def _block(lines: list[Line], at: int, indent: int) -> tuple[Any, int]:
    """What follows a key that has nothing on its line: a list, keys that stand deeper, or null."""
    depth, is_item, _, _ = lines[at]
    if is_item and depth >= indent:
        return _items(lines, at, depth)
    return _mapping(lines, at, depth) if depth > indent else (None, at)


def _items(lines: list[Line], at: int, indent: int) -> tuple[list[Any], int]:
    """The items that stand at `indent` from line `at` on, and the first line that does not belong to them."""
    found: list[Any] = []
    while lines[at][0] == indent and lines[at][1]:
        _, _, key, item = lines[at]
        if key is None:
            at += 1
        else:
            lines[at] = (indent + len("- "), False, key, item)
            item, at = _mapping(lines, at, indent + len("- "))
        found.append(item)
    return found, at


def _line(text: str) -> Line:
    match = _LINE.fullmatch(text)
    if match is None:
        raise NotPlain
    spaces, dash, key, value, item = match.groups()
    if len(spaces) > _DEEPEST_INDENT:
        raise NotPlain
    if key is not None:
        return len(spaces), dash is not None, _key(key), _NOTHING if value is None else _value(value)
    if dash is None:
        raise NotPlain
    return len(spaces), True, None, _scalar(item)


_short_line = lru_cache(_MOST_REMEMBERED)(_line)


@lru_cache(500)
def _key(text: str) -> str:
    if not _KEY.fullmatch(text) or meaning(text) != text:
        raise NotPlain
    return text


def _value(text: str) -> Any:
    if text[:1] != "[":
        return _scalar(text)
    if text[-1] != "]":
        raise NotPlain
    return () if text == "[]" else tuple(map(_scalar_in_a_list, text[1:-1].split(", ")))


def _scalar(text: str) -> Any:
    if _SIMPLE.fullmatch(text):
        return meaning(text)
    if not _WITH_SIGNS.fullmatch(text):
        return _quoted(text)
    if ": " in text or " #" in text:
        raise NotPlain
    return meaning(text)


def _scalar_in_a_list(text: str) -> Any:
    if _IN_A_LIST.fullmatch(text):
        return meaning(text)
    return _quoted(text)


def _quoted(text: str) -> str:
    if _SINGLE_QUOTED.fullmatch(text):
        return text[1:-1].replace("''", "'")
    if _DOUBLE_QUOTED.fullmatch(text):
        return text[1:-1]
    raise NotPlain


def value(text: str) -> Any:
    """What a text of the pattern `WORDS` or `QUOTED` means. Raises `NotPlain`."""
    return text[1:-1].replace("''", "'") if text[0] == "'" else meaning(text)


def meaning(text: str) -> Any:
    """What a word without quotes means to PyYAML: nearly always text. Raises `NotPlain`."""
    for _, pattern in _MEANINGS.get(text[0], ()):
        if pattern.match(text):
            return _other_than_text(text)
    return text


@lru_cache(_MOST_REMEMBERED)
def _other_than_text(text: str) -> Any:
    if len(text) > _LONGEST_REMEMBERED:
        raise NotPlain
    if len(text) < 16 and text.isdecimal() and text[0] != "0":
        return int(text)
    try:
        return yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise NotPlain from error
