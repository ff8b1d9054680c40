"""Front matter of every sort, for tests that compare two ways of reading it: real, made up, and spoilt."""

from __future__ import annotations

from hypothesis import strategies as st

TICKET = """\
schema: watchbill/ticket/1
id: T-0012
title: The export drops its last row, and says nothing
type: bug
priority: high
status: open
dependencies:
- T-0007
- T-7.2
labels: []
created_date: 2026-11-20"""
BACKLOG_MD = """\
id: task-42.1
title: 'Fix: the login isn''t safe (#12)'
status: In Progress
assignee:
  - '@sara'
  - "@o'neil"
reporter: '@me'
created_date: '2026-06-01 10:30'
updated_date: 2026-06-02
labels: [auth, 'back end', "x"]
milestone:
dependencies: []
parent_task_id: task-42
priority: High
ordinal: 1000"""
HANDOFF = """\
schema: watchbill/handoff/1
ticket: T-0012
seq: 3
created: '2026-11-20T02:00:00Z'
from: build
to:
- qa
- security
outcome: done
degraded: false
confidence: 0.5
claimed:
  outcome: done
  summary: Wrote it, tested it
  open_questions: []
  criteria:
  - criterion: A wrong password is refused
    met: true
    evidence: ''
verified:
  files:
  - src/a.py
  - .github/b.yml
  insertions: 12
  checks:
    ran: true
    failed:
    - tests/test_a.py::test_x
    why: ''
findings:
- fingerprint: ffffffffffffffff
  severity: high
  line: 3
- fingerprint: eeeeeeeeeeeeeeee
  severity: low
  line: 4"""
REAL = (TICKET, BACKLOG_MD, HANDOFF)

WORDS = (
    *("word", "two words", "T-0012", "a/b.py", "watchbill/ticket/1", "x:y", "x#y", "é ü", "\U0001f600", "a\\b", "(x)"),
    *("yes", "No", "ON", "off", "true", "False", "y", "n", "null", "Null", "~", "yesterday", "nobody", "on call"),
    *("0", "7", "-3", "+3", "010", "08", "0o7", "0x1F", "0b11", "1_000", "1:20", "1:20:30", "190:20:30", "9" * 30),
    *("1.5", "1.", ".5", "1e3", "1.0e+3", "1.5e3", ".inf", "-.INF", ".nan", ".", "..", "...", "_", "1_", "0x", "1.2.3"),
    *("2026-11-20", "2026-1-2", "2026-13-45", "2026-11-20 10:30", "2026-11-20 10:30:00", "2026-11-20T10:30:00Z"),
    *("2026-11-20 10:30:00.5 +02:00", "2026-11-20t1:02:03", "20261120", "0001-01-01T00:00:00+23:59"),
    *(
        "=",
        "<<",
        "-",
        "- x",
        "?",
        "? x",
        ":",
        ": x",
        "x:",
        "x: y",
        "x :y",
        "x :",
        "x #y",
        "#x",
        ",",
        "x, y",
        "x,",
        "x ,y",
    ),
    *("&x", "*x", "!x", "!!str 1", "| x", "|", ">", ">-", "%x", "@x", "`x`", "[", "]", "{", "}", "{}", "{a: 1}", "x]"),
    *("'x'", "''", "'it''s'", "'x", "x'", "'x' y", "'a'b'", '"x"', '""', '"a\\nb"', '"x', '"a"b"', "'x: #y'", '" x "'),
    *("[]", "[a]", "[a, b]", "[a,b]", "[ a ]", "[a, ]", "[, a]", "[[a]]", "[a, [b]]", "[{a: 1}]", "[a: b]", "[a:b]"),
    *(
        "['a', \"b\"]",
        "['a, b']",
        "['a'', ''b']",
        "[a #b]",
        "[a#b]",
        "[1, yes, null, 2026-11-20]",
        "[a?]",
        "[-a]",
        "[a",
    ),
    *("[a b, c d]", "[a , b]", "[a,  b]", "[a]b", "[a] ", "[*x]", "[&x a]", "[!x a]", "[']']", "[a, 'b]"),
    *(" x", "x ", "  x  ", "\tx", "x\t", "x\ty", "x\x00", "x\x07", "x\x7f", "x\x85y", "x\xa0", "\xa0x", "x\u2028y"),
    *("x\u2029", "x\ufeff", "\ufeffx", "x\ufffe", "x\ud7ff", "\x1b[31m", "x\x0cy", "x\x1cy", "---", "--- x", "...x"),
)
KEYS = (
    "a",
    "b",
    "id",
    "_x",
    "A1",
    "yes",
    "null",
    "on",
    "y",
    "1",
    "1a",
    "a b",
    "a-b",
    "'a'",
    '"a"',
    "<<",
    "é",
    "a.b",
    "",
)
INDENTS = ("", "", "", " ", "  ", "  ", "    ", "      ", "        ", "\t")

words = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
keys = st.sampled_from(KEYS)
common = st.sampled_from(["x", "1", "yes", "2026-11-20", "[a, b]", "'x: y'"])
lines = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "", "  ", "  ", "    "]) | st.sampled_from(INDENTS),
    st.sampled_from(["", "", "- "]) | st.sampled_from(["", "-", "-  ", "- - "]),
    st.sampled_from(["a: ", "b: ", "c: ", "d:", "e:", ""]) | st.builds("{}: ".format, keys) | st.just("a :"),
    common | common | words | st.just(""),
)
flat_heads = st.dictionaries(st.sampled_from("abcdefgh"), common | words, min_size=1, max_size=4).map(
    lambda meta: "\n".join(f"{key}: {value}" for key, value in meta.items())
)
scraps = st.sampled_from(
    [*":-#,[]{}'\"&*!|>%@`?=~<\\ \n\t\x85\u2028", "\n  ", "\n- ", ": ", " #", "yes", "1:20", "\n\n"]
)


@st.composite
def mutated(draw: st.DrawFn, documents: tuple[str, ...] = REAL) -> str:
    """A real head with a few of its characters, lines and indentations changed."""
    text = draw(st.sampled_from(documents))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        rows = text.split("\n")
        row = draw(st.integers(0, len(rows) - 1))
        match draw(st.sampled_from(["insert", "cut", "twice", "drop", "deeper", "shallower", "value"])):
            case "insert":
                text = text[:at] + draw(scraps) + text[at:]
            case "cut":
                text = text[:at] + text[at + draw(st.integers(1, 3)) :]
            case "twice":
                text = "\n".join([*rows[: row + 1], *rows[row:]])
            case "drop":
                text = "\n".join([*rows[:row], *rows[row + 1 :]])
            case "deeper":
                text = "\n".join([*rows[:row], draw(st.sampled_from([" ", "  "])) + rows[row], *rows[row + 1 :]])
            case "shallower":
                text = "\n".join([*rows[:row], rows[row][1:], *rows[row + 1 :]])
            case "value":
                text = "\n".join([*rows[:row], f"{rows[row].partition(': ')[0]}: {draw(words)}", *rows[row + 1 :]])
    return text
