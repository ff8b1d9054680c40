"""The security scanners: what bandit and detect-secrets say about the files that a change touched.

Owns how the two are run (on copies under invented names, in a private folder, in the sandbox) and what
their words mean in ours. It looks only at content that it is given, never reads the repository or its settings, never
follows a comment that asks it to look away, never uses the network, and never decides what happens next.

How severities are mapped, and why:

- bandit says HIGH, MEDIUM or LOW itself, and how sure it is: .9, .6 or .3. An `assert` in a test is info, for that is
  what tests are made of; and so is a mere import of a module (B401-B415), for its use has a rule of its own.
- detect-secrets has no severities. What has the shape that one service gives to its keys, and a private key, is high:
  it is rarely anything else and opens a door today. A JSON web token, a password in a URL, or a value beside a word
  such as "password" is medium, for half of them are samples; in a test they are low. A string that merely looks random
  is low. A public address is no secret. Nothing is critical: whether a key still works cannot be known offline.
- A file that a scanner could not read is an alert of its own (rule `not-scanned`), so that nothing hides behind it.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from watchbill import strict_json
from watchbill.errors import Refused
from watchbill.tools.sandbox import Limits, Sandbox, also_reading, interpreter_folders

MAX_TEXT_BYTES = 1_000_000
MAX_OUTPUT_BYTES = 64 * 1024 * 1024
MAX_LINE, OVERLAP = 4_000, 500
MAX_ALIKE = 20
NOT_SCANNED = "not-scanned"

# Only these endings mean something to detect-secrets; some others make it look away, so a copy never has them.
_KNOWN_ENDINGS = frozenset(
    {".c", ".cf", ".cfg", ".cls", ".cnf", ".conf", ".cpp", ".cs", ".example", ".eyaml", ".go", ".ini", ".java", ".js"}
    | {".m", ".php", ".properties", ".py", ".pyi", ".swift", ".tf", ".toml", ".yaml", ".yml"}
)
_YAML = frozenset({".yaml", ".yml", ".eyaml"})
# A lock file is full of checksums, which look random and are no secrets.
_LOCK_FILES = frozenset(
    {"Brewfile.lock.json", "Cargo.lock", "Cartfile.resolved", "composer.lock", "Gemfile.lock", "go.sum"}
    | {"npm-shrinkwrap.json", "Package.resolved", "package-lock.json", "Pipfile.lock", "pnpm-lock.yaml"}
    | {"Podfile.lock", "poetry.lock", "uv.lock", "yarn.lock"}
)
_KEYWORD = "Secret Keyword"
# What may be seen in checksums and in binary data by chance.
_GUESSES = frozenset({"Base64 High Entropy String", "Hex High Entropy String", _KEYWORD})
_SECRETS: dict[str, tuple[str, float]] = {
    "Private Key": ("high", 0.9),
    "Artifactory Credentials": ("high", 0.6),
    "AWS Access Key": ("high", 0.9),
    "Azure Storage Account access key": ("high", 0.9),
    "Cloudant Credentials": ("high", 0.6),
    "Discord Bot Token": ("high", 0.6),
    "GitHub Token": ("high", 0.9),
    "GitLab Token": ("high", 0.9),
    "IBM Cloud IAM Key": ("high", 0.6),
    "IBM COS HMAC Credentials": ("high", 0.6),
    "Mailchimp Access Key": ("high", 0.6),
    "NPM tokens": ("high", 0.9),
    "OpenAI Token": ("high", 0.9),
    "PyPI Token": ("high", 0.9),
    "SendGrid API Key": ("high", 0.9),
    "Slack Token": ("high", 0.9),
    "SoftLayer Credentials": ("high", 0.6),
    "Square OAuth Secret": ("high", 0.9),
    "Stripe Access Key": ("high", 0.9),
    "Telegram Bot Token": ("high", 0.6),
    "Twilio API Key": ("high", 0.6),
    "Basic Auth Credentials": ("medium", 0.6),
    "JSON Web Token": ("medium", 0.6),
    _KEYWORD: ("medium", 0.3),
    "Base64 High Entropy String": ("low", 0.3),
    "Hex High Entropy String": ("low", 0.3),
}
_SAMPLES_IN_TESTS = frozenset({"Basic Auth Credentials", "JSON Web Token", _KEYWORD})
# What bandit itself calls undefined; a word that is not known here may mean anything, and is medium.
_SEVERITY = {"HIGH": "high", "MEDIUM": "medium", "LOW": "low", "UNDEFINED": "info"}
_CONFIDENCE = {"HIGH": 0.9, "MEDIUM": 0.6, "LOW": 0.3}
_PASSWORD_RULES = frozenset({"B105", "B106", "B107"})
_IMPORT_RULES = frozenset(f"B{number}" for number in range(401, 416))
_SECRETIVE_WORDS = re.compile(r"passw|pwd|secret|token|auth|credential|key|://[^\s/:]*:[^\s/@]*@", re.IGNORECASE)
_QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1).)*)(\1|$)""")
_LONG_WORD = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
# `password = ask()` and `password: env["PASSWORD"]` name a secret without telling it.
_TELLS_NOTHING = re.compile(
    r"""[=:]\s*(?:[\w.-]{1,100}\s?[\[(][^"']*|(?:[\w.-]{1,100}\.)?(?:environ|getenv|env|ENV)\b[\w.]{0,50}\s?[\[(].*)$"""
)


@dataclass(frozen=True)
class Alert:
    """One thing that a scanner saw. `severity` is critical, high, medium, low or info; `confidence` is from 0 to 1.

    `line` counts from 1 (0 = the whole file). No secret stands in `evidence` or `title` in full.
    """

    source: str
    rule: str
    severity: str
    confidence: float
    title: str
    path: str
    line: int
    evidence: str


@dataclass(frozen=True)
class Scan:
    """What is new since the base. `ran` and `failed` together always name every scanner; `failed` says why.

    A scanner that had nothing to look at ran."""

    alerts: tuple[Alert, ...]
    ran: tuple[str, ...]
    failed: Mapping[str, str]


def fingerprint(alert: Alert) -> str:
    """The same 32 hex digits for the same alert, whatever line it moved to and however it was indented."""
    parts = (alert.source, alert.rule, alert.path, _normal(alert.evidence))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def scan(
    files: Mapping[str, bytes],
    base_files: Mapping[str, bytes],
    *,
    sandbox: Sandbox | None = None,
    timeout_seconds: float = 120.0,
) -> Scan:
    """What the scanners see in `files` (path in the repository: content) that they do not see in `base_files`.

    A path that is missing from `base_files` is new. Something that is there once more than before is new, too. Each
    scanner has `timeout_seconds`. They run in `sandbox`, except that Landlock's has no shared memory, which
    detect-secrets needs: there, as without one, they are bare processes, which run nothing of the change.
    Raises Refused for a path that leads out of the repository.
    """
    for path in (*files, *base_files):
        _check(path)
    subjects = [_Subject("new", path, content) for path, content in sorted(files.items())]
    subjects += [_Subject("old", path, content) for path, content in sorted(base_files.items()) if path in files]
    place = None if sandbox is None or sandbox.name == "landlock" else sandbox
    alerts: list[Alert] = []
    ran: list[str] = []
    failed: dict[str, str] = {}
    for name, look in _SCANNERS.items():
        try:
            with tempfile.TemporaryDirectory(prefix="watchbill-scan-") as folder:
                sightings = look(subjects, Path(folder).resolve(), timeout_seconds, place)
        except _ScannerFailed as failure:
            failed[name] = str(failure)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            # Another version may report in another form: what cannot be read was not looked at.
            failed[name] = f"its report is not of the form that is known here ({type(error).__name__}: {error})"[:300]
        else:
            ran.append(name)
            alerts += _fewer_alike(_new(sightings))
    return Scan(tuple(alerts), tuple(ran), failed)


class _ScannerFailed(Exception):
    """One scanner could not do its work; the message says why."""


@dataclass(frozen=True)
class _Subject:
    """A file to look at, on one side of the change."""

    side: str
    path: str
    content: bytes


@dataclass(frozen=True)
class _Sighting:
    """An alert on one side. `identity` is what makes it the same as one on the other side; it may hold secrets."""

    side: str
    alert: Alert
    identity: tuple[str, ...]


@dataclass(frozen=True)
class _Copy:
    """A copy that was made for detect-secrets: whose it is, and which line of the original each of its lines shows."""

    subject: _Subject
    lines: list[str]
    numbers: list[int]


def _bandit(subjects: list[_Subject], folder: Path, seconds: float, sandbox: Sandbox | None) -> list[_Sighting]:
    python = {f"{place}.py": subject for place, subject in _numbered(subjects) if _is_python(subject)}
    if not python:
        return []
    for name, subject in python.items():
        _write(folder / "code" / name, subject.content)
    # Settings of our own, which say nothing: without them it looks for a .bandit file among what it scans.
    _write(folder / "settings.yaml", b"{}\n")
    _write(folder / "settings.ini", b"[bandit]\n")
    flags = ["-q", "-r", "-f", "json", "--ignore-nosec", "--exit-zero", "-c", "settings.yaml", "--ini", "settings.ini"]
    report = _report_of("bandit", [*flags, "code"], folder, seconds, sandbox)
    sightings: list[_Sighting] = []
    for result in report["results"]:
        sightings.append(_seen_by_bandit(python[_name_in(result, "code")], result))
    for error in report["errors"]:
        sightings.append(_unread_by_bandit(python[_name_in(error, "code")], str(error["reason"])))
    return sightings


def _detect_secrets(subjects: list[_Subject], folder: Path, seconds: float, sandbox: Sandbox | None) -> list[_Sighting]:
    copies: dict[str, _Copy] = {}
    sightings: list[_Sighting] = []
    for place, subject in _numbered(subjects):
        if len(subject.content) > MAX_TEXT_BYTES:
            sightings.append(_too_large(subject))
            continue
        for name, copy in _copies(place, subject):
            copies[name] = copy
            _write(folder / "text" / name, "\n".join(copy.lines).encode())
    if not copies:
        return sightings
    # The disabled filters are those which a line of the change could trip: a comment, or a call around the secret.
    flags = ["--all-files", "--no-verify", "--disable-plugin", "IPPublicDetector"]
    for blind in ("allowlist.is_line_allowlisted", "heuristic.is_indirect_reference"):
        flags += ["--disable-filter", f"detect_secrets.filters.{blind}"]
    report = _report_of("detect_secrets", ["-c", "2", "scan", *flags, "text"], folder, seconds, sandbox)
    seen: set[tuple[str, ...]] = set()
    for results in report["results"].values():
        for result in sorted(results, key=lambda result: (result["line_number"], result["type"])):
            sighting = _seen_by_detect_secrets(copies[_name_in(result, "text")], result)
            # A file may have two copies, and a long line is shown in overlapping pieces.
            if sighting is not None and (sighting.side, *sighting.identity) not in seen:
                seen.add((sighting.side, *sighting.identity))
                sightings.append(sighting)
    return sightings


_SCANNERS: dict[str, Callable[[list[_Subject], Path, float, Sandbox | None], list[_Sighting]]] = {
    "bandit": _bandit,
    "detect-secrets": _detect_secrets,
}


def _seen_by_bandit(subject: _Subject, result: Mapping[str, Any]) -> _Sighting:
    rule, line = str(result["test_id"]), _line_number(result)
    code = _normal(_line(_lines(_text(subject.content)), line))
    severity = _SEVERITY.get(result["issue_severity"], "medium")
    if (rule == "B101" and _is_test(subject.path)) or (rule in _IMPORT_RULES and severity == "low"):
        severity = "info"
    about_a_secret = rule in _PASSWORD_RULES
    words = str(result["issue_text"])
    alert = Alert(
        source="bandit",
        rule=rule,
        severity=severity,
        confidence=_CONFIDENCE.get(result["issue_confidence"], 0.3),
        # For a password the words go on with the password itself.
        title=words.partition(":")[0] if about_a_secret else _long_words_masked(words),
        path=subject.path,
        line=line,
        evidence=_masked_code(code, about_a_secret),
    )
    # With the words and the severity: they change when the same line becomes worse, as when a constant became a name.
    identity = (rule, subject.path, code, words, str(result["issue_severity"]))
    return _Sighting(subject.side, alert, identity)


def _unread_by_bandit(subject: _Subject, reason: str) -> _Sighting:
    # A file that is no Python will fail elsewhere; any other reason could be a file that was made to be unreadable.
    severity = "low" if "syntax error" in reason else "medium"
    return _unread("bandit", subject, severity, reason)


def _too_large(subject: _Subject) -> _Sighting:
    return _unread("detect-secrets", subject, "low", f"larger than {MAX_TEXT_BYTES} bytes")


def _unread(source: str, subject: _Subject, severity: str, reason: str) -> _Sighting:
    alert = Alert(
        source=source,
        rule=NOT_SCANNED,
        severity=severity,
        confidence=0.9,
        title=f"Nothing in this file was checked by {source}",
        path=subject.path,
        line=0,
        evidence=reason,
    )
    return _Sighting(subject.side, alert, (NOT_SCANNED, subject.path, reason))


def _seen_by_detect_secrets(copy: _Copy, result: Mapping[str, Any]) -> _Sighting | None:
    subject, rule, digest = copy.subject, str(result["type"]), str(result["hashed_secret"])
    shown = _line(copy.lines, _line_number(result))
    if rule in _GUESSES and _is_noise_to_guesses(subject):
        return None
    if rule == _KEYWORD and _TELLS_NOTHING.search(shown):
        return None
    severity, confidence = _SECRETS.get(rule, ("medium", 0.6))
    if rule in _SAMPLES_IN_TESTS and _is_test(subject.path):
        severity = "low"
    number = _line_number(result)
    alert = Alert(
        source="detect-secrets",
        rule=rule,
        severity=severity,
        confidence=confidence,
        title=f"{rule} in the source",
        path=subject.path,
        line=copy.numbers[number - 1] if 0 < number <= len(copy.numbers) else 0,
        evidence=_mask(_secret_in(shown, digest), digest),
    )
    return _Sighting(subject.side, alert, (rule, subject.path, digest))


def _new(sightings: Iterable[_Sighting]) -> Iterator[Alert]:
    """The alerts that stand more often on the new side. The last ones are taken for the new ones."""
    every = sorted(sightings, key=lambda seen: (seen.alert.path, seen.alert.line, seen.alert.rule))
    known = Counter(seen.identity for seen in every if seen.side == "old")
    for seen in every:
        if seen.side != "new":
            continue
        if known[seen.identity] > 0:
            known[seen.identity] -= 1
        else:
            yield seen.alert


def _fewer_alike(alerts: Iterable[Alert]) -> Iterator[Alert]:
    """At most MAX_ALIKE alerts of one rule in one file; the last of them says how many more there are."""
    alike: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        alike.setdefault((alert.path, alert.rule), []).append(alert)
    for several in alike.values():
        shown, more = several[:MAX_ALIKE], len(several) - MAX_ALIKE
        if more > 0:
            shown[-1] = replace(shown[-1], title=f"{shown[-1].title} (and {more} more in this file)")
        yield from shown


def _report_of(
    module: str, arguments: list[str], folder: Path, seconds: float, sandbox: Sandbox | None
) -> dict[str, Any]:
    """Run one scanner as a module of this interpreter, in `folder`, and return its JSON report."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    # -P: nothing is imported from the folder. The bare environment: nothing is taken from the caller's.
    command = [sys.executable, "-P", "-X", "utf8", "-m", module, *arguments]
    if sandbox is not None:
        return _report_from(sandbox, module, command, folder, seconds)
    with (home / "out").open("w+b") as out, (home / "err").open("w+b") as err:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"HOME": str(home), "TMPDIR": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            code = _wait(process, time.monotonic() + seconds, out)
        except BaseException:
            _kill(process)
            raise
        if code != 0:
            raise _ScannerFailed(f"{module} ended with {code}: {_last_line(err)}")
        out.seek(0)
        return _read_report(module, out.read())


def _report_from(sandbox: Sandbox, module: str, command: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """The report of a scanner that runs in `sandbox`, where it can write `folder` and read this interpreter."""
    script = 'exec "$@" > home/out'
    limits = Limits(seconds=seconds, output_bytes=4_000, file_bytes=MAX_OUTPUT_BYTES)
    done = also_reading(sandbox, interpreter_folders()).run(["/bin/sh", "-c", script, "sh", *command], folder, limits)
    if done.timed_out:
        raise _ScannerFailed("it did not finish in the time it was given")
    if done.exit_code != 0:
        said = done.output.strip().splitlines() or ["it said nothing"]
        raise _ScannerFailed(f"{module} ended with {done.exit_code}: {said[-1][:300]}")
    with (folder / "home" / "out").open("rb") as out:
        report = out.read(MAX_OUTPUT_BYTES + 1)
    if len(report) > MAX_OUTPUT_BYTES:
        raise _ScannerFailed(f"it wrote more than {MAX_OUTPUT_BYTES} bytes")
    return _read_report(module, report)


def _wait(process: subprocess.Popen[bytes], deadline: float, out: io.BufferedRandom) -> int:
    while True:
        if os.fstat(out.fileno()).st_size > MAX_OUTPUT_BYTES:
            raise _ScannerFailed(f"it wrote more than {MAX_OUTPUT_BYTES} bytes")
        left = deadline - time.monotonic()
        if left <= 0:
            raise _ScannerFailed("it did not finish in the time it was given")
        try:
            return process.wait(min(left, 0.2))
        except subprocess.TimeoutExpired:
            continue


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Its whole group: detect-secrets works in processes of its own. The group may have ended by itself just now, which
    # Linux and macOS tell in different ways.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read_report(module: str, output: bytes) -> dict[str, Any]:
    try:
        report = strict_json.read(output)
        # Halves of characters, which JSON can name, could not be written down.
        report = strict_json.read(json.dumps(report, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise _ScannerFailed(f"{module} did not answer in JSON: {error}") from error
    if not isinstance(report, dict) or "results" not in report:
        raise _ScannerFailed(f"{module} answered without results")
    return report


def _line_number(result: Mapping[str, Any]) -> int:
    number = int(result["line_number"])
    if not 0 <= number < 1 << 31:
        raise ValueError(f"{number} is the number of no line")
    return number


def _last_line(err: io.BufferedRandom) -> str:
    err.seek(max(0, os.fstat(err.fileno()).st_size - 4_000))
    lines = err.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise Refused(
            f"The path {path!r} is not inside the repository, so it was not scanned.",
            "Look at the change by hand; git itself never makes such a path.",
        )


def _numbered(subjects: Iterable[_Subject]) -> Iterator[tuple[str, _Subject]]:
    """A place for each file, with an invented name: what a file is called must not change what is seen in it."""
    for number, subject in enumerate(subjects, start=1):
        yield f"{subject.side}/{number:06d}", subject


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as out:
        out.write(content)


def _name_in(result: Mapping[str, Any], folder: str) -> str:
    return str(result["filename"]).removeprefix("./").removeprefix(f"{folder}/")


def _copies(place: str, subject: _Subject) -> Iterator[tuple[str, _Copy]]:
    ending = _ending_for(subject.path)
    copy = _in_short_lines(subject)
    yield f"{place}{ending}", copy
    if ending in _YAML or _starts_with_a_section(copy.lines):
        # detect-secrets reads only the values of such a file, so what stands in a comment is shown to it once more.
        # The line in front keeps it from parsing the copy.
        yield f"{place}-raw.txt", _Copy(subject, ["text", *copy.lines], [0, *copy.numbers])


def _ending_for(path: str) -> str:
    name = PurePosixPath(path).name.lower()
    ending = PurePosixPath(name).suffix
    if name.startswith(".env") or ending == ".env":
        return ".properties"  # in which a password needs no quotes to be seen
    return ending if ending in _KNOWN_ENDINGS else ".txt"


def _in_short_lines(subject: _Subject) -> _Copy:
    """The text with its long lines cut into overlapping pieces: some patterns take forever on a very long line."""
    lines: list[str] = []
    numbers: list[int] = []
    for number, line in enumerate(_lines(_text(subject.content)), start=1):
        for start in range(0, max(1, len(line) - OVERLAP), MAX_LINE - OVERLAP):
            lines.append(line[start : start + MAX_LINE])
            numbers.append(number)
    return _Copy(subject, lines, numbers)


def _starts_with_a_section(lines: Iterable[str]) -> bool:
    first = next((line for line in map(str.strip, lines) if line and line[0] not in "#;"), "")
    return first.startswith("[")


def _text(content: bytes) -> str:
    """The content as text whatever it is: one odd byte must not hide the rest of a file."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig", "replace").replace("\0", "")


def _lines(text: str) -> list[str]:
    return [line.rstrip("\n") for line in io.StringIO(text, newline=None)]


def _line(lines: list[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _is_python(subject: _Subject) -> bool:
    first = subject.content.partition(b"\n")[0]
    return subject.path.lower().endswith(".py") or (first.startswith(b"#!") and b"python" in first)


def _is_test(path: str) -> bool:
    *folders, name = PurePosixPath(path).parts
    by_name = name.startswith("test_") or name == "conftest.py" or PurePosixPath(name).stem.endswith("_test")
    return by_name or any(folder in ("test", "tests") for folder in folders)


def _is_noise_to_guesses(subject: _Subject) -> bool:
    utf16 = subject.content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    binary = b"\0" in subject.content[:8_000] and not utf16
    return binary or PurePosixPath(subject.path).name in _LOCK_FILES


def _secret_in(line: str, digest: str) -> str:
    """The part of the line that detect-secrets took for the secret (it tells only its SHA-1), or nothing."""
    words = [match[2] for match in _QUOTED.finditer(line)]
    words += re.split(r"[\s\"'`=:,;@<>(){}\[\]]+", line)
    words += re.split(r"[\s\"'`,;<>]+", line)
    words += [word.partition("=")[2] for word in line.split()]
    words += re.findall(r"BEGIN [A-Z ]{0,20}PRIVATE KEY|[\w+/=.-]{16,}", line)
    # SHA-1 is how detect-secrets names a secret; nothing rests on it being strong.
    return next(
        (word for word in words if hashlib.sha1(word.encode(), usedforsecurity=False).hexdigest() == digest), ""
    )


def _mask(secret: str, digest: str) -> str:
    """As much of a secret as is needed to find it, and four digits of its hash to tell it from the next one."""
    return f"{secret[: min(4, len(secret) // 4)]}… #{digest[:4]}"


def _masked(secret: str) -> str:
    return _mask(secret, hashlib.sha1(secret.encode("utf-8", "replace"), usedforsecurity=False).hexdigest())


def _masked_code(code: str, about_a_secret: bool) -> str:
    shown = _quotes_masked(code) if about_a_secret or _SECRETIVE_WORDS.search(code) else code
    return _long_words_masked(shown)[:300]


def _quotes_masked(code: str) -> str:
    return _QUOTED.sub(lambda match: f"{match[1]}{_masked(match[2])}{match[3]}" if match[2] else match[0], code)


def _long_words_masked(code: str) -> str:
    return _LONG_WORD.sub(lambda match: _masked(match[0]) if _could_be_a_secret(match[0]) else match[0], code)


def _could_be_a_secret(word: str) -> bool:
    return any(letter.isdigit() for letter in word) and any(letter.isalpha() for letter in word)


def _normal(text: str) -> str:
    return " ".join(text.split())
