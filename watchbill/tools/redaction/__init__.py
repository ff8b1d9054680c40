"""Redaction: no secret is written into a document or a log line, or sent to a model.

Owns what counts as a secret and what stands in its place: `[redacted: …]` with the rule's or the variable's name. Never
decides where that is done (see the doors: `documents/redacted`, `tools/log`, `tools/model/outgoing`), and never lets a
text through that it could not search. The search is loaded when the first text comes: quick verbs have none.

Not seen: a secret that was cut in pieces or changed (reversed, encrypted, in hex), one of fewer than eight characters,
and a weak password that stands where none is expected.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from watchbill.errors import Misconfigured, TryLater, WatchbillError
from watchbill.tools.redaction.held import SHORTEST, Held, credentials_in, held_in

if TYPE_CHECKING:
    from watchbill.tools.redaction.redactor import Redactor

__all__ = ["MARK", "hold", "hold_urls", "redact", "redact_held"]

# What stands in the place of a secret.
MARK = re.compile(r"\[redacted: [^\[\]\n]{1,100}\]")
# What the engine holds besides its environment: values by the name that is shown in their place.
_given: dict[str, str] = {}


def redact(text: str) -> str:
    """`text` with every secret replaced. The same text always gives the same; twice is the same as once.

    Raises `Misconfigured` when the rules cannot be loaded and `TryLater` when the search fails: what could not be
    searched is not to be written or sent.
    """
    return _searched(text, held_only=False)


def redact_held(text: str) -> str:
    """As `redact`, but only for the very values that the engine holds. For names on which something is decided."""
    return _searched(text, held_only=True)


def hold(name: str, value: str) -> None:
    """From now on `value` is replaced wherever it turns up; `name` stands in its place. Short values are not."""
    _given[name] = value


def hold_urls(name: str, urls: str) -> None:
    """Hold the passwords and tokens that stand in the URLs of a text."""
    for number, value in enumerate(credentials_in(urls), start=1):
        hold(f"{name} {number}", value)


def _searched(text: str, held_only: bool) -> str:
    if len(text) < SHORTEST:
        return text
    try:
        redactor = _redactor(_held_now())
        return redactor.without_held(text) if held_only else redactor.text(text)
    except WatchbillError:
        raise
    except Exception as error:
        reason = f"a text could not be searched for secrets ({type(error).__name__})"
        raise TryLater(reason, "It was not written or sent; the next run tries again.") from error


def _held_now() -> tuple[Held, ...]:
    return _held_by(tuple(os.environ.items()), tuple(_given.items()))


@lru_cache(maxsize=4)
def _held_by(environment: tuple[tuple[str, str], ...], given: tuple[tuple[str, str], ...]) -> tuple[Held, ...]:
    return held_in(dict(environment), dict(given))


@lru_cache(maxsize=4)
def _redactor(held: tuple[Held, ...]) -> Redactor:
    try:
        from watchbill.tools.redaction.redactor import Redactor
        from watchbill.tools.redaction.rules import load
    except ImportError as error:
        hint = "Install Watchbill again: it needs google-re2 to see secrets, and writes nothing without."
        raise Misconfigured(f"secrets cannot be recognised ({error})", hint) from error
    return Redactor(load(), held)
