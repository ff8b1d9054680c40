#!/usr/bin/env python3
"""What it costs to publish one handoff, as a multiple of the plainest durable write of the same bytes.

One step is what the engine does with the fields of a handoff: validate them, render the document, publish it in its
ticket's folder (`history.append`). Beside it stands a loop that only writes the same bytes: a temporary file, write,
fsync, rename, fsync of the folder. They take turns within one run, a ticket each, and who comes first changes. The
folder of a ticket is made before its clock starts, since it is made once for all its documents; every name is new, and
nothing is deleted until the end. The median of the pairs' ratios is the result. The syncs are counted by strace.

It is a benchmark, not a test: a missed goal is printed, and the exit code tells only whether everything could be run.

Usage: .venv/bin/python bench/durable_step.py [--pairs N] [--documents N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from watchbill.documents.handoff import Handoff
from watchbill.files.publish import make_folder
from watchbill.files.store import LocalStore, MemoryStore, Store
from watchbill.history import History, append
from watchbill.layout import Layout

GOAL = 1.5
SYNCS = 2
WAITING = "fsync,fdatasync,sync,syncfs,sync_file_range,msync"
NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    """Seconds for all documents of one ticket, in each way."""

    plain: float
    step: float

    @property
    def ratio(self) -> float:
        return self.step / self.plain


def main() -> int:
    options = read_options()
    if options.only_steps:
        steps(LocalStore(options.folder), "T-0001", options.documents)
        return 0
    with tempfile.TemporaryDirectory(prefix="watchbill-bench-", dir=options.folder) as folder:
        print_ratio(measure(Path(folder), options.pairs, options.documents), options.documents)
        print_parts(Path(folder), options.documents)
        return print_syncs(Path(folder), options.documents)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The durable step against a plain durable write.")
    parser.add_argument("--pairs", type=pairs, default=15, help="pairs of tickets (at least 5)")
    parser.add_argument("--documents", type=int, default=40, help="documents of each ticket")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where; a real disk")
    parser.add_argument("--only-steps", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def pairs(text: str) -> int:
    number = int(text)
    if number < 5:
        raise argparse.ArgumentTypeError("fewer than 5 pairs say nothing")
    return number


def fields(seq: int, parent: str) -> dict[str, Any]:
    """A build's handoff of ordinary size."""
    return {
        "ticket": "T-0001",
        "seq": seq,
        "created": NOW,
        "from": "build",
        "to": ("qa", "security"),
        "outcome": "done",
        "parent": parent,
        "session": "build-0001-1",
        "manifest": "build-0001",
        "agent_version": "a" * 64,
        "playbook": "b" * 64,
        "model": "claude-sonnet-4-5",
        "turns": 14,
        "base": "1" * 40,
        "commit": f"{seq:040x}",
        "claimed": {
            "outcome": "done",
            "summary": "The parser reads dates with a time zone now, and refuses those without one: the reason names "
            "the line. The tests cover both, and the case in which the zone is only an offset.",
            "open_questions": ["Should a date without a time be read as midnight?"],
            "next": "Review the message for a missing zone.",
        },
        "verified": {
            "files": ["src/dates.py", "src/reader.py", "tests/test_dates.py"],
            "insertions": 84,
            "deletions": 12,
            "base_checks": {"commit": "1" * 40, "ran": True, "exit_code": 0, "passed": 120},
            "checks": {"commit": f"{seq:040x}", "ran": True, "exit_code": 0, "passed": 126, "skipped": 2},
            "scanners": ["bandit", "detect-secrets"],
            "sandbox": "bubblewrap",
        },
        "confidence": 0.9,
        "body": "## What was done\n\nThe parser reads dates with a time zone now.\n\n## Open questions\n\n"
        "- Should a date without a time be read as midnight?\n\n## What should happen next\n\nReview the message.",
    }


def steps(store: Store, ticket: str, number: int) -> None:
    """The engine's way: so many documents of one ticket, one after the other."""
    layout = Layout(Path("nowhere"))
    history = History(id=ticket, ticket=None, ticket_sha="0" * 64)
    for seq in range(1, number + 1):
        handoff = Handoff.model_validate({**fields(seq, history.head), "ticket": ticket})
        history = append(layout, history, handoff, store)


def bytes_of(ticket: str, number: int) -> list[bytes]:
    """What those steps publish."""
    store = MemoryStore()
    steps(store, ticket, number)
    return [store.read(name) for name in store.list(ticket)]


def plain(folder: Path, contents: list[bytes], first: int = 1) -> None:
    """The plainest durable way: the same bytes, each renamed into place."""
    for seq, data in enumerate(contents, start=first):
        temporary = folder / f"{seq:04}.md.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(temporary, folder / f"{seq:04}.md")  # noqa: PTH104
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(descriptor)
        os.close(descriptor)


def measure(folder: Path, number: int, documents: int) -> list[Pair]:
    """Write `number` tickets in each way, after one of each that fills the caches."""
    return [pair(folder, f"T-{ticket:04}", documents, ticket % 2 == 0) for ticket in range(number + 1)][1:]


def pair(folder: Path, ticket: str, documents: int, plain_first: bool) -> Pair:
    contents = bytes_of(ticket, documents)
    store = LocalStore(folder / "steps")
    for way in ("steps", "plain"):
        make_folder(folder / way / ticket)
    if plain_first:
        simple = seconds(lambda: plain(folder / "plain" / ticket, contents))
    step = seconds(lambda: steps(store, ticket, documents))
    if not plain_first:
        simple = seconds(lambda: plain(folder / "plain" / ticket, contents))
    if [store.read(name) for name in store.list(ticket)] != contents:
        raise SystemExit("the two ways did not write the same bytes")
    return Pair(simple, step)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def print_ratio(measured: list[Pair], documents: int) -> None:
    print(f"A durable step, median of {len(measured)} pairs of {documents} documents, Python {sys.version.split()[0]}")
    simple, step = (
        median(column) / documents * 1e6 for column in zip(*((p.plain, p.step) for p in measured), strict=True)
    )
    ratio = median(one.ratio for one in measured)
    print(f"  plain write   {simple:8.0f} us")
    print(f"  durable step  {step:8.0f} us   {ratio:5.2f}x   goal {GOAL}x{'' if ratio <= GOAL else '  missed'}")


def print_parts(folder: Path, documents: int) -> None:
    """Where a step's own time goes: the processor's, without the disk; beside it that of the plain write."""
    handoff = Handoff.model_validate(fields(1, "0" * 64))
    data = handoff.render()
    store = LocalStore(folder / "parts")
    make_folder(folder / "parts" / "T-0001")
    parts: dict[str, Callable[[int], object]] = {
        "validate": lambda seq: Handoff.model_validate(fields(seq, "0" * 64)),
        "render": lambda _: handoff.render(),
        "publish": lambda seq: store.publish(f"T-0001/{seq:04}.md", data),
        "plain write": lambda seq: plain(folder / "parts", [data], seq),
    }
    for name, work in parts.items():
        start = time.process_time()
        for seq in range(1, documents + 1):
            work(seq)
        print(f"    {name:<12}{(time.process_time() - start) / documents * 1e6:8.0f} us of the processor")


def print_syncs(folder: Path, documents: int) -> int:
    """Count the calls that wait for the disk; 1 when strace cannot."""
    strace, log = shutil.which("strace"), folder / "strace.log"
    if strace is None:
        print("  syncs per step: not counted, strace is missing; on Debian: apt-get install strace", file=sys.stderr)
        return 1
    make_folder(folder / "counted" / "T-0001")
    itself = [
        sys.executable,
        __file__,
        "--only-steps",
        "--documents",
        str(documents),
        "--folder",
        str(folder / "counted"),
    ]
    done = subprocess.run([strace, "-f", "-o", str(log), "-e", f"trace={WAITING}", *itself], check=False, timeout=120)
    syncs = sum("= 0" in line for line in log.read_text().splitlines()) / documents
    print(f"  syncs per step {syncs:7.2f}           goal {SYNCS}{'' if syncs == SYNCS else '  missed'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
