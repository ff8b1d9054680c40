"""Every reader of JSON takes what others wrote, and nothing that they wrote makes it fail in another way than its own.

The readers stand in one table. A reader either gives what its callers expect, or raises an error of the engine's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings

from tests.fuzz.awkward import CASES, values
from tests.tools.test_conversation import Talk, hold, playing, says, to_the_end, trouble
from watchbill.documents import script
from watchbill.documents.manifest import Entry, Manifest
from watchbill.documents.script import Failed
from watchbill.errors import Damaged, WatchbillError
from watchbill.files import journal, quarantine
from watchbill.layout import Layout
from watchbill.roles import build
from watchbill.roles.evidence import Examiner, _finding
from watchbill.stages import plan
from watchbill.tools import scanners
from watchbill.tools.checks import Checks
from watchbill.tools.model import ModelTrouble
from watchbill.tools.survey import interpreters
from watchbill.tools.survey.place import Place

MANIFEST = Manifest(
    id="build-0001",
    agent="build",
    created=datetime(2026, 11, 20, tzinfo=UTC),
    base=None,
    playbook="",
    agent_version="",
    soft_turns=9,
    hard_turns=9,
    entries=(Entry(ticket="T-0001", order=1, reason="x", turns=3),),
)
SEVERITIES = ("critical", "high", "medium", "low", "info")


def a_manifest(folder: Path, data: bytes) -> None:
    path = folder / "build-0001.json"
    path.write_bytes(data)
    manifest = Manifest.load(path)
    assert manifest.id == "build-0001" and manifest.render()


def a_script(_folder: Path, data: bytes) -> None:
    found = script.parse(data.decode("utf-8", "surrogateescape"))
    assert script.render(found).encode()


def a_journal(folder: Path, data: bytes) -> None:
    path = folder / "build-0001.jsonl"
    path.write_bytes(b'{"event": "turn"}\n' + data.replace(b"\n", b" ") + b'\n{"event": "turn"}\n')
    lines = journal.read(path)
    assert all(isinstance(line, dict) for line in lines)
    assert [lines[0], lines[-1]] == [{"event": "turn"}] * 2, "a spoilt line hides no other"


def a_reason(folder: Path, data: bytes) -> None:
    (folder / "x.reason.json").write_bytes(data)
    [reason] = quarantine.reasons(folder)
    assert all(value.encode() is not None for value in reason.values())


def a_plan(folder: Path, data: bytes) -> None:
    layout = Layout(folder)
    layout.cache.mkdir(parents=True, exist_ok=True)
    layout.planned.write_bytes(data)
    assert isinstance(plan._remembered(layout), dict)


def a_setup(folder: Path, data: bytes) -> None:
    case = cast(Any, SimpleNamespace(workspace=SimpleNamespace(layout=Layout(folder)), ticket="T-0001"))
    path = build._memory(case)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    assert isinstance(build._patterns_for(build._remembered(case)), tuple)


def kept_checks(folder: Path, data: bytes) -> Checks | None:
    settings = SimpleNamespace(checks=SimpleNamespace(setup="", test="true"))
    workspace = cast(Any, SimpleNamespace(layout=Layout(folder), settings=settings))
    examiner = Examiner(workspace, cast(Any, None), cast(Any, SimpleNamespace(name="none")), print)
    path = examiner._kept("a" * 40)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    checks = examiner._checks_of("a" * 40)
    assert checks is None or all(isinstance(name, str) for name in (*checks.passed, checks.why, checks.output))
    return checks


def a_scanners_report(_folder: Path, data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanners, "_report_of", lambda module, *_: scanners._read_report(module, data))
        scan = scanners.scan({"a.py": b"x = 1\n"}, {})
    assert {*scan.ran, *scan.failed} == {"bandit", "detect-secrets"}
    for alert in scan.alerts:
        finding = _finding(alert)
        assert finding.severity in SEVERITIES and finding.model_dump_json()


def an_interpreters_answer(_folder: Path, data: bytes) -> None:
    machine = SimpleNamespace(ask=lambda *_: data.decode("utf-8", "replace"), readable=lambda _: ())
    found = interpreters._installed(Path("/usr/bin/python3"), "here", cast(Any, machine))
    assert found is None or found.program


def a_project(folder: Path, data: bytes) -> None:
    (folder / "package.json").write_bytes(data)
    assert Place(folder).json("package.json") is not None


READERS: list[Callable[[Path, bytes], object]] = [
    a_manifest, a_script, a_journal, a_reason, a_plan, a_setup, kept_checks, a_scanners_report, an_interpreters_answer,
    a_project,
]  # fmt: skip


def read(reader: Callable[[Path, bytes], object], folder: Path, data: bytes) -> None:
    with suppress(WatchbillError):
        reader(folder, data)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize("case", CASES)
def test_awkward_json_is_read_or_refused(reader: Callable[[Path, bytes], object], case: str, tmp_path: Path) -> None:
    read(reader, tmp_path, CASES[case])


# What is read in the one strict way is refused or passed over where it could be read in two.


@pytest.mark.parametrize("again", [b'"id": "build-0001"', b'"id": "build-0002"', b'"\\u0069d": "build-0001"'])
def test_a_manifest_that_says_a_thing_twice_is_damaged(again: bytes, tmp_path: Path) -> None:
    path = tmp_path / "build-0001.json"
    whole = MANIFEST.render()
    path.write_bytes(whole)
    assert Manifest.load(path) == MANIFEST
    path.write_bytes(whole.replace(b"{", b"{" + again + b",", 1))
    with pytest.raises(Damaged, match="the key 'id' stands twice in the same object"):
        Manifest.load(path)
    path.write_bytes(whole.replace(b'"turns": 3', b'"turns": 3, "turns": 300'))
    with pytest.raises(Damaged, match="the key 'turns' stands twice"):
        Manifest.load(path)


def test_a_line_that_says_a_thing_twice_counts_as_torn(tmp_path: Path) -> None:
    path = tmp_path / "build-0001.jsonl"
    path.write_bytes(b'{"event": "turn"}\n{"event": "turn", "event": "none"}\n{"n": NaN}\n{"event": "retry"}\n')
    assert journal.read(path) == [{"event": "turn"}, {"event": "retry"}]


@pytest.mark.parametrize("twice", [b'"results": []', b'"\\u0072esults": []'])
def test_a_scanners_report_that_says_a_thing_twice_is_no_report(twice: bytes) -> None:
    report = b'{"errors": [], "results": [{"issue_severity": "HIGH"}], ' + twice + b"}"
    with pytest.raises(scanners._ScannerFailed, match="the key 'results' stands twice"):
        scanners._read_report("bandit", report)


def test_a_kept_result_of_the_checks_that_says_a_thing_twice_is_made_anew(tmp_path: Path) -> None:
    one = b'"ran": true, "exit_code": 1, "timed_out": false, "junit": true, "passed": [], "failed": ["a"], '
    more = b'"skipped": [], "output": "", "seconds": 1, "why": "", "failures": {}'
    checks = kept_checks(tmp_path, b"{" + one + more + b"}")
    assert checks is not None and checks.failed == ("a",)
    assert kept_checks(tmp_path, b"{" + one + more + b', "failed": []}') is None


KEYS = [
    "results", "errors", "filename", "line_number", "type", "hashed_secret", "issue_severity", "issue_confidence",
    "issue_text", "test_id", "reason", "code/new/000001.py", "text/new/000001.py", "from", "why", "when", "event",
    "ran", "passed", "failed", "skipped", "output", "seconds", "failures", "schema", "id", "agent", "entries", "takes",
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_any_json_is_read_or_refused(
    reader: Callable[[Path, bytes], object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")

    @settings(max_examples=60, deadline=None)
    @given(values(KEYS))
    def check(value: object) -> None:
        read(reader, folder, json.dumps(value).encode())

    check()


# A server may answer anything, and a model may call a tool with anything.

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("case", [case for case in CASES if case not in ("half a character in UTF-8", "not UTF-8")])
def test_awkward_json_from_a_model_server_is_trouble(case: str) -> None:
    text = CASES[case].decode("utf-16" if case == "UTF-16" else "utf-8")
    assert trouble(Talk(), Failed(status=200, headers=JSON, body=text)).kind == "foreign"


@pytest.mark.parametrize("depth", [65, 300, 700, 930, 960, 50_000])
def test_a_call_that_is_nested_without_sense_is_trouble(depth: int) -> None:
    call = f'{{"type": "tool_use", "id": "t", "name": "note", "input": {{"text": {"[" * depth}{"]" * depth}}}}}'
    body = f'{{"id": "m", "type": "message", "role": "assistant", "model": "one", "content": [{call}], \
"stop_reason": "tool_use", "usage": {{"input_tokens": 1, "output_tokens": 1}}}}'
    talk = Talk()
    script = playing(Failed(status=200, headers=JSON, body=body), says("Well."))
    with script as server, pytest.raises(ModelTrouble) as caught:
        hold(server.url, to_the_end(2), talk, ("one",))
    assert caught.value.kind == "foreign" and talk.notes == []
