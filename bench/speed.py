#!/usr/bin/env python3
"""Every measure of speed, one after the other: what README.md shows as a table.

It takes about ten minutes on a quiet machine. Each part can be run alone; this only runs them all, and ends with 1 when
one of them failed. A goal that is missed is no failure.

Usage: .venv/bin/python bench/speed.py [PART …]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PARTS: dict[str, tuple[str, ...]] = {
    "durable_step": (),
    "parse": (),
    "scale": (),
    "worktree": (),
    "sandbox_cost": (),
    "startup": (),
}


def main() -> int:
    chosen = sys.argv[1:] or list(PARTS)
    strangers = [name for name in chosen if name not in PARTS]
    if strangers:
        print(f"there is no part {strangers[0]}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    failed = [name for name in chosen if not run(name)]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str) -> bool:
    print(f"== {name}", flush=True)
    return subprocess.run([sys.executable, Path(__file__).with_name(f"{name}.py"), *PARTS[name]]).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
