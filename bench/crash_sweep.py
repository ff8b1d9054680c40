"""Every kill point and every failing call of the verbs, one after the other: the full sweep of the crash suite.

    .venv/bin/python bench/crash_sweep.py [SCENE …] [--fault FAULT …] [--most N] [--part K/N]
    .venv/bin/python bench/crash_sweep.py [SCENE …] --cut ext4 --cut xfs

The test suite tries a sample of the same. Needs strace, and root for `--cut`, which cuts the power of a small disk of
that kind after every call. The exit code is 1 when something did not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.crash.disks import MEBIBYTES, disk
from tests.crash.faults import FAULTS, points
from tests.crash.holds import trial, undisturbed
from tests.crash.kit import Arena, Call, changes, sample
from tests.crash.scenes import SCENES
from tests.crash.test_power_cut import power_cut

Try = Callable[[Call], list[str]]


def main() -> int:
    """Try them all; print what did not hold as it is found, and a count at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"{', '.join(SCENES)}")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="all of them if left out")
    parser.add_argument("--cut", action="append", choices=list(MEBIBYTES), help="cut the power of such a disk instead")
    parser.add_argument("--most", type=int, default=10_000, help="at most so many points for each scene and fault")
    parser.add_argument("--part", type=_part, default=(1, 1), help="K/N: every Nth point from the Kth; all N are all")
    asked = parser.parse_args()
    unknown = [name for name in asked.scenes if name not in SCENES]
    if unknown:
        parser.error(f"there is no scene {unknown[0]!r}")
    scenes = asked.scenes or list(SCENES)
    with tempfile.TemporaryDirectory(prefix="watchbill-crash-") as folder:
        arena = Arena(Path(folder))
        try:
            if asked.cut:
                counts = [_cut(arena, name, kind, asked) for name in scenes for kind in asked.cut]
            else:
                faults = asked.fault or FAULTS
                counts = [_disturb(arena, name, fault, asked) for name in scenes for fault in faults]
        finally:
            arena.resident.close()
    tried, wrong, missed = (sum(column) for column in zip(*counts, strict=True))
    print(f"{tried} points, {missed} of them not met; {wrong} things did not hold")
    return 1 if wrong else 0


def _part(text: str) -> tuple[int, int]:
    which, _, of = text.partition("/")
    if not 1 <= int(which) <= int(of):
        raise ValueError(text)
    return int(which), int(of)


def _chosen(calls: list[Call], asked: argparse.Namespace) -> list[Call]:
    which, of = asked.part
    return sample(calls, asked.most)[which - 1 :: of]


def _disturb(arena: Arena, name: str, fault: str, asked: argparse.Namespace) -> tuple[int, int, int]:
    scene = SCENES[name]
    chosen = _chosen(points(arena.record(scene), fault), asked)
    return _sweep(arena, f"{name:9} {fault:13}", chosen, lambda call: trial(arena, scene, call, fault))


def _cut(arena: Arena, name: str, kind: str, asked: argparse.Namespace) -> tuple[int, int, int]:
    scene = SCENES[name]
    with disk(arena.root / f"{name}-{kind}", kind) as made:
        there = Arena(made.image.parent, made.place / "arena", arena.resident)
        expected = undisturbed(there, scene)
        chosen = _chosen(changes(there.record(scene)), asked)
        label = f"{name:9} power, {kind:6}"
        return _sweep(there, label, chosen, lambda call: power_cut(there, made, scene, call, expected))


def _sweep(arena: Arena, label: str, chosen: list[Call], attempt: Try) -> tuple[int, int, int]:
    begun = time.monotonic()
    arena.missed.clear()
    wrong = 0
    for call in chosen:
        for one in attempt(call):
            wrong += 1
            print(f"  {one}", flush=True)
    seconds = time.monotonic() - begun
    print(f"{label} {len(chosen):4} points, {wrong} wrong, {seconds:.0f} s", flush=True)
    return len(chosen), wrong, len(arena.missed)


if __name__ == "__main__":
    sys.exit(main())
