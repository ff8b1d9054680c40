"""The very values that the engine holds, under every spelling that is known."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from watchbill.tools.redaction import hold, hold_urls, redact, redact_held
from watchbill.tools.redaction.held import credentials_in, held_in, looks_secret

VALUE = 'pw/+9 "ü-x7\\Kq!'


NAMES = (
    "ANTHROPIC_API_KEY GITHUB_TOKEN client_secret DB_PASSWORD PGPASSWORD MY_CREDENTIALS SENTRY_DSN PROXY_AUTH "
    "SESSION_COOKIE APIKEY AWS_SECRET_ACCESS_KEY KEY2_FOR_X CI_JOB_TOKEN"
)


@pytest.mark.parametrize("name", NAMES.split())
def test_a_variable_that_looks_secret_is_held(name: str) -> None:
    assert looks_secret(name, "a1b2c3d4e5")
    assert [held.value for held in held_in({name: "a1b2c3d4e5"}, {})] == ["a1b2c3d4e5"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "a1b2c3d4e5"),
        ("GIT_AUTHOR_NAME", "a1b2c3d4e5"),
        ("KEYBOARD_LAYOUT", "a1b2c3d4e5"),
        ("TOKENIZERS_PARALLELISM", "a1b2c3d4e5"),
        ("API_KEY", "short"),
        ("API_KEY", "true"),
        ("DB_PASSWORD", "postgres"),
        ("MAX_TOKENS", "128000000"),
        ("SSL_KEY", "/etc/passwd"),
        ("DESKTOP_SESSION", "ubuntu-wayland"),
        ("AUTH_METHOD", "kerberos"),
    ],
)
def test_what_is_no_secret_or_too_common_is_not_held(name: str, value: str) -> None:
    assert held_in({name: value}, {}) == ()


def test_a_held_value_is_known_in_every_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", VALUE)
    lower = quote(VALUE).replace("%C3%BC", "%c3%bc").replace("%5C", "%5c").replace("%2B", "%2b")
    spellings = [VALUE, quote(VALUE), quote(VALUE, safe=""), lower]
    spellings += [json.dumps(VALUE)[1:-1], json.dumps(VALUE, ensure_ascii=False)[1:-1]]
    for spelling in spellings:
        assert redact(f"x {spelling} y") == "x [redacted: SOME_TOKEN] y", spelling
    for before in ("", "a", "ab", "user:"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(f"{before}{VALUE}".encode()).decode()
            after = redact(f"x {coded} y")
            assert "[redacted: SOME_TOKEN]" in after, (before, coded)
            assert VALUE[4:] not in base64.b64decode(after.split()[1] + "==", altchars=b"-_").decode("utf-8", "replace")


def test_a_value_of_several_lines_is_known_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "0123456789-line-of-a-secret"
    monkeypatch.setenv("SIGNING_KEY", f"first-{line}\nsecond-{line}\n")
    assert redact(f"> second-{line}\n") == "> [redacted: SIGNING_KEY]\n"


def test_passwords_in_urls_are_held_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(credentials_in("https://me:pass-word1@a/ ssh://git@b/ https://a-token-of-20-chars@c/")) == [
        "pass-word1",
        "a-token-of-20-chars",
    ]
    monkeypatch.setenv("DATABASE_URL", "postgres://app:my-hidden-word@db/app")
    assert redact("it is my-hidden-word") == "it is [redacted: DATABASE_URL]"
    hold_urls("git remote", "https://me:other-hidden-word@example.org/x.git\n")
    assert redact("it is other-hidden-word") == "it is [redacted: git remote 1]"


def test_what_is_held_later_is_known_from_then_on() -> None:
    assert redact("a-very-late-value") == "a-very-late-value"
    hold("late", "a-very-late-value")
    assert redact("a-very-late-value") == "[redacted: late]"


def test_a_value_that_is_a_part_of_a_mark_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "url-password")
    once = redact("https://me:hidden-1@example.org url-password")
    assert once == "https://me:[redacted: url-password]@example.org url-password"
    assert redact(once) == once


def test_names_of_files_lose_held_values_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "a1b2c3d4e5")
    path = "x/token=k3yQz81mWn2pRt5vXb7.pem"
    assert redact(path) != path
    assert redact_held(path) == path
    assert redact_held("x/a1b2c3d4e5.pem") == "x/[redacted: SOME_TOKEN].pem"


def test_a_path_that_exists_is_no_secret(tmp_path: Path) -> None:
    assert not looks_secret("SSH_AUTH_SOCK", str(tmp_path))
    assert looks_secret("MY_SECRET", str(tmp_path / "no-such-file"))
