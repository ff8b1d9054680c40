"""The plain subset of front matter: what it reads, what it refuses, and that it never breaks."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from watchbill.files.front_matter import MAX_DEPTH, Malformed, join, split


def refusal(text: str | bytes, limit: int = 1_000_000) -> str:
    with pytest.raises(Malformed) as caught:
        split(text.encode() if isinstance(text, str) else text, limit)
    return str(caught.value)


def head(yaml: str) -> str:
    return f"---\n{yaml}\n---\nbody\n"


def test_a_plain_document_is_a_mapping_and_a_body() -> None:
    assert split(b"---\nid: T-1\nn: 2\n---\n\n# Title\n\ntext\n") == ({"id": "T-1", "n": 2}, "# Title\n\ntext")


def test_the_body_may_hold_lines_of_dashes() -> None:
    assert split(b"---\na: 1\n---\nx\n---\ny: 2\n---\n") == ({"a": 1}, "x\n---\ny: 2\n---")


def test_line_ends_of_windows_and_a_byte_order_mark_are_read() -> None:
    assert split(b"\xef\xbb\xbf---\r\na: 1\r\n---\r\none\r\ntwo\r\n") == ({"a": 1}, "one\ntwo")


def test_an_empty_body_is_empty() -> None:
    assert split(b"---\na: 1\n---") == ({"a": 1}, "")


def test_too_many_bytes_are_refused_before_anything_is_read() -> None:
    assert refusal("x" * 1_100, limit=1_000) == "it is 1,100 bytes long; at most 1,000 are read"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it does not begin with a line of three dashes"),
        ("id: T-1\n", "it does not begin with a line of three dashes"),
        ("---\nid: T-1\n", "its front matter has no closing line of three dashes"),
        ("---\nid: T-1\n ---\n", "its front matter has no closing line of three dashes"),
        (b"---\na: \xff\n---\n", "it is not UTF-8 text (byte 7 cannot be read)"),
        (b"\xff\xfe-\0-\0-\0", "it is not UTF-8 text"),
        ("---\na: 1\0\n---\n", "it contains a NUL character"),
        (head("a: &x 1"), "line 2: aliases and anchors"),
        (head("a: 1\nb: *x"), "line 3: aliases and anchors"),
        (head("a: &x [1]\nb: *x"), "line 2: aliases and anchors"),
        (head("a: !!python/object/apply:os.system [ls]"), "line 2: tags"),
        (head("a: !!str 1"), "line 2: tags"),
        (head("a: ! x"), "line 2: tags"),
        (head("a: 1\nb: 2\na: 3"), "line 4: the key 'a' stands twice"),
        (head('a: 1\n"a": 3'), "line 3: the key 'a' stands twice"),
        (head("o:\n  a: 1\n  b: {c: 1, c: 2}"), "line 4: the key 'c' stands twice"),
        (head("a: 1\n<<: {b: 2}"), "line 3: merge keys"),
        (head("? [a, b]\n: 1"), "line 2: a key must be plain text"),
        (head("1: a"), "the key 1 is not text"),
        (head("yes: a"), "the key True is not text"),
        (head("- a"), "the front matter is not a list of keys and values"),
        (head("just words"), "the front matter is not a list of keys and values"),
        (head(""), "the front matter is not a list of keys and values"),
        (head("a: [1"), "line 3: the front matter is not valid YAML"),
        (head("a: b: c"), "line 2: the front matter is not valid YAML"),
        (head("a: 'x"), "line 2: the front matter is not valid YAML"),
        (head("a: \x01"), "the front matter is not valid YAML"),
        (head("a: 2026-13-45"), "the front matter holds a value that cannot be read"),
        (head("a: " + "9" * 5_000), "the front matter holds a value that cannot be read"),
        (head("a: ="), "the front matter is not valid YAML"),
        (head("a: 1\n--- \nb: 2"), None),
        (head("a: 1\n--- b\n"), "the front matter is not valid YAML"),
        (head("%YAML 1.1\n--- \na: 1"), "the front matter is not"),
        (head("a: " + "[" * 40 + "]" * 40), f"line 2: it is nested more than {MAX_DEPTH} deep"),
        (head("a: " + "[" * 50_000), f"line 2: it is nested more than {MAX_DEPTH} deep"),
        (head("a: " + "{a: " * 50_000), f"line 2: it is nested more than {MAX_DEPTH} deep"),
    ],
)
def test_what_a_plain_document_never_needs_is_refused_with_its_line(text: str | bytes, why: str | None) -> None:
    if why is None:
        assert split(text.encode() if isinstance(text, str) else text)[0] == {"a": 1}
    else:
        said = refusal(text)
        assert why in said
        assert "cannot be read: line" not in said, "the reason is not wrapped in another"


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)},*{chr(97 + n)},*{chr(97 + n)}]\n" for n in range(20)
    )
    assert refusal(head(bomb)).startswith("line 2: aliases")


def test_the_same_list_twice_is_written_without_an_alias() -> None:
    same = ["x"]
    assert b"&" not in join({"a": same, "b": same}, "")
    assert split(join({"a": same, "b": same}, ""))[0] == {"a": ["x"], "b": ["x"]}


def test_the_first_line_of_the_body_keeps_its_indentation() -> None:
    assert split(join({"a": 1}, "    code\n\ntext\n\n"))[1] == "    code\n\ntext"


def test_a_body_that_could_not_be_read_back_is_made_readable() -> None:
    assert split(join({"a": 1}, "one\0two\r\nthree\rfour"))[1] == "one\ufffdtwo\nthree\nfour"


PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
KEYS = st.from_regex(r"[a-z][a-z_]{0,20}", fullmatch=True).filter(
    lambda key: key not in ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PLAIN_TEXT
    | st.sampled_from(
        ["=", "<<", "yes", "~", "null", "1e3", "0x1f", "1:20", "2026-11-20", "- a", "&a", "*a", "!x", "---"]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
METAS = st.dictionaries(KEYS, VALUES, max_size=5)


def as_read(body: str) -> str:
    return body.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n").strip("\n")


@settings(max_examples=200, deadline=None)
@given(METAS, PLAIN_TEXT)
@example({"a": "x\x85y\u2028z\ufeff\x7f\x1b"}, "---\n---\n")
@example({"a": "word " * 60}, "")
@example({"a": "a\n---\nb"}, "x\n---")
@example({"a": "\U0001f600" * 50}, "\ufeff")
@example({"a": "\0"}, "")
def test_what_is_joined_is_split_into_the_same(meta: dict[str, Any], body: str) -> None:
    if not meta:
        return
    assert split(join(meta, body)) == (meta, as_read(body))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_no_bytes_break_it(data: bytes) -> None:
    for text in (data, b"---\n" + data + b"\n---\nbody", b"---\na: " + data + b"\n---\n"):
        try:
            meta, body = split(text)
        except Malformed:
            continue
        assert isinstance(meta, dict) and isinstance(body, str)


PIECES = st.sampled_from("-:?[]{},&*!|>'\"%@`#=<~ \n0129.eE_+xT") | st.sampled_from(
    ["\n  ", "a: ", "- ", "---\n", "2026-11-20", "!!", "<<: ", "0b", "0x"]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
@example("0b_")
@example("2001-01-01T00:00:00+99:99")
@example("0001-01-01T00:00:00+23:59")
@example("1:" * 50 + "1")
@example("0o9")
@example("._")
@example("-0x")
def test_no_scraps_of_yaml_break_it(scraps: str) -> None:
    for text in (head(scraps), head(f"a: {scraps}"), head(f"a: {{b: [{scraps}]}}")):
        try:
            split(text.encode())
        except Malformed as error:
            assert str(error)
