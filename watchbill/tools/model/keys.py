"""The model's API key: from the environment, from a file that only its owner can read, or from the system's keychain.

Owns where a key may come from, and that every key that was found is held for redaction. A key is never written anywhere
and never stands in an error.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from watchbill.errors import Misconfigured, TryLater
from watchbill.tools.redaction import hold

KEY = "ANTHROPIC_API_KEY"
LONGEST = 65_536


def find_key(key_file: Path | None, keychain: str = "") -> str | None:
    """The API key: the environment comes first, then `key_file`, then the keychain's entry `SERVICE/USER`.

    None when there is none. Raises `Misconfigured`, and `TryLater` when the keychain is locked.
    """
    from_environment = os.environ.get(KEY, "").strip()
    if from_environment:
        return _held(from_environment, KEY)
    from_file = _read(key_file) if key_file is not None else ""
    if from_file:
        return _held(from_file, str(key_file))
    from_keychain = _ask_keychain(keychain) if keychain else ""
    return _held(from_keychain, f"the keychain under {keychain}") if from_keychain else None


def hold_key_file(key_file: Path | None) -> None:
    """Hold what stands in `key_file`, for verbs that write documents and ask no model. Never raises."""
    try:
        if key_file is not None:
            hold("API key", _read(key_file))
    except Misconfigured:
        # Whoever needs the key says what is wrong with it.
        return


def _read(path: Path) -> str:
    """What stands in an ordinary file of our own that nobody else can read. Raises `Misconfigured`."""
    try:
        # Without waiting: a pipe would never answer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _must_be_ours(path, os.fstat(descriptor))
            return os.read(descriptor, LONGEST).decode("utf-8", "replace").strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Misconfigured(f"the key file {path} cannot be read ({error.strerror})") from error


def _must_be_ours(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Misconfigured(f"the key file {path} is not an ordinary file")
    if status.st_uid != os.geteuid():
        raise Misconfigured(f"{path} belongs to somebody else", f"Run: chown {os.geteuid()} {path}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise Misconfigured(f"{path} can be read by others", f"Run: chmod 600 {path}")


def _ask_keychain(entry: str) -> str:
    service, _, user = entry.rpartition("/")
    try:
        import keyring
        from keyring.errors import KeyringError, NoKeyringError
    except ImportError as error:
        hint = "Install it: pip install 'watchbill[keyring]'"
        raise Misconfigured("[model] key_keyring is set, and the package keyring is not installed", hint) from error
    try:
        found = keyring.get_password(service, user)
    except NoKeyringError as error:
        hint = "Use [model] key_file instead."
        raise Misconfigured("this machine has no keychain that can be asked", hint) from error
    except KeyringError as error:
        raise TryLater(f"the keychain did not answer ({type(error).__name__})", "Unlock it.") from error
    if not found:
        raise Misconfigured(f"the keychain has nothing under {entry}", f"Put it there: keyring set {service} {user}")
    return found.strip()


def _held(key: str, where: str) -> str:
    """The key, if it can be sent as a header. What cannot would be shown in the error of whoever tries."""
    hold("API key", key)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise Misconfigured(f"what {where} holds is not an API key", "A key is one word of plain letters and signs.")
    return key
