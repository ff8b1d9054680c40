"""The file tools of the model, confined to one worktree: read, write, edit, glob, grep.

Owns what each of them does and answers. Their names, descriptions and schemas are the SDK's. Its functions are not
used: they look at a path first and open it afterwards, and a command that still runs can swap a link in between.
Every file is opened by `beneath`; what searches is a process of its own, which is ended when it takes too long.
No answer repeats a path in the engine's words: the call holds it, and a name is anybody's words.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from watchbill.tools.model import beneath, search
from watchbill.tools.model.contract import Answer, Tool, ToolRefused

FILE_TOOLS = ("read", "write", "edit", "glob", "grep")

MAX_TEXT_BYTES = 256 * 1024
MAX_PDF_BYTES = 20 * 1024 * 1024
# The API counts an image by its base64 text, of which it takes 5 MiB.
MAX_IMAGE_BYTES = 5 * 1024 * 1024 // 4 * 3
SEARCH_SECONDS = 30.0
_GLOB_LINES = 200
_GREP_CHARACTERS = 100 * 1024
_CHUNK = 64 * 1024
_PDF = "application/pdf"
_MEDIA = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".pdf": _PDF,
}
ENDS_SHOWN = "[lines that end in CR LF are shown without the CR; edit keeps it, write does not]"
FOUND = {"glob": "names of files", "grep": "lines of files"}
_REASONS = {
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "not a directory",
    errno.EISDIR: "is a directory",
    errno.EACCES: "permission denied",
    errno.ELOOP: "too many levels of symbolic links",
}


def file_tools(names: Sequence[str], worktree: Path) -> list[Tool]:
    """The file tools among `names`, for `worktree`."""
    from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_agent_toolset_20260401

    ours: dict[str, Callable[..., Any]] = {
        "read": functools.partial(_read, worktree),
        "write": functools.partial(_write, worktree),
        "edit": functools.partial(_edit, worktree),
        "glob": functools.partial(_glob, worktree),
        "grep": functools.partial(_grep, worktree),
    }
    definitions = {tool.name: tool.to_dict() for tool in beta_agent_toolset_20260401(AgentToolContext(worktree))}
    return [_tool(definitions[name], ours[name]) for name in FILE_TOOLS if name in names]


def _tool(definition: Any, work: Callable[..., Any]) -> Tool:
    from pydantic import ValidationError, validate_call

    name = definition["name"]
    checked = validate_call(work)

    def carry_out(given: dict[str, Any]) -> Any:
        try:
            return checked(**given)
        except (ValidationError, TypeError) as error:
            raise ToolRefused(_expected(name, definition["input_schema"])) from error
        except beneath.NotBeneath as error:
            raise ToolRefused(f"{name}: the path {error}.") from error
        except OSError as error:
            reason = _REASONS.get(error.errno or 0, (error.strerror or "input or output failed").lower())
            raise ToolRefused(f"{name}: {reason}") from error
        except ValueError as error:
            raise ToolRefused(f"{name}: the file {error}") from error

    async def call(given: Any) -> Any:
        if not isinstance(given, dict):
            raise ToolRefused(_expected(name, definition["input_schema"]))
        return await asyncio.to_thread(carry_out, given)

    return Tool(name, definition["description"], definition["input_schema"], call)


def _expected(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    keys = [f"{key}{'' if key in required else ' (optional)'}" for key in schema.get("properties", {})]
    return f"{name}: the input does not fit. It takes: {', '.join(keys)}."


def _read(worktree: Path, file_path: str, view_range: list[int] | None = None) -> Answer:
    """A file's text, some of its lines, or a picture or PDF as a block of content."""
    if view_range and len(view_range) != 2:
        raise ToolRefused("read: view_range must be [start_line, end_line]")
    media_type = _MEDIA.get(Path(file_path).suffix.lower())
    with beneath.reading(worktree, file_path) as (stream, size):
        if media_type is not None:
            if view_range:
                raise ToolRefused("read: view_range is not supported for image/PDF files")
            limit = MAX_PDF_BYTES if media_type == _PDF else MAX_IMAGE_BYTES
            return Answer(blocks=(_block(media_type, _whole(stream, size, limit)),), source="a file")
        if view_range:
            return _answer(_text(_lines(stream, *view_range), "only text has lines"))
        try:
            data = _whole(stream, size, MAX_TEXT_BYTES)
        except ValueError as error:
            raise ToolRefused(f"read: the file {error} Use view_range to read some of its lines.") from error
        return _answer(_text(data, "only text, images and PDFs can be read"))


def _answer(text: str) -> Answer:
    """The text of a file, and what cannot be seen in it."""
    if not text:
        return Answer("[no text]")
    return Answer(ENDS_SHOWN if "\r\n" in text else "", text, "a file")


def _whole(stream: Any, size: int, limit: int) -> bytes:
    # Never more than the limit, even of a file that grows meanwhile.
    data: bytes = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"is larger than {limit} bytes (it has {max(size, len(data))}).")
    return data


def _text(data: bytes, otherwise: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"is not valid UTF-8 text ({otherwise})") from None


def _lines(stream: Any, first: int, last: int) -> bytes:
    """Lines `first` to `last`, from 1, both included; a `last` below 1 means the end."""
    start, end = max(first, 1), last if last > 0 else sys.maxsize
    number, kept = 1, bytearray()
    # A line can be longer than memory, so it is read in pieces.
    while number <= end and (piece := stream.readline(_CHUNK)):
        if number >= start:
            kept += piece
            if len(kept) > MAX_TEXT_BYTES:
                raise ValueError(f"has more than {MAX_TEXT_BYTES} bytes in these lines; ask for fewer")
        number += piece.endswith(b"\n")
    return bytes(kept.removesuffix(b"\n")) if number > end else bytes(kept)


def _block(media_type: str, data: bytes) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": base64.standard_b64encode(data).decode("ascii")}
    return {"type": "document" if media_type == _PDF else "image", "source": source}


def _write(worktree: Path, file_path: str, content: str) -> Answer:
    beneath.write(worktree, file_path, _encoded(content))
    return Answer(f"wrote {len(content)} characters")


def _edit(worktree: Path, file_path: str, old_string: str, new_string: str, replace_all: bool | None = None) -> Answer:
    with beneath.reading(worktree, file_path) as (stream, size):
        text = _text(_whole(stream, size, MAX_TEXT_BYTES), "only text can be edited")
    if 0 < text.count("\n") == text.count("\r\n"):
        old_string, new_string = _with_its_ends(old_string), _with_its_ends(new_string)
    count = text.count(old_string) if old_string else 0
    if count == 0:
        mixed = " (only some of its lines end in CR LF: change those with bash)" if "\r\n" in text else ""
        raise ToolRefused(f"edit: old_string not found{mixed}")
    if count > 1 and not replace_all:
        raise ToolRefused(f"edit: old_string appears {count} times (must be unique)")
    beneath.write(worktree, file_path, _encoded(text.replace(old_string, new_string)))
    return Answer(f"{count} replacement(s)")


def _with_its_ends(text: str) -> str:
    """The lines of `text` ending in CR LF, as all of the file's do: the model is not shown which it is."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("cannot hold half a character (a lone surrogate)") from None


def _glob(worktree: Path, pattern: str, path: str | None = None) -> Answer:
    if pattern.startswith("/") or ".." in PurePosixPath(pattern).parts:
        raise ToolRefused("glob: the pattern must be relative and without '..'; give a folder as path")
    return _searched("glob", worktree, pattern, path, _GLOB_LINES)


def _grep(worktree: Path, pattern: str, path: str | None = None) -> Answer:
    return _searched("grep", worktree, pattern, path, _GREP_CHARACTERS)


def _searched(kind: str, worktree: Path, pattern: str, path: str | None, limit: int) -> Answer:
    with beneath.found(worktree, path or ".") as place:
        folder, name = place.folder, None
        if place.name != ".":
            try:
                folder = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place.folder)
            except NotADirectoryError:
                if kind == "glob":
                    raise
                name = place.name
        prefix = place.parts if name is None else place.parts[:-1]
        what = {"kind": kind, "pattern": pattern, "limit": limit, "seconds": int(SEARCH_SECONDS)}
        plan = {**what, "folder": folder, "file": name, "prefix": prefix}
        try:
            answer = _ask(kind, plan, folder)
        finally:
            if folder != place.folder:
                os.close(folder)
    if "error" in answer:
        raise ToolRefused(f"{kind}: {answer['error']}")
    more = "[there is more; narrow the pattern or the path]" if answer["more"] else ""
    if not answer["lines"]:
        return Answer(more or "no matches")
    return Answer(more, "\n".join(answer["lines"]), FOUND[kind])


def _ask(kind: str, plan: dict[str, Any], folder: int) -> dict[str, Any]:
    """What `search` answers to `plan`, in a process that ends when its time is over."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", search.__file__],
            input=json.dumps(plan).encode(),
            capture_output=True,
            env={},
            pass_fds=[folder],
            timeout=SEARCH_SECONDS,
            check=True,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise ToolRefused(f"{kind}: it took longer than {SEARCH_SECONDS:g} s and was stopped") from None
    except (subprocess.CalledProcessError, ValueError, RecursionError) as error:
        raise ToolRefused(f"{kind}: the search failed: {error}") from error
    return answer
