"""Gate setup: from now on decisions are signed.

Owns the files that say whose signature counts, and the few lines of the settings that switch the gate over. The trial
signature comes first and the settings last, so a set-up that fails half-way leaves the gate as it was. Never touches a
private key but to make a new one.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from watchbill.documents.settings import Settings
from watchbill.documents.statement import NAMESPACE
from watchbill.errors import Misconfigured, Refused
from watchbill.files.publish import replace
from watchbill.files.settings_file import parse
from watchbill.gate import (
    ACCEPTED,
    REVOKED,
    SIGNERS,
    UNPROTECTED,
    holds,
    is_signed,
    read_accepted,
    read_signers,
    read_unprotected,
    signers_folder,
)
from watchbill.history import Recorded, histories_on_disk, read_history
from watchbill.inbox import one_line
from watchbill.layout import PRINCIPAL, SETTINGS_FILE, TICKET_ID
from watchbill.signer import lines_of, own_key, principals_of, require_fit, troubles_of
from watchbill.tools import signing
from watchbill.tools.signing import Key
from watchbill.workspace import Workspace

LISTED = 40
HEADS = {
    SIGNERS: "# Who may sign decisions, as ssh-keygen reads it: names, options such as valid-before, the public key.\n",
    REVOKED: "# Public keys whose signatures count no more, whenever they were made: one to a line.\n",
    ACCEPTED: "# Decisions from before they had to be signed, which the owner accepted: sha256 and document.\n",
    UNPROTECTED: "# Keys that were set up without a passphrase. While one may sign, the gate is called advisory.\n",
}


@dataclass(frozen=True)
class Choice:
    """What the owner chose: a key that exists, or where to make one; the name to sign under; by name, such as
    T-0012/0003, the unsigned decisions that are to count although signing was set up before."""

    key: Path | None
    new: Path | None
    hardware: bool
    principal: str
    unprotected: bool
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shown:
    """The gate for a person to read. `signers` are the lines of allowed_signers that let somebody sign now; `troubles`
    is what is wrong with the others and with the lists."""

    words: str
    folder: Path
    signers: tuple[str, ...]
    settings: Mapping[str, Any]
    troubles: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "gate": self.words,
            "folder": str(self.folder),
            "signers": list(self.signers),
            "settings": dict(self.settings),
            "troubles": list(self.troubles),
        }

    def lines(self) -> list[str]:
        """A few lines for a terminal."""
        facts = [f"  {key}: {value}" for key, value in self.settings.items() if value]
        signers = [f"  may sign: {line}" for line in self.signers]
        return [self.words, *facts, *signers, *(f"  ! {trouble}" for trouble in self.troubles)]


def set_up(
    workspace: Workspace, choice: Choice, now: datetime, tell: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Switch the gate over to signed decisions. `tell` is given what a person needs to know before they are asked for
    something. Returns what was done, a line each. Raises `Refused`."""
    gate = workspace.settings.gate
    folder = signers_folder(workspace.root, gate)
    _require_name(choice.principal, "Choose one with --as, such as ada.")
    _require_out_of_reach(workspace, folder)
    accepting = _Accepting.of(workspace, folder, choice.accepted)
    key = _key(choice, tell)
    _require_free(folder, choice.principal, key.public)
    line = _line(choice.principal, key.public)
    asked = signing.what_is_asked(key)
    if asked:
        tell(f"to try {key.path}, ssh-keygen asks for {asked}")
    _try(key, choice.principal, line, now)
    done = [f"{choice.principal} signs with {key.path} ({key.kind})"]
    if _add_line(folder, choice.principal, key.public):
        done.append(f"{folder / SIGNERS} says so")
    if not (folder / REVOKED).exists():
        replace(folder / REVOKED, HEADS[REVOKED].encode())
    done += accepting.write(folder)
    weak = choice.unprotected and not key.is_hardware and (signing.is_unprotected(key.path) or signing.is_in_agent(key))
    _note_unprotected(workspace, folder, key, weak)
    values: dict[str, str | bool] = {
        "require": "signature",
        "repository": gate.repository or secrets.token_hex(16),
        "key": str(key.path),
        "unprotected_key": weak,
    }
    done.append(_write_settings(workspace, values))
    opened = Workspace(workspace.root)
    done += [f"! {one.text}" for one in troubles_of(opened, read_signers(folder), now)]
    return [*done, holds(opened.settings, workspace.root, now).words]


def allow(workspace: Workspace, name: str, public: Path) -> str:
    """Let `name` sign with the public key at `public`. Raises `Refused`."""
    _require_name(name, "A name without spaces and commas, such as grace or grace@example.org.")
    folder = signers_folder(workspace.root, workspace.settings.gate)
    line = signing.read_public(public)
    added = _add_line(folder, name, line)
    return f"{name} may sign decisions" if added else f"{name} could sign already"


def describe(workspace: Workspace, now: datetime) -> Shown:
    """The gate that holds. Raises `Misconfigured` when it cannot be read."""
    gate = workspace.settings.gate
    folder = signers_folder(workspace.root, gate)
    shown = Shown(holds(workspace.settings, workspace.root, now).words, folder, (), gate.model_dump(mode="json"))
    if gate.require == "folder":
        return shown
    signers = read_signers(folder)
    may_sign = tuple(line.text for line in lines_of(signers, now) if not line.why)
    return replaced(shown, signers=may_sign, troubles=tuple(one.text for one in troubles_of(workspace, signers, now)))


def known_as(workspace: Workspace, key: Path, user: str) -> str:
    """The name under which a key signs already, `user` if that is one of several; "" where it has none.

    Raises `Refused` when nobody can say which.
    """
    found = signing.read_key(key)
    names = _names_of(signers_folder(workspace.root, workspace.settings.gate), found.public)
    if len(names) > 1 and user not in names:
        raise Refused(f"the key {found.path} may sign as {' or '.join(names)}", "Choose with --as.")
    return user if user in names else "".join(names)


def _key(choice: Choice, tell: Callable[[str], None]) -> Key:
    if choice.new is not None and choice.key is not None:
        raise Refused("--key names a key that there is, --new one to be made; only one can be meant", "Leave one out.")
    if choice.hardware and choice.new is None:
        hint = "Say where its handle is to lie, with --new PATH; one that is made already is named with --key."
        raise Refused("--hardware makes a new key", hint)
    if choice.new is not None:
        return _new_key(choice.new.expanduser(), choice, tell)
    if choice.key is None:
        raise Misconfigured("it is not known which key signs", "Name it with --key, or make one with --new PATH.")
    key = signing.read_key(choice.key)
    require_fit(key, choice.unprotected)
    return key


def _new_key(path: Path, choice: Choice, tell: Callable[[str], None]) -> Key:
    empty = "" if choice.unprotected else "; without one it is refused"
    asks = "a touch of the hardware key" if choice.hardware else f"its passphrase, twice{empty}"
    tell(f"a new key at {path}; ssh-keygen asks for {asks}")
    signing.make_key(path, choice.hardware, f"watchbill decisions of {choice.principal}")
    try:
        key = signing.read_key(path)
        require_fit(key, choice.unprotected)
    except Refused:
        # It was made just now and has signed nothing; the next try is to find the place free.
        for made in (path, path.with_name(f"{path.name}.pub")):
            made.unlink(missing_ok=True)
        raise
    return key


def _require_name(name: str, hint: str) -> None:
    if not PRINCIPAL.fullmatch(name):
        raise Refused(f"{name!r} is not a name that can stand in {SIGNERS}", hint)


def _require_out_of_reach(workspace: Workspace, folder: Path) -> None:
    """An agent writes its worktree; those lie in the engine's own folder. The repository is what it changes."""
    place = folder.resolve()
    for reach in (workspace.layout.private.resolve(), workspace.repo):
        if place == reach or place.is_relative_to(reach):
            hint = 'Name another folder in [gate] signers; "gate" is the usual one.'
            raise Refused(f"{folder} is where agents work, so nothing there can say who may sign", hint)


def _try(key: Key, principal: str, line: str, now: datetime) -> None:
    """A key that cannot sign is found now, not when a decision waits."""
    trial = b"watchbill: a trial of this key"
    why = signing.verify(trial, signing.sign(trial, key.path, NAMESPACE), principal, NAMESPACE, line.encode(), b"", now)
    if why:
        raise Refused(f"the trial signature of {key.path} does not count: {why}")


def _note_unprotected(workspace: Workspace, folder: Path, key: Key, is_weak: bool) -> None:
    """Keep on record which keys have no passphrase, for they may go on signing when the settings name another."""
    known = read_unprotected(folder)
    weak = dict.fromkeys([*known, *_weak_before(workspace), *([key.public] if is_weak else [])])
    if not is_weak:
        weak.pop(key.public, None)
    if tuple(weak) != known:
        replace(folder / UNPROTECTED, "".join((HEADS[UNPROTECTED], *(f"{public}\n" for public in weak))).encode())


def _weak_before(workspace: Workspace) -> list[str]:
    """The key of the settings so far, where they say that it has no passphrase."""
    own = own_key(workspace)
    if own is None or not workspace.settings.gate.unprotected_key or not own.is_file():
        return []
    return [signing.read_key(own).public] if signing.is_unprotected(own) else []


def _line(name: str, public: str) -> str:
    return f'{name} namespaces="{NAMESPACE}" {public}\n'


def _names_of(folder: Path, public: str) -> tuple[str, ...]:
    path = folder / SIGNERS
    allowed = path.read_bytes() if path.exists() else b""
    return principals_of(allowed, Key(path, public.split()[0], public))


def _require_free(folder: Path, name: str, public: str) -> None:
    """Two names for one key would be one person."""
    known = _names_of(folder, public)
    if known and name not in known:
        hint = f"Two names for one key would be one person. Use it as {known[0]}, or name another key for {name}."
        raise Refused(f"that key signs as {' and '.join(known)} already, so not as {name}", hint)


def _add_line(folder: Path, name: str, public: str) -> bool:
    """Add a line to allowed_signers. False when the name has that key already."""
    path = folder / SIGNERS
    text = path.read_text("utf-8") if path.exists() else HEADS[SIGNERS]
    _require_free(folder, name, public)
    if name in _names_of(folder, public):
        return False
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace(path, (text if text.endswith("\n") or not text else text + "\n").encode() + _line(name, public).encode())
    return True


@dataclass(frozen=True)
class _Accepting:
    """What becomes of unsigned decisions. `accepted` are those that count from now on, `left` those that do not, each
    by name."""

    accepted: Mapping[str, Recorded]
    left: Mapping[str, Recorded]

    @classmethod
    def of(cls, workspace: Workspace, folder: Path, named: tuple[str, ...]) -> Self:
        """The first set-up takes over what was decided while an edit of the folder counted. After that an unsigned
        decision may be anybody's, so it is left unless the owner named it. Raises `Refused` for a name that is none."""
        decided = _decided(workspace)
        unsigned = {name: recorded for name, recorded in decided.items() if not is_signed(recorded.handoff)}
        for name in named:
            if name not in unsigned:
                hint = f"Those there are: {', '.join(_few(unsigned)) or 'none'}."
                raise Refused(f"there is no unsigned decision {name}", hint)
        is_first = not (
            workspace.settings.gate.repository
            or (folder / SIGNERS).exists()
            or (folder / ACCEPTED).exists()
            or len(unsigned) < len(decided)
        )
        known = read_accepted(folder)
        new = {name: recorded for name, recorded in unsigned.items() if recorded.sha not in known}
        accepted = {name: recorded for name, recorded in new.items() if is_first or name in named}
        return cls(accepted, {name: recorded for name, recorded in new.items() if name not in accepted})

    def write(self, folder: Path) -> list[str]:
        """Write down what is accepted, and say by name what counts and what does not."""
        lines: list[str] = []
        if self.accepted:
            path = folder / ACCEPTED
            text = path.read_text("utf-8") if path.exists() else HEADS[ACCEPTED]
            new = "".join(f"{recorded.sha}  {name}\n" for name, recorded in self.accepted.items())
            replace(path, (text if text.endswith("\n") or not text else text + "\n").encode() + new.encode())
            lines += [f"{len(self.accepted)} unsigned decision(s) from before count, as {path} says:"]
            lines += _few(_in_words(self.accepted))
        if self.left:
            lines += [f"{len(self.left)} unsigned decision(s) do NOT count, for signing was set up before:"]
            lines += _few(_in_words(self.left))
            lines += ["  one that you know to be yours counts after: watchbill gate setup --accept-unsigned NAME"]
        return lines


def _decided(workspace: Workspace) -> dict[str, Recorded]:
    """Every decision on disk by its name, such as T-0012/0003, whether it counts or not."""
    return {
        f"{ticket}/{recorded.handoff.seq:04}": recorded
        for ticket in histories_on_disk(workspace.layout)
        if TICKET_ID.fullmatch(ticket)
        for recorded in read_history(workspace.layout, ticket, None, workspace.histories).documents
        if recorded.handoff.sender == "human"
    }


def _in_words(decisions: Mapping[str, Recorded]) -> list[str]:
    each = ((name, recorded.handoff) for name, recorded in decisions.items())
    return [f"  {name}: {decision.decision} by {one_line(decision.by or 'nobody', 60)}" for name, decision in each]


def _few(lines: Iterable[str]) -> list[str]:
    listed = list(lines)
    more = len(listed) - LISTED
    return [*listed[:LISTED], *([f"  … and {more} more"] if more > 0 else [])]


def _write_settings(workspace: Workspace, values: Mapping[str, str | bool]) -> str:
    """Change a few lines of `[gate]` and nothing else; where that cannot be done, its owner is told the lines."""
    path = workspace.layout.settings
    text = path.read_text("utf-8-sig")
    wanted = workspace.settings.model_copy(update={"gate": workspace.settings.gate.model_copy(update=dict(values))})
    changed = _with_values(text, "gate", values)
    if not _reads_as(changed, path, wanted):
        lines = "".join(f"\n    {key} = {_toml(value)}" for key, value in values.items())
        raise Refused(f"{SETTINGS_FILE} is not written as a machine can change it", f"Write under [gate]:{lines}")
    replace(path, changed.encode())
    return f"{SETTINGS_FILE} requires signatures from now on"


def _reads_as(text: str, path: Path, wanted: Settings) -> bool:
    try:
        return parse(text.encode(), path, Settings) == wanted
    except Misconfigured:
        return False


def _with_values(text: str, table: str, values: Mapping[str, str | bool]) -> str:
    """A TOML text with some keys of one table set: a line that is there is changed, the others follow the header."""
    lines = text.splitlines(keepends=True)
    header = next((at for at, line in enumerate(lines) if re.match(rf"\s*\[\s*{table}\s*\]", line)), None)
    if header is None:
        lines += ["\n" if lines and lines[-1].endswith("\n") else "\n\n", f"[{table}]\n"]
        header = len(lines) - 1
    end = next((at for at in range(header + 1, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    for key, value in values.items():
        new = f"{key} = {_toml(value)}\n"
        at = _line_of(lines[header + 1 : end], key)
        if at is None:
            lines.insert(header + 1, new)
            end += 1
        else:
            lines[header + 1 + at] = new
    return "".join(lines)


def _line_of(lines: Iterable[str], key: str) -> int | None:
    return next((at for at, line in enumerate(lines) if re.match(rf"\s*{key}\s*=", line)), None)


def _toml(value: str | bool) -> str:
    return json.dumps(value, ensure_ascii=False)
