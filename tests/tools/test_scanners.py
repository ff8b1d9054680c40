"""The security scanners, run for real on made-up files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from watchbill.errors import Refused
from watchbill.tools import scanners
from watchbill.tools.sandbox import Bubblewrap, Capped, Limits, Result
from watchbill.tools.scanners import Alert, Scan, fingerprint, scan

# Put together here, so that a scanner of this project does not find them in this file.
AWS_KEY = "AKIA" + "QX7Z2M4N6P8R3S5T"
GITHUB_TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5"
PRIVATE_KEY = "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----\n"
SHELL = "import subprocess\n\n\ndef run(x):\n    subprocess.run(x, shell=True)\n"


def look(files: Mapping[str, str | bytes], base: Mapping[str, str | bytes] | None = None) -> Scan:
    result = scan(_bytes(files), _bytes(base or {}))
    assert result.failed == {}
    assert result.ran == ("bandit", "detect-secrets")
    return result


def _bytes(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    return {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}


def rules(result: Scan) -> list[str]:
    return [alert.rule for alert in result.alerts]


def the(result: Scan, rule: str) -> Alert:
    return next(alert for alert in result.alerts if alert.rule == rule)


def test_a_new_danger_is_an_alert_with_its_place_and_its_own_severity() -> None:
    alert = the(look({"src/app.py": SHELL}), "B602")
    assert (alert.source, alert.path, alert.line) == ("bandit", "src/app.py", 5)
    assert (alert.severity, alert.confidence) == ("high", 0.9)
    assert alert.evidence == "subprocess.run(x, shell=True)"


def test_nothing_to_look_at_is_no_alert_and_no_failure() -> None:
    assert look({}).alerts == ()
    assert look({"README.md": "Hello.\n", "empty.py": ""}).alerts == ()


def test_what_was_there_before_is_not_reported_even_when_it_moved() -> None:
    moved = f'"""A module."""\n\nWORDS = ["one"]\n{SHELL}'
    assert look({"app.py": moved}, {"app.py": SHELL}).alerts == ()


def test_the_same_danger_once_more_is_new() -> None:
    twice = SHELL + "\n\ndef again(x):\n    subprocess.run(x, shell=True)\n"
    result = look({"app.py": twice}, {"app.py": SHELL})
    assert [(alert.rule, alert.line) for alert in result.alerts] == [("B602", 9)]


def test_a_line_that_became_worse_is_new() -> None:
    fixed = "import subprocess\nsubprocess.run(\n    'ls',\n    shell=True,\n)\n"
    result = look({"app.py": fixed.replace("'ls'", "what")}, {"app.py": fixed})
    assert [(alert.rule, alert.severity) for alert in result.alerts] == [("B602", "high")]


def test_a_fingerprint_stays_when_the_line_moves_and_changes_with_anything_else() -> None:
    alert = the(look({"app.py": SHELL}), "B602")
    moved = the(look({"app.py": "\n\n" + SHELL.replace("    sub", "        sub")}), "B602")
    assert moved.line != alert.line
    assert fingerprint(moved) == fingerprint(alert)
    others = [replace(alert, path="b.py"), replace(alert, rule="B603"), replace(alert, evidence="other")]
    others.append(replace(alert, source="detect-secrets"))
    assert len({fingerprint(each) for each in (alert, *others)}) == 5


def test_a_nosec_comment_does_not_hide_anything() -> None:
    result = look({"app.py": SHELL.replace("True)", "True)  # nosec B602")})
    assert "B602" in rules(result)


def test_a_nosec_comment_added_to_an_old_line_does_not_hide_the_worse_line_it_comes_with() -> None:
    base = SHELL.replace("shell=True", "shell=False")
    assert "B602" in rules(look({"app.py": SHELL.replace("True)", "True)  # nosec")}, {"app.py": base}))


@pytest.mark.parametrize("comment", ["  # pragma: allowlist secret", "  # pragma: whitelist secret"])
def test_an_allowlist_comment_does_not_hide_a_secret(comment: str) -> None:
    assert "AWS Access Key" in rules(look({"app.py": f'KEY = "{AWS_KEY}"{comment}\n'}))


def test_an_allowlist_comment_on_the_line_before_does_not_hide_a_secret() -> None:
    files = {"app.py": f'# pragma: allowlist nextline secret\nKEY = "{AWS_KEY}"\n'}
    assert "AWS Access Key" in rules(look(files))


def test_a_call_around_a_secret_does_not_hide_it() -> None:
    assert "AWS Access Key" in rules(look({"app.py": f'client = connect("{AWS_KEY}")\n'}))


def test_settings_in_the_change_silence_nothing() -> None:
    settings = {
        ".bandit": "[bandit]\nskips = B602,B404\nexclude = /\n",
        "pyproject.toml": '[tool.bandit]\nskips = ["B602"]\nexclude_dirs = ["src"]\n',
        "bandit.yaml": "skips: [B602]\n",
        "setup.cfg": "[bandit]\nskips = B602\n",
        ".secrets.baseline": "{}",
        ".git/x.py": SHELL,
        "src/.tox/__pycache__/app.egg/app.py": SHELL + f'KEY = "{AWS_KEY}"\n',
    }
    result = look(settings)
    assert [alert.path for alert in result.alerts if alert.rule == "B602"] == [
        ".git/x.py",
        "src/.tox/__pycache__/app.egg/app.py",
    ]
    assert "AWS Access Key" in rules(result)


def test_a_module_in_the_change_is_never_imported(tmp_path: Path) -> None:
    trap = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n"
    look(dict.fromkeys(("yaml.py", "bandit.py", "json.py", "detect_secrets/__init__.py", "sitecustomize.py"), trap))
    assert not (tmp_path / "sprung").exists()


def test_the_folder_of_the_copies_is_not_on_the_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curious = tmp_path / "python"
    show = "import sys; sys.exit(repr([path for path in sys.path if 'watchbill-scan-' in path or not path]))"
    curious.write_text(f'#!/bin/sh\n[ "$1" = -P ] && set -- -P -c "{show}"\nexec {sys.executable} "$@"\n')
    curious.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(curious))
    result = scan({"app.py": SHELL.encode()}, {})
    assert result.failed["bandit"].endswith(": []")


def test_nothing_of_our_environment_reaches_a_scanner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from PYTHONPATH')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert "B602" in rules(look({"app.py": SHELL}))
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("path", ["../app.py", "/etc/app.py", "a/../../b.py", "", "a\0b.py"])
def test_a_path_out_of_the_repository_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        scan({path: b""}, {})
    with pytest.raises(Refused):
        scan({}, {path: b""})


def test_odd_names_are_scanned_and_reported_as_they_are() -> None:
    odd = [
        "-r.py",
        "a b.py",
        "new\nline.py",
        "ünïcode.py",
        "q'uote\".py",
        "x" * 250 + ".py",
        "--ini=x.py",
        "*.py",
        ".py",
    ]
    result = look(dict.fromkeys(odd, SHELL))
    assert sorted(alert.path for alert in result.alerts if alert.rule == "B602") == sorted(odd)


def test_a_name_that_is_no_unicode_is_scanned() -> None:
    name = os.fsdecode(b"caf\xe9.py")
    alert = the(look({name: SHELL}), "B602")
    assert alert.path == name
    assert fingerprint(alert)


def test_a_python_program_without_the_ending_is_scanned() -> None:
    assert "B602" in rules(look({"bin/run": "#!/usr/bin/env python3\n" + SHELL}))


def test_a_file_that_bandit_cannot_read_is_an_alert_unless_it_was_so_before() -> None:
    broken = "def f(:\n"
    alert = the(look({"app.py": broken}), "not-scanned")
    assert (alert.source, alert.severity, alert.path, alert.line) == ("bandit", "low", "app.py", 0)
    assert "syntax error" in alert.evidence
    assert look({"app.py": broken + "\n"}, {"app.py": broken}).alerts == ()


def test_asserts_in_tests_and_mere_imports_are_info() -> None:
    result = look({"tests/test_a.py": "import subprocess\nassert subprocess\n", "a.py": "assert True\n"})
    assert [(alert.path, alert.rule, alert.severity) for alert in result.alerts] == [
        ("a.py", "B101", "low"),
        ("tests/test_a.py", "B404", "info"),
        ("tests/test_a.py", "B101", "info"),
    ]


@pytest.mark.parametrize(
    ("content", "rule", "severity"),
    [
        (PRIVATE_KEY, "Private Key", "high"),
        (f"key is {AWS_KEY}\n", "AWS Access Key", "high"),
        (f"key is {GITHUB_TOKEN}\n", "GitHub Token", "high"),
        ("url = postgres://me:hunter2pass@db/x\n", "Basic Auth Credentials", "medium"),
        ("DB_PASSWORD=tr0ub4dor3xyz\n", "Secret Keyword", "medium"),
        ("x = '0a1b2c3d4e5f60718293a4b5c6d7e8f9'\n", "Hex High Entropy String", "low"),
    ],
)
def test_secrets_have_the_severity_of_what_they_open(content: str, rule: str, severity: str) -> None:
    assert the(look({".env": content}), rule).severity == severity


def test_a_sample_password_in_a_test_is_low_but_a_key_there_is_not() -> None:
    result = look({"tests/data/.env.test": f"DB_PASSWORD=tr0ub4dor3xyz\nkey {AWS_KEY}\n"})
    assert (the(result, "Secret Keyword").severity, the(result, "AWS Access Key").severity) == ("low", "high")


def test_asking_for_a_password_tells_none() -> None:
    source = 'password = ask_the_owner()\npassword = os.environ["DB_PASSWORD"]\npassword: getpass(prompt)\n'
    assert look({"a.go": source, "a.conf": source, "a.py": source}).alerts == ()


def test_no_secret_is_shown_in_full() -> None:
    password, url = "hunter2pass", "postgres://me:s3cr3tw0rd@db/x"
    source = (
        f'import subprocess, requests\npassword = "{password}"\n\n\n'
        f'def f(x, password="{password}", token="{GITHUB_TOKEN}"):\n'
        f'    subprocess.run(x + "{AWS_KEY}", shell=True)\n    requests.get("{url}")\n'
        f'    requests.get("http://x", auth=("me", "{password}"))\n    login(password="{password}")\n'
    )
    result = look({"app.py": source, ".env": f"PASSWORD={password}\n", "key.pem": PRIVATE_KEY})
    assert {"B105", "B106", "B107", "B113", "B602", "AWS Access Key", "GitHub Token", "Private Key"} <= set(
        rules(result)
    )
    shown = "\n".join(f"{alert.title} {alert.evidence}" for alert in result.alerts)
    for secret in (password, AWS_KEY, GITHUB_TOKEN, "s3cr3tw0rd"):
        assert secret not in shown
        assert secret[:10] not in shown
    assert the(result, "AWS Access Key").evidence.startswith("AKIA…")


def test_a_password_over_several_lines_is_not_shown() -> None:
    result = look({"app.py": 'password = """\ncorrecthorse\nbatterystaple"""\n'})
    assert "horse" not in "".join(f"{alert.title}{alert.evidence}" for alert in result.alerts)


def test_another_key_in_place_of_an_old_one_is_new() -> None:
    other = AWS_KEY[:-1] + "U"
    result = look({"a.txt": f"key {other}\n"}, {"a.txt": f"key {AWS_KEY}\n"})
    assert rules(result) == ["AWS Access Key"]
    assert fingerprint(result.alerts[0]) != fingerprint(look({"a.txt": f"key {AWS_KEY}\n"}).alerts[0])


def test_an_old_secret_that_moved_is_not_new() -> None:
    assert look({"a.txt": f"\n\nkey {AWS_KEY}\n"}, {"a.txt": f"key {AWS_KEY}\n"}).alerts == ()


@pytest.mark.parametrize("name", ["a.yaml", "a.ini", "a.txt", "a.toml", "a.py"])
def test_a_secret_in_a_comment_is_found(name: str) -> None:
    files = {name: f"# was {GITHUB_TOKEN}\n[a]\nb = 1\n" if name != "a.yaml" else f"# was {GITHUB_TOKEN}\na: 1\n"}
    assert the(look(files), "GitHub Token").line == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe odd bytes\nkey " + AWS_KEY.encode() + b"\n",
        b"odd \xe9 byte\nkey " + AWS_KEY.encode() + b"\n",
        b"nul \0 byte\nkey " + AWS_KEY.encode() + b"\n",
        f"wide\nkey {AWS_KEY}\n".encode("utf-16"),
        f"wide\nkey {AWS_KEY}\n".encode("utf-16-le"),
        b"\rone\rkey " + AWS_KEY.encode(),
    ],
)
def test_an_odd_encoding_does_not_hide_a_secret(content: bytes) -> None:
    if content.startswith(b"\xff\xfe odd"):
        content = content.replace(b"\xff\xfe", b"\xfe\xfa")
    assert "AWS Access Key" in rules(look({"a.txt": content}))


@pytest.mark.parametrize("name", ["logo.png", "a.zip", "package-lock.json", "swagger-ui.html", "a.lock"])
def test_a_name_does_not_hide_a_secret(name: str) -> None:
    assert "AWS Access Key" in rules(look({name: f"key {AWS_KEY}\n"}))


def test_checksums_in_a_lock_file_are_no_secrets() -> None:
    line = '"integrity": "0a1b2c3d4e5f60718293a4b5c6d7e8f9"\n'
    assert look({"web/package-lock.json": line}).alerts == ()
    assert rules(look({"web/other.json": line})) == ["Hex High Entropy String"]


def test_a_secret_in_a_very_long_line_is_found_on_its_line() -> None:
    for offset in (3_480, 3_490, 3_990, 100_000):
        line = "\n" + "a " * (offset // 2) + AWS_KEY + " b" * 50_000
        assert the(look({"bundle.js": line}), "AWS Access Key").line == 2


def test_a_line_made_to_be_slow_does_not_stop_the_scan() -> None:
    assert "AWS Access Key" in rules(look({"a.txt": '"' * 100_000 + "password" * 5_000 + f"\nkey {AWS_KEY}\n"}))


def test_a_file_too_large_to_scan_is_said_once() -> None:
    large = b"a\n" * 500_001
    alert = the(look({"a.txt": large}), "not-scanned")
    assert (alert.source, alert.path, alert.severity) == ("detect-secrets", "a.txt", "low")
    assert look({"a.txt": large + b"b"}, {"a.txt": large}).alerts == ()


def test_many_alike_in_one_file_are_few_alerts_and_a_count() -> None:
    many = "".join(f"assert {number}\n" for number in range(50))
    alerts = look({"a.py": many}).alerts
    assert len(alerts) == scanners.MAX_ALIKE
    assert "(and 30 more in this file)" in alerts[-1].title


def test_a_scanner_that_takes_too_long_has_failed_and_says_so() -> None:
    result = scan({"app.py": SHELL.encode()}, {}, timeout_seconds=0.01)
    assert result.ran == () and result.alerts == ()
    assert set(result.failed) == {"bandit", "detect-secrets"}
    assert "time" in result.failed["bandit"]


def test_a_scanner_that_is_not_there_has_failed_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    result = scan({"app.py": SHELL.encode()}, {})
    assert result.ran == ()
    assert "No module named" in result.failed["bandit"]
    assert "No module named" in result.failed["detect-secrets"]


def test_one_scanner_that_fails_leaves_the_other_its_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = tmp_path / "python"
    half.write_text(f'#!/bin/sh\ncase "$*" in *bandit*) echo not json; exit 0;; esac\nexec {sys.executable} "$@"\n')
    half.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(half))
    result = scan({"app.py": f'KEY = "{AWS_KEY}"\n'.encode()}, {})
    assert result.ran == ("detect-secrets",) and set(result.failed) == {"bandit"}
    assert "AWS Access Key" in rules(result)


def test_a_scanner_that_never_stops_writing_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loud = tmp_path / "python"
    loud.write_text("#!/bin/sh\nwhile :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done\n")
    loud.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(loud))
    monkeypatch.setattr(scanners, "MAX_OUTPUT_BYTES", 10_000)
    result = scan({"app.py": SHELL.encode()}, {})
    assert "10000 bytes" in result.failed["bandit"]


def test_the_same_files_give_the_same_alerts_in_the_same_order() -> None:
    files = {f"{name}.py": SHELL + f'KEY = "{AWS_KEY}"\npassword = "hunter2pass"\n' for name in "cab"}
    first = look(files)
    assert first == look(dict(reversed(list(files.items()))))
    assert len(first.alerts) > 10


def test_scanners_run_in_the_sandbox_that_they_are_given() -> None:
    asked: list[Path] = []

    class Watched(Bubblewrap):
        def run(self, command: Any, worktree: Path, limits: Limits, **more: Any) -> Result:
            asked.append(worktree)
            return super().run(command, worktree, limits, **more)

        def also_reading(self, folders: Sequence[Path]) -> Watched:
            return Watched([*self._read, *folders])

    files = {"app.py": SHELL.encode(), "key.txt": f"key {AWS_KEY}\n".encode()}
    inside = scan(files, {}, sandbox=Capped(Watched(), Limits()))
    assert len(asked) == 2
    assert inside == scan(files, {})
    assert {"bandit", "detect-secrets"} == set(inside.ran)


def test_a_scanner_that_cannot_work_in_the_sandbox_has_failed_and_says_so() -> None:
    files = {"app.py": SHELL.encode()}
    late = scan(files, {}, sandbox=Bubblewrap(), timeout_seconds=0.01)
    assert "time" in late.failed["bandit"]
    full = scan(files, {}, sandbox=Capped(Bubblewrap(), Limits(file_bytes=1)))
    assert full.ran == () and "ended with" in full.failed["bandit"]
