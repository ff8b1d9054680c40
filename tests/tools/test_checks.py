"""The user's checks, with a real pytest in the real sandbox, and with results written by somebody hostile."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbill.tools import checks as checks_module
from watchbill.tools.checks import Checks, TestResults, UnreadableResults, parse_junit, run_checks
from watchbill.tools.sandbox import Bubblewrap, Unconfined

PYTEST = "python -m pytest -q -p no:cacheprovider --junitxml={junit}"


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    folder = tmp_path / "a wörktree"
    folder.mkdir()
    return folder


def check(worktree: Path, test: str, setup: str = "", seconds: float = 60, network: Sequence[str] = ()) -> Checks:
    return run_checks(Bubblewrap([Path(sys.prefix)]), worktree, setup, test, seconds, network)


def writes(xml: str) -> str:
    return f"cat > {{junit}} <<'END'\n{xml}\nEND\n"


# Real pytest


def test_each_test_of_the_project_is_named(worktree: Path) -> None:
    (worktree / "test_it.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2, 'one is not two'\n"
        "@pytest.fixture\ndef broken(): raise RuntimeError('no fixture')\n"
        "def test_error(broken): pass\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
    )
    checks = check(worktree, PYTEST)
    assert (checks.ran, checks.exit_code, checks.timed_out, checks.junit, checks.why) == (True, 1, False, True, "")
    assert checks.passed == ("test_it::test_good",)
    assert checks.failed == ("test_it::test_bad", "test_it::test_error")
    assert checks.skipped == ("test_it::test_skipped",)
    assert "one is not two" in checks.failures["test_it::test_bad"]
    assert "no fixture" in checks.failures["test_it::test_error"]
    assert "1 passed" in checks.output
    assert checks.seconds > 0


def test_no_test_collected_is_an_answer_with_no_tests(worktree: Path) -> None:
    checks = check(worktree, PYTEST)
    assert (checks.ran, checks.exit_code, checks.junit) == (True, 5, True)
    assert checks.passed == checks.failed == checks.skipped == ()
    assert "No test was found" in checks.why


def test_a_usage_error_of_pytest_is_no_answer(worktree: Path) -> None:
    checks = check(worktree, PYTEST + " --no-such-option")
    assert (checks.ran, checks.exit_code) == (False, 4)
    assert "results were not written" in checks.why


# Commands


def test_without_the_placeholder_only_the_exit_code_counts(worktree: Path) -> None:
    for code in (0, 1, 5):
        checks = check(worktree, f"echo said; exit {code}")
        assert (checks.ran, checks.exit_code, checks.junit, checks.output) == (True, code, False, "said\n")


def test_set_up_comes_first_and_its_work_stays(worktree: Path) -> None:
    assert check(worktree, "test -f made", setup="touch made").exit_code == 0


def test_a_failed_set_up_is_told_apart_and_stops_there(worktree: Path) -> None:
    checks = check(worktree, "touch tested", setup="echo cannot; exit 9")
    assert (checks.ran, checks.exit_code, checks.output) == (False, 9, "cannot\n")
    assert checks.why == "The set-up command failed with exit code 9."
    assert not (worktree / "tested").exists()


def test_no_test_command_is_no_answer(worktree: Path) -> None:
    checks = check(worktree, " ", setup="touch made")
    assert not checks.ran
    assert "No test command" in checks.why
    assert not (worktree / "made").exists()


def test_a_test_command_that_is_not_found_is_told_apart(worktree: Path) -> None:
    (worktree / "plain").write_text("no program")
    for command, code, reason in (("no-such-runner {junit}", 127, "not found"), ("./plain", 126, "not executable")):
        checks = check(worktree, command)
        assert (checks.ran, checks.exit_code) == (False, code)
        assert reason in checks.why


@pytest.mark.parametrize("sandbox", [Bubblewrap(), Unconfined()], ids=lambda box: str(box.name))
def test_a_time_out_kills_a_grandchild_that_ignores_sigterm(sandbox: Bubblewrap | Unconfined, worktree: Path) -> None:
    mark = f"grandchild-{secrets.token_hex(8)}"
    deaf = "trap '' TERM; touch begun; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done"
    (worktree / "deaf.sh").write_text(deaf)
    checks = run_checks(sandbox, worktree, "", f"setsid sh deaf.sh {mark} & wait", 1, ())
    assert (checks.ran, checks.timed_out, checks.exit_code) == (False, True, None)
    assert checks.why == "The test command did not end within 1 seconds and was stopped."
    assert (worktree / "begun").exists()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in read_if_there(path)]


def read_if_there(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def test_the_network_goes_to_the_named_command_only(worktree: Path) -> None:
    def interfaces(network: Sequence[str]) -> tuple[str, str]:
        count = "readlink /proc/self/ns/net"
        done = check(worktree, count, setup=f"{count} > of-setup", network=network)
        return (worktree / "of-setup").read_text(), done.output

    host = str(Path("/proc/self/ns/net").readlink()) + "\n"
    for network in ((), ("setup",), ("test",)):
        of_setup, of_test = interfaces(network)
        assert (of_setup == host, of_test == host) == ("setup" in network, "test" in network)


# Where the results come from


def test_results_planted_earlier_are_never_read(worktree: Path) -> None:
    passed = '<testsuite><testcase classname="a" name="b"/></testsuite>'
    plant = f"mkdir -p /tmp/x; echo '{passed}' | tee junit.xml results.xml /tmp/junit.xml /tmp/x/junit.xml"
    first = check(worktree, plant + "; " + writes(passed), setup=plant)
    assert first.passed == ("a::b",)
    again = check(worktree, "test -n {junit}", setup=plant)
    assert (again.ran, again.exit_code, again.junit, again.passed) == (False, 0, False, ())
    assert again.why == "The test command ended with exit code 0, but its results were not written."


def test_each_run_has_a_place_of_its_own_that_is_gone_afterwards(worktree: Path) -> None:
    places = {
        check(worktree, "echo {junit}; mkdir -p $(dirname {junit})/deep/er; chmod 0 $(dirname {junit})/deep").output
    }
    places.add(check(worktree, "echo {junit}").output)
    assert len(places) == 2
    for place in places:
        assert not Path(place.strip()).parent.exists()


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("ln -s {secret} {{junit}}", "cannot be opened"),
        ("mkfifo {{junit}}", "are not a file"),
        ("mkdir {{junit}}", "are not a file"),
        ("ln -s /dev/zero {{junit}}", "cannot be opened"),
        ("truncate -s 100M {{junit}}", "are larger than"),
    ],
)
def test_results_that_are_no_plain_file_are_not_opened(
    worktree: Path, tmp_path: Path, attack: str, reason: str
) -> None:
    secret = tmp_path / "secret.xml"
    secret.write_text('<testsuite><testcase classname="a" name="secret"/></testsuite>')
    checks = check(worktree, attack.format(secret=secret))
    assert not checks.ran
    assert reason in checks.why


def test_the_temporary_folder_may_have_an_awkward_name(
    worktree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward = tmp_path / "it's $HOME; `id`"
    awkward.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(awkward))
    assert check(worktree, writes('<testsuite><testcase name="a"/></testsuite>')).passed == ("::a",)


# What the results say


def test_odd_ends_are_told() -> None:
    def why(code: int, xml: str) -> str:
        from watchbill.tools.sandbox import Result

        return checks_module._what_is_odd(Result(code, "", False, False), parse_junit(xml.encode()))

    bad = '<testsuite><testcase name="a"><failure/></testcase></testsuite>'
    good = '<testsuite><testcase name="a"/></testsuite>'
    assert why(0, good) == why(1, bad) == ""
    assert "although tests failed" in why(0, bad)
    assert "although no test failed" in why(2, good)


def test_a_name_that_failed_once_has_failed() -> None:
    xml = (
        b'<testsuites><testsuite><testcase classname="c" name="n"><failure message="first"/></testcase>'
        b'<testcase classname="c" name="n"/><testcase classname="c" name="s"/>'
        b'<testcase classname="c" name="s"><skipped/></testcase></testsuite>'
        b'<testsuite><testsuite><testcase classname="c" name="n"/></testsuite></testsuite></testsuites>'
    )
    results = parse_junit(xml)
    assert (results.passed, results.failed, results.skipped) == ((), ("c::n",), ("c::s",))
    assert dict(results.failures) == {"c::n": "first"}


def test_details_and_names_are_clean_and_bounded() -> None:
    many = "".join(
        f'<testcase classname="c" name="n{i}"><failure message="m">{"line&#10;" * 500}</failure></testcase>'
        for i in range(200)
    )
    long = f'<testcase classname="c" name={quoteattr("x" * 10_000)}/><testcase name="bidi&#x9b;31m &#10;y"/>'
    results = parse_junit(f"<testsuite>{many}{long}</testsuite>".encode())
    assert len(results.failed) == 200
    assert len(results.failures) == 50
    assert all(len(text) <= 3_000 and text.count("\n") <= 32 for text in results.failures.values())
    assert all(len(name) <= 500 for name in results.passed)
    assert "::bidi y" in results.passed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no xml",
        b"<testsuite><testcase></testsuite>",
        b"<html/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite>&a;</testsuite>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x []><testsuite/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="no-such"?><testsuite/>',
        b"<testsuite>" * 100_000,
        b"<testsuite>" * 100 + b"</testsuite>" * 100,
        b"<testsuite>" + b"<a/>" * 500_001 + b"</testsuite>",
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_what_is_not_junit_is_said_and_never_raised(data: bytes, worktree: Path) -> None:
    with pytest.raises(UnreadableResults):
        parse_junit(data)
    (worktree / "planted").write_bytes(data)
    checks = check(worktree, "cp planted {junit}")
    assert (checks.ran, checks.exit_code, checks.junit) == (False, 0, False)
    assert checks.why.startswith("The test command ended with exit code 0, but its results ")


def test_a_document_type_inside_a_failure_is_only_text() -> None:
    xml = b'<testsuite><testcase name="a"><failure><![CDATA[<!DOCTYPE html>]]></failure></testcase></testsuite>'
    assert parse_junit(xml).failures == {"::a": "<!DOCTYPE html>"}


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text(alphabet='<>/="testcaseuifr &;![]', max_size=200).map(str.encode))
def test_any_bytes_are_results_or_unreadable(data: bytes) -> None:
    try:
        assert isinstance(parse_junit(data), TestResults)
    except UnreadableResults as error:
        assert str(error)
