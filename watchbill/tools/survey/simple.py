"""Projects whose tests are one fixed command, and the last resorts: make, just, a script called test.

Owns the table of these. It never runs any of them.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from watchbill.tools.survey.found import Found
from watchbill.tools.survey.machine import Machine
from watchbill.tools.survey.place import Place


@dataclass(frozen=True)
class _Kind:
    """One of `marks` (patterns of names) at the top says that `command` runs the tests; `program` must be there."""

    marks: Sequence[str]
    command: str
    program: str
    note: str = ""


_KINDS = (
    _Kind(("Package.swift",), "swift test --disable-sandbox", "swift"),
    _Kind(
        ("*.sln", "*.slnx", "*.csproj", "*.fsproj"),
        "dotnet test --no-restore",
        "dotnet",
        "dotnet works offline only after a restore: set [checks] setup to a `dotnet restore` that needs no network.",
    ),
    _Kind(("build.zig",), "zig build test", "zig"),
    _Kind(("stack.yaml",), "stack test --no-install-ghc", "stack"),
    _Kind(("cabal.project", "*.cabal"), "cabal test --offline all", "cabal"),
    _Kind(("build.sbt",), "sbt test", "sbt", "sbt must find its dependencies in a cache: add it to [sandbox] read."),
    _Kind(("project.clj",), "lein -o test", "lein", "Leiningen works offline with what ~/.m2 holds."),
    _Kind(("rebar.config",), "rebar3 eunit", "rebar3"),
    _Kind(("dune-project",), "dune test", "dune"),
    _Kind(("gleam.toml",), "gleam test", "gleam"),
)
_MAX_RULE = 1000
_MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
_JUSTFILES = ("justfile", "Justfile", ".justfile")
_SCRIPTS = (
    "test.sh", "scripts/test", "scripts/test.sh", "script/test", "bin/test", "run_tests.sh", "run-tests.sh",
    "runtests.sh", "tests/run.sh", "test/run.sh",
)  # fmt: skip


def fixed(place: Place, machine: Machine) -> Found | None:
    """A project of a language that has one way to run its tests."""
    top = [path for path in place.files if len(path.parts) == 1]
    for kind in _KINDS:
        mark = next((path.name for path in top if any(path.match(pattern) for pattern in kind.marks)), None)
        if mark:
            return _as_found(kind, mark, machine)
    return None


def dart(place: Place, machine: Machine) -> Found | None:
    """A pubspec.yaml with tests."""
    text = place.text("pubspec.yaml")
    if text is None or not place.matching("*_test.dart"):
        return None
    program = "flutter" if re.search(r"(?m)^[ \t]*flutter:", text) else "dart"
    note = f"{program} needs its packages: run `{program} pub get` yourself and add ~/.pub-cache to [sandbox] read."
    return _as_found(_Kind((), f"{program} test", program, note), "pubspec.yaml", machine)


def make(place: Place, machine: Machine) -> Found | None:
    """A Makefile with the target `test` (or `check`, as GNU's have)."""
    name = place.first(*_MAKEFILES)
    targets = _targets(place.text(name) or "") if name else set()
    target = next((target for target in ("test", "tests", "check") if target in targets), None)
    if target is None:
        return None
    return _as_found(_Kind((), f"make {target}", "make"), f"the target `{target}` of {name}", machine)


def just(place: Place, machine: Machine) -> Found | None:
    """A justfile with the recipe `test`."""
    name = place.first(*_JUSTFILES)
    if not name or not re.search(r"(?m)^@?test([ \t][^\n]{0,500})?:(?!=)", place.text(name) or ""):
        return None
    return _as_found(_Kind((), "just test", "just"), f"the recipe `test` of {name}", machine)


def bats(place: Place, machine: Machine) -> Found | None:
    """Tests for Bats, which tests shell scripts."""
    tests = place.matching("*.bats")
    if not tests:
        return None
    folder = str(tests[0].parent)
    return _as_found(_Kind((), f"bats {shlex.quote(folder)}", "bats"), str(tests[0]), machine)


def script(place: Place, machine: Machine) -> Found | None:
    """A script whose name says that it runs the tests."""
    name = place.first(*_SCRIPTS)
    if not name:
        return None
    if os.access(place.root / name, os.X_OK):
        return Found(evidence=name, test=f"./{name}")
    shell = "bash" if "bash" in (place.text(name) or "").partition("\n")[0] and machine.program("bash") else "sh"
    return Found(evidence=name, test=f"{shell} {name}")


def _targets(makefile: str) -> set[str]:
    rules = [re.match(r"([A-Za-z][\w .-]*)::?(?![:=])", line[:_MAX_RULE]) for line in makefile.splitlines()]
    return {target for rule in rules if rule for target in rule.group(1).split()}


def _as_found(kind: _Kind, mark: str, machine: Machine) -> Found:
    program = machine.program(kind.program)
    notes = [kind.note] if kind.note else []
    if program is None:
        notes.append(f"{kind.program} is not on PATH: install it, and run init again.")
    return Found(mark, kind.command, read=machine.prefix(program) if program else (), notes=tuple(notes))
