#!/usr/bin/env python3
"""How long reading documents takes, as a fraction of what PyYAML's C loader and pydantic take for the same bytes.

Three sorts, made in memory: tickets as the engine writes them, tickets as Backlog.md writes them, and handoffs. Each
is read in pairs, first the ordinary way and right after it ours, a slice of the documents at a time, so that a
machine that slows down half way slows down both. What counts is the processor's time. The median of the pairs' ratios
is the result. It is a benchmark, not a test: a missed goal is printed, and the exit code is 1 only when the two ways
do not read the same.

Usage: .venv/bin/python bench/parse.py [--pairs N] [--count N …]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from watchbill.documents.handoff import Handoff
from watchbill.documents.ticket import Ticket
from watchbill.files.document import Document
from watchbill.files.front_matter import Loader

PATH = Path("in-memory.md")
SLICE = 500
SEED_DAY = date(2026, 1, 1)
SUMMARY = "The last row is exported now, with and without a newline at the end"
BODY = "## Description\n\nThe last row is lost on export.\n\n## Acceptance Criteria\n\n- [ ] #1 It is exported.\n"

Read = Callable[[bytes], Document]


@dataclass(frozen=True)
class Sort:
    """One sort of document: how the nth is written, and the goal, if one was set."""

    name: str
    kind: type[Document]
    write: Callable[[int], bytes]
    goal: float | None


def main() -> int:
    options = read_options()
    print(f"Reading, median of {options.pairs} pairs, Python {sys.version.split()[0]}")
    print(f"{'documents':<34} {'PyYAML + pydantic':>18} {'Watchbill':>12} {'ratio':>7} {'goal':>6}")
    for sort in SORTS:
        if not reads_alike(sort):
            print(f"{sort.name}: the two ways do not read the same", file=sys.stderr)
            return 1
        for count in options.count:
            documents = [sort.write(number) for number in range(count)]
            print_row(sort, count, [pair(sort.kind, documents) for _ in range(options.pairs)])
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reading documents, against PyYAML's C loader and pydantic.")
    parser.add_argument("--pairs", type=pairs, default=5, help="pairs of each row (at least 5)")
    parser.add_argument("--count", type=int, nargs="+", default=[10_000, 100_000], help="documents in each row")
    return parser.parse_args()


def pairs(text: str) -> int:
    number = int(text)
    if number < 5:
        raise argparse.ArgumentTypeError("fewer than 5 pairs say nothing")
    return number


def ticket(number: int) -> bytes:
    """A ticket as the engine writes it; each has its own id, title and dependencies."""
    dependencies = [f"T-{other:06}" for other in (number // 2, number // 3)[: number % 3]]
    return (
        f"---\nschema: watchbill/ticket/1\nid: T-{number:06}\ntitle: The export number {number} drops the last row\n"
        f"type: {('bug', 'feature', 'chore', 'security')[number % 4]}\n"
        f"priority: {('critical', 'high', 'medium', 'low')[number // 4 % 4]}\nstatus: open\n"
        f"dependencies:{block(dependencies)}\nlabels:{block(('export', 'csv', 'import')[: number % 4])}\n"
        f"created_date: '{SEED_DAY + timedelta(days=number % 700)}'\n---\n\n{BODY}"
    ).encode()


def block(items: Sequence[str]) -> str:
    return "".join(f"\n- {item}" for item in items) or " []"


def backlog_md(number: int) -> bytes:
    """A ticket as Backlog.md writes it."""
    day = SEED_DAY + timedelta(days=number % 700)
    return (
        f"---\nid: task-{number}\ntitle: The export number {number} drops the last row\nstatus: To Do\nassignee:\n"
        f"  - '@sara'\ncreated_date: '{day} {number % 24:02}:{number % 60:02}'\nupdated_date: '{day}'\n"
        f"labels:\n  - export\n  - csv\ndependencies:\n  - task-{number // 2}\npriority: high\nordinal: {number}000\n"
        f"---\n\n{BODY}"
    ).encode()


def handoff(number: int) -> bytes:
    """A handoff of a build session, with what was claimed and verified."""
    return HANDOFF.replace(b"T-000001", b"T-%06d" % number).replace(b"f" * 64, b"f%063x" % number)


CHECKS = {"commit": "f" * 40, "ran": True, "exit_code": 0, "passed": 90}
CLAIMED = {"outcome": "done", "summary": SUMMARY, "criteria": [{"criterion": "It is exported.", "met": True}]}
HANDOFF = Handoff.model_validate(
    {
        "ticket": "T-000001",
        "seq": 1,
        "created": "2026-11-20T02:00:00Z",
        "from": "build",
        "to": ("qa", "security"),
        "outcome": "done",
        "parent": "f" * 64,
        "session": "build-0001-1",
        "manifest": "build-0001",
        "turns": 7,
        "agent_version": "f" * 64,
        "playbook": "f" * 64,
        "model": "claude",
        "base": "f" * 40,
        "commit": "f" * 40,
        "claimed": CLAIMED,
        "verified": {"files": ("src/export.py",), "insertions": 12, "checks": CHECKS},
        "body": "## What was done\n\nThe last row is exported.",
    }
).render()

SORTS = (
    Sort("tickets, as the engine writes", Ticket, ticket, 0.15),
    Sort("tickets, as Backlog.md writes", Ticket, backlog_md, 0.15),
    Sort("handoffs", Handoff, handoff, None),
)


def ordinary(kind: type[Document]) -> Read:
    """Nothing but the cut between the fences, the C loader, and the model."""

    def read(data: bytes) -> Document:
        head, _, body = data.decode().removeprefix("---\n").partition("\n---\n")
        keys = yaml.load(head, Loader=Loader)
        return kind.model_validate({**keys, "body": body.strip("\n")}, by_alias=True, by_name=False)

    return read


def ours(kind: type[Document]) -> Read:
    return lambda data: kind.parse(data, PATH)


def reads_alike(sort: Sort) -> bool:
    """Whether both ways make the same of some; this also builds the models and fills the caches of the processor."""
    one, other = ordinary(sort.kind), ours(sort.kind)
    return all(one(data) == other(data) for data in map(sort.write, range(100)))


def pair(kind: type[Document], documents: list[bytes]) -> tuple[float, float]:
    """Seconds of the processor that (the ordinary way, our way) took for all documents, turn by turn."""
    slow = quick = 0.0
    for start in range(0, len(documents), SLICE):
        some = documents[start : start + SLICE]
        slow += seconds(ordinary(kind), some)
        quick += seconds(ours(kind), some)
    return slow, quick


def seconds(read: Read, documents: list[bytes]) -> float:
    start = time.process_time()
    for data in documents:
        read(data)
    return time.process_time() - start


def print_row(sort: Sort, count: int, found: list[tuple[float, float]]) -> None:
    slow, quick = (median(column) / count * 1e6 for column in zip(*found, strict=True))
    ratio = median(ours / theirs for theirs, ours in found)
    goal = f"{sort.goal:.2f}" if sort.goal else "none"
    verdict = "  missed" if sort.goal and ratio > sort.goal else ""
    name = f"{count:,} {sort.name}"
    print(f"{name:<42} {slow:7.1f} us {quick:9.1f} us {ratio:7.3f} {goal:>6}{verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
