"""The user's own checks: their set-up command and their tests, run through a sandbox.

Owns the two commands, the fresh place for the test results, and reading those results with bounds. It never runs
anything outside a sandbox, and never decides what a failure means.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from xml.parsers import expat

from watchbill.tools.sandbox import Limits, Result, Sandbox, clean_text, cut_middle

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PLACEHOLDER = "{junit}"

_MAX_XML_BYTES = 16 * 1024 * 1024
_MAX_DEPTH = 64
_MAX_ELEMENTS = 500_000
_MAX_NAME = 500
_MAX_DETAILS = 50
_DETAIL_LINES = 30
_MAX_DETAIL = 3_000
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127


@dataclass(frozen=True)
class Checks:
    """What the checks did. `ran` says that they gave an answer; `why` says in a sentence why not, or what is odd.

    `exit_code` is that of the last command that ran, None if it was stopped or none ran. `junit` says whether there
    were results to read; only then are there names, each "classname::name" and in one group only: failed before
    skipped before passed. `failures` has the message and the first lines of the traceback by name, for the first
    fifty. `output` is that of the last command. `seconds` is wall time of both commands.
    """

    ran: bool
    exit_code: int | None
    timed_out: bool
    junit: bool
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]
    output: str
    seconds: float
    why: str
    failures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class TestResults:
    """The content of a JUnit file; the fields are those of Checks."""

    __test__ = False  # pytest, this is not a test

    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class UnreadableResults(Exception):
    """A JUnit file that cannot be used. Its text completes "The test results "."""


def run_checks(
    sandbox: Sandbox,
    worktree: Path,
    setup: str,
    test: str,
    timeout_seconds: float,
    network: Collection[str],
) -> Checks:
    """Run `setup` (when there is one) and then `test` in `worktree`, each for at most `timeout_seconds`.

    `network` may hold "setup" and "test": the commands that get the network. `{junit}` in `test` becomes the path
    of a file that did not exist before; the results are read from there. Without it only the exit code counts.
    Raises what the sandbox raises when it cannot start; everything that the commands do is in the answer.
    """
    if not test.strip():
        return _answer(ran=False, why="No test command is set ([checks] test).")
    limits = Limits(seconds=timeout_seconds)
    started = time.monotonic()
    if setup.strip():
        done = sandbox.run(setup, worktree, limits, network="setup" in network)
        if done.exit_code != 0:
            return _answer(False, _why_stopped("set-up", done, timeout_seconds), done, time.monotonic() - started)
    with _fresh_folder() as folder:
        file = folder / "junit.xml"
        command = test.replace(PLACEHOLDER, shlex.quote(str(file)))
        done = sandbox.run(command, worktree, limits, network="test" in network, write=[folder])
        seconds = time.monotonic() - started
        if done.exit_code in (None, _NOT_EXECUTABLE, _NOT_FOUND):
            return _answer(False, _why_stopped("test", done, timeout_seconds), done, seconds)
        if PLACEHOLDER not in test:
            return _answer(True, "", done, seconds)
        try:
            results = parse_junit(_read_results(file))
        except UnreadableResults as error:
            why = f"The test command ended with exit code {done.exit_code}, but its results {error}"
            return _answer(False, why, done, seconds)
    return _answer(True, _what_is_odd(done, results), done, seconds, results)


def _answer(
    ran: bool, why: str, done: Result | None = None, seconds: float = 0.0, results: TestResults | None = None
) -> Checks:
    found = results or TestResults()
    return Checks(
        ran=ran,
        exit_code=done.exit_code if done else None,
        timed_out=done.timed_out if done else False,
        junit=results is not None,
        passed=found.passed,
        failed=found.failed,
        skipped=found.skipped,
        output=done.output if done else "",
        seconds=seconds,
        why=why,
        failures=found.failures,
    )


def _why_stopped(which: str, done: Result, timeout_seconds: float) -> str:
    why = _why_it_ended(which, done, timeout_seconds)
    return " ".join([why, *(f"{sentence[0].upper()}{sentence[1:]}." for sentence in done.limited)])


def _why_it_ended(which: str, done: Result, timeout_seconds: float) -> str:
    if done.timed_out:
        return f"The {which} command did not end within {timeout_seconds:g} seconds and was stopped."
    if done.exit_code is None:
        return f"The {which} command was stopped before its end."
    if done.exit_code == _NOT_FOUND:
        return f"The {which} command, or a command in it, was not found in the sandbox (exit code 127)."
    if done.exit_code == _NOT_EXECUTABLE:
        return f"The {which} command, or a command in it, is not executable (exit code 126)."
    return f"The {which} command failed with exit code {done.exit_code}."


def _what_is_odd(done: Result, results: TestResults) -> str:
    if done.exit_code == 0 and results.failed:
        return "The test command ended with exit code 0 although tests failed."
    if not (results.passed or results.failed or results.skipped):
        return f"No test was found (exit code {done.exit_code})."
    if done.exit_code != 0 and not results.failed:
        return f"The test command ended with exit code {done.exit_code} although no test failed."
    return ""


@contextlib.contextmanager
def _fresh_folder() -> Iterator[Path]:
    """A new folder, gone afterwards whatever was put into it."""
    folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="watchbill-results-")))
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    folder.chmod(0o700)
    for place, folders, _ in os.walk(folder):
        for name in folders:
            inner = Path(place, name)
            if not inner.is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _read_results(file: Path) -> bytes:
    """The bytes of `file`, which a hostile command may have written: no link, pipe or device is opened."""
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer for ever.
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnreadableResults("were not written.") from None
    except OSError as error:
        raise UnreadableResults(f"cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableResults("are not a file.")
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(_MAX_XML_BYTES + 1)
    if len(data) > _MAX_XML_BYTES:
        raise UnreadableResults(f"are larger than {_MAX_XML_BYTES // (1024 * 1024)} MiB.")
    return data


def parse_junit(data: bytes) -> TestResults:
    """The tests named in a JUnit XML file. Raises UnreadableResults when it is anything else."""
    from xml.etree import ElementTree

    from junitparser import TestCase

    _refuse_bombs(data)
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UnreadableResults(f"are not XML: {error}.") from error
    if root.tag not in ("testsuites", "testsuite"):
        raise UnreadableResults(f"are not JUnit XML: they begin with <{clean_text(root.tag.encode())[:80]}>.")
    verdicts: dict[str, str] = {}
    failures: dict[str, str] = {}
    for element in root.iter("testcase"):
        case = TestCase.fromelem(element)  # type: ignore[no-untyped-call]
        name = _name(element)
        verdict = "failed" if case.is_failure or case.is_error else "skipped" if case.is_skipped else "passed"
        verdicts[name] = _worse(verdicts.get(name), verdict)
        if verdict == "failed" and name not in failures and len(failures) < _MAX_DETAILS:
            failures[name] = _detail(element)
    return TestResults(
        passed=tuple(name for name, verdict in verdicts.items() if verdict == "passed"),
        failed=tuple(name for name, verdict in verdicts.items() if verdict == "failed"),
        skipped=tuple(name for name, verdict in verdicts.items() if verdict == "skipped"),
        failures=MappingProxyType(failures),
    )


def _worse(known: str | None, verdict: str) -> str:
    order = ("failed", "skipped", "passed")
    return verdict if known is None else min(known, verdict, key=order.index)


def _refuse_bombs(data: bytes) -> None:
    """Read through `data` once without building anything. Raises UnreadableResults for entities, depth and number."""
    depth = elements = 0

    def begin(_tag: str, _attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth += 1
        elements += 1
        if depth > _MAX_DEPTH:
            raise UnreadableResults(f"are nested deeper than {_MAX_DEPTH} levels.")
        if elements > _MAX_ELEMENTS:
            raise UnreadableResults(f"have more than {_MAX_ELEMENTS:,} elements.")

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_words: object) -> None:
        raise UnreadableResults("contain a document type, which could define entities.")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise UnreadableResults(f"are not XML: {error}.") from error


def _name(case: Element) -> str:
    name = "::".join(_line(case.get(key, "")) for key in ("classname", "name"))
    return cut_middle(name, _MAX_NAME).replace("\n", " ")


def _line(text: str) -> str:
    return " ".join(clean_text(text.encode("utf-8", errors="replace")).split())


def _detail(case: Element) -> str:
    """The message and the first lines of each failure and error, cleaned and cut."""
    parts: list[str] = []
    for result in case.iter():
        if result.tag in ("failure", "error"):
            lines = (result.text or "").strip().splitlines()
            shown = lines[:_DETAIL_LINES] + (["[...]"] if len(lines) > _DETAIL_LINES else [])
            parts += [result.get("message", ""), *shown]
    text = clean_text("\n".join(part for part in parts if part).encode("utf-8", errors="replace"))
    return cut_middle(text, _MAX_DETAIL)
