#!/usr/bin/env python3
"""How planning and its like grow: a hundred thousand tickets, and on request a million handoffs.

Each line is the median ratio of interleaved pairs within this run; the goals stand beside it. A missed goal is marked
and is no failure. The workspace is made in a temporary folder and nothing of it is deleted between the pairs, but for
the index where a line is about planning without one.

Usage: .venv/bin/python bench/scale.py [--tickets N] [--handoffs N] [--pairs N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from graphlib import TopologicalSorter
from heapq import heappop, heappush
from itertools import count
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.pairs import LEAST, Measured, measure, print_heading, print_row
from watchbill.documents.handoff import Handoff
from watchbill.documents.ticket import PRIORITIES, Ticket
from watchbill.files.publish import sha256
from watchbill.index import collector_at_rest
from watchbill.overview import overview_of
from watchbill.rules.planning import NO_DAY, Situation, in_order
from watchbill.stages.plan import renew
from watchbill.workspace import Workspace

WATCHBILL = (sys.executable, "-m", "watchbill")
TICKET = """\
---
id: {id}
title: Let the ledger say why line {number} was refused
type: {type}
priority: {priority}
status: open
dependencies: {needs}
labels: [ledger, import]
created_date: {day}
---

## Description

Line {number} of an import that is refused is left out without a word. Say which line, and why.

## Acceptance Criteria

- [ ] #1 The report names line {number}
- [ ] #2 The reason is one of the documented ones
"""


def main() -> int:
    options = read_options()
    with folder_for(options.folder) as folder:
        workspace = make_workspace(folder, options.tickets)
        print(f"{options.tickets:,} tickets, median of {options.pairs} pairs, Python {sys.version.split()[0]}")
        print_heading("")
        for measured in lines(workspace, options.pairs):
            print_row(measured)
        print(f"peak memory of a plan without an index: {peak_memory(workspace):.0f} MB (goal: below 400)", flush=True)
        if options.handoffs:
            grow(workspace, options.tickets, options.handoffs)
            print(f"with {options.handoffs:,} handoffs besides")
            for measured in lines_with_histories(workspace, options.pairs):
                print_row(measured)
            for command in (("status", "--json"), ("history", ticket_id(7)), ("inbox", "list"), ("ticket", "list")):
                print(f"watchbill {' '.join(command)}: {seconds_of(workspace, command):.1f} s")
    return 0


def lines(workspace: Workspace, pairs: int) -> Iterator[Measured]:
    """The figures about tickets alone."""
    layout = workspace.layout
    scene = Changes(workspace)
    situation = Situation(overview_of(workspace).cards, 0, 5)
    yield measure(
        "ordering ÷ graphlib and a heap",
        0.45,
        lambda: order_by_graphlib(situation),
        lambda: order_by_rules(situation),
        pairs,
    )
    yield measure(
        "plan without an index ÷ parsing by CSafeLoader, pydantic",
        0.3,
        partial(parse_all, [path.read_bytes() for path in layout.tickets.glob("T-*.md")]),
        scene.plan,
        pairs,
        lambda: layout.index.unlink(missing_ok=True),
    )
    age(workspace)
    scene.plan()
    compared = lambda: look_at(layout.tickets)  # noqa: E731
    yield measure("plan, nothing changed ÷ scandir and stat", None, compared, scene.plan, pairs)
    yield measure("plan, one text changed ÷ scandir and stat", 1.6, compared, scene.plan, pairs, scene.change_text)
    yield measure("plan, one priority changed ÷ scandir and stat", 1.6, compared, scene.plan, pairs, scene.change_rank)
    yield measure("plan, one ticket more ÷ scandir and stat", 1.6, compared, scene.plan, pairs, scene.add)


def lines_with_histories(workspace: Workspace, pairs: int) -> Iterator[Measured]:
    """The figures about tickets with their histories: every file is looked at on both sides."""
    scene = Changes(workspace)
    scene.plan()
    age(workspace)
    scene.plan()

    def compared() -> None:
        look_at(workspace.layout.tickets)
        for folder in os.scandir(workspace.layout.handoffs):
            if folder.is_dir():
                look_at(Path(folder.path))

    yield measure("plan, nothing changed ÷ scandir and stat", None, compared, scene.plan, pairs)
    yield measure("plan, one text changed ÷ scandir and stat", 1.6, compared, scene.plan, pairs, scene.change_text)


class Changes:
    """What happens to the backlog between two plans."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.now = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
        self.turn = 0

    def plan(self) -> None:
        """As a command does: the settings are read, and all three agents are planned for."""
        renew(Workspace(self.workspace.root), self.now + timedelta(minutes=self.turn))

    def change_text(self) -> None:
        path = self._next()
        path.write_text(path.read_text("utf-8") + f"\nSeen again, time {self.turn}.\n", "utf-8")

    def change_rank(self) -> None:
        path = self._next()
        text = path.read_text("utf-8")
        other = "low" if "priority: critical" in text else "critical"
        head, _, rest = text.partition("priority: ")
        path.write_text(f"{head}priority: {other}\n{rest.partition(chr(10))[2]}", "utf-8")

    def add(self) -> None:
        self.turn += 1
        tickets = self.workspace.layout.tickets
        # In a folder that was measured in before, some have come already: the same again would be no change.
        number = next(number for number in count(1_000_001) if not (tickets / f"{ticket_id(number)}.md").exists())
        write_ticket(tickets, number)

    def _next(self) -> Path:
        self.turn += 1
        return self.workspace.layout.tickets / f"{ticket_id(self.turn * 101)}.md"


def look_at(folder: Path) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat()


def parse_all(documents: list[bytes]) -> None:
    for data in documents:
        _, head, body = data.decode("utf-8").split("---\n", 2)
        Ticket.model_validate({**yaml.load(head, Loader=yaml.CSafeLoader), "body": body}, by_alias=True, by_name=False)


def order_by_graphlib(situation: Situation) -> list[str]:
    """Every ticket after those that it waits for, the more urgent and the older first."""
    cards = situation.cards
    places = {ticket: place for place, ticket in enumerate(cards)}
    sorter = TopologicalSorter({ticket: card.needs for ticket, card in cards.items()})
    sorter.prepare()
    heap: list[tuple[int, str, int, str]] = []
    order = []
    while sorter.is_active():
        for ticket in sorter.get_ready():
            card = cards[ticket]
            heappush(heap, (PRIORITIES.index(card.priority), card.created or NO_DAY, places[ticket], ticket))
        ticket = heappop(heap)[-1]
        order.append(ticket)
        sorter.done(ticket)
    return order


def order_by_rules(situation: Situation) -> None:
    fresh = Situation(situation.cards, situation.waiting, situation.max_waiting)
    with collector_at_rest():
        in_order(list(fresh.cards.values()), fresh, len(fresh.cards))


def peak_memory(workspace: Workspace) -> float:
    """Megabytes that a whole process needs to plan from the files alone."""
    workspace.layout.index.unlink(missing_ok=True)
    script = (
        "import resource, sys\nfrom datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from watchbill.stages.plan import renew\nfrom watchbill.workspace import Workspace\n"
        "renew(Workspace(Path(sys.argv[1])), datetime.now(UTC))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, workspace.root], check=True, capture_output=True, text=True)
    unit = 1_048_576 if sys.platform == "darwin" else 1_024
    return int(done.stdout) / unit


def seconds_of(workspace: Workspace, command: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([*WATCHBILL, *command], cwd=workspace.root, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def make_workspace(folder: Path, tickets: int) -> Workspace:
    """A workspace with that many tickets; half of them wait for an older one."""
    repository, root = folder / "repository", folder / "watch"
    if not root.exists():
        repository.mkdir()
        who = ("-c", "user.name=Bench", "-c", "user.email=bench@example.org")
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=repository, check=True)
        subprocess.run(["git", *who, "commit", "-q", "--allow-empty", "-m", "Start"], cwd=repository, check=True)
        subprocess.run([*WATCHBILL, "init", root, "--repo", repository], check=True, stdout=subprocess.DEVNULL)
        for number in range(1, tickets + 1):
            write_ticket(root / "tickets", number)
    workspace = Workspace(root)
    age(workspace)
    return workspace


def write_ticket(folder: Path, number: int) -> None:
    needs = f"[{ticket_id(number - 7)}]" if number % 2 and number > 20 and number < 1_000_000 else "[]"
    text = TICKET.format(
        id=ticket_id(number),
        number=number,
        type=("bug", "feature", "chore")[number % 3],
        priority=PRIORITIES[number % 4],
        needs=needs,
        day=(datetime(2026, 1, 1) + timedelta(days=number % 300)).date().isoformat(),
    )
    (folder / f"{ticket_id(number)}.md").write_text(text, "utf-8")


def ticket_id(number: int) -> str:
    return f"T-{number:06}"


def grow(workspace: Workspace, tickets: int, handoffs: int) -> None:
    """Give the tickets a past: ten documents each, or what it takes, that say that the work was put off."""
    each = max(1, handoffs // tickets)
    for number in range(1, handoffs // each + 1):
        ticket = ticket_id(number)
        folder = workspace.layout.history_of(ticket)
        if folder.exists():
            continue
        folder.mkdir(parents=True)
        parent = sha256((workspace.layout.tickets / f"{ticket}.md").read_bytes())
        for seq in range(1, each + 1):
            data = document(ticket, seq, parent)
            parent = sha256(data)
            (folder / f"{seq:04}.md").write_bytes(data)


def document(ticket: str, seq: int, parent: str) -> bytes:
    return Handoff.model_validate(
        {
            "ticket": ticket,
            "seq": seq,
            "created": datetime(2026, 11, 1, 2, 0, tzinfo=UTC) + timedelta(minutes=seq),
            "from": "build" if seq % 2 else "merge",
            "to": ("build",),
            "outcome": "deferred",
            "parent": parent,
            "reason": "the session's turns were used up",
            "session": "build-0001-1",
        }
    ).render()


def age(workspace: Workspace) -> None:
    """Wait until what was written last is old enough to be believed, and let the index be kept."""
    time.sleep(2.5)
    overview_of(workspace)


@contextmanager
def folder_for(chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="watchbill-bench-") as folder:
        yield Path(folder)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How planning grows with the backlog.")
    parser.add_argument("--tickets", type=int, default=100_000)
    parser.add_argument("--handoffs", type=int, default=0, help="documents to add besides, such as 1000000")
    parser.add_argument("--pairs", type=int, default=LEAST)
    parser.add_argument("--folder", type=Path, help="where to make the workspace, and to leave it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
