"""JSON that can be read in one way only.

Owns what is refused beyond bad syntax: a key that stands twice, where readers differ in which one counts, NaN and
Infinity, and what is nested deeper than can be read. Everything that decides something is read here. Never knows what
the keys mean.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

Pairs = list[tuple[str, Any]]


def read(data: bytes | str) -> Any:
    """The value that `data` holds. Raises ValueError with the reason."""
    return _loaded(data, _mapping)


def check(data: bytes | str) -> None:
    """Raise ValueError, as `read` does, but keep nothing: for a large text that a model of its own reads afterwards."""
    _loaded(data, _no_mapping)


def _loaded(data: bytes | str, made_of: Callable[[Pairs], Any]) -> Any:
    try:
        return json.loads(data, object_pairs_hook=made_of, parse_constant=_not_a_number)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _mapping(pairs: Pairs) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError(f"the key {_repeated(pairs)} stands twice in the same object")
    return unique


def _no_mapping(pairs: Pairs) -> None:
    _mapping(pairs)


def _repeated(pairs: Pairs) -> str:
    counts = Counter(key for key, _ in pairs)
    return ascii(next(key for key, count in counts.items() if count > 1)[:60])


def _not_a_number(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")
