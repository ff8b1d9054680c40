"""How the tests of a JavaScript or TypeScript project are run, with Node, Bun or Deno.

Owns the recognition of such a project, its package manager and its runner, and the command. It never runs a script of
the project.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from watchbill.tools.survey.dependencies import carried, carry, to_install
from watchbill.tools.survey.found import Found
from watchbill.tools.survey.machine import Machine, without_nested
from watchbill.tools.survey.place import Place, inside, printable, table

_LOCKS = {
    "pnpm-lock.yaml": "pnpm",
    "bun.lock": "bun",
    "bun.lockb": "bun",
    "yarn.lock": "yarn",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
}
_INSTALL = {
    "npm": "npm ci",
    "pnpm": "pnpm install --frozen-lockfile",
    "yarn": "yarn install --frozen-lockfile",
    "bun": "bun install --frozen-lockfile",
}
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
_TESTS = ("*.test.js", "*.test.mjs", "*.test.cjs", "test-*.js", "test/*.js", "test/*.mjs", "test/*.cjs")
_MAX_NESTED = 40
_MAX_SCRIPT = 1000
_FIRST_NODE_WITH_JUNIT = 20


def node(place: Place, machine: Machine) -> Found | None:
    """A package.json whose tests can be run; None when it says nothing of tests (many projects have one for tools)."""
    package = place.json("package.json")
    runner = _runner(place, package)
    if runner is None:
        return None
    evidence, script = runner
    manager, notes = _manager(place, machine, package)
    programs = [path for path in (machine.program("node"), machine.program(manager)) if path]
    programs = [_behind_shims(machine, path) for path in programs]
    read = without_nested(path for program in programs for path in machine.prefix(program))
    setup, carried_folders, more = _dependencies(place, package, manager)
    if not machine.program("node") and manager != "bun":
        notes.append("node is not on PATH: install it, and run init again.")
    return Found(
        evidence=evidence,
        test=_command(place, machine, package, script, manager),
        setup=setup,
        read=(*read, *carried_folders),
        notes=(*notes, *more),
        name=_name(package),
    )


def deno(place: Place, machine: Machine) -> Found | None:
    """A deno.json with a task `test`, or with tests beside it."""
    settings = place.first("deno.json", "deno.jsonc")
    if not settings:
        return None
    task = inside(place.json(settings), "tasks", "test") if settings == "deno.json" else None
    tests = place.matching("*_test.ts", "*_test.js", "*.test.ts", "*.test.js", "*_test.tsx")
    if not (task or tests):
        return None
    program = machine.program("deno")
    cache = machine.folder("DENO_DIR", ".cache", "deno")
    test = "deno test --cached-only --junit-path={junit}" if not task else "deno task test"
    notes = ["Deno's tests get no permissions by themselves: add --allow-… to [checks] test as they need."]
    if task:
        notes = []
    if not program:
        notes.append("deno is not on PATH: install it, and run init again.")
    prefix = f"DENO_DIR={shlex.quote(str(cache))} " if cache and machine.readable([cache]) else ""
    return Found(
        evidence=settings,
        test=prefix + test,
        read=(*(machine.prefix(program) if program else ()), *(machine.readable([cache]) if cache else ())),
        notes=tuple(notes),
    )


def _name(package: Mapping[str, object]) -> str:
    name = package.get("name")
    return name.rpartition("/")[2] if isinstance(name, str) else ""


def _runner(place: Place, package: Mapping[str, object]) -> tuple[str, str] | None:
    """What the tests were recognised by, and the script that runs them as package.json would say it."""
    script = _script(package, "test")
    if script and "no test specified" not in script:
        return f"the script `test` of package.json ({printable(script, 80)})", script
    if not package:
        return None
    tools = {name for kind in _DEPENDENCIES for name in table(package, kind)}
    for tool, command in (("vitest", "vitest run"), ("jest", "jest"), ("mocha", "mocha")):
        if tool in tools:
            return f"{tool} in package.json", command
    tests = place.matching(*_TESTS)
    if place.first("bun.lock", "bun.lockb") and place.matching("*.test.*", "*_test.*"):
        return "bun's lock file and tests", "bun test"
    if tests and not tools:
        return f"{printable(str(tests[0]))}, a test for node", "node --test"
    return None


def _script(package: Mapping[str, object], name: str) -> str:
    script = inside(package, "scripts", name)
    return script.strip() if isinstance(script, str) else ""


def _manager(place: Place, machine: Machine, package: Mapping[str, object]) -> tuple[str, list[str]]:
    """The package manager whose lock file is there, or npm where that one cannot run without a network."""
    declared = str(package.get("packageManager", "")).partition("@")[0]
    locked = next((manager for lock, manager in _LOCKS.items() if place.has(lock)), declared)
    manager = locked if locked in _INSTALL else "npm"
    program = machine.program(manager)
    if manager == "npm" or (program and "corepack" not in os.path.realpath(program)):
        return manager, []
    why = "comes from corepack, which would download it" if program else "is not on PATH"
    return "npm", [f"The project uses {manager}, which {why}; npm runs its scripts instead. Check [checks] test."]


def _behind_shims(machine: Machine, program: Path) -> Path:
    """Version managers put small programs in front of node: ask it where it is."""
    if program.name != "node":
        return program
    answer = machine.ask(program, "-p", "process.execPath")
    return Path(answer) if answer and Path(answer).is_absolute() else program


def _dependencies(
    place: Place, package: Mapping[str, object], manager: str
) -> tuple[str, tuple[Path, ...], tuple[str, ...]]:
    """The setup, what it reads, and what to say about it."""
    if not any(table(package, kind) for kind in _DEPENDENCIES) and not package.get("workspaces"):
        return "", (), ()
    install = _INSTALL[manager]
    if manager == "npm" and not place.first("package-lock.json", "npm-shrinkwrap.json"):
        install = "npm install --no-package-lock"
    if place.has(".pnp.cjs"):
        note = (
            "The project uses Yarn's Plug'n'Play: give [sandbox] read Yarn's cache, if it lies outside the repository."
        )
        return "", (), (note,)
    folder = place.folder("node_modules")
    if folder is None:
        return install, (), (to_install("node_modules", install),)
    nested = _nested(place)
    folders = ["node_modules", *nested]
    return carry(place, folders), tuple(place.root / name for name in folders), (carried("node_modules", install),)


def _nested(place: Place) -> list[str]:
    """The node_modules of the packages in a workspace."""
    packages = [path.parent for path in place.files if path.name == "package.json" and len(path.parts) > 1]
    names = [str(package / "node_modules") for package in packages]
    return [name for name in names if place.folder(name)][:_MAX_NESTED]


def _command(place: Place, machine: Machine, package: Mapping[str, object], script: str, manager: str) -> str:
    """The runner itself where it can write JUnit XML; else the project's own script."""
    has_script = bool(_script(package, "test"))
    whole = f"{manager} run test" if manager == "bun" else f"{manager} test"
    hooks = _script(package, "pretest") or _script(package, "posttest")
    if hooks:
        return whole
    direct = _with_junit(place, machine, _followed(package, script))
    if direct:
        return direct
    return whole if has_script else f"{_LOCAL}/{script}"


_LOCAL = "node_modules/.bin"


def _followed(package: Mapping[str, object], script: str) -> str:
    """The script that a script merely passes on to (`npm run unit`)."""
    for _ in range(3):
        passed = re.fullmatch(r"(?:npm|pnpm|yarn|bun) (?:run )?([\w:.-]+)", script)
        following = _script(package, passed.group(1)) if passed else ""
        if not following:
            return script
        script = following
    return script


def _with_junit(place: Place, machine: Machine, script: str) -> str:
    """`script` with its runner's own JUnit reporter, or "" when that is not a plain call of a runner that has one."""
    if len(script) > _MAX_SCRIPT or re.search(r"[&|;<>$`()\n\r{}]", script) or not script.isprintable():
        return ""
    if "reporter" in script:
        return ""
    runner, _, rest = script.partition(" ")
    rest = f" {rest.strip()}" if rest.strip() else ""
    if runner == "node" and re.search(r"(^| )--test( |$)", rest) and _has_junit(machine):
        reporters = (
            "--test --test-reporter=spec --test-reporter-destination=stdout "
            "--test-reporter=junit --test-reporter-destination={junit}"
        )
        return "node" + re.sub(r"(?<= )--test(?= |$)", reporters, rest, count=1)
    if runner == "vitest":
        arguments = re.sub(r"^ (run|watch|dev)(?= |$)", "", re.sub(r" --(watch|run)(?= |$)", "", rest))
        return f"{_LOCAL}/vitest run{arguments} --reporter=default --reporter=junit --outputFile.junit={{junit}}"
    if runner == "mocha" and not re.search(r"(^| )(-w|--watch)( |$)", rest):
        return f"{_LOCAL}/mocha{rest} --reporter xunit --reporter-option output={{junit}}"
    if runner == "jest" and place.folder("node_modules/jest-junit") and "--watch" not in rest:
        reporters = "--reporters=default --reporters=jest-junit"
        return f"JEST_JUNIT_OUTPUT_FILE={{junit}} {_LOCAL}/jest{rest} --ci {reporters}"
    if runner == "bun" and re.match(r" test( |$)", rest):
        return f"bun{rest} --reporter=junit --reporter-outfile={{junit}}"
    return ""


def _has_junit(machine: Machine) -> bool:
    program = machine.program("node")
    answer = machine.ask(program, "--version") if program else None
    version = re.match(r"v(\d+)\.", answer or "")
    return version is not None and int(version.group(1)) >= _FIRST_NODE_WITH_JUNIT
