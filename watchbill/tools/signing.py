"""The door to `ssh-keygen`: signing a statement, verifying a signature, and what there is to know about a key.

Owns how the program is called: no shell, an environment made from nothing, and never the ssh agent, which would sign
without anybody noticing. Reads the signature's own bytes for the one thing that `ssh-keygen -Y verify` does not check:
that somebody touched the hardware key. It decides nothing about what a signature is worth.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from watchbill.errors import Misconfigured, Refused, TryLater

LONGEST = 60
LONGEST_SIGNATURE = 20_000
USER_WAS_THERE = 0x01
PASSED, NOT_YET = "its valid-before has passed", "its valid-after has not come yet"
UNREADABLE = "its key cannot be read"
_KRL = b"SSHKRL\n"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
# What a prompt for the passphrase, or the library of a hardware key, may need of the person's own environment.
_FOR_PROMPTS = ("TERM", "HOME", "DISPLAY", "WAYLAND_DISPLAY", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_SK_PROVIDER")


@dataclass(frozen=True)
class Signature:
    """What stands in a signature: the public key, for what it was made, and the flags of a hardware key (None: not
    one)."""

    key: bytes
    key_type: str
    namespace: str
    flags: int | None

    @property
    def is_touched(self) -> bool:
        """Whether a hardware key says that somebody touched it; true for keys that cannot say."""
        return self.flags is None or bool(self.flags & USER_WAS_THERE)


@dataclass(frozen=True)
class Key:
    """A key on this machine. `kind` is OpenSSH's name; `public` the line of its .pub file without the comment."""

    path: Path
    kind: str
    public: str

    @property
    def is_hardware(self) -> bool:
        return self.kind.startswith("sk-")


def verify(
    statement: bytes, signature: str, principal: str, namespace: str, signers: bytes, revoked: bytes, when: datetime
) -> str:
    """Why `signature` is not `principal`'s under `statement`, or "". `signers` is the content of an allowed_signers
    file, whose periods are judged at `when`, in UTC; `revoked` that of a list of keys or a KRL, and may be empty."""
    try:
        found = read_signature(signature)
    except ValueError as error:
        return f"its signature cannot be read: {error}"
    if found.namespace != namespace:
        return f"its signature was made for {found.namespace!r}, not for {namespace!r}"
    if not found.is_touched:
        return "it was signed by a hardware key that nobody touched"
    return _verify(statement, signature, principal, namespace, signers, revoked, _stamp(when))


def _stamp(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y%m%d%H%M%S")


@lru_cache(maxsize=4096)
def _verify(
    statement: bytes, signature: str, principal: str, namespace: str, signers: bytes, revoked: bytes, stamp: str
) -> str:
    # Everything that counts is an argument: the same question has the same answer for as long as a process lives.
    answer = _ask(statement, signature, principal, namespace, signers, revoked, stamp)
    if answer.returncode == 0:
        return ""
    # ssh-keygen does not say that a key is revoked; without the list the signature would have counted.
    if revoked.strip() and not _verify(statement, signature, principal, namespace, signers, b"", stamp):
        key = read_signature(signature)
        if not is_revoked(f"{key.key_type} {base64.b64encode(key.key).decode()}", revoked) and (
            why := why_unreadable(revoked)
        ):
            return f"the list of revoked keys cannot be read as a whole ({why}), so no signature counts"
        return f"the key of {principal} that signed it is revoked"
    return _why_not(answer.stderr.decode("utf-8", "replace"), principal)


def _ask(
    statement: bytes, signature: str, principal: str, namespace: str, signers: bytes, revoked: bytes, stamp: str
) -> subprocess.CompletedProcess[bytes]:
    with tempfile.TemporaryDirectory(prefix="watchbill-signature-") as name:
        folder = Path(name)
        (folder / "signature").write_text(signature, "ascii")
        (folder / "signers").write_bytes(signers)
        words = ["-Y", "verify", "-f", "signers", "-I", principal, "-n", namespace, "-s", "signature"]
        if revoked.strip():
            (folder / "revoked").write_bytes(revoked)
            words += ["-r", "revoked"]
        return _call([*words, f"-Overify-time={stamp}"], given=statement, folder=folder)


def _why_not(said: str, principal: str) -> str:
    if "key has expired" in said or "not yet valid" in said:
        return f"the key of {principal} was not valid at that time"
    if "incorrect signature" in said:
        return "its signature does not fit what it says"
    if "bad options" in said or "invalid key" in said:
        return f"a line of {principal} in allowed_signers cannot be read"
    return f"it is not signed by a key of {principal}"


def why_line_is_void(line: str, namespace: str, when: datetime) -> str:
    """Why a line of an allowed_signers file lets nobody sign for `namespace` at `when`, or "". Whether its key is
    revoked stands elsewhere."""
    public = public_in(line)
    if not public:
        return "it holds no public key that can be read"
    with tempfile.TemporaryDirectory(prefix="watchbill-signature-") as name:
        folder = Path(name)
        (folder / "signers").write_text(f"{line.strip()}\n", "utf-8")
        # To find who may sign, ssh-keygen reads of a signature only whose it is.
        (folder / "signature").write_text(_unsigned_signature(public, namespace), "ascii")
        words = ["-Y", "find-principals", "-f", "signers", "-s", "signature", f"-Overify-time={_stamp(when)}"]
        answer = _call(words, folder=folder)
    if answer.returncode != 0:
        why = _why_nobody(answer.stderr.decode("utf-8", "replace"))
        # Of an authority's line ssh-keygen says nothing without one of its certificates.
        return why or ("" if "cert-authority" in line.lower() else UNREADABLE)
    limits = re.search(r'namespaces="([^"]*)"', line, re.IGNORECASE)
    if limits and not any(fnmatchcase(namespace, pattern) for pattern in limits[1].split(",")):
        return f"it is not for decisions (namespaces={limits[1]})"
    return ""


def _why_nobody(said: str) -> str:
    if "key has expired" in said:
        return PASSED
    if "not yet valid" in said:
        return NOT_YET
    options = re.search(r"bad options: ([^\n\r]*)", said)
    if options and "time" in options[1]:
        named = "valid-after" if "valid-after" in options[1] else "valid-before"
        return f"its {named} is not a time as ssh-keygen reads it, such as 20270131 or 20270131235959"
    if options:
        return f"its options cannot be read ({options[1]})"
    return UNREADABLE if "invalid key" in said else ""


def _unsigned_signature(public: str, namespace: str) -> str:
    kind, key = public.split()
    parts = (base64.b64decode(key), namespace.encode(), b"", b"sha512", _string(kind.encode()) + _string(bytes(64)))
    blob = b"SSHSIG" + struct.pack(">I", 1) + b"".join(map(_string, parts))
    text = base64.b64encode(blob).decode()
    lines = (text[at : at + 70] for at in range(0, len(text), 70))
    return "\n".join((_BEGIN, *lines, _END)) + "\n"


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def is_revoked(public: str, revoked: bytes) -> bool:
    """Whether a list of public keys, or a KRL, names this one."""
    if revoked.startswith(_KRL):
        with tempfile.TemporaryDirectory(prefix="watchbill-signature-") as name:
            (Path(name) / "revoked").write_bytes(revoked)
            (Path(name) / "key.pub").write_text(f"{public}\n", "ascii")
            return _call(["-Q", "-f", "revoked", "key.pub"], folder=Path(name)).returncode == 1
    lines = revoked.decode("utf-8", "replace").splitlines()
    return any(public_in(line) == public for line in lines if not line.lstrip().startswith("#"))


def why_unreadable(revoked: bytes) -> str:
    """What keeps a list of revoked keys from being read as a whole, or "". As long as it does, no signature counts."""
    if not revoked.strip() or not _stops_everybody(revoked):
        return ""
    if revoked.startswith(_KRL):
        return "it is no KRL that can be read"
    lines = revoked.splitlines()
    first = bisect_left(range(1, len(lines)), True, key=lambda count: _stops_everybody(b"\n".join(lines[:count])))
    return f"its line {first + 1} is no public key"


def _stops_everybody(revoked: bytes) -> bool:
    """Whether with this list not even a key counts that was made just now, and so stands in no list."""
    public, signature = _fresh_signature()
    signers = f"somebody {public}\n".encode()
    return _ask(b"", signature, "somebody", "trial", signers, revoked, "20200101").returncode != 0


@lru_cache(maxsize=1)
def _fresh_signature() -> tuple[str, str]:
    with tempfile.TemporaryDirectory(prefix="watchbill-signature-") as name:
        key = Path(name) / "key"
        _call(["-q", "-t", "ed25519", "-N", "", "-C", "trial", "-f", str(key)])
        return read_public(key.with_suffix(".pub")), sign(b"", key, "trial")


def public_in(line: str) -> str:
    """The public key in a line that may hold more, without its comment; "" when there is none."""
    found = (f"{kind} {key}" for kind, key in pairwise(line.split()) if _kind_of(key) == kind)
    return next(found, "")


def _kind_of(key: str) -> str:
    try:
        return _text(_Reader(base64.b64decode(key, validate=True)).string())
    except ValueError:
        return ""


def sign(statement: bytes, key: Path, namespace: str) -> str:
    """The armored signature of `statement`. Asks for the passphrase, or for a touch, on the terminal.

    Raises `Refused` when there is nobody to ask, or nothing was signed.
    """
    if not is_hardware(key) and not is_unprotected(key):
        _require_somebody(key)
    errors = None if sys.stderr.isatty() else subprocess.PIPE
    words = ["-q", "-Y", "sign", "-f", str(key), "-n", namespace]
    answer = _call(words, given=statement, asking=True, errors=errors)
    signature = answer.stdout.decode("ascii", "replace")
    if answer.returncode != 0 or _BEGIN not in signature:
        said = " ".join((answer.stderr or b"").decode("utf-8", "replace").split())[-300:]
        why = f": {said}" if said else ""
        raise Refused(f"nothing was signed with {key}{why}", "Nothing was published; try again.")
    return signature


def what_is_asked(key: Key) -> str:
    """What a person is asked for when the key signs, or ""."""
    if key.is_hardware:
        return "a touch of the hardware key"
    return "" if is_unprotected(key.path) else "its passphrase"


def _require_somebody(key: Path) -> None:
    """A passphrase is asked for on the terminal, or by the program that SSH_ASKPASS names."""
    forced = os.environ.get("SSH_ASKPASS_REQUIRE") in ("force", "prefer") or bool(os.environ.get("DISPLAY"))
    if os.environ.get("SSH_ASKPASS") and forced:
        return
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise Refused(
            f"there is no terminal to ask for the passphrase of {key}",
            "Decide in a terminal, or let SSH_ASKPASS name a program that asks (with SSH_ASKPASS_REQUIRE=force).",
        ) from None


def read_signature(armored: str) -> Signature:
    """Read an armored signature (OpenSSH's PROTOCOL.sshsig and PROTOCOL.u2f). Raises `ValueError`."""
    blob = _Reader(_unarmored(armored))
    if blob.take(6) != b"SSHSIG":
        raise ValueError("it does not begin as a signature does")
    if blob.number() != 1:
        raise ValueError("its version is not known")
    key, namespace, _reserved, _hash, inner = (blob.string() for _ in range(5))
    blob.require_end()
    key_type = _text(_Reader(key).string())
    parts = _Reader(inner)
    made_by = _text(parts.string())
    parts.string()
    flags = None
    if "sk-" in made_by or "sk-" in key_type:
        flags = parts.take(1)[0]
        parts.number()
        while made_by.startswith("webauthn-") and parts.left:
            parts.string()
    parts.require_end()
    return Signature(key, key_type, _text(namespace), flags)


def _unarmored(armored: str) -> bytes:
    lines = armored.strip().splitlines()
    if (
        not armored.isascii()
        or len(armored) > LONGEST_SIGNATURE
        or len(lines) < 3
        or lines[0] != _BEGIN
        or lines[-1] != _END
    ):
        raise ValueError("it is not armored as OpenSSH does it")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"it is not base64 ({error})") from error


def _text(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")


class _Reader:
    """SSH's own encoding: numbers of four bytes, and strings that begin with their length."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def left(self) -> int:
        return len(self._data)

    def take(self, count: int) -> bytes:
        if count > len(self._data):
            raise ValueError("it is cut off")
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    def number(self) -> int:
        found: int = struct.unpack(">I", self.take(4))[0]
        return found

    def string(self) -> bytes:
        return self.take(self.number())

    def require_end(self) -> None:
        if self._data:
            raise ValueError("it goes on after its end")


def read_key(path: Path) -> Key:
    """The key whose private part lies at `path`. Raises `Misconfigured` when there is none."""
    path = path.expanduser().absolute()
    beside = path.with_name(f"{path.name}.pub")
    if not path.is_file():
        hint = "Name it with --key if it lies elsewhere, or make one with: watchbill gate setup --new PATH"
        raise Misconfigured(f"there is no private key at {path}", hint)
    if path.suffix == ".pub":
        hint = f"Name the private one beside it, without .pub: {path.with_suffix('')}"
        raise Misconfigured(f"{path} is the public part of a key, which signs nothing", hint)
    try:
        bare = b"" if beside.is_file() else _call(["-y", "-P", "", "-f", str(path)]).stdout
        text = bare.decode("utf-8", "replace") or beside.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{beside} cannot be read ({error})") from error
    return Key(path, *_kind_and_public(text, beside))


def read_public(path: Path) -> str:
    """A public key's line without its comment, from a .pub file. Raises `Misconfigured`."""
    try:
        return _kind_and_public(path.expanduser().read_text("utf-8"), path)[1]
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read ({error})") from error


def _kind_and_public(text: str, path: Path) -> tuple[str, str]:
    public = public_in(" ".join(text.split()[:2]))
    if not public:
        raise Misconfigured(f"{path} is no public key of OpenSSH", "It is made with: ssh-keygen -y -f KEY > KEY.pub")
    return public.split()[0], public


def make_key(path: Path, hardware: bool, comment: str) -> None:
    """Make a key at `path`, on a hardware key or protected by a passphrase, asked for on the terminal."""
    if path.exists():
        raise Refused(f"{path} exists already", "Name another place, or use it with --key.")
    if not hardware:
        _require_somebody(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    words = ["-q", "-t", "ed25519-sk" if hardware else "ed25519", "-C", comment, "-f", str(path)]
    answer = _call(words, asking=True, errors=None if sys.stderr.isatty() else subprocess.PIPE)
    if answer.returncode != 0 or not path.is_file():
        said = " ".join((answer.stderr or b"").decode("utf-8", "replace").split())[-300:]
        raise Refused(f"no key was made at {path}{f': {said}' if said else ''}")


def is_hardware(path: Path) -> bool:
    """Whether the private part is only the handle of a hardware key."""
    return read_key(path).is_hardware


def is_unprotected(path: Path) -> bool:
    """Whether the private key can be read without a passphrase."""
    return _call(["-y", "-P", "", "-f", str(path.expanduser())]).returncode == 0


def is_in_agent(key: Key) -> bool:
    """Whether the key lies unlocked in the ssh agent of this environment."""
    socket, program = os.environ.get("SSH_AUTH_SOCK"), shutil.which("ssh-add")
    if not socket or program is None:
        return False
    answer = subprocess.run(
        [program, "-L"],
        env={"SSH_AUTH_SOCK": socket},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )
    return key.public.split()[1].encode() in answer.stdout.split()


def has_ssh_keygen() -> bool:
    """Whether signatures can be made and verified here at all."""
    return shutil.which("ssh-keygen") is not None


def _call(
    words: Sequence[str],
    given: bytes = b"",
    folder: Path | None = None,
    asking: bool = False,
    errors: int | None = subprocess.PIPE,
) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("ssh-keygen")
    if program is None:
        raise Misconfigured("ssh-keygen was not found on PATH", "Install it (openssh-client).")
    environment = {"TZ": "UTC0", "LC_ALL": "C", "PATH": os.defpath}
    if asking:
        environment |= {name: os.environ[name] for name in _FOR_PROMPTS if name in os.environ}
    try:
        return subprocess.run(
            [program, *words],
            input=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            cwd=folder,
            # A person may take their time over a passphrase.
            timeout=None if asking else LONGEST,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TryLater(f"ssh-keygen did not answer ({error})") from error
