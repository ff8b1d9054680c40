"""Finding the owner's repository, and saying what is wrong with it.

Owns the conditions under which the engine works with a repository at all. It never changes one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from watchbill.errors import Misconfigured
from watchbill.tools.git.command import Git, Output, call_git, require_git


@dataclass(frozen=True)
class Location:
    """Where a repository is. `git_dir` belongs to the checkout at `root`; `shared` is its core.sharedRepository."""

    root: Path
    git_dir: Path
    common_dir: Path
    shared: str


def locate(path: Path) -> Location:
    """The repository whose checkout is at `path` or around it. Raises Misconfigured with what stands in the way."""
    require_git(os.environ.get("PATH", os.defpath))
    if not path.is_dir():
        raise Misconfigured(f"{path} is not a folder.", "Give the folder of a git repository.")
    place = path.resolve()
    inside = _ask(place, "--is-inside-work-tree")
    if inside.code != 0:
        raise Misconfigured(f"{path} is not a git repository: {inside.last_lines(1)}", "Run `git init` there first.")
    if inside.out.strip() != b"true":
        raise Misconfigured(
            f"{path} is a bare repository, or the inside of one: it has no checkout.",
            "Give a clone of it, or a worktree made with `git worktree add`.",
        )
    location = Location(
        root=_path(place, "--show-toplevel"),
        git_dir=_path(place, "--absolute-git-dir"),
        common_dir=_path(place, "--path-format=absolute", "--git-common-dir"),
        shared=_setting(place, "core.sharedRepository"),
    )
    _require_whole(place, path)
    _require_commit(Git(location.git_dir, work_tree=location.root), path)
    return location


def _require_whole(place: Path, path: Path) -> None:
    if _ask(place, "--is-shallow-repository").out.strip() == b"true":
        raise Misconfigured(f"{path} is a shallow clone: it lacks history.", "Run `git fetch --unshallow` in it.")
    if _setting(place, "extensions.partialClone") or _setting(place, r"^remote\..*\.promisor$", "--get-regexp"):
        raise Misconfigured(
            f"{path} is a partial clone: it would need the network to read its files.",
            "Clone it again without --filter.",
        )
    if _ask(place, "--show-object-format").out.strip() != b"sha1":
        raise Misconfigured(f"{path} names its commits by SHA-256.", "Only repositories with SHA-1 ids are supported.")
    if _setting(place, "extensions.refStorage") not in ("", "files"):
        raise Misconfigured(
            f"{path} keeps its branches in reference tables.", "Run `git refs migrate --ref-format=files`."
        )


def _require_commit(git: Git, path: Path) -> None:
    if git.run("rev-parse", "--quiet", "--verify", "HEAD^{commit}", expected=(0, 1, 128)).code == 0:
        return
    if not git.text("for-each-ref", "--count=1", "refs/heads"):
        raise Misconfigured(f"{path} has no commit yet.", "Make the first commit, then try again.")


def _ask(place: Path, *args: str) -> Output:
    # The owner named this very folder, so it is trusted although it may belong to another user.
    return call_git(["-c", "safe.directory=*", "-C", place, "rev-parse", *args], cwd=place)


def _path(place: Path, *args: str) -> Path:
    answer = _ask(place, *args)
    if answer.code != 0:
        raise Misconfigured(f"git cannot read {place}: {answer.last_lines(1)}", "Look at it with git.")
    return Path(os.fsdecode(answer.out.removesuffix(b"\n"))).resolve()


def _setting(place: Path, name: str, how: str = "--get") -> str:
    answer = call_git(["-c", "safe.directory=*", "-C", place, "config", how, name], cwd=place)
    return answer.out.decode("utf-8", "replace").strip()
