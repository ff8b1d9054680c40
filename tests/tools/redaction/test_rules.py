"""What is known for a secret by its shape, what is not, and what stands in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.leaks import AWS, GITHUB, KEY_LINE, OWN_KEY, PRIVATE_KEY
from watchbill.errors import Misconfigured
from watchbill.tools.redaction import MARK, redact
from watchbill.tools.redaction.redactor import mark
from watchbill.tools.redaction.rules import FILES, FOLDER, Rules, entropy_of, load, read

HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b"
RANDOM = "k3yQz81mWn2pRt5vXb7"

# A text, the part of it that is the secret, and the rule that knows it.
SECRETS = [
    (f"the key is {AWS}.", AWS, "aws-access-token"),
    (f"GITHUB={GITHUB}", GITHUB, "github-pat"),
    (f"use {OWN_KEY} for it", OWN_KEY, "anthropic-api-key"),
    (f"sk-proj-{'Ab1_' * 10}", f"sk-proj-{'Ab1_' * 10}", "openai-api-key"),
    ("git clone https://me:pass-word1@example.org/x", "pass-word1", "url-password"),
    ("https://0123456789abcdef0123@example.org/x", "0123456789abcdef0123", "url-token"),
    ("authorization: Bearer abc.def-ghi", "abc.def-ghi", "authorization-header"),
    ('curl -H "Authorization: Basic bWU6cGFzcw=="', "bWU6cGFzcw==", "authorization-header"),
    (f'password = "{RANDOM}"', RANDOM, "generic-api-key"),
    (f"aws_secret_access_key = {'wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzKEY'}", "wJalrXUtnFEMI", "aws-secret-key"),
    ("xox" + "b-1234567890-abcdefghij", "1234567890", "slack-access-token"),
    ("rk_" + "live_" + "a1B2c3D4e5F6g7H8i9J0k", "a1B2c3D4e5F6g7H8i9J0k", "stripe-key"),
    ("AccountKey=" + "Ab1+" * 21 + "Ab==", "Ab1+", "azure-account-key"),
    ("ey" + "J" * 20 + ".ey" + "J" * 20 + "." + "s" * 20, "JJJJ", "json-web-token"),
    (f"before\n{PRIVATE_KEY}\nafter", KEY_LINE, "private-key"),
    (f"cut off:\n{PRIVATE_KEY[:100]}", KEY_LINE[:16], "private-key"),
    (f"…{PRIVATE_KEY[90:]}\nafter", KEY_LINE[::-1], "private-key"),
]

HARMLESS = [
    f"commit {HEX}",
    f"parent: {HEX}{'0' * 24}",
    f"API-7: {HEX[:10]}",
    "ANTHROPIC_API_KEY=$ANTHROPIC_API_KEY",
    'key = "ANTHROPIC_API_KEY"',
    "token: the word that ends a sentence",
    "the password is asked for at the first start",
    "postgres://user:{password}@host/db",
    "https://example.org:8080/path@2",
    "pip install task-runner-for-all-the-things-of-this-world",
    "tests/test_keys.py::test_a_key_is_found[sk-]",
    "uv.lock: sha256:9413a2029fd9ca5669d27f1386071bbfe3c7ebca0545692ec975088241fe1d79",
]


@pytest.mark.parametrize(("text", "secret", "rule"), SECRETS, ids=range(len(SECRETS)))
def test_a_secret_is_replaced_by_the_name_of_its_rule(text: str, secret: str, rule: str) -> None:
    after = redact(text)
    assert secret not in after
    assert f"[redacted: {rule}]" in after


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_only_the_secret_goes_and_the_words_around_it_stay() -> None:
    text = f"before\n{PRIVATE_KEY}\nafter {AWS}, password = '{RANDOM}'; end"
    expected = f"before\n{mark('private-key')}\nafter {mark('aws-access-token')}"
    expected += f", password = '{mark('generic-api-key')}'; end"
    assert redact(text) == expected


def test_a_key_in_every_line_of_a_diff_is_known() -> None:
    diff = "".join(f"+{line}\n" for line in PRIVATE_KEY.splitlines())
    assert redact(f"{diff}+after\n") == "+[redacted: private-key]\n+after\n"


def test_every_rule_compiles_and_is_asked_by_some_keyword() -> None:
    rules = load().all
    assert len(rules) > 150
    for rule in rules:
        assert rule.compiled.groups >= rule.group, rule.id
        assert rule.keywords, rule.id
        assert list(rule.spans(b"")) == []
        assert MARK.fullmatch(f"[redacted: {rule.id}]"), rule.id


def test_only_the_rules_whose_keyword_turns_up_are_asked() -> None:
    asked = [rule.id for rule in load().called_for(b"the ADAFRUIT board")]
    assert asked == ["adafruit-api-key"]
    assert load().called_for(b"nothing of that kind") == []


def test_a_rule_of_our_own_stands_for_the_one_of_that_name() -> None:
    own = next(rule for rule in load().all if rule.id == "private-key")
    assert "(?s:.*?)" in own.regex
    assert len({rule.id for rule in load().all}) == len(load().all)


def test_a_value_of_little_entropy_and_one_with_a_stop_word_are_none() -> None:
    assert redact("secret = 'bcbcbcbcbcbcbcbcbcbc'") == "secret = 'bcbcbcbcbcbcbcbcbcbc'"
    assert redact(f"secret = 'example-{RANDOM}'") == f"secret = 'example-{RANDOM}'"
    assert entropy_of(b"aaaa") == 0
    assert entropy_of(b"abcd") == 2


def test_text_of_any_alphabet_and_half_characters_come_out_as_they_went_in() -> None:
    text = f"ключ 🔑 \ud800 {AWS} 鍵 \udfff"
    assert redact(text) == "ключ 🔑 \ud800 [redacted: aws-access-token] 鍵 \udfff"


PIECES: tuple[str, ...] = (AWS, GITHUB, OWN_KEY, PRIVATE_KEY, PRIVATE_KEY[:90], f"password={RANDOM}", RANDOM)
PIECES += ("https://me:pass-word1@x/", "token: ", "api_key = ", "[redacted: ", "]", "\n", " ", "'", "=", "://", "@")
PIECES += ("ключ", "-----END PRIVATE KEY-----")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map("".join))
def test_twice_is_the_same_as_once(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
    assert not any(secret in once for secret in (AWS, GITHUB, OWN_KEY, KEY_LINE))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["[[rules", '[[rules]]\nid = "x"\nregex = "y"\n', "", None])
def test_a_damaged_or_missing_rule_file_is_the_owners_to_mend(name: str, damage: str | None, tmp_path: Path) -> None:
    for file in FILES:
        shutil.copy(FOLDER / file, tmp_path / file)
    assert len(Rules(read(tmp_path)).all) == len(load().all)
    if damage is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(damage)
    with pytest.raises(Misconfigured, match="the rules for secrets cannot be read") as caught:
        read(tmp_path)
    assert "Install Watchbill again" in caught.value.hint


def test_the_licence_of_the_rules_stands_beside_them() -> None:
    assert "Copyright (c) 2019 Zachary Rice" in (FOLDER / "gitleaks.LICENSE").read_text("utf-8")
