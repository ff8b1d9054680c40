"""A repository's files, read with care.

Owns bounded, forgiving reading: whatever a file turns out to be (a folder, a pipe, a dangling link, a gigabyte, not
UTF-8, not JSON), the answer is "nothing", and a sentence for a person where the file seemed to matter. It never
writes, never runs anything, and never follows a link out of the repository.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

MAX_BYTES = 2 * 1024 * 1024
_MAX_ENTRIES = 20_000
_MAX_DEPTH = 5
# Folders of other people's code and of generated files: what lies there says nothing about this project's tests.
_SKIPPED = frozenset(
    {
        "node_modules", "bower_components", "vendor", "third_party", "deps", "Pods", "venv", "env", "site-packages",
        "target", "build", "_build", "dist", "out", "__pycache__", "testdata", "fixtures",
    }
)  # fmt: skip


def printable(text: str, limit: int = 200) -> str:
    """`text` as one line without control characters, at most `limit` characters: safe to show on a terminal."""
    line = "".join(character if character.isprintable() else " " for character in text[: 4 * limit])
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def inside(data: object, *keys: str) -> object:
    """`data[key][key]…`, or None as soon as one of them is missing or is not a table."""
    for key in keys:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


def table(data: object, *keys: str) -> Mapping[str, object]:
    """The table at `keys`, empty when there is none."""
    found = inside(data, *keys)
    return found if isinstance(found, Mapping) else {}


def words(data: object) -> list[str]:
    """The strings of a list; nothing for anything else."""
    return [item for item in data if isinstance(item, str)] if isinstance(data, list) else []


def is_file(path: Path) -> bool:
    """Whether `path` is a file, or a link to one; no for what cannot be asked (`Path.is_file` would raise)."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, or a link to one; no for what cannot be asked."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


class Place:
    """One repository. `root` is absolute; `notes` grows with what could not be read."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # noqa: PTH100  (the links in the way are the owner's)
        self.notes: list[str] = []
        self._texts: dict[str, str | None] = {}
        self._parsed: dict[str, Mapping[str, object]] = {}

    def has(self, name: str) -> bool:
        """Whether `name` is a file, or a link to one within the repository."""
        path = self.root / name
        return is_file(path) and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.root))

    def first(self, *names: str) -> str:
        """The first of `names` that is a file, or ""."""
        return next((name for name in names if self.has(name)), "")

    def folder(self, name: str) -> Path | None:
        """The folder `name`, if it is one of its own: a link could name any folder of this machine."""
        path = self.root / name
        try:
            return path if stat.S_ISDIR(path.lstat().st_mode) else None
        except (OSError, ValueError):
            return None

    def text(self, name: str) -> str | None:
        """The contents of `name`; None when there is no such file or it cannot be read (then there is a note)."""
        if name not in self._texts:
            self._texts[name] = self._read(name) if self.has(name) else None
        return self._texts[name]

    def toml(self, name: str) -> Mapping[str, object]:
        return self._parse(name, tomllib.loads, "TOML")

    def json(self, name: str) -> Mapping[str, object]:
        return self._parse(name, json.loads, "JSON")

    def ini(self, name: str) -> Mapping[str, Mapping[str, object]]:
        """The sections of an INI file, with their keys."""

        def parse(text: str) -> object:
            parser = configparser.ConfigParser(interpolation=None, strict=False)
            parser.read_string(text)
            return {section: dict(parser.items(section)) for section in parser.sections()}

        return {section: table(keys) for section, keys in self._parse(name, parse, "INI").items()}

    @cached_property
    def files(self) -> tuple[PurePosixPath, ...]:
        """The files not too deep down, relative to the repository; hidden and foreign folders left out."""
        found: list[PurePosixPath] = []
        waiting: list[tuple[Path, PurePosixPath]] = [(self.root, PurePosixPath())]
        left = _MAX_ENTRIES
        for folder, relative in waiting:
            entries = _entries(folder, left)
            left -= len(entries)
            for entry in entries:
                name = relative / entry.name
                if entry.is_file(follow_symlinks=False):
                    found.append(name)
                elif _is_worth_a_look(entry) and len(name.parts) < _MAX_DEPTH:
                    waiting.append((Path(entry.path), name))
        return tuple(found)

    def matching(self, *patterns: str) -> list[PurePosixPath]:
        """The files whose last parts match one of `patterns`, in which `*` stands for anything but a slash."""
        every = "|".join(re.escape(pattern).replace(r"\*", "[^/]*") for pattern in patterns)
        expression = re.compile(f"(?:.*/)?(?:{every})", re.DOTALL)
        return [path for path in self.files if expression.fullmatch(str(path))]

    def _read(self, name: str) -> str | None:
        try:
            with (self.root / name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            self._unread(name, f"cannot be read ({error.strerror})")
            return None
        if len(data) > MAX_BYTES:
            self._unread(name, f"is larger than {MAX_BYTES // 1024 // 1024} MB")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            self._unread(name, "is not UTF-8")
            return None

    def _parse(self, name: str, parse: Callable[[str], object], kind: str) -> Mapping[str, object]:
        if name not in self._parsed:
            self._parsed[name] = self._parse_once(name, parse, kind)
        return self._parsed[name]

    def _parse_once(self, name: str, parse: Callable[[str], object], kind: str) -> Mapping[str, object]:
        text = self.text(name)
        if text is None:
            return {}
        try:
            data = parse(text)
        except (ValueError, RecursionError, configparser.Error) as error:
            self._unread(name, f"is not valid {kind} ({printable(str(error), 100)})")
            return {}
        if not isinstance(data, Mapping):
            self._unread(name, "does not hold a table at the top")
            return {}
        return data

    def _unread(self, name: str, why: str) -> None:
        self.notes.append(f"{printable(name)} {why}, so it was left aside.")


def _entries(folder: Path, limit: int) -> list[os.DirEntry[str]]:
    """At most `limit` entries of `folder`, in the order of their names; none when it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            listed = [entry for entry, _ in zip(entries, range(limit), strict=False)]
    except OSError:
        return []
    return sorted(listed, key=lambda entry: entry.name)


def _is_worth_a_look(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".") and entry.name not in _SKIPPED
