"""How many milliseconds a sandbox adds to a command that does nothing.

The same command runs bare (a process of bash, its output collected) and then in each sandbox that works here, pair
after pair, so that a busy moment hits both. What counts is the median of the differences of the pairs; beside it stands
the difference of the quickest two, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from watchbill.errors import Misconfigured
from watchbill.tools.sandbox import Bubblewrap, Landlock, Limits, Sandbox, control_groups

GOAL_MS = 40.0
COMMAND = "true"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=25, help="how many pairs for each sandbox (default 25)")
    pairs = parser.parse_args().pairs
    groups = control_groups.available()
    print(f"control groups: {f'version {groups.version}' if groups else 'none can be made here'}")
    columns = " ".join(f"{word:>8}" for word in ("bare", "inside", "added", "quickest", "goal"))
    print(f"{'sandbox':12} {columns}   (milliseconds, {pairs} pairs)")
    with tempfile.TemporaryDirectory(prefix="watchbill-bench-") as folder:
        worktree = Path(folder).resolve()
        return max(_measure(make, worktree, pairs) for make in (Bubblewrap, Landlock))


def _measure(make: type[Bubblewrap | Landlock], worktree: Path, pairs: int) -> int:
    try:
        box = make([Path(sys.prefix)])
        _timed(lambda: _inside(box, worktree))
    except Misconfigured as error:
        print(f"{make.name:12} not here: {error.reason}")
        return 0
    bare, inside = [], []
    for _ in range(pairs):
        bare.append(_timed(lambda: _bare(worktree)))
        inside.append(_timed(lambda: _inside(box, worktree)))
    added = statistics.median(two - one for one, two in zip(bare, inside, strict=True))
    columns = (statistics.median(bare), statistics.median(inside), added, min(inside) - min(bare))
    verdict = "" if added <= GOAL_MS else "  MISSED"
    print(f"{box.name:12} {' '.join(f'{value:8.1f}' for value in columns)} {GOAL_MS:8.0f}{verdict}")
    return 0


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000


def _bare(worktree: Path) -> None:
    subprocess.run(
        ["/bin/bash", "-c", COMMAND], cwd=worktree, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )


def _inside(box: Sandbox, worktree: Path) -> None:
    result = box.run(COMMAND, worktree, Limits())
    if result.exit_code != 0:
        raise SystemExit(f"{box.name}: {result}")


if __name__ == "__main__":
    sys.exit(main())
