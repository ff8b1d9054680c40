"""Front matter written without a YAML library's detour, byte for byte as that library would write it.

Owns the common shapes: texts of one line in ASCII, numbers, lists, and mappings with plain keys. Whatever else there
is, it leaves to the library, key by key, and so never decides how something unusual is spelled.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

WIDTH = 110
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

_INDENT = 2
_KEY = re.compile(r"[a-z_][a-z0-9_]{0,60}")
# One line of printable ASCII; spaces stand alone and inside.
_LINE = re.compile(r"[!-~]+(?: [!-~]+)*")
# What a text without quotes must not have: an indicator in front, or what would end it as a key or begin a comment.
_NEEDS_QUOTES = re.compile(r"[#,\[\]{}&*!|>'\"%@`]|[-?:](?: |$)|---|\.\.\.|.*?(?::(?: |$)| #)")
# What nearly all texts are, seen at a glance: such a line has nothing of the above.
_PLAIN = re.compile(r"[A-Za-z0-9_/(][!\"$-9;-~]*(?: [!\"$-9;-~]+)*")
# By the first character of a text: what would read it as something else than a text.
_RESOLVERS: dict[Any, list[tuple[str, re.Pattern[str]]]] = _Dumper.yaml_implicit_resolvers


class Dumper(_Dumper):  # type: ignore[misc]  # the base is one of two, by what was built
    """The library's own. It writes no anchors and aliases, which would be refused when read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def write(meta: dict[str, Any]) -> str:
    """A mapping as YAML in block style, its keys in their order."""
    if not meta:
        return by_library(meta)
    return "".join(_entry(key, value) for key, value in meta.items())


def by_library(meta: dict[str, Any]) -> str:
    """The same, by the library alone."""
    text: str = yaml.dump(
        meta, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=WIDTH
    )
    return text


class _Unusual(Exception):
    """Something that the library had better write."""


def _entry(key: Any, value: Any) -> str:
    parts: list[str] = []
    try:
        _pair(key, value, 0, "", parts)
    except _Unusual:
        return by_library({key: value})
    return "".join(parts)


def _pair(key: Any, value: Any, indent: int, lead: str, parts: list[str]) -> None:
    """Add a key, with `lead` in front of it, and its value."""
    if type(key) is not str or not _is_plain_key(key):
        raise _Unusual
    kind = type(value)
    if kind is str:
        parts.append(f"{lead}{key}: {_text(value, indent + _INDENT, indent + len(key) + 2)}\n")
    elif kind is dict and value:
        parts.append(f"{lead}{key}:\n")
        pad = " " * (indent + _INDENT)
        for inner, content in value.items():
            _pair(inner, content, indent + _INDENT, pad, parts)
    elif kind is list and value:
        parts.append(f"{lead}{key}:\n")
        _list(value, indent, parts)
    else:
        parts.append(f"{lead}{key}: {_scalar(value, indent, indent + len(key) + 2)}\n")


def _list(value: list[Any], indent: int, parts: list[str]) -> None:
    """Add the items of a list. They stand as far left as the key that they belong to."""
    lead = " " * indent + "- "
    for item in value:
        kind = type(item)
        if kind is dict and item:
            before = lead
            for key, content in item.items():
                _pair(key, content, indent + _INDENT, before, parts)
                before = " " * (indent + _INDENT)
        elif kind is list and item:
            raise _Unusual
        else:
            parts.append(f"{lead}{_scalar(item, indent, indent + 2)}\n")


@lru_cache(maxsize=1_000)
def _is_plain_key(key: str) -> bool:
    return _KEY.fullmatch(key) is not None and not _reads_as_another(key)


def _scalar(value: Any, indent: int, column: int) -> str:
    kind = type(value)
    if kind is str:
        return _text(value, indent + _INDENT, column)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float and abs(value) < 1e9 and "e" not in repr(value):
        return repr(value)
    if value is None:
        return "null"
    if kind in (list, dict) and not value:
        return "[]" if kind is list else "{}"
    raise _Unusual


def _text(value: str, indent: int, column: int) -> str:
    if not value:
        return "''"
    if _needs_quotes(value):
        return f"'{_folded(value.replace(chr(39), chr(39) * 2), indent, column + 1)}'"
    return _folded(value, indent, column)


def _needs_quotes(value: str) -> bool:
    if _PLAIN.fullmatch(value) is None:
        if not _LINE.fullmatch(value):
            raise _Unusual
        if _NEEDS_QUOTES.match(value) is not None:
            return True
    return _reads_as_another(value)


def _folded(value: str, indent: int, column: int) -> str:
    """A line is ended at the first space past the width."""
    if column + len(value) <= WIDTH:
        return value
    parts: list[str] = []
    start = 0
    while (end := value.find(" ", start + max(0, WIDTH + 1 - column))) >= 0:
        parts.append(f"{value[start:end]}\n{' ' * indent}")
        start, column = end + 1, indent
    return "".join([*parts, value[start:]])


def _reads_as_another(value: str) -> bool:
    for _, pattern in _RESOLVERS.get(value[0], ()):  # noqa: SIM110  # a generator takes twice as long
        if pattern.match(value):
            return True
    return False
