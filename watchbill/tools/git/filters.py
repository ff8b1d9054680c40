"""Filters that a repository's attributes ask for and its own configuration does not have.

Owns the finding of them. git leaves such files as they are, without a word: a large file that belongs into git-lfs, or
a secret that git-crypt should hide, would be committed raw.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from watchbill.tools.git.command import Git, printable, split_names

HOW_TO_INSTALL_A_FILTER = "Put it into the repository's own configuration (git lfs install --local)."
_NO_FILTER = (b"unspecified", b"unset", b"set")


def missing_filters(git: Git, names: Iterable[bytes]) -> dict[str, str]:
    """The names of such filters, each with one of the files `names` that wants it."""
    given = b"".join(name + b"\0" for name in sorted(names))
    if not given:
        return {}
    answer = split_names(git.run("check-attr", "--stdin", "-z", "filter", given=given).out)
    wanted = {value: name for name, value in zip(answer[::3], answer[2::3], strict=True) if value not in _NO_FILTER}
    return {printable(value): printable(name) for value, name in wanted.items() if not _is_known(git, value)}


def _is_known(git: Git, filter_name: bytes) -> bool:
    name = os.fsdecode(filter_name)
    return any(git.says_yes("config", "--get", f"filter.{name}.{kind}") for kind in ("clean", "process"))
