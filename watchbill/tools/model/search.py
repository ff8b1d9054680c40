"""Finding names and lines beneath a folder, as a process of its own that can be ended.

Owns the walk and the matching. It runs as a script, because a regular expression can take for ever and only a process
can be stopped; it needs nothing but the standard library. Never follows a link, and never opens a pipe or a device.

It reads one JSON object from stdin: `kind` (glob or grep), `pattern`, `folder` (an open descriptor), `file` (one name
in it, or null), `prefix` (names from the top to that folder), `limit` (lines for glob, characters for grep) and
`seconds` of processor time, after which the system ends it even when nobody waits for it any more. It writes one JSON
object: `lines`, or `error`, and `more` when something was left out.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import stat
import sys
from collections.abc import Iterator
from typing import Any

_MOST_ENTRIES = 50_000
_LONGEST_LINE = 2_000
_SKIPPED_BY_GREP = (".git", "node_modules")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Entry = tuple[tuple[str, ...], int, str]


def entries(folder: int, prefix: tuple[str, ...], skipped: tuple[str, ...], budget: list[int]) -> Iterator[Entry]:
    """Everything beneath the open `folder`: its parts, and the folder and name to reach it by."""
    inner = []
    with os.scandir(folder) as scan:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in itertools.islice(scan, budget[0]))
    for name, is_folder in found:
        if budget[0] <= 0:
            return
        budget[0] -= 1
        yield (*prefix, name), folder, name
        if is_folder and name not in skipped:
            inner.append(name)
    for name in inner:
        try:
            descriptor = os.open(name, _OPEN | os.O_DIRECTORY, dir_fd=folder)
        except OSError:
            continue
        try:
            yield from entries(descriptor, (*prefix, name), skipped, budget)
        finally:
            os.close(descriptor)


def glob(plan: dict[str, Any]) -> dict[str, Any]:
    """The names that match, newest first."""
    wanted = compiled_glob(plan["pattern"])
    prefix = tuple(plan["prefix"])
    budget = [_MOST_ENTRIES]
    matches = []
    for parts, folder, name in entries(plan["folder"], prefix, (), budget):
        if wanted.fullmatch("/".join(parts[len(prefix) :])):
            with contextlib.suppress(OSError):
                matches.append((os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime, shown(parts)))
    matches.sort(key=lambda match: (-match[0], match[1]))
    lines = [line for _, line in matches]
    return {"lines": lines[: plan["limit"]], "more": budget[0] <= 0 or len(lines) > plan["limit"]}


def compiled_glob(pattern: str) -> re.Pattern[str]:
    """A doublestar pattern as a regular expression over a path: `**` stands for any number of folders."""
    words = [word for word in pattern.split("/") if word not in ("", ".")]
    text = ""
    for position, word in enumerate(words):
        is_last = position == len(words) - 1
        if word == "**":
            text += ".*" if is_last else "(?:.*/)?"
        else:
            text += _one_name(word) + ("" if is_last else "/")
    return re.compile(text, re.DOTALL)


def _one_name(word: str) -> str:
    """The pattern of one name: what it matches contains no slash."""
    text, position = "", 0
    while position < len(word):
        letter = word[position]
        position += 1
        end = word.find("]", position + 1) if letter == "[" else -1
        if letter == "*":
            text += "[^/]*"
        elif letter == "?":
            text += "[^/]"
        elif end > 0:
            chosen = word[position:end].replace("\\", "\\\\").replace("[", "\\[")
            text += f"(?!/)[{'^' + chosen[1:] if chosen[0] in '!^' else chosen}]"
            position = end + 1
        else:
            text += re.escape(letter)
    return text


def grep(plan: dict[str, Any]) -> dict[str, Any]:
    """The lines that match, each as path:line:text."""
    wanted = re.compile(plan["pattern"])
    prefix = tuple(plan["prefix"])
    budget = [_MOST_ENTRIES]
    if plan["file"] is None:
        files = entries(plan["folder"], prefix, _SKIPPED_BY_GREP, budget)
    else:
        files = iter([((*prefix, plan["file"]), plan["folder"], plan["file"])])
    left = plan["limit"]
    lines: list[str] = []
    for parts, folder, name in files:
        for number, text in matching_lines(folder, name, wanted):
            line = f"{shown(parts)}:{number}:{text}"
            left -= len(line) + 1
            if left < 0:
                return {"lines": lines, "more": True}
            lines.append(line)
    return {"lines": lines, "more": budget[0] <= 0}


def matching_lines(folder: int, name: str, wanted: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """The number and text of each line that matches, of a regular file that looks like text."""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        descriptor = os.open(name, _OPEN, dir_fd=folder)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or b"\0" in stream.peek(512)[:512]:
            return
        number, begun = 1, False
        while data := stream.readline(_LONGEST_LINE + 1):
            is_whole = data.endswith(b"\n")
            if not begun and len(data) <= _LONGEST_LINE:
                text = data.decode(errors="replace").rstrip("\r\n")
                if wanted.search(text):
                    yield number, text
            begun = not is_whole
            number += is_whole


def shown(parts: tuple[str, ...]) -> str:
    """A path on one line, whatever its names hold."""
    text = os.fsencode("/".join(parts)).decode(errors="replace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def main() -> None:
    plan = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CPU, (plan["seconds"], plan["seconds"] + 1))
    try:
        answer = {"glob": glob, "grep": grep}[plan["kind"]](plan)
    except (re.error, RecursionError, OverflowError) as error:
        answer = {"error": f"the pattern cannot be used: {error}"}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
