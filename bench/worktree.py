#!/usr/bin/env python3
"""A worktree for a ticket and back, as a multiple of `git worktree add` and `git worktree remove` of the same commit.

Each measurement is a pair on one repository: git makes a worktree and removes it, and right after it the engine makes
one ready for another ticket's branch, exactly its commit whatever an agent left in it, and puts it by again. The median
of the pairs' ratios is the result. It is a benchmark, not a test: a missed goal is printed and is not a failure.

Usage: .venv/bin/python bench/worktree.py [--pairs N] [--files N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from watchbill.tools.git import Repository

GOAL = 0.35
CHANGED = 5


def main() -> int:
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="watchbill-bench-", dir=options.folder) as folder:
        home = Path(folder) / "repository"
        commits = make_repository(home, options.files)
        pairs = measure(Repository.open(home), commits, options.pairs)
    print_result(options, pairs)
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A worktree for a ticket and back, against git's own.")
    parser.add_argument("--pairs", type=pairs_of, default=9, help="pairs (at least 5)")
    parser.add_argument("--files", type=int, default=2_000, help="files of the repository")
    parser.add_argument("--folder", type=Path, help="where the repository is made, instead of the temporary folder")
    return parser.parse_args()


def pairs_of(text: str) -> int:
    number = int(text)
    if number < 5:
        raise argparse.ArgumentTypeError("fewer than 5 pairs say nothing")
    return number


def make_repository(home: Path, files: int) -> list[str]:
    """A repository of so many files of 1 to 12 kB, and two commits that differ in a handful of them."""
    home.mkdir()
    git(home, "init", "-q", "-b", "main")
    for number in range(files):
        path = home / f"package{number % 40:02}" / f"part{number % 7}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# module {number}\n" + f"value_{number} = {number}\n" * (40 + number % 400))
    (home / ".gitignore").write_text("*.log\n")
    commits = [commit(home)]
    for path in sorted(home.rglob("*.py"))[:: max(1, files // CHANGED)][:CHANGED]:
        path.write_text("changed = True\n")
    return [*commits, commit(home)]


def commit(home: Path) -> str:
    git(home, "add", "--all")
    git(home, "-c", "user.name=Bench", "-c", "user.email=bench@example.org", "commit", "-q", "-m", "A commit")
    return git(home, "rev-parse", "HEAD")


def measure(repo: Repository, commits: list[str], number: int) -> list[tuple[float, float]]:
    """Seconds of (git's own, the engine's) for each pair, after one of each that fills caches and the pool."""
    pairs = []
    for turn in range(number + 1):
        wanted = commits[turn % 2]
        git_alone = timed(partial(add_and_remove, repo.root, wanted))
        ours = engine(repo, f"T-{turn:04}", wanted)
        pairs.append((git_alone, ours))
    return pairs[1:]


def add_and_remove(home: Path, wanted: str) -> None:
    place = home.with_name("plain")
    git(home, "worktree", "add", "-q", "--detach", str(place), wanted)
    git(home, "worktree", "remove", "--force", str(place))


def engine(repo: Repository, ticket: str, wanted: str) -> float:
    """Seconds to make a worktree ready for `ticket` and to put it by. What an agent does between is not counted."""
    place = repo.root.with_name("worktrees") / ticket
    start = time.perf_counter()
    tree = repo.worktree(place, f"watchbill/{ticket}", wanted)
    ready = time.perf_counter() - start
    work_like_an_agent(tree.path)
    start = time.perf_counter()
    repo.put_by(tree.path)
    return ready + time.perf_counter() - start


def work_like_an_agent(folder: Path) -> None:
    """Edits, new files, ignored files, caches and a nested repository."""
    for path in sorted(folder.rglob("*.py"))[:CHANGED]:
        path.write_text("edited = True\n")
    for number in range(20):
        cache = folder / "__pycache__" / f"{number}.pyc"
        cache.parent.mkdir(exist_ok=True)
        cache.write_bytes(b"x" * 5_000)
        (folder / f"new{number}.txt").write_text("new\n")
        (folder / f"{number}.log").write_text("ignored\n")
    (folder / "vendored").mkdir()
    git(folder / "vendored", "init", "-q")


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def git(folder: Path, *args: str) -> str:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(["git", *args], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def print_result(options: argparse.Namespace, pairs: list[tuple[float, float]]) -> None:
    plain, ours = (median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(ours / plain for plain, ours in pairs)
    verdict = "" if median(ratios) <= GOAL else "  missed"
    print(f"A worktree for a ticket and back, {options.files:,} files, median of {len(pairs)} pairs")
    print(f"git worktree add + remove {plain * 1000:6.0f} ms")
    print(f"the engine                {ours * 1000:6.0f} ms")
    print(f"ratio {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), goal {GOAL}{verdict}")


if __name__ == "__main__":
    sys.exit(main())
