"""What others write is read, or refused with one of the engine's own errors: settings, test results, what a model hands
over, the pages of the inbox, signatures.

The JSON readers have a table of their own (`test_json.py`); any bytes are tried beside each parser's other facts.
"""

from __future__ import annotations

import base64
import struct
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.awkward import DEEP, SCALARS, TEXTS, values
from tests.roles.test_submission import GOOD, good, refusal
from watchbill.documents.handoff import Handoff
from watchbill.documents.inbox_item import InboxItem
from watchbill.documents.routing import Routing
from watchbill.documents.session import SessionRecord
from watchbill.documents.settings import Settings
from watchbill.documents.ticket import Ticket
from watchbill.errors import Damaged, Misconfigured
from watchbill.files import front_matter
from watchbill.files.document import Document
from watchbill.files.settings_file import parse
from watchbill.roles.submission import REVIEW_OUTCOMES, read
from watchbill.tools.checks import TestResults as Results
from watchbill.tools.checks import UnreadableResults, parse_junit
from watchbill.tools.model import ToolRefused
from watchbill.tools.signing import read_signature

PAGE = Path("x.md")
FEW = settings(max_examples=80, deadline=None)

# Settings.

TOML_VALUES = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["true", "nan", "-inf", "1e400", "[]", "[[[]]]", "{}", "{a = 1}", '""', "2026-11-20", "02:00:00"]),
    TEXTS.map(lambda text: f"'{text}'"),
)
TABLES = [
    "project",
    "model",
    "agents.build",
    "checks",
    "gate",
    "sandbox",
    "limits",
    "merge",
    "confidence",
    "[rule]",
    "x",
]
NAMES = [
    "name",
    "repo",
    "primary",
    "soft_turns",
    "hard_turns",
    "require",
    "protected",
    "approvals",
    "mode",
    "read",
    "test",
]


@FEW
@given(st.lists(st.tuples(st.sampled_from(TABLES), st.dictionaries(st.sampled_from(NAMES), TOML_VALUES)), max_size=5))
@pytest.mark.parametrize("model", [Settings, Routing])
def test_any_settings_are_read_or_refused(model: type[Settings | Routing], tables: list[Any]) -> None:
    lines = [f"[{table}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()) for table, keys in tables]
    try:
        parse("".join(lines).encode("utf-8", "replace"), Path("watchbill.toml"), model)
    except Misconfigured as error:
        assert error.reason


@pytest.mark.parametrize("text", ["a = " + "[" * DEEP, "a" + ".a" * 2_000 + " = 1", "a = " + "{a=" * 9_000, "[" * DEEP])
def test_settings_without_end_are_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        parse(text.encode(), Path("watchbill.toml"), Settings)


# Results of tests.

TAGS = st.sampled_from(
    ["testsuites", "testsuite", "testcase", "failure", "error", "skipped", "properties", "x:y", "system-out"]
)
ATTRIBUTES = st.sampled_from(["name", "classname", "message", "time", "tests", "xmlns", "xmlns:x", "type", "x:name"])
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    ["", "nan", "1e400", "-1"]
)


def element(tag: str, attributes: dict[str, str], inner: list[str]) -> str:
    written = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return f"<{tag}{written}>{''.join(inner)}</{tag}>"


TREES = st.recursive(
    PLAIN.map(escape) | st.sampled_from(["<![CDATA[<a>]]>", "<?pi x?>", "<!-- c -->", "&#0;", "&lol;", "&#x202e;"]),
    lambda inner: st.builds(element, TAGS, st.dictionaries(ATTRIBUTES, PLAIN, max_size=3), st.lists(inner, max_size=4)),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_any_results_are_read_or_refused(tree: str) -> None:
    try:
        results = parse_junit(f"<testsuites>{tree}</testsuites>".encode("utf-8", "replace"))
    except UnreadableResults as error:
        assert str(error)
    else:
        assert isinstance(results, Results)
        names = [*results.passed, *results.failed, *results.skipped]
        assert len(names) == len(set(names)) and all(name.isprintable() or name for name in names)


def test_results_with_huge_attributes_and_foreign_namespaces_are_read() -> None:
    huge = f'<testcase name="{"x" * 5_000_000}" classname="c"/>'
    foreign = '<testcase xmlns="urn:x" name="unseen"><failure/></testcase>'
    results = parse_junit(f'<testsuites>{huge}{foreign}<testcase name="a" name2="b"/></testsuites>'.encode())
    assert len(results.passed) == 2 and all(len(name) <= 500 for name in results.passed)


# What a model hands over.

SUBMITTED = [*GOOD, "criteria", "criterion", "met", "evidence", "severity", "title", "rule", "path", "line", "decision"]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(SUBMITTED), values(SUBMITTED)), st.booleans())
def test_any_submission_is_taken_or_refused(submitted: dict[str, Any], whole: bool) -> None:
    try:
        taken = read({**(good("qa") if whole else {}), **submitted}, REVIEW_OUTCOMES, with_criteria=True)
    except ToolRefused as refused:
        assert str(refused)
    else:
        assert taken.outcome in REVIEW_OUTCOMES and taken.claimed().model_dump_json().encode()


def test_a_submission_without_end_is_refused() -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    for submitted in ({**GOOD, "findings": deep}, {**GOOD, "summary": deep}, {**GOOD, "x": deep}):
        assert refusal("build", submitted).startswith("Nothing was handed over")
    assert refusal("build", {**GOOD, "confidence": 10**5_000}).startswith("Nothing was handed over")


# Documents.

KINDS: list[type[Document]] = [Ticket, Handoff, InboxItem, SessionRecord]
ODD_YAML = """[] {} [[1]] ~ .nan .inf 1e400 2026-11-20 2026-13-40 0o17 1_000 yes @x !!python/x &a *a ' 99:99 - {a:b}"""
YAML_VALUES = SCALARS.map(repr) | st.sampled_from(ODD_YAML.split())


@FEW
@pytest.mark.parametrize("kind", KINDS)
@given(pairs=st.data())
def test_any_front_matter_is_read_or_damaged(kind: type[Document], pairs: st.DataObject) -> None:
    fields = [field.alias or name for name, field in kind.model_fields.items()]
    drawn = pairs.draw(st.lists(st.tuples(st.sampled_from([*fields, "x"]), YAML_VALUES), max_size=8))
    text = "---\n" + "".join(f"{key}: {value}\n" for key, value in drawn) + "---\nbody\n"
    try:
        found = kind.parse(text.encode("utf-8", "replace"), PAGE)
    except Damaged as error:
        assert error.why and error.path == PAGE
    else:
        assert found.render()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text", ["a: " + "[" * DEEP, "a: " + "{a: " * DEEP, "- " * DEEP, "? " * 20_000, "a: " + "9" * 9_000]
)
def test_front_matter_without_end_is_damaged(kind: type[Document], text: str) -> None:
    with pytest.raises(Damaged):
        kind.parse(f"---\n{text}\n---\n".encode(), PAGE)


@FEW
@given(TEXTS)
def test_no_body_becomes_a_key(body: str) -> None:
    text = f"---\ndecision: approve\nfrom: human\n---\n{body}"
    read_back, _ = front_matter.split(front_matter.join({"from": "build", "body_": text}, text))
    assert read_back["from"] == "build" and "decision" not in read_back


# Signatures.

STRINGS = st.binary(max_size=30).map(lambda data: struct.pack(">I", len(data)) + data)
LENGTHS = st.sampled_from([0, 1, 2**31, 2**32 - 1]).map(lambda number: struct.pack(">I", number))
KEY_TYPES = st.sampled_from([b"ssh-ed25519", b"sk-ssh-ed25519@openssh.com", b"webauthn-sk-x", b"\xff"])
TYPED = KEY_TYPES.map(lambda name: struct.pack(">I", len(name)) + name)


@settings(max_examples=200, deadline=None)
@given(st.lists(STRINGS | LENGTHS | TYPED | TYPED.map(lambda one: struct.pack(">I", len(one)) + one), max_size=9))
def test_any_signature_is_read_or_refused(parts: list[bytes]) -> None:
    blob = b"SSHSIG" + struct.pack(">I", 1) + b"".join(parts)
    armor = f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(blob).decode()}\n-----END SSH SIGNATURE-----\n"
    try:
        found = read_signature(armor)
    except ValueError as error:
        assert str(error) and not isinstance(error, UnicodeError)
    else:
        assert found.namespace.isascii()
