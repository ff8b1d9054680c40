"""The file that the shed's tools and loans are kept in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ladderlog.catalogue import Tool
from ladderlog.loans import Loan


@dataclass
class Book:
    """Everything that the shed remembers."""

    tools: list[Tool] = field(default_factory=list)
    loans: list[Loan] = field(default_factory=list)


def load(path: Path) -> Book:
    """Read the book; a file that is not there is an empty book."""
    if not path.exists():
        return Book()
    data = json.loads(path.read_text(encoding="utf-8"))
    return Book(
        tools=[Tool(**row) for row in data["tools"]],
        loans=[_loan(row) for row in data["loans"]],
    )


def save(book: Book, path: Path) -> None:
    """Write the book beside the old one, then put it in its place."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(book), indent=1, default=str), encoding="utf-8")
    draft.replace(path)


def _loan(row: dict[str, Any]) -> Loan:
    days = {key: date.fromisoformat(row[key]) if row[key] else None for key in ("out", "due", "back")}
    return Loan(**{**row, **days})
