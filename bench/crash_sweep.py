"""Every kill point and every failing call of the verbs, one after the other: the full sweep of the crash suite.

    .venv/bin/python bench/crash_sweep.py [SCENE …] [--fault FAULT …] [--most N]

The test suite tries a sample of the same. Needs strace. The exit code is 1 when something did not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.crash.faults import FAULTS, points
from tests.crash.holds import trial
from tests.crash.kit import Arena, sample
from tests.crash.scenes import SCENES


def main() -> int:
    """Try them all; print what did not hold as it is found, and a count at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"{', '.join(SCENES)}")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="all of them if left out")
    parser.add_argument("--most", type=int, default=10_000, help="at most so many points for each scene and fault")
    asked = parser.parse_args()
    unknown = [name for name in asked.scenes if name not in SCENES]
    if unknown:
        parser.error(f"there is no scene {unknown[0]!r}")
    tried: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="watchbill-crash-") as folder:
        arena = Arena(Path(folder))
        try:
            for name in asked.scenes or SCENES:
                for fault in asked.fault or FAULTS:
                    begun = time.monotonic()
                    chosen = sample(points(arena.record(SCENES[name]), fault), asked.most)
                    found = [one for call in chosen for one in _tell(trial(arena, SCENES[name], call, fault))]
                    wrong += found
                    tried[name] += len(chosen)
                    seconds = time.monotonic() - begun
                    print(
                        f"{name:9} {fault:13} {len(chosen):4} points, {len(found)} wrong, {seconds:.0f} s", flush=True
                    )
        finally:
            arena.resident.close()
    print(f"{sum(tried.values())} points, {len(wrong)} things did not hold")
    return 1 if wrong else 0


def _tell(found: list[str]) -> list[str]:
    for one in found:
        print(f"  {one}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
