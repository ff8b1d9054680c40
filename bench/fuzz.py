#!/usr/bin/env python3
"""What others write, tried with inputs that coverage leads to: it is read, or refused in words, and nothing else.

Owns the targets, the facts that must hold for any input, and the bounds of a run. The test suite tries the same
parsers with hypothesis (`tests/fuzz`); this goes on for as long as it is told to, and is no part of it. Atheris is
fetched for this alone, into a folder of its own beneath `.setup`.

Usage: .venv/bin/python bench/fuzz.py TARGET [--seconds N] [--again FILE]
Exit code 1: something was found; the input lies beneath `.setup/fuzz/TARGET`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

VERSION = "3.0.0"
OWN = ROOT / ".setup" / f"atheris-{VERSION}-{sys.version_info[0]}.{sys.version_info[1]}"
FOUND = ROOT / ".setup" / "fuzz"
# Of one input: seconds, bytes. Of the whole process: megabytes.
LONGEST, LARGEST, MEMORY = 20, 4_096, 2_048
INSIDE = "--inside"
PAGE = Path("x.md")

Try = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """`make` imports what is tried, once coverage is watched, and gives the trial of one input. `seeds` begin it."""

    make: Callable[[], Try]
    seeds: Callable[[], list[bytes]]


def main() -> int:
    if sys.argv[1:2] == [INSIDE]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    options = read_options()
    if not (OWN / "ready").exists():
        fetch()
    kept = FOUND / options.target
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="watchbill-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(TARGETS[options.target].seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        bounds = [f"-timeout={LONGEST}", f"-rss_limit_mb={MEMORY}", f"-max_len={LARGEST}"]
        what = [options.again] if options.again else [f"-max_total_time={options.seconds}", str(corpus)]
        command = [sys.executable, __file__, INSIDE, options.target, *bounds, f"-artifact_prefix={kept}/", *what]
        done = subprocess.run(command, cwd=folder, check=False, timeout=options.seconds + 120)
    if done.returncode:
        print(f"\nSomething was found; the inputs lie in {kept}, and --again FILE tries one again.", file=sys.stderr)
    return 1 if done.returncode else 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60, help="how long to try (60)")
    parser.add_argument("--again", metavar="FILE", help="try one input that was found")
    return parser.parse_args()


def fetch() -> None:
    """Atheris in an environment of its own: nothing of the engine's depends on it."""
    print(f"Fetching atheris {VERSION}", file=sys.stderr)
    venv.create(OWN, with_pip=True, clear=True)
    pip = [str(OWN / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--only-binary=:all:", f"atheris=={VERSION}"], check=True)
    (OWN / "ready").touch()


def fuzz(target: str, arguments: list[str]) -> None:
    """Try inputs until the time is over; the process ends here."""
    sys.path.append(str(next(OWN.glob("lib/python3*/site-packages"))))
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["watchbill", "tomllib"]):
        attempt = TARGETS[target].make()
    atheris.Setup([sys.argv[0], *arguments], attempt)
    atheris.Fuzz()


# Front matter


def front_matter() -> Try:
    """Any bytes as any kind of document; what is written of it is read as the same."""
    from watchbill.documents.handoff import Handoff
    from watchbill.documents.inbox_item import InboxItem
    from watchbill.documents.session import SessionRecord
    from watchbill.documents.ticket import Ticket
    from watchbill.errors import Damaged
    from watchbill.files import front_matter
    from watchbill.files.document import Document

    kinds: tuple[type[Document], ...] = (Ticket, Handoff, InboxItem, SessionRecord)

    def attempt(data: bytes) -> None:
        try:
            meta, body = front_matter.split(data)
        except front_matter.Malformed as error:
            assert str(error)
            return
        assert repr(front_matter.split(front_matter.join(meta, body))) == repr((meta, body))
        for kind in kinds:
            try:
                found = kind.parse(data, PAGE)
            except Damaged as error:
                assert error.why
            else:
                written = found.render()
                assert kind.parse(written, PAGE).render() == written

    return attempt


def documents() -> list[bytes]:
    from tests.files.heads import REAL

    return [f"---\n{head}\n---\n\n## Description\n\nx\n".encode() for head in REAL]


def plain_yaml() -> Try:
    """Whatever the quick way reads, the YAML parser reads alike."""
    from tests.files.test_plain_yaml import says_the_same_or_nothing

    def attempt(data: bytes) -> None:
        assert says_the_same_or_nothing(data.decode("utf-8", "ignore"))

    return attempt


def heads() -> list[bytes]:
    from tests.files.heads import REAL
    from tests.files.test_plain_yaml import PLAIN

    return [head.encode() for head in (*REAL, *PLAIN)]


# Settings


def settings() -> Try:
    """Any bytes as watchbill.toml and as the routing table."""
    from watchbill.documents.routing import Routing
    from watchbill.documents.settings import Settings
    from watchbill.errors import Misconfigured
    from watchbill.files.settings_file import parse

    def attempt(data: bytes) -> None:
        for model in (Settings, Routing):
            try:
                parse(data, Path("watchbill.toml"), model)
            except Misconfigured as error:
                assert error.reason

    return attempt


def settings_files() -> list[bytes]:
    whole = (ROOT / "playbook" / "routing.toml").read_bytes()
    tables = [part.encode() for part in whole.decode().split("\n\n")]
    return [whole[:LARGEST], *tables, b'[project]\nname = "x"\nrepo = "."\n\n[agents.build]\nsoft_turns = 9\n']


# Results of tests


def junit() -> Try:
    """Any bytes as results of tests: every test stands in one list, under a short name without an escape."""
    from watchbill.tools.checks import UnreadableResults, parse_junit

    def attempt(data: bytes) -> None:
        try:
            results = parse_junit(data)
        except UnreadableResults as error:
            assert str(error)
            return
        names = [*results.passed, *results.failed, *results.skipped]
        assert len(names) == len(set(names)) and all(len(name) <= 500 for name in names)
        assert json.dumps(names).encode() and "\x1b" not in "".join(names)

    return attempt


def results() -> list[bytes]:
    return [
        b'<testsuites><testsuite name="s"><testcase classname="c" name="a" time="1"/><testcase name="b">'
        b'<failure message="m">x</failure></testcase><testcase name="c"><skipped/></testcase></testsuite></testsuites>',
        b'<?xml version="1.0"?><testsuite xmlns="urn:x"><!-- c --><testcase name="&#x202e;"/></testsuite>',
        b'<!DOCTYPE a [<!ENTITY b "c">]><testsuite><testcase name="&b;"><error><![CDATA[<x>]]></error></testcase>',
    ]


# Manifests


def manifest() -> Try:
    """Any bytes as a manifest: what is read says nothing twice, and is written and read as the same."""
    from watchbill import strict_json
    from watchbill.documents.manifest import Manifest
    from watchbill.errors import Damaged

    path = Path("build-0001.json")

    def attempt(data: bytes) -> None:
        path.write_bytes(data)
        try:
            found = Manifest.load(path)
        except Damaged as error:
            assert error.why
            return
        assert strict_json.read(data)["id"] == "build-0001"
        path.write_bytes(found.render())
        assert Manifest.load(path) == found

    return attempt


def manifests() -> list[bytes]:
    from tests.fuzz.awkward import CASES
    from tests.fuzz.test_json import MANIFEST

    return [MANIFEST.render(), *(case for case in CASES.values() if len(case) < LARGEST)]


# Redaction


def redaction() -> Try:
    """Any bytes as a text: it can be searched, what was held is gone, and twice is the same as once."""
    from watchbill.tools.redaction import hold, redact

    held = "correct-horse-battery-staple"
    hold("A_SECRET", held)
    # What is imported only when it is needed is needed here, while coverage is watched.
    redact(f"password = {held}")

    def attempt(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        once = redact(text)
        assert held not in once
        assert redact(once) == once

    return attempt


def secrets() -> list[bytes]:
    from tests import leaks

    shapes = [value for value in vars(leaks).values() if isinstance(value, str) and len(value) > 12]
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq1\n" * 4 + "-----END RSA PRIVATE KEY-----"
    return [shape.encode() for shape in (*shapes, key, "token = correct-horse-battery-staple", "https://u:pass@h/x")]


# What a model hands over


def submission() -> Try:
    """Any values as what a model hands over, made out of the bytes: as text, most of them would be no JSON."""
    from tests.roles.test_submission import FINDING, good
    from watchbill.roles.submission import REVIEW_OUTCOMES, read
    from watchbill.tools.model import ToolRefused

    provider: Any = importlib.import_module("atheris").FuzzedDataProvider
    keys = [*good("qa"), *FINDING, "criterion", "met", "decision"]

    def key(source: Any) -> str:
        return str(source.PickValueInList(keys) if source.ConsumeIntInRange(0, 9) else source.ConsumeUnicode(9))

    def value(source: Any, depth: int) -> Any:
        match source.ConsumeIntInRange(0, 7 if depth else 5):
            case 0:
                return source.ConsumeUnicode(40)
            case 1:
                return source.PickValueInList(["high", "pass", "fail", "", "x" * 300_000, "\ud800", "\u202e"])
            case 2:
                return source.ConsumeInt(9)
            case 3:
                return source.ConsumeFloat()
            case 4:
                return source.PickValueInList([None, True, False, 0, 1, 10**5_000])
            case 5:
                return [dict(FINDING), *([] if source.ConsumeBool() else [FINDING["title"]])]
            case 6:
                return [value(source, depth - 1) for _ in range(source.ConsumeIntInRange(0, 4))]
            case _:
                return mapping(source, depth - 1)

    def mapping(source: Any, depth: int) -> dict[str, Any]:
        given = dict(FINDING) if source.ConsumeBool() else {}
        return {**given, **{key(source): value(source, depth) for _ in range(source.ConsumeIntInRange(0, 5))}}

    def attempt(data: bytes) -> None:
        source = provider(data)
        given = good("qa") if source.ConsumeBool() else {}
        given.update({key(source): value(source, 3) for _ in range(source.ConsumeIntInRange(0, 5))})
        try:
            taken = read(given, REVIEW_OUTCOMES, with_criteria=True)
        except ToolRefused as refused:
            assert str(refused)
        else:
            assert taken.outcome in REVIEW_OUTCOMES and taken.claimed().model_dump_json().encode()
            assert all(finding.model_dump_json().encode() for finding in taken.findings_from("qa"))

    return attempt


def any_bytes() -> list[bytes]:
    return [bytes([0, 0]), bytes(range(256)), bytes(range(0, 256, 7)) * 8]


TARGETS = {
    "front-matter": Target(front_matter, documents),
    "plain-yaml": Target(plain_yaml, heads),
    "settings": Target(settings, settings_files),
    "junit": Target(junit, results),
    "manifest": Target(manifest, manifests),
    "redaction": Target(redaction, secrets),
    "submission": Target(submission, any_bytes),
}

if __name__ == "__main__":
    sys.exit(main())
