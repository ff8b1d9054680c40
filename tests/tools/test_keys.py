"""Where the model's key comes from, and that it is held from then on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from tests.leaks import OWN_KEY
from watchbill.errors import Misconfigured, TryLater
from watchbill.tools.model.keys import find_key, hold_key_file
from watchbill.tools.redaction import redact


class Chain(KeyringBackend):
    """A keychain in memory."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked("no window to ask in")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def chain() -> Iterator[Chain]:
    before, mine = keyring.get_keyring(), Chain()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


def a_key_file(folder: Path, text: str = OWN_KEY) -> Path:
    path = folder / "key"
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return path


def test_a_key_from_a_file_is_held_from_then_on(tmp_path: Path) -> None:
    key = OWN_KEY + "-of-a-file"
    assert find_key(a_key_file(tmp_path, key)) == key
    assert redact(f"it is {key}") == "it is [redacted: API key]"


def test_a_key_file_is_held_by_verbs_that_ask_no_model_and_stops_none_of_them(tmp_path: Path) -> None:
    key = "no-shape-of-a-key-0815"
    hold_key_file(a_key_file(tmp_path, key))
    assert redact(f"it is {key}") == "it is [redacted: API key]"
    hold_key_file(None)
    hold_key_file(tmp_path / "none")
    hold_key_file(tmp_path)


def test_what_is_no_ordinary_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/null")):
        with pytest.raises(Misconfigured, match="is not an ordinary file"):
            find_key(path)


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_key_file(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(Misconfigured, match="belongs to somebody else"):
        find_key(path)


def test_the_keychain_is_asked_last(chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.set_password("watchbill/night", "ada", " from-the-keychain\n")
    assert find_key(None, "watchbill/night/ada") == "from-the-keychain"
    assert redact("it is from-the-keychain") == "it is [redacted: API key]"
    assert find_key(a_key_file(tmp_path), "watchbill/night/ada") == OWN_KEY
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-environment")
    assert find_key(a_key_file(tmp_path), "watchbill/night/ada") == "from-environment"


def test_an_entry_that_is_not_there_is_named_with_the_command_that_makes_it(chain: Chain) -> None:
    with pytest.raises(Misconfigured, match="nothing under watchbill/ada") as caught:
        find_key(None, "watchbill/ada")
    assert caught.value.hint == "Put it there: keyring set watchbill ada"
    assert chain.entries == {}


def test_a_locked_keychain_is_tried_later(chain: Chain) -> None:
    chain.is_locked = True
    with pytest.raises(TryLater, match="KeyringLocked"):
        find_key(None, "watchbill/ada")


def test_without_a_keychain_or_its_package_the_owner_hears_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keyring.get_keyring()
    from keyring.backends.fail import Keyring as NoKeychain

    keyring.set_keyring(NoKeychain())  # type: ignore[no-untyped-call]
    try:
        with pytest.raises(Misconfigured, match="no keychain"):
            find_key(None, "watchbill/ada")
    finally:
        keyring.set_keyring(before)
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(Misconfigured, match="keyring is not installed") as caught:
        find_key(None, "watchbill/ada")
    assert "watchbill[keyring]" in caught.value.hint
