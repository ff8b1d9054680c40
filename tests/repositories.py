"""Small real git repositories for tests.

Owns how a test makes a repository, commits to it and takes its fingerprint. It uses git itself and never the engine.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

FIRST_FILES: Mapping[str, str | bytes] = {
    "README.md": "# A small project\n",
    "src/app.py": "def add(a, b):\n    return a + b\n",
    "src/deep/er/data.txt": "one\ntwo\nthree\n",
    ".gitignore": "*.log\nbuild/\n",
}


def git(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> str:
    """git as a person would call it in `folder`, with no settings but the repository's own. Fails with git's words."""
    answer = subprocess.run(
        ["git", *args],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    assert answer.returncode == 0, f"git {' '.join(args)}: {answer.stderr.decode('utf-8', 'replace')}"
    return os.fsdecode(answer.stdout).removesuffix("\n")


def make_repository(
    folder: Path, files: Mapping[str, str | bytes] | None = None, branch: str = "main", commit: bool = True
) -> Path:
    """A repository at `folder` with one commit of `files` on `branch`; with `commit=False` it stays empty."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", f"--initial-branch={branch}")
    git(folder, "config", "user.name", "Ada Owner")
    git(folder, "config", "user.email", "ada@example.org")
    if commit:
        commit_files(folder, FIRST_FILES if files is None else files, "First commit")
    return folder


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write `files` (name to content) under `folder`, with the folders that they need."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)


def commit_files(
    repository: Path, files: Mapping[str, str | bytes], message: str, date: str = "2026-11-20T08:00:00+01:00"
) -> str:
    """Write and commit `files` on the branch that is checked out, and return the commit's id."""
    write_files(repository, files)
    git(repository, "add", "--all", "--force", "--", *files)
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    git(repository, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", message, env=dates)
    return git(repository, "rev-parse", "HEAD")


def clone(repository: Path, to: Path) -> Path:
    """A whole clone, with no objects shared."""
    git(repository.parent, "clone", "--quiet", "--no-hardlinks", str(repository), str(to))
    return to


def tree_of(repository: Path, commit: str) -> dict[str, str]:
    """The files of a commit: name to mode, for example `100644`."""
    listing = git(repository, "ls-tree", "-r", "-z", "--full-tree", commit)
    return {line.split("\t", 1)[1]: line[:6] for line in listing.split("\0") if line}


def owner_state(repository: Path) -> dict[str, object]:
    """What belongs to the owner: the files of the checkout, index, HEAD, own branches and stash, as bytes and times."""
    folder = repository / ".git"
    own = [repository.joinpath(".git", name) for name in ("index", "HEAD", "config", "packed-refs", "ORIG_HEAD")]
    branches = [path for path in (folder / "refs" / "heads").rglob("*") if path.is_file()]
    checkout = [path for path in repository.rglob("*") if folder not in path.parents and path.is_file()]
    files = [path for path in (*own, *branches, *checkout) if path.exists() and "watchbill" not in path.parts]
    state: dict[str, object] = {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(files)}
    state["status"] = git(repository, "--no-optional-locks", "status", "--porcelain", "--branch")
    return state
