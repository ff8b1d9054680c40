"""A human's answers on the command line, and their signatures.

Owns what a person sees of a decision: the statement before it is signed, what came of it, and the gate that holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchbill.cli import begin
from watchbill.cli import show as shown
from watchbill.errors import Refused

if TYPE_CHECKING:
    from watchbill.documents.statement import Statement
    from watchbill.signer import Signing
    from watchbill.stages.decide import Decided
    from watchbill.workspace import Workspace


def decide(item: str, decision: str, note: str, by: str | None, key: Path | None, json: bool, to: str = "") -> None:
    """Answer one item."""
    from watchbill.settle import settle
    from watchbill.stages.decide import decide as stage

    opened = begin.workspace()
    for line in settle(opened, begin.now()):
        begin.note(line)
    signing = _signing(opened, by, key)
    answer = stage(opened, item, decision, note, by or begin.who(), begin.now(), signing, to)
    if json:
        shown.as_json(_as_json(answer))
    else:
        print(shown.decided(answer))


def sign(items: list[str], by: str | None, key: Path | None, json: bool) -> None:
    """Sign what was answered in files, one after the other; what the gate refuses keeps no other from it."""
    from watchbill.settle import settle
    from watchbill.stages.decide import answered_in_files
    from watchbill.stages.decide import decide as stage

    opened = begin.workspace()
    for line in settle(opened, begin.now()):
        begin.note(line)
    answered = answered_in_files(opened, items)
    signing = _signing(opened, by, key) if answered else None
    done, refused = [], []
    for item in answered:
        try:
            name = by or item.by or begin.who()
            done.append(stage(opened, item.id, item.decision, item.note, name, begin.now(), signing))
            if not json:
                print(shown.decided(done[-1]), flush=True)
        except Refused as error:
            refused.append(f"{item.id}: {error.reason}")
    if json:
        shown.as_json([_as_json(answer) for answer in done])
    elif not answered:
        print("no item has an answer in its file")
    if refused:
        raise Refused("; ".join(refused))


def close(ticket: str, note: str, by: str | None, key: Path | None) -> None:
    """Close a ticket."""
    from watchbill.stages.decide import close as stage

    opened = begin.settled(begin.workspace())
    stage(opened, ticket, note, by or begin.who(), begin.now(), _signing(opened, by, key))
    print(f"{ticket} is closed")


def set_up(
    key: Path | None, new: Path | None, hardware: bool, name: str | None, unprotected: bool, accepted: tuple[str, ...]
) -> None:
    """Switch the gate over to signed decisions."""
    from watchbill.stages.gate_setup import Choice, known_as
    from watchbill.stages.gate_setup import set_up as stage

    opened = begin.workspace()
    chosen = key if key or new else _ask_for_a_key()
    known = "" if name or new or chosen is None else known_as(opened, chosen, begin.who())
    choice = Choice(
        key=chosen,
        new=new,
        hardware=hardware,
        principal=name or known or begin.who(),
        unprotected=unprotected,
        accepted=accepted,
    )
    for line in stage(opened, choice, begin.now(), begin.note):
        print(shown.plain(line))


def allow(name: str, public: Path) -> None:
    """Add a signer."""
    from watchbill.stages.gate_setup import allow as stage

    print(stage(begin.workspace(), name, public))


def show(json: bool) -> None:
    """The gate that holds."""
    from watchbill.stages.gate_setup import describe

    found = describe(begin.workspace(), begin.now())
    if json:
        shown.as_json(found.as_json())
        return
    for line in found.lines():
        print(shown.plain(line))


def _signing(opened: Workspace, by: str | None, key: Path | None) -> Signing | None:
    from watchbill.signer import signing_of

    def showing(statement: Statement) -> None:
        _show(opened, statement)

    found = signing_of(opened, key, by, begin.who(), showing, begin.now, begin.note)
    return replace(found, sign=_unless_stopped(found.sign)) if found else None


def _unless_stopped(sign: Callable[[Statement], str]) -> Callable[[Statement], str]:
    """Who stops at the prompt for the passphrase is told what that means."""

    def asked(statement: Statement) -> str:
        try:
            return sign(statement)
        except KeyboardInterrupt:
            begin.if_stopped["hint"] = f"Nothing was signed, and nothing was decided about {statement.item}."
            raise

    return asked


def _show(opened: Workspace, statement: Statement) -> None:
    """What is about to be signed: in plain words, then word for word, without anything that a terminal would obey."""
    from watchbill.stages.decide import in_plain_words

    begin.note(in_plain_words(opened, statement))
    begin.note("you sign:")
    for name, value in statement.model_dump(mode="json").items():
        begin.note(f"  {name}: {value or '-'}")


def _ask_for_a_key() -> Path:
    """Choose among the keys in the usual place, where there is somebody to ask."""
    import sys

    found = sorted(path.with_suffix("") for path in Path("~/.ssh").expanduser().glob("*.pub"))
    names = " ".join(str(path) for path in found)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        known = f"there is: {names}" if found else "or make one with --new PATH"
        hint = f"Name it with --key; {known}."
        raise Refused("it is not known which key signs", hint)
    import typer

    for number, path in enumerate(found, start=1):
        print(f"  {number}  {path}")
    chosen = str(typer.prompt("Which key signs your decisions (its number, or a path)"))
    is_listed = chosen.isdigit() and 1 <= int(chosen) <= len(found)
    return found[int(chosen) - 1] if is_listed else Path(chosen)


def _as_json(answer: Decided) -> dict[str, Any]:
    return {
        "item": answer.item,
        "ticket": answer.ticket,
        "decision": answer.decision,
        "to": list(answer.step.to) if answer.step else [],
        "waits": answer.waits,
        "asked_again": answer.asked_again,
    }
