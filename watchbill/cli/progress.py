"""What a person sees while a session runs.

Owns the one-line form of log events: with colour on a terminal, plain elsewhere. A run never depends on anybody
watching.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from watchbill.errors import WatchbillError
from watchbill.tools.redaction import redact

Tell = Callable[[Any], None]


def teller() -> Tell:
    """A function that shows one event on standard error."""
    if sys.stderr.isatty():
        return _on_terminal()
    return lambda event: tell_line(plain_line(event))


def tell_line(text: str) -> None:
    """One line on standard error, without secrets or anything that a terminal would obey.

    What scheduled jobs say here ends up in a file.
    """
    # Whoever watched may have gone away (`2>&1 | head`); the night goes on.
    with contextlib.suppress(BrokenPipeError):
        print(_harmless(_without_secrets(text)), file=sys.stderr, flush=True)


def _without_secrets(text: str) -> str:
    try:
        return redact(text)
    except WatchbillError as error:
        # Why it could not be searched is what the person must hear, and holds nothing of the line.
        return f"(a line is not shown: {error.reason}. {error.hint})"


def _harmless(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def plain_line(event: Any) -> str:
    """`build T-0001 [3/20] bash: pytest -q`."""
    return " ".join(part for part in (*_head(event), _text(event)) if part)


def _head(event: Any) -> tuple[str, ...]:
    turn = f"[{event['turn']}/{event['of']}]" if event.get("of") else ""
    return (str(event.get("agent", "")), str(event.get("ticket", "")), turn)


def _text(event: Any) -> str:
    what = str(event.get("event", ""))
    if what == "tool":
        return f"{event.get('tool')}: {event.get('what')}"
    if what == "turn":
        return str(event.get("said") or "")[:120] or "…"
    if what == "session begins":
        budget = f"{event.get('tickets')} ticket(s), at most {event.get('hard_turns')} turns"
        return f"session {event.get('session')} begins: {budget}"
    if what == "session ends":
        return f"session {event.get('session')} ends: {event.get('outcome')} after {event.get('turns')} turn(s)"
    title = event.get("title")
    return f"{what} — {title}" if title else what


def _on_terminal() -> Tell:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    colours = {"build": "cyan", "qa": "yellow", "security": "magenta", "merge": "green"}

    def tell(event: Any) -> None:
        agent, ticket, turn = _head(event)
        line = Text()
        line.append(f"{agent:<9}", style=colours.get(agent, "white"))
        line.append(f"{ticket:<8}", style="bold")
        line.append(f"{turn:<8}", style="dim")
        quiet = event.get("event") in ("tool", "turn")
        line.append(_harmless(_text(event)), style="dim" if quiet else "")
        console.print(line, soft_wrap=False, overflow="ellipsis", no_wrap=True)

    return tell
