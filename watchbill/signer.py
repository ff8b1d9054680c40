"""Who signs here, and with which key.

Owns the choice of the key and of the name under which it signs, and the refusal of keys that would sign without anybody
noticing. It makes no document and judges none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from watchbill.documents.statement import NAMESPACE, Statement
from watchbill.errors import Misconfigured, Refused
from watchbill.gate import REVOKED, SIGNERS, Signers, read_signers, signers_folder
from watchbill.layout import PRINCIPAL
from watchbill.tools import signing
from watchbill.tools.signing import Key
from watchbill.workspace import Workspace

KEY = "WATCHBILL_SIGNING_KEY"
REVOKED_KEY = "its key is revoked"


@dataclass(frozen=True)
class Signing:
    """How a decision is signed: by whom, what makes the signature of a statement, and the clock for the moment after
    it, since a person may take their time."""

    principal: str
    sign: Callable[[Statement], str]
    clock: Callable[[], datetime]


def signing_of(
    workspace: Workspace,
    key: Path | None,
    by: str | None,
    user: str,
    show: Callable[[Statement], None],
    clock: Callable[[], datetime],
    tell: Callable[[str], None] = lambda _: None,
) -> Signing | None:
    """How a person signs here, None where the gate asks for no signature. `key` and `by` are what was named on the
    command line; `user` is the name of the account. Each statement is given to `show` before it is signed, and `tell`
    what a person is asked for then.

    Raises `Misconfigured` or `Refused` when there is no fit key.
    """
    gate = workspace.settings.gate
    if gate.require == "folder":
        return None
    chosen = signing.read_key(_named(workspace, key))
    require_fit(chosen, gate.unprotected_key)
    signers = read_signers(signers_folder(workspace.root, gate))
    principal = _choose(principals_of(signers.allowed, chosen), by, user, chosen)
    _require_listed(signers, chosen, principal, clock())

    def sign(statement: Statement) -> str:
        show(statement)
        asked = signing.what_is_asked(chosen)
        if asked:
            tell(f"to sign it with {chosen.path}, ssh-keygen asks for {asked}")
        return signing.sign(statement.canonical(), chosen.path, NAMESPACE)

    return Signing(principal, sign, clock)


def require_fit(key: Key, unprotected_allowed: bool) -> None:
    """Raises `Refused` for a key that signs without anybody noticing, unless the owner allowed that."""
    if key.is_hardware or unprotected_allowed:
        return
    if signing.is_unprotected(key.path):
        hint = f"Give it one with: ssh-keygen -p -f {key.path}"
        raise Refused(f"the key {key.path} has no passphrase, so whoever can read it could decide", hint)
    if signing.is_in_agent(key):
        hint = f"Take it out with: ssh-add -d {key.path}, or use a key for decisions alone."
        raise Refused(f"the key {key.path} lies unlocked in the ssh agent, which signs for any program of yours", hint)


def principals_of(allowed: bytes, key: Key) -> tuple[str, ...]:
    """The names that an allowed_signers file gives to the key, patterns left out."""
    return _names(words for words in _lines(allowed) if key.public.split()[1] in words[1:])


def names_in(allowed: bytes) -> tuple[str, ...]:
    """Every name in an allowed_signers file, patterns left out."""
    return _names(_lines(allowed))


def _lines(allowed: bytes) -> Iterator[list[str]]:
    for line in allowed.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def _names(lines: Iterable[list[str]]) -> tuple[str, ...]:
    names = (name for words in lines for name in words[0].strip('"').split(","))
    return tuple(dict.fromkeys(name for name in names if PRINCIPAL.fullmatch(name)))


@dataclass(frozen=True)
class Line:
    """A line of allowed_signers; `why` is why it lets nobody sign now, or ""."""

    number: int
    text: str
    names: tuple[str, ...]
    public: str
    why: str

    @property
    def is_out_of_time(self) -> bool:
        """Whether it let somebody sign, or will: such a line stays, for what was signed in its time counts."""
        return self.why in (signing.PASSED, signing.NOT_YET)

    def gives(self, name: str) -> bool:
        """Whether it is about this name; a line may hold patterns."""
        return any(fnmatchcase(name, pattern) for pattern in self.names)


def lines_of(signers: Signers, when: datetime, key: Key | None = None) -> tuple[Line, ...]:
    """The lines of allowed_signers, each judged as it would be for a signature at `when`; with `key`, those that hold
    it."""
    found = []
    for number, text in enumerate(signers.allowed.decode("utf-8", "replace").splitlines(), start=1):
        public = signing.public_in(text)
        if text.strip() and not text.lstrip().startswith("#") and (key is None or key.public == public):
            names = tuple(text.split()[0].strip('"').split(","))
            revoked = public and signing.is_revoked(public, signers.revoked)
            why = REVOKED_KEY if revoked else signing.why_line_is_void(text, NAMESPACE, when)
            found.append(Line(number, text.strip(), names, public, why))
    return tuple(found)


@dataclass(frozen=True)
class Trouble:
    """Something that keeps signatures from counting; `is_problem` unless somebody may well have meant it so."""

    text: str
    hint: str
    is_problem: bool = True


def troubles_of(workspace: Workspace, signers: Signers, when: datetime) -> list[Trouble]:
    """What is wrong with the lists of keys."""
    found = []
    why = signing.why_unreadable(signers.revoked)
    if why:
        text = f"{REVOKED} cannot be read as a whole, so no signature counts: {why}"
        found.append(Trouble(text, "One public key to a line, without options; or a KRL."))
    lines = lines_of(signers, when)
    for line in lines:
        if line.why:
            text = f"line {line.number} of {SIGNERS} lets nobody sign: {line.why} ({_short(line.text)})"
            found.append(Trouble(text, _how_to_mend(line), not line.is_out_of_time))
    own = own_key(workspace)
    return found + (_about_own_key(own, lines) if own is not None else [])


def _about_own_key(path: Path, lines: tuple[Line, ...]) -> list[Trouble]:
    try:
        public = signing.read_key(path).public
    except Misconfigured:
        return []
    listed = [line for line in lines if line.public == public]
    if not listed:
        hint = f"Put its line back: watchbill gate allow NAME {path}.pub"
        return [Trouble(f"[gate] key names {path}, which {SIGNERS} does not list, so it decides nothing", hint)]
    if all(line.is_out_of_time for line in listed):
        text = f"[gate] key names {path}, which decides nothing now: {listed[0].why}"
        return [Trouble(text, _how_to_mend(listed[0]))]
    return []


def _how_to_mend(line: Line) -> str:
    if line.why == signing.PASSED:
        return "What it signed in time goes on counting. Who still decides needs a new key: watchbill gate setup"
    if line.why == REVOKED_KEY:
        return f"Take the line out of {SIGNERS}; who still decides needs a new key."
    return "" if line.why == signing.NOT_YET else f"Mend the line, or take it out of {SIGNERS}."


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"


def _require_listed(signers: Signers, key: Key, principal: str, when: datetime) -> None:
    """What is sure to be refused afterwards is refused before anybody types a passphrase."""
    lines = [line for line in lines_of(signers, when, key) if line.gives(principal)]
    if not lines:
        names = " or ".join(principals_of(signers.allowed, key)) or "nobody"
        hint = f"Sign as {names}, or name the key of {principal} with --key."
        raise Refused(f"{principal} may not sign with {key.path}; {SIGNERS} gives that key to {names}", hint)
    if all(line.why for line in lines):
        raise Refused(f"{principal} cannot sign with {key.path}: {lines[0].why}", _how_to_mend(lines[0]))


def own_key(workspace: Workspace) -> Path | None:
    """The key that the settings name; a relative path is relative to the workspace."""
    named = workspace.settings.gate.key
    return workspace.root / Path(named).expanduser() if named else None


def _named(workspace: Workspace, key: Path | None) -> Path:
    here = os.environ.get(KEY, "").strip()
    named = key or (Path(here) if here else own_key(workspace))
    if named is None:
        hint = f"Name it with --key, in {KEY}, or in [gate] key of watchbill.toml."
        raise Misconfigured("it is not known which key signs", hint)
    return named.expanduser()


def _choose(names: tuple[str, ...], by: str | None, user: str, key: Key) -> str:
    if by is not None:
        return by
    if user in names:
        return user
    if len(names) == 1:
        return names[0]
    if not names:
        hint = "Let the owner add it with: watchbill gate allow NAME KEY.pub"
        raise Refused(f"allowed_signers gives no name to the key {key.path}", hint)
    raise Refused(f"the key {key.path} may sign as {' or '.join(names)}", "Choose with --by.")
