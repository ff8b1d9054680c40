"""Markdown with YAML front matter: a safe, bounded subset.

Owns how bytes become a mapping and a body, and back. Refuses what a plain document never needs: aliases, anchors,
tags, duplicate keys, several documents, more than `limit` bytes, anything that is not UTF-8. Never validates keys.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any

import yaml

from watchbill.files import plain_writer, plain_yaml

MAX_BYTES = 1_048_576
MAX_DEPTH = 12
_FENCE = "---"
_BLANK = "\n"

Loader = plain_yaml.Loader


class Malformed(ValueError):
    """Why the bytes are not a document, in words for its author."""


def split(data: bytes, limit: int = MAX_BYTES) -> tuple[dict[str, Any], str]:
    """The front matter as a mapping and the body as text. Raises `Malformed`."""
    if len(data) > limit:
        raise Malformed(f"it is {len(data):,} bytes long; at most {limit:,} are read")
    text = decode(data)
    return _split_plain(text) or _split_any(text)


def decode(data: bytes) -> str:
    """UTF-8 text without a byte order mark, lines ended by a newline. Raises `Malformed`."""
    try:
        text = data.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"it is not UTF-8 text (byte {error.start} cannot be read)") from error
    if "\0" in text:
        raise Malformed("it contains a NUL character")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_yaml(text: str) -> dict[str, Any]:
    """A mapping from the plain subset of YAML. Raises `Malformed` with the line."""
    try:
        _refuse_the_unusual(text)
        value = yaml.load(text, Loader=Loader)
    except Malformed:
        raise
    except yaml.YAMLError as error:
        raise Malformed(_explain(error)) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise Malformed(f"the front matter holds a value that cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise Malformed("the front matter is not a list of keys and values")
    for key in value:
        if not isinstance(key, str):
            raise Malformed(f"the key {key!r} is not text")
    return value


def join(meta: dict[str, Any], body: str) -> bytes:
    """The bytes of a document. What `split` reads back is the same mapping, and the body without outer blank lines.

    A body always comes out readable: line ends become newlines, and a NUL becomes the replacement character.
    """
    head = plain_writer.write(meta)
    plain = body.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    return f"{_FENCE}\n{head}{_FENCE}\n\n{plain.strip(_BLANK)}\n".encode()


def _split_plain(text: str) -> tuple[dict[str, Any], str] | None:
    """The quick way, for a document that surely means what it seems to; else None."""
    end = text.find("\n---", 3)
    if end < 0 or not text.startswith("---\n") or text[end + 4 : end + 5] not in ("\n", ""):
        return None
    meta = plain_yaml.read(text[4:end])
    return None if meta is None else (meta, text[end + 5 :].strip(_BLANK))


def _split_any(text: str) -> tuple[dict[str, Any], str]:
    head, body = _cut(text)
    return read_yaml(head), body


def _cut(text: str) -> tuple[str, str]:
    lines = text.split("\n")
    if not lines or lines[0].rstrip() != _FENCE:
        raise Malformed("it does not begin with a line of three dashes (---)")
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            return "\n".join(["", *lines[1:number]]), "\n".join(lines[number + 1 :]).strip(_BLANK)
    raise Malformed("its front matter has no closing line of three dashes (---)")


def _refuse_the_unusual(text: str) -> None:
    """One pass over the parser's events: what is refused, and keys that stand twice."""
    frames: list[_Frame] = []
    for event in yaml.parse(text, Loader=Loader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Malformed(f"line {line}: aliases and anchors (& and *) are not allowed")
        if getattr(event, "tag", None):
            raise Malformed(f"line {line}: tags (!…) are not allowed")
        if isinstance(event, yaml.ScalarEvent) and frames:
            frames[-1].scalar(event.value, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if frames:
                frames[-1].collection(line)
            if len(frames) >= MAX_DEPTH:
                raise Malformed(f"line {line}: it is nested more than {MAX_DEPTH} deep")
            frames.append(_Frame(isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            frames.pop()


class _Frame:
    """One open mapping or list, and the keys that were seen in it."""

    def __init__(self, is_mapping: bool) -> None:
        self.is_mapping = is_mapping
        self.expects_key = True
        self.keys: set[str] = set()

    def scalar(self, value: str, line: int) -> None:
        if not self.is_mapping:
            return
        if self.expects_key:
            if value in self.keys:
                raise Malformed(f"line {line}: the key {value!r} stands twice")
            if value == "<<":
                raise Malformed(f"line {line}: merge keys (<<) are not allowed")
            self.keys.add(value)
        self.expects_key = not self.expects_key

    def collection(self, line: int) -> None:
        if self.is_mapping and self.expects_key:
            raise Malformed(f"line {line}: a key must be plain text")
        self.expects_key = True


def _explain(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return f"{where}the front matter is not valid YAML ({problem})"
