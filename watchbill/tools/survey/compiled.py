"""How the tests of a Go, CMake or Meson project are run.

Owns the recognition of such projects and their commands. Builds go into the scratch folder, never beside the sources.
"""

from __future__ import annotations

import re
import shlex

from watchbill.tools.survey.found import Found
from watchbill.tools.survey.machine import Machine, without_nested
from watchbill.tools.survey.place import Place

_BUILD = '"${TMPDIR:-/tmp}"/watchbill-build'


def go(place: Place, machine: Machine) -> Found | None:
    """A go.mod or go.work at the top."""
    if not (place.has("go.mod") or place.has("go.work")):
        return None
    program = machine.program("go")
    reporter = machine.program("gotestsum")
    notes = [] if program else ["go is not on PATH: install Go, and run init again."]
    told = (machine.ask(program, "env", "GOROOT", "GOMODCACHE") or "").splitlines() if program else []
    # `go` on PATH may be a link beside the installation: the toolchain that it names is what runs.
    root, cache = (place.root.joinpath(line) for line in told) if len(told) == 2 else (None, None)
    needs_modules = re.search(r"(?m)^[ \t]*require\b", place.text("go.mod") or "") or place.has("go.work")
    is_vendored = place.has("vendor/modules.txt")
    read = [*(machine.readable([root]) if root else ()), *(machine.prefix(program) if program and not root else ())]
    settings = "GOTOOLCHAIN=local GOPROXY=off "
    if needs_modules and not is_vendored:
        if cache and machine.readable([cache]):
            read.append(cache)
            settings += f"GOMODCACHE={shlex.quote(str(cache))} "
        notes.append("Go works offline with the modules that were downloaded: run `go mod download` once yourself.")
    packages = "./..." if place.has("go.mod") else "$(go list -f '{{.Dir}}/...' -m)"
    if reporter and program:
        read += machine.prefix(reporter)
        test = f"{settings}{machine.call(reporter, read)} --junitfile {{junit}} {packages}"
    else:
        test = f"{settings}go test {packages}"
    module = re.search(r"(?m)^module\s+(\S+)", place.text("go.mod") or "")
    name = re.sub(r"/v\d+$", "", module.group(1)).rpartition("/")[2] if module else ""
    return Found("go.mod" if place.has("go.mod") else "go.work", test, "", without_nested(read), tuple(notes), name)


def cmake(place: Place, machine: Machine) -> Found | None:
    """A CMakeLists.txt at the top that knows of tests."""
    text = place.text("CMakeLists.txt")
    if text is None:
        return None
    tests = place.matching("CMakeLists.txt")
    every = text + "".join(place.text(str(path)) or "" for path in tests[:20])
    if not re.search(r"(?i)\b(enable_testing|add_test|include\s*\(\s*CTest)\b", every):
        return None
    program = machine.program("ctest")
    configure = f"cmake -S . -B {_BUILD} && cmake --build {_BUILD} --parallel 2"
    # Its own reporter came with 3.21; older ones refuse the option.
    junit = " --output-junit {junit}" if program and _ctest_is_new(machine.ask(program, "--version")) else ""
    notes = ["The project is built anew for every check: raise [checks] timeout_seconds if that takes long."]
    if program is None:
        notes.append("cmake is not on PATH: install it, and run init again.")
    return Found(
        evidence="CMakeLists.txt with tests",
        test=f"{configure} && ctest --test-dir {_BUILD} --output-on-failure --no-tests=error{junit}",
        read=machine.prefix(program) if program else (),
        notes=tuple(notes),
    )


def meson(place: Place, machine: Machine) -> Found | None:
    """A meson.build at the top that knows of tests."""
    if not any(re.search(r"\btest\s*\(", place.text(str(path)) or "") for path in place.matching("meson.build")[:20]):
        return None
    program = machine.program("meson")
    return Found(
        evidence="meson.build with tests",
        test=f"meson setup {_BUILD} && meson test -C {_BUILD} --print-errorlogs",
        read=machine.prefix(program) if program else (),
        notes=() if program else ("meson is not on PATH: install it, and run init again.",),
    )


def _ctest_is_new(answer: str | None) -> bool:
    version = re.search(r"version (\d+)\.(\d+)", answer or "")
    return version is not None and (int(version.group(1)), int(version.group(2))) >= (3, 21)
