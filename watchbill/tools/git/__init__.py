"""The door to git.

Owns every call of git and every change of the owner's repository. It holds no policy: which branch may move, and when,
is decided elsewhere.
"""

from __future__ import annotations

from watchbill.tools.git.filters import HOW_TO_INSTALL_A_FILTER
from watchbill.tools.git.folders import erase
from watchbill.tools.git.mending import remove_empty_branches, remove_empty_objects
from watchbill.tools.git.repository import Repository
from watchbill.tools.git.values import Candidate, Commit, DiffStat
from watchbill.tools.git.worktree import ALWAYS_EXCLUDED, Worktree

__all__ = [
    "ALWAYS_EXCLUDED",
    "HOW_TO_INSTALL_A_FILTER",
    "Candidate",
    "Commit",
    "DiffStat",
    "Repository",
    "Worktree",
    "erase",
    "remove_empty_branches",
    "remove_empty_objects",
]
