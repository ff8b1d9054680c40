"""People with keys, and workspaces whose gate counts only what they signed.

Owns how a test gets a key, signs as that person, and forges a decision file. The hardware key is made of arithmetic:
OpenSSH verifies such signatures without any device, so a test can make one that says that nobody touched it.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tests.stages.waiting_workspace import NOW, SETTINGS, make_workspace
from tests.workspaces import unnoted
from watchbill.documents.handoff import Handoff
from watchbill.documents.statement import NAMESPACE, Statement
from watchbill.hand_over import hand_over
from watchbill.signer import Signing
from watchbill.tools import signing
from watchbill.workspace import Workspace

ONE, TWO = "1" * 40, "2" * 40
REPOSITORY = "0123456789abcdef"


@dataclass(frozen=True)
class Person:
    """Somebody with a key; `public` is its line without a comment."""

    name: str
    key: Path
    public: str

    def signs(self, at: datetime = NOW, namespace: str = NAMESPACE) -> Signing:
        """This person at the keyboard, at that moment."""
        return Signing(
            self.name, lambda statement: signing.sign(statement.canonical(), self.key, namespace), lambda: at
        )


def person(folder: Path, name: str, passphrase: str = "") -> Person:
    """A person with a new key."""
    key = folder / name
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(key)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return Person(name, key, signing.read_public(folder / f"{name}.pub"))


def signed_workspace(root: Path, *people: Person, more: str = "") -> Workspace:
    """A workspace whose gate counts only what `people` signed. `more` are further lines of `[gate]`."""
    gate = f'[gate]\nrequire = "signature"\nrepository = "{REPOSITORY}"\nunprotected_key = true\n{more}\n'
    workspace = make_workspace(root, SETTINGS + gate)
    (root / "gate").mkdir()
    let_sign(workspace, *(f"{one.name} {one.public}" for one in people))
    return workspace


def let_sign(workspace: Workspace, *lines: str) -> None:
    """Write allowed_signers anew."""
    (workspace.root / "gate" / "allowed_signers").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def revoke(workspace: Workspace, public: str) -> None:
    (workspace.root / "gate" / "revoked_keys").write_text(f"{public}\n", "utf-8")


def finds(workspace: Workspace, ticket: str = "T-0001", commit: str = ONE, severity: str = "high") -> str:
    """A ticket whose work `commit` QA finds wanting. Returns the item that asks about it."""
    path = workspace.layout.tickets / f"{ticket}.md"
    if not path.exists():
        path.write_text(f"---\nid: {ticket}\ntitle: Something\n---\n\n## Description\n\nSo.\n", "utf-8")
    build(workspace, ticket, commit)
    finding = {
        "fingerprint": f"{severity}-{commit[:8]}",
        "severity": severity,
        "confidence": 0.9,
        "rule": "hole",
        "title": "A hole",
        "source": "qa",
    }
    fields = {"from": "qa", "outcome": "fail", "commit": commit, "candidate": commit[::-1], "findings": [finding]}
    handoff, _ = hand_over(workspace, ticket, fields, NOW, lambda _history, _step: True)
    return f"{ticket}-{handoff.seq:04}"


def build(workspace: Workspace, ticket: str, commit: str, *files: str, now: datetime = NOW) -> Handoff:
    """Finished work."""
    fields = {"from": "build", "outcome": "done", "base": "0" * 40, "commit": commit, "verified": {"files": files}}
    return hand_over(workspace, ticket, fields, now, lambda _history, _step: True)[0]


def passes(workspace: Workspace, ticket: str, commit: str = ONE, *files: str) -> None:
    """Both reviewers pass the work."""
    for reviewer in ("qa", "security"):
        fields = {
            "from": reviewer,
            "outcome": "pass",
            "commit": commit,
            "candidate": "c" * 40,
            "confidence": 0.9,
            "verified": {"files": files},
        }
        hand_over(workspace, ticket, fields, NOW, lambda _history, _step: True)


def forge(workspace: Workspace, ticket: str, seq: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Write a document anew, as somebody who can write files would: valid, with some of it changed, and unnoted."""
    path = workspace.layout.handoff(ticket, seq)
    values = Handoff.load(path).model_dump(mode="json", by_alias=True, exclude_none=True)
    change(values)
    path.write_bytes(Handoff.model_validate(values).render())
    unnoted(workspace, ticket)


# --- a hardware key, made of arithmetic ------------------------------------------------------------------------------

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
SK = b"sk-ssh-ed25519@openssh.com"


def _add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, two
    product = _D * x1 * x2 * y1 * y2 % _P
    inverse = pow(1 - product * product, _P - 2, _P)
    x = (x1 * y2 + x2 * y1) * (1 - product) * inverse % _P
    return x, (y1 * y2 + x1 * x2) * (1 + product) * inverse % _P


def _times_base(number: int) -> tuple[int, int]:
    found = (0, 1)
    for place, point in enumerate(_doubles()):
        if number >> place & 1:
            found = _add(found, point)
    return found


@cache
def _doubles() -> list[tuple[int, int]]:
    points = [_base()]
    for _ in range(255):
        points.append(_add(points[-1], points[-1]))
    return points


def _base() -> tuple[int, int]:
    y = 4 * pow(5, _P - 2, _P) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    return (x if x % 2 == 0 else _P - x), y


def _packed(point: tuple[int, int]) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def _number(*parts: bytes) -> int:
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % _ORDER


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@dataclass(frozen=True)
class HardwareKey:
    """A key of the kind that lies on a token; `flags` are what the token says of each signature."""

    flags: int = 1
    seed: bytes = b"a token"

    @property
    def _secret(self) -> int:
        half = bytearray(hashlib.sha512(self.seed).digest()[:32])
        half[0] &= 248
        half[31] = half[31] & 63 | 64
        return int.from_bytes(half, "little")

    @cached_property
    def _point(self) -> bytes:
        return _packed(_times_base(self._secret))

    @property
    def blob(self) -> bytes:
        return _string(SK) + _string(self._point) + _string(b"ssh:")

    @property
    def public(self) -> str:
        return f"{SK.decode()} {base64.b64encode(self.blob).decode()}"

    def signs(self, name: str, at: datetime = NOW) -> Signing:
        return Signing(name, lambda statement: self.sign(statement), lambda: at)

    def sign(self, statement: Statement | bytes) -> str:
        data = statement if isinstance(statement, bytes) else statement.canonical()
        namespace = _string(NAMESPACE.encode()) + _string(b"") + _string(b"sha512")
        message = b"SSHSIG" + namespace + _string(hashlib.sha512(data).digest())
        told = bytes([self.flags]) + struct.pack(">I", 7)
        signed = hashlib.sha256(b"ssh:").digest() + told + hashlib.sha256(message).digest()
        once = _number(hashlib.sha512(self.seed).digest()[32:], signed)
        point = _packed(_times_base(once))
        proof = (once + _number(point, self._point, signed) * self._secret) % _ORDER
        inner = _string(SK) + _string(point + proof.to_bytes(32, "little")) + told
        return armored(b"SSHSIG" + struct.pack(">I", 1) + _string(self.blob) + namespace + _string(inner))


def armored(blob: bytes) -> str:
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----"]) + "\n"
