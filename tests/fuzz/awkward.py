"""JSON that breaks careless readers, written down by hand, and made up.

After the cases of the JSONTestSuite (nst/JSONTestSuite): what is nested without end, what is no number, what stands
twice, what no file can hold.
"""

from __future__ import annotations

from hypothesis import strategies as st

DEEP = 100_000

CASES: dict[str, bytes] = {
    "deep lists": b"[" * DEEP,
    "deep lists that are closed": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP,
    "deep objects that are closed": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep inside a key": b'{"results": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "NaN": b"NaN",
    "a NaN inside": b'{"results": NaN, "from": NaN, "seconds": NaN, "n": NaN}',
    "Infinity": b'{"results": [Infinity, -Infinity], "n": Infinity}',
    "a key twice": b'{"a": 1, "a": 2, "results": {}, "results": []}',
    "half a character": b'{"results": ["\\ud800"], "from": "\\ud800", "why": "\\udfff", "when": "", "n": "\\ud800"}',
    "half a character as a key": b'{"\\ud800": 1}',
    "half a character in UTF-8": b'["\xed\xa0\x80"]',
    "a byte order mark": b'\xef\xbb\xbf{"results": []}',
    "UTF-16": '{"results": []}'.encode("utf-16"),
    "1e400": b'{"results": 1e400, "n": -1e400}',
    "minus nothing": b"[-0, -0.0, -0e1]",
    "a number of many digits": b"9" * 10_000,
    "a number of many digits inside": b'{"results": [' + b"9" * 4_000 + b"], \"n\": " + b"9" * 10_000 + b"}",
    "something after the end": b'{"results": []} x',
    "two values": b"{}{}",
    "nothing": b"",
    "only space": b" \n",
    "a NUL": b"\0",
    "a NUL inside a text": b'["a\0b"]',
    "a comma too many": b"[1,]",
    "single quotes": b"{'a': 1}",
    "a comment": b"[1 /* two */]",
    "not UTF-8": b'{"a": "\xff"}',
    "null": b"null",
    "true": b"true",
    "a text": b'"a"',
    "a list": b'[[], {}, null, 1, "a"]',
}  # fmt: skip

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\n\u202e<>&"), max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**40, -1, 2**63, 1e400, float("nan"), -0.0, 1e-320])
    | st.floats()
    | TEXTS
)


def values(keys: list[str]) -> st.SearchStrategy[object]:
    """JSON values in which the keys that a reader asks for come up often."""
    names = st.sampled_from(keys) | TEXTS
    return st.recursive(
        SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=12
    )
