"""The tools of the shed: their numbers, names and shelves."""

from __future__ import annotations

from dataclasses import dataclass


class UnknownTool(LookupError):
    """No tool has that number."""


@dataclass(frozen=True)
class Tool:
    """One thing that can be borrowed."""

    number: int
    name: str
    shelf: str


def next_number(tools: list[Tool]) -> int:
    """The number for a new tool; numbers are never used twice."""
    return max((tool.number for tool in tools), default=0) + 1


def by_number(tools: list[Tool], number: int) -> Tool:
    """The tool with that number."""
    for tool in tools:
        if tool.number == number:
            return tool
    raise UnknownTool(f"there is no tool number {number}")


def find(tools: list[Tool], text: str) -> list[Tool]:
    """The tools whose name contains ``text``; a blank text finds nothing."""
    wanted = text.strip().lower()
    if not wanted:
        return []
    return [tool for tool in tools if wanted in tool.name.lower()]
