"""The order that tickets ask of each other."""

from __future__ import annotations

import graphlib

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.rules.dependencies import read


def test_depth_counts_the_longest_way_down() -> None:
    found = read({"A": [], "B": ["A"], "C": ["A", "B"], "D": []})
    assert (found.depth, found.faults) == ({"A": 0, "B": 1, "C": 2, "D": 0}, {})


def test_an_unknown_dependency_is_reported_by_name() -> None:
    found = read({"A": ["Z", "Y", "B"], "B": []})
    assert found.faults == {"A": "depends on Y, Z, which is not in the backlog"}


def test_a_circle_is_reported_with_its_path() -> None:
    found = read({"A": ["B"], "B": ["C"], "C": ["A"]})
    assert found.faults["A"] == "is in a circle of dependencies: A → B → C → A"
    assert found.faults["B"] == "is in a circle of dependencies: B → C → A → B"
    assert found.depth == {}


def test_a_ticket_that_waits_for_itself_is_a_circle() -> None:
    assert read({"A": ["A"]}).faults == {"A": "is in a circle of dependencies: A → A"}


def test_what_waits_for_a_circle_says_so_and_is_no_part_of_it() -> None:
    found = read({"A": ["B"], "B": ["A"], "C": ["A"], "D": []})
    assert found.faults["C"] == "waits for A, which is in a circle of dependencies"
    assert found.depth == {"D": 0}


def test_the_same_dependency_twice_counts_once() -> None:
    assert read({"A": [], "B": ["A", "A"]}).depth == {"A": 0, "B": 1}


def test_a_very_long_chain_has_its_depth_and_breaks_nothing() -> None:
    wanted = {f"T-{number}": [f"T-{number - 1}"] if number else [] for number in range(5_000)}
    assert read(wanted).depth["T-4999"] == 4_999


def test_a_very_long_circle_is_reported_for_every_ticket_in_it() -> None:
    wanted = {f"T-{number}": [f"T-{(number + 1) % 5_000}"] for number in range(5_000)}
    found = read(wanted)
    assert len(found.faults) == 5_000
    assert all(len(why) < 2_000 for why in found.faults.values()), "a long path is shortened"


NAMES = st.sampled_from("ABCDEF")
GRAPHS = st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=6)


@settings(max_examples=300, deadline=None)
@given(GRAPHS)
def test_it_agrees_with_the_standard_library(wanted: dict[str, list[str]]) -> None:
    found = read(wanted)
    known = {ticket: [need for need in needs if need in wanted] for ticket, needs in wanted.items()}
    ordered = set()
    try:
        order = list(graphlib.TopologicalSorter(known).static_order())
        ordered = set(order)
        place = {ticket: number for number, ticket in enumerate(order)}
        assert all(place[need] < place[ticket] for ticket, needs in known.items() for need in needs)
        is_circular = False
    except graphlib.CycleError:
        is_circular = True
    assert is_circular == any("circle" in why for why in found.faults.values()) or _unknown_only(wanted)
    if not is_circular:
        assert set(found.depth) == ordered
    for ticket, depth in found.depth.items():
        assert depth == max((found.depth[need] + 1 for need in known[ticket]), default=0)
    unknown = {ticket for ticket, needs in wanted.items() if any(need not in wanted for need in needs)}
    assert set(found.faults) == unknown | (set(wanted) - set(found.depth))


def _unknown_only(wanted: dict[str, list[str]]) -> bool:
    """Every ticket of the circle also names an unknown one, which is what is reported of it."""
    found = read(wanted)
    stuck = set(wanted) - set(found.depth)
    return bool(stuck) and all("not in the backlog" in found.faults[ticket] for ticket in stuck)


@given(GRAPHS, st.randoms(use_true_random=False))
def test_the_order_of_the_tickets_in_the_folder_does_not_matter(wanted: dict[str, list[str]], random: object) -> None:
    shuffled = list(wanted.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert read(dict(shuffled)) == read(wanted)
