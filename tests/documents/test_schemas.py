"""Every document that the engine publishes validates against the schemas that stand in the workspace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.demo.played import Played, played
from watchbill.layout import ITEM_ID, Layout
from watchbill.stages.init import SCHEMAS

__all__ = ["played"]
pytestmark = pytest.mark.xdist_group("demo")


def _front_matter(path: Path) -> Any:
    """The keys of a document, read by plain YAML and not by the engine, with dates as their text."""
    head, _, _ = path.read_text("utf-8").removeprefix("---\n").partition("\n---\n")
    return _plain(yaml.safe_load(head))


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda moment: moment.isoformat()))


def _tickets(layout: Layout) -> Iterator[Path]:
    return (path for path in layout.tickets.glob("*.md") if path.name != "README.md")


DOCUMENTS: dict[str, Callable[[Layout], Iterator[Path]]] = {
    "ticket": _tickets,
    "manifest": lambda layout: layout.manifests.glob("*.json"),
    "handoff": lambda layout: layout.handoffs.glob("*/*.md"),
    "inbox_item": lambda layout: (path for path in layout.inbox.rglob("*.md") if ITEM_ID.fullmatch(path.stem)),
    "session": lambda layout: (path for path in layout.sessions.glob("*.md") if path.name != "README.md"),
}


def test_every_kind_of_document_has_a_schema() -> None:
    assert set(DOCUMENTS) == set(SCHEMAS)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_published_document_validates(played: Played, kind: str) -> None:
    schema = json.loads((played.layout.schemas / f"{kind}.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"watchbill/{kind}/1"
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    paths = list(DOCUMENTS[kind](played.layout))
    assert paths
    for path in paths:
        value = json.loads(path.read_text("utf-8")) if path.suffix == ".json" else _front_matter(path)
        problems = [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(value)]
        assert problems == [], path


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_schema_refuses_a_key_that_nobody_knows(played: Played, kind: str) -> None:
    schema = json.loads((played.layout.schemas / f"{kind}.json").read_text("utf-8"))
    path = next(iter(DOCUMENTS[kind](played.layout)))
    value = json.loads(path.read_text("utf-8")) if path.suffix == ".json" else _front_matter(path)
    assert not Draft202012Validator(schema).is_valid({**value, "surprise": 1})
