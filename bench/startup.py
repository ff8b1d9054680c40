#!/usr/bin/env python3
"""How long the quick commands take to start, as a multiple of a bare `python -c pass`.

Each measurement is a pair, one bare start and one command right after it, so that a machine that slows down half way
slows down both. Both find their bytecode written, as wherever they ran before: it lies in a folder of the benchmark's
own, whatever `PYTHONDONTWRITEBYTECODE` says. The median of the pairs' ratios is the result. It is a benchmark, not a
test: a missed goal is printed, and the exit code tells only whether the commands themselves worked.

Usage: .venv/bin/python bench/startup.py [--pairs N] [--workspace DIR]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

BARE = (sys.executable, "-c", "pass")
WATCHBILL = (sys.executable, "-m", "watchbill")
TICKETS = 5


@dataclass(frozen=True)
class Timed:
    """A command with its goal in multiples of bare Python; no goal when none was set."""

    arguments: tuple[str, ...]
    goal: float | None

    @property
    def name(self) -> str:
        return " ".join(("watchbill", *self.arguments))


TIMED = (Timed(("--help",), 8), Timed(("status",), 15), Timed(("inbox", "list"), None))


class CommandFailed(Exception):
    """A command that was to be timed, or that makes the workspace, did not end with 0."""


def main() -> int:
    options = read_options()
    try:
        with tempfile.TemporaryDirectory(prefix="watchbill-bench-") as folder:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
            workspace = options.workspace or make_workspace(Path(folder))
            print_heading(options.pairs, workspace if options.workspace else None)
            for timed in TIMED:
                print_row(timed, measure(timed, workspace, options.pairs))
    except CommandFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Start-up time as a multiple of a bare Python.")
    parser.add_argument("--pairs", type=pairs, default=9, help="pairs of each command (at least 5)")
    parser.add_argument("--workspace", type=Path, help="a workspace to use, instead of a small new one")
    return parser.parse_args()


def pairs(text: str) -> int:
    number = int(text)
    if number < 5:
        raise argparse.ArgumentTypeError("fewer than 5 pairs say nothing")
    return number


def make_workspace(folder: Path) -> Path:
    """A workspace with a handful of tickets, planned once, on a repository with one commit."""
    repository, workspace = folder / "repository", folder / "watch"
    repository.mkdir()
    who = ("-c", "user.name=Bench", "-c", "user.email=bench@example.org")
    run(("git", "init", "-q", "-b", "main"), repository)
    run(("git", *who, "commit", "-q", "--allow-empty", "-m", "Start"), repository)
    run((*WATCHBILL, "init", str(workspace), "--repo", str(repository)), folder)
    for number in range(1, TICKETS + 1):
        path = workspace / "tickets" / f"T-{number:04}.md"
        path.write_text(ticket(number), encoding="utf-8")
    run((*WATCHBILL, "plan"), workspace)
    return workspace


def ticket(number: int) -> str:
    return (
        f"---\nid: T-{number:04}\ntitle: Ticket {number}\ntype: bug\npriority: medium\nstatus: open\n"
        "dependencies: []\nlabels: []\ncreated_date: 2026-11-20\n---\n\n## Description\n\nSomething small.\n\n"
        "## Acceptance Criteria\n\n- [ ] #1 It works.\n"
    )


def measure(timed: Timed, workspace: Path, number: int) -> list[tuple[float, float]]:
    """Seconds of (bare, command) for each pair, after one start of each that fills the caches."""
    command = (*WATCHBILL, *timed.arguments)
    run(BARE, workspace)
    run(command, workspace)
    return [(run(BARE, workspace), run(command, workspace)) for _ in range(number)]


def run(command: tuple[str, ...], folder: Path) -> float:
    """Seconds that the command took; raises CommandFailed when it did not end with 0."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent), "NO_COLOR": "1"}
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    took = time.perf_counter() - start
    if done.returncode != 0:
        raise CommandFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


def print_heading(number: int, workspace: Path | None) -> None:
    where = f"on {workspace}" if workspace else f"on a new workspace with {TICKETS} tickets"
    print(f"Start-up, median of {number} pairs {where}, Python {sys.version.split()[0]}")
    print(f"{'command':<24} {'bare':>9} {'command':>9} {'ratio':>8} {'goal':>6}")


def print_row(timed: Timed, seconds: list[tuple[float, float]]) -> None:
    bare, command = (median(column) for column in zip(*seconds, strict=True))
    ratio = median(slow / quick for quick, slow in seconds)
    goal = f"{timed.goal:.0f}x" if timed.goal else "none"
    verdict = "" if timed.goal is None or ratio <= timed.goal else "  missed"
    print(
        f"{timed.name:<24} {bare * 1000:6.0f} ms {command * 1000:6.0f} ms {ratio:7.1f}x {goal:>6}{verdict}", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
