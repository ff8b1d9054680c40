"""What the git door hands out: plain values, made of full commit ids and printable names.

It never calls git.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Commit:
    """One commit. `committed` is aware; `author` is `Name <mail>`; `trailers` are those of the last paragraph."""

    id: str
    tree: str
    parents: tuple[str, ...]
    subject: str
    message: str
    trailers: dict[str, str]
    committed: datetime
    author: str


@dataclass(frozen=True)
class Candidate:
    """The merge commit that would land, or what stands in its way.

    Clean: `commit` and `tree` are ids, `conflicts` is empty. Otherwise both are None, `conflicts` are the paths, and
    `text` is what git said about them, with the conflicting lines.
    """

    commit: str | None
    tree: str | None
    conflicts: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class DiffStat:
    """How much changed. A renamed file counts under both names; a binary file counts no lines."""

    files: tuple[str, ...]
    insertions: int
    deletions: int


def trailers_of(message: str) -> dict[str, str]:
    """The `Key: value` lines of the last paragraph, when it is not the first one and holds nothing else.

    Of a key that stands twice the last one counts. Lines that start with a space continue the one before.
    """
    paragraphs = message.replace("\r\n", "\n").strip("\n").rsplit("\n\n", 1)
    if len(paragraphs) < 2:
        return {}
    found: dict[str, str] = {}
    key = ""
    for line in paragraphs[1].split("\n"):
        if line[:1] in (" ", "\t") and key:
            found[key] += " " + line.strip()
            continue
        key, colon, value = line.partition(":")
        if not colon or not key.replace("-", "").isalnum():
            return {}
        found[key] = value.strip()
    return found


def cut_in_the_middle(text: str, limit: int, left_out: int = 0) -> str:
    """`text` in at most `limit` characters, its middle replaced by a notice.

    `left_out` counts characters that were already missing in the middle before this call.
    """
    if len(text) <= limit and not left_out:
        return text
    missing = len(text) + left_out - limit
    notice = f"\n[… about {max(missing, 1)} characters left out here …]\n"
    room = max(0, limit - len(notice))
    front = room - room // 2
    return (text[:front] + notice + text[len(text) - room // 2 :])[:limit]
