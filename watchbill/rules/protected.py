"""Which files of a change are protected by the owner's globs.

Owns what a glob means. It looks at the names that git gave the engine, and at nothing else; in doubt a file counts as
protected.

A glob is matched against the whole path and every folder above it, so what names a folder holds for all that lies in
it. `*` and `?` stay within one name, `**` goes across folders, `name/**` holds for `name` itself as well (it could be
replaced by a link). A glob without a slash counts in every folder. Letters match without regard to case or to how they
are composed, because there are file systems on which such names are one file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def protected_among(files: Iterable[str], globs: Iterable[str]) -> tuple[str, ...]:
    """Those of `files` (paths relative to the repository, with slashes) that one of `globs` protects, sorted."""
    patterns = [_pattern(glob) for glob in globs if glob.strip("/")]
    if not patterns:
        return ()
    return tuple(sorted({file for file in files if _is_protected(_folded(file), patterns)}))


def _is_protected(path: str, patterns: list[re.Pattern[str]]) -> bool:
    parts = path.split("/")
    lengths = range(1, len(parts) + 1)
    return any(pattern.fullmatch("/".join(parts[:length])) for pattern in patterns for length in lengths)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    text = _folded(glob).removeprefix("./")
    anchored = "/" in text.rstrip("/")
    text = text.strip("/").removesuffix("/**")
    parts = [_part(part) for part in text.split("/")]
    expression = "/".join(parts).replace("(?:.*)/", "(?:.*/)?")
    return re.compile(expression if anchored else f"(?:.*/)?{expression}", re.DOTALL)


def _part(part: str) -> str:
    """One name of a glob as a regular expression."""
    if part == "**":
        return "(?:.*)"
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(piece, re.escape(piece)) for piece in re.split(r"([*?])", part))
