"""The gate: which decisions of humans count, and how sure that is.

Owns the one judgement that every reader of a history shares, and the words for the gate that holds. With
`require = "signature"` a decision counts when the statement, made anew from the history and the document, was signed by
a key that `allowed_signers` gives to the one who decided. An unsigned decision counts when its hash is accepted; one
that carries a signature never counts by its hash. What does not count stays in the history, is named in `History.void`
with its reason, and moves nothing. Never writes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from watchbill.documents.handoff import Handoff
from watchbill.documents.settings import Gate, Settings
from watchbill.documents.statement import NAMESPACE
from watchbill.errors import Misconfigured
from watchbill.files.publish import sha256
from watchbill.history import History, Recorded, voided
from watchbill.rules.decisions import statement_of, why_void

SIGNERS, REVOKED, ACCEPTED = "allowed_signers", "revoked_keys", "accepted_unsigned"
UNPROTECTED = "unprotected_keys"


@dataclass(frozen=True)
class Holds:
    """Which gate holds. `advisory` is why it can be got round, or "" when it cannot."""

    require: Literal["folder", "signature"]
    advisory: str

    @property
    def words(self) -> str:
        """One sentence for every page that shows the gate."""
        what = "decisions are signed" if self.require == "signature" else "an edit of the inbox folder decides"
        return f"gate: {what}" + (f"; ADVISORY only: {self.advisory}" if self.advisory else "")


def holds(settings: Settings, root: Path, now: datetime) -> Holds:
    """The gate of these settings, in the workspace at `root`."""
    reasons = []
    if settings.sandbox.mode == "none":
        reasons.append("without a sandbox, a command of an agent could write your answer or replace the verifier")
    if settings.gate.require == "signature":
        whose = _unprotected_signers(signers_folder(root, settings.gate), now)
        if whose or settings.gate.unprotected_key:
            named = f" (that of {' and '.join(whose)})" if whose else ""
            reasons.append(f"a key without a passphrase{named} signs for whoever can read it")
    return Holds(settings.gate.require, "; and ".join(reasons))


def _unprotected_signers(folder: Path, now: datetime) -> list[str]:
    """Who may sign with a key that was set up without a passphrase, as allowed_signers names them."""
    from watchbill.tools import signing

    keys = read_unprotected(folder)
    if not keys:
        return []
    revoked = _read(folder / REVOKED, optional=True)
    lines = _read(folder / SIGNERS, optional=True).decode("utf-8", "replace").splitlines()
    return [
        line.split()[0].strip('"')
        for line in lines
        if not line.lstrip().startswith("#")
        and (public := signing.public_in(line)) in keys
        and not signing.is_revoked(public, revoked)
        and not signing.why_line_is_void(line, NAMESPACE, now)
    ]


def read_unprotected(folder: Path) -> tuple[str, ...]:
    """The public keys that were set up although they had no passphrase."""
    from watchbill.tools.signing import public_in

    lines = _read(folder / UNPROTECTED, optional=True).decode("utf-8", "replace").splitlines()
    return tuple(public for line in lines if not line.startswith("#") and (public := public_in(line)))


@dataclass(frozen=True)
class Signers:
    """The files that say whose signature counts: who may sign, which keys may not any more, and the hashes of the
    unsigned decisions from before, which the owner accepted when signing was set up."""

    allowed: bytes
    revoked: bytes
    accepted: frozenset[str]


def signers_folder(root: Path, gate: Gate) -> Path:
    """Where those files lie: outside anything that an agent can write."""
    return root / Path(gate.signers).expanduser()


def read_signers(folder: Path) -> Signers:
    """Read them. Raises `Misconfigured`: what cannot be read holds the gate closed."""
    return Signers(
        allowed=_read(folder / SIGNERS),
        revoked=_read(folder / REVOKED, optional=True),
        accepted=read_accepted(folder),
    )


def read_accepted(folder: Path) -> frozenset[str]:
    """The hashes of the unsigned decisions that the owner accepted."""
    lines = _read(folder / ACCEPTED, optional=True).decode("utf-8", "replace").splitlines()
    return frozenset(line.split()[0] for line in lines if line.strip() and not line.startswith("#"))


def name_of_signers(root: Path, gate: Gate) -> str:
    """A name for all that `judged` depends on besides the history and the settings; "" where nothing is signed."""
    if gate.require == "folder":
        return ""
    folder = signers_folder(root, gate)
    return sha256(
        b"\0".join(sha256(_read(folder / name, optional=True)).encode() for name in (SIGNERS, REVOKED, ACCEPTED))
    )


def judged(history: History, gate: Gate, root: Path) -> History:
    """The history with every decision that does not count in `void`. Raises `Misconfigured`."""
    if gate.require == "folder" or not any(item.sender == "human" for item in history.handoffs):
        return history
    signers = read_signers(signers_folder(root, gate))
    void: dict[int, str] = {}
    for index, recorded in enumerate(history.documents):
        if recorded.handoff.sender == "human" and not _is_accepted(recorded, signers):
            before = replace(history, documents=history.documents[:index], void=dict(void))
            why = why_not_counted(before, recorded.handoff, gate, signers)
            if why:
                void[recorded.handoff.seq] = why
    return voided(history, void)


def is_signed(decision: Handoff) -> bool:
    """Whether a decision claims to be signed; then its signature alone says whether it counts."""
    return decision.nonce is not None or decision.signature is not None


def _is_accepted(recorded: Recorded, signers: Signers) -> bool:
    return recorded.sha in signers.accepted and not is_signed(recorded.handoff)


def why_not_counted(before: History, decision: Handoff, gate: Gate, signers: Signers) -> str:
    """Why a decision that follows `before` does not count, or ""."""
    from watchbill.tools import signing

    why = why_void(before, decision, gate)
    if why:
        return why
    statement = statement_of(before, decision, gate.repository)
    if statement is None or decision.signature is None:
        return "it is not signed"
    why = signing.verify(
        statement.canonical(),
        decision.signature,
        statement.principal,
        NAMESPACE,
        signers.allowed,
        signers.revoked,
        decision.created,
    )
    return why or _same_hand_twice(before, decision)


def _same_hand_twice(before: History, decision: Handoff) -> str:
    """Two names may not stand for one key: two approvals are those of two people."""
    from watchbill.tools.signing import read_signature

    key = read_signature(decision.signature or "").key
    others = (item for item in before.counted if item.answers == decision.answers and item.by != decision.by)
    same = (item.by for item in others if item.signature and read_signature(item.signature).key == key)
    return next((f"the key that signed it has answered already, as {name}" for name in same), "")


def counted_answers(history: History, seq: int) -> list[Recorded]:
    """The decisions that answer document `seq` and count."""
    return [
        item
        for item in history.documents
        if item.handoff.sender == "human" and item.handoff.answers == seq and item.handoff.seq not in history.void
    ]


def _read(path: Path, optional: bool = False) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if optional:
            return b""
        raise Misconfigured(f"{path} is missing, so no decision can be judged", _SET_UP) from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read ({error.strerror}), so no decision can be judged") from error


_SET_UP = (
    "Put it back, or set signing up again: watchbill gate setup --key KEY --as NAME. What was signed counts "
    "again once its key is listed."
)
