"""Who signs here, and with which key.

Owns the choice of the key and of the name under which it signs, and the refusal of keys that would sign without anybody
noticing. It makes no document and judges none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watchbill.documents.statement import NAMESPACE, Statement
from watchbill.errors import Misconfigured, Refused
from watchbill.gate import read_signers, signers_folder
from watchbill.layout import PRINCIPAL
from watchbill.tools import signing
from watchbill.tools.signing import Key
from watchbill.workspace import Workspace

KEY = "WATCHBILL_SIGNING_KEY"


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
) -> Signing | None:
    """How a person signs here, None where the gate asks for no signature. `key` and `by` are what was named on the
    command line; `user` is the name of the account. Each statement is given to `show` before it is signed.

    Raises `Misconfigured` or `Refused` when there is no fit key.
    """
    gate = workspace.settings.gate
    if gate.require == "folder":
        return None
    chosen = signing.read_key(_named(workspace, key))
    require_fit(chosen, gate.unprotected_key)
    allowed = read_signers(signers_folder(workspace.root, gate)).allowed
    principal = _choose(principals_of(allowed, chosen), by, user, chosen)

    def sign(statement: Statement) -> str:
        show(statement)
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
