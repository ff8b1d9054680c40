"""The replacing of secrets in one text.

Owns the order (the values that are held before what only looks like one) and the words that take a secret's place.
Pure: the same text, rules and held values give the same result.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

from watchbill.tools.redaction.held import Held
from watchbill.tools.redaction.rules import Rules, quiet

# What is left after a secret was replaced may look like another one: so often it is searched again.
PASSES = 5
# Around the letters of a base64 that depend on the value alone stand a few that hold bits of it.
_EDGE = "[A-Za-z0-9+/_-]{0,3}"
Span = tuple[int, int, str]


class Redactor:
    """Replaces what `rules` know by its shape, and every value in `held`."""

    def __init__(self, rules: Rules, held: tuple[Held, ...]) -> None:
        self._rules = rules
        known = " ".join((*(rule.id for rule in rules.all), *(one.name for one in held), "redacted")).lower()
        # A value that is a part of what we put in a secret's place would be found there again.
        self._held = tuple((one.name, _expression(one)) for one in held if one.value.lower() not in known)
        self._any = _compiled("|".join(expression for _, expression in self._held)) if self._held else None
        self._each = tuple((name, _compiled(expression)) for name, expression in self._held)

    def text(self, text: str) -> str:
        """`text` with every secret replaced."""
        return self._settled(text, with_rules=True)

    def without_held(self, text: str) -> str:
        """`text` with the held values replaced, and nothing else."""
        return self._settled(text, with_rules=False)

    def _settled(self, text: str, with_rules: bool) -> str:
        data = text.encode("utf-8", "surrogatepass")
        for _ in range(PASSES):
            spans = list(self._by_value(data))
            if with_rules:
                spans += self._by_shape(data)
            if not spans:
                break
            data = _replaced(data, _merged(spans))
        return data.decode("utf-8", "surrogatepass")

    def _by_value(self, data: bytes) -> Iterator[Span]:
        if self._any is None or self._any.search(data) is None:
            return
        for name, expression in self._each:
            for match in expression.finditer(data):
                yield (*match.span(), name)

    def _by_shape(self, data: bytes) -> Iterator[Span]:
        for rule in self._rules.called_for(data):
            for start, end in rule.spans(data):
                yield start, end, rule.id


def mark(name: str) -> str:
    """What stands in a secret's place."""
    return f"[redacted: {name}]"


def _expression(held: Held) -> str:
    plain = [re2.escape(form) for form in held.spellings()]
    coded = [f"{_EDGE}{re2.escape(core)}{_EDGE}={{0,2}}" for core in held.in_base64()]
    return "|".join([*plain, *coded])


def _compiled(expression: str) -> Any:
    return re2.compile(expression, quiet())


def _merged(spans: list[Span]) -> list[Span]:
    """Spans that overlap as one; it bears the name of the first, of those that begin together the longest."""
    merged: list[Span] = []
    for start, end, name in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            before, until, known = merged[-1]
            merged[-1] = (before, max(until, end), known)
        else:
            merged.append((start, end, name))
    return merged


def _replaced(data: bytes, spans: list[Span]) -> bytes:
    parts = []
    place = 0
    for start, end, name in spans:
        parts += [data[place:start], mark(name).encode("utf-8", "surrogatepass")]
        place = end
    return b"".join([*parts, data[place:]])
