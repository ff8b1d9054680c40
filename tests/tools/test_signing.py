"""The door to ssh-keygen: what it verifies, which keys it knows, and that it never asks an agent."""

from __future__ import annotations

import base64
import os
import pty
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.signatures import HardwareKey, Person, armored, person
from watchbill.errors import Misconfigured, Refused
from watchbill.tools import signing

NAMESPACE = "watchbill-decision-v1"
WHEN = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)


def verify(statement: bytes, signature: str, public: str, name: str = "ada") -> str:
    return signing.verify(statement, signature, name, NAMESPACE, f"ada {public}\n".encode(), b"", WHEN)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An ssh agent of the test's own."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield socket
    finally:
        process.terminate()
        process.wait()


def asks_with(folder: Path, monkeypatch: pytest.MonkeyPatch, passphrase: str) -> None:
    """A program that answers for the person at the keyboard."""
    program = folder / "askpass"
    program.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    program.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")


def test_a_signature_fits_its_statement_and_no_other(tmp_path: Path) -> None:
    ada = person(tmp_path, "ada")
    signature = signing.sign(b"yes", ada.key, NAMESPACE)
    assert verify(b"yes", signature, ada.public) == ""
    assert verify(b"no", signature, ada.public) == "its signature does not fit what it says"
    assert verify(b"yes", signature, ada.public, "grace") == "it is not signed by a key of grace"


def test_a_key_that_lies_in_an_agent_is_known_and_the_agent_is_not_asked(
    tmp_path: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = person(tmp_path, "ada", passphrase="correct horse")
    assert not signing.is_in_agent(signing.read_key(locked.key))
    asks_with(tmp_path, monkeypatch, "correct horse")
    subprocess.run(["ssh-add", "-q", str(locked.key)], check=True)
    assert signing.is_in_agent(signing.read_key(locked.key))
    asks_with(tmp_path, monkeypatch, "wrong")
    with pytest.raises(Refused, match="nothing was signed"):
        signing.sign(b"yes", locked.key, NAMESPACE)
    assert agent.exists()


def test_a_passphrase_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = person(tmp_path, "ada", passphrase="correct horse")
    assert not signing.is_unprotected(locked.key)
    assert signing.is_unprotected(person(tmp_path, "open").key)
    asks_with(tmp_path, monkeypatch, "correct horse")
    assert verify(b"yes", signing.sign(b"yes", locked.key, NAMESPACE), locked.public) == ""


def test_without_a_terminal_nobody_can_be_asked(tmp_path: Path) -> None:
    locked = person(tmp_path, "ada", passphrase="correct horse")
    lines = ("from pathlib import Path", "from watchbill.tools import signing")
    program = "; ".join((*lines, f"signing.sign(b'', Path({str(locked.key)!r}), 'n')"))
    answer = subprocess.run(
        [sys.executable, "-c", program],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "there is no terminal to ask for the passphrase" in answer.stderr


def test_ssh_keygen_says_nothing_on_the_terminal_but_its_question(tmp_path: Path) -> None:
    ada = person(tmp_path, "ada")
    program = (
        "import sys; from pathlib import Path; from watchbill.tools import signing\n"
        "signing.sign(b'x', Path(sys.argv[1]), 'trial'); print('the end', file=sys.stderr)"
    )
    ours, terminal = pty.openpty()
    words = [sys.executable, "-c", program, str(ada.key)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stderr=terminal, timeout=60)
    said = os.read(ours, 1000)
    for end in (ours, terminal):
        os.close(end)
    assert said == b"the end\r\n"


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no key")
    (tmp_path / "x.pub").write_text("ssh-ed25519 AAAA somebody")
    with pytest.raises(Misconfigured, match="no public key of OpenSSH"):
        signing.read_key(tmp_path / "x")
    with pytest.raises(Misconfigured, match="no private key"):
        signing.read_key(tmp_path / "y")


# A hardware key says in its signature whether somebody touched it.


@pytest.mark.parametrize("flags", [0, 1, 4, 5])
def test_the_touch_is_read_from_the_signature(flags: int) -> None:
    token = HardwareKey(flags)
    signature = token.sign(b"yes")
    found = signing.read_signature(signature)
    assert (found.flags, found.is_touched, found.namespace) == (flags, bool(flags & 1), NAMESPACE)
    assert verify(b"yes", signature, token.public) == (
        "" if flags & 1 else "it was signed by a hardware key that nobody touched"
    )


def test_the_touch_cannot_be_added_afterwards() -> None:
    token = HardwareKey(0)
    blob = base64.b64decode("".join(token.sign(b"yes").splitlines()[1:-1]))
    assert blob[-5:] == b"\x00" + struct.pack(">I", 7)
    lied = armored(blob[:-5] + b"\x01" + blob[-4:])
    assert verify(b"yes", lied, token.public) == "its signature does not fit what it says"


@given(st.binary(max_size=200))
def test_a_signature_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    for blob in (data, b"SSHSIG" + struct.pack(">I", 1) + data):
        try:
            signing.read_signature(armored(blob))
        except ValueError:
            continue


@given(st.text(max_size=200))
def test_a_signature_of_any_text_is_read_or_refused(text: str) -> None:
    assert verify(b"yes", text, "ssh-ed25519 AAAA").startswith("its signature cannot be read")


def test_a_signature_that_is_cut_or_goes_on_is_refused(tmp_path: Path) -> None:
    for signature in (HardwareKey().sign(b"yes"), signing.sign(b"yes", person(tmp_path, "ada").key, NAMESPACE)):
        blob = base64.b64decode("".join(signature.splitlines()[1:-1]))
        for broken in (blob[:-1], blob + b"\0", blob[:20]):
            with pytest.raises(ValueError, match="it "):
                signing.read_signature(armored(broken))


# What a list of keys says.


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return person(tmp_path_factory.mktemp("listed"), "ada")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ada KEY a comment", ""),
        ('"ada,grace" namespaces="git,watchbill-*" KEY', ""),
        ("*@example.org cert-authority KEY", ""),
        ('ada valid-after="20261120",valid-before="20261122Z" KEY', ""),
        ('ada valid-before="20261121" KEY', signing.PASSED),
        ('ada valid-after="20261122" KEY', signing.NOT_YET),
        ('ada valid-before="tomorrow" KEY', "its valid-before is not a time"),
        ('ada valid-after="2026-11-20" KEY', "its valid-after is not a time"),
        ("ada for-ever KEY", "its options cannot be read (unknown key option)"),
        ('ada namespaces="git" KEY', "it is not for decisions (namespaces=git)"),
        ("mallory not-a-key AAAA", "it holds no public key that can be read"),
        ("mallory ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "its key cannot be read"),
        ("mallory", "it holds no public key that can be read"),
        ("KEY", "its key cannot be read"),
    ],
)
def test_a_line_of_signers_is_judged_as_a_signature_would_be(listed: Person, line: str, why: str) -> None:
    now = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
    found = signing.why_line_is_void(line.replace("KEY", listed.public), NAMESPACE, now)
    assert found.startswith(why)
    assert bool(found) == bool(why), found


def test_a_list_of_revoked_keys_is_read_as_a_whole_or_not_at_all(listed: Person, tmp_path: Path) -> None:
    grace = person(tmp_path, "grace")
    one, both = f"# stolen\n{grace.public} hers\n".encode(), f"{grace.public}\n{listed.public}\n".encode()
    assert [signing.is_revoked(listed.public, revoked) for revoked in (b"", one, both)] == [False, False, True]
    assert [signing.why_unreadable(revoked) for revoked in (b"", b"\n", one, both)] == ["", "", "", ""]
    assert signing.why_unreadable(both + b"\ngarbage\n" + one) == "its line 4 is no public key"
    assert signing.why_unreadable(b"garbage") == "its line 1 is no public key"
    words = ["ssh-keygen", "-q", "-k", "-f", str(tmp_path / "krl"), str(tmp_path / "grace.pub")]
    subprocess.run(words, check=True, capture_output=True)
    krl = (tmp_path / "krl").read_bytes()
    assert (signing.is_revoked(grace.public, krl), signing.is_revoked(listed.public, krl)) == (True, False)
    assert [signing.why_unreadable(found) for found in (krl, krl[:20])] == ["", "it is no KRL that can be read"]
    assert not signing.is_revoked(grace.public, krl[:20])
