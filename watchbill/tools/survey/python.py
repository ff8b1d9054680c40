"""How a Python project's tests are run: pytest, or Django's own runner.

Owns the recognition of such a project and the command. It never imports or runs any of it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from watchbill.tools.survey.found import Found
from watchbill.tools.survey.interpreters import Interpreter, best, interpreters, normalised
from watchbill.tools.survey.machine import Machine
from watchbill.tools.survey.place import Place, inside, printable, table, words
from watchbill.tools.survey.pytest_options import pytest_settings, without_missing_plugins

_PROJECT_FILES = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "requirements.txt", "Pipfile")
_SOURCE_FOLDERS = ("src", "lib", "python")
_COMPILED = ("maturin", "scikit_build_core", "mesonpy", "skbuild", "setuptools_rust")
_TEST_GROUPS = ("test", "tests", "testing")


def python(place: Place, machine: Machine) -> Found | None:
    """Python, when pytest is configured, or there are tests for it, or (weakly) there is a Python project at all."""
    project = place.first(*_PROJECT_FILES)
    settings = pytest_settings(place)
    tests = place.matching("test_*.py", "*_test.py")
    django = _is_django(place)
    if not (project or settings or tests or django):
        return None
    if django and not (settings and (table(settings[1]).get("DJANGO_SETTINGS_MODULE") or tests == [])):
        return _django(place, machine)
    if not (project or settings) and not _are_at_home(tests):
        return None
    return _pytest(place, machine, settings[0] if settings else "", tests)


def _are_at_home(tests: Sequence[PurePosixPath]) -> bool:
    """Whether tests are where a Python project has them. Elsewhere, they belong to a script beside other work."""
    return any(len(path.parts) == 1 or path.parts[0] in ("test", "tests") for path in tests)


def _pytest(place: Place, machine: Machine, configured: str, tests: Sequence[PurePosixPath]) -> Found | None:
    runtime, testing = _dependencies(place)
    interpreter = best(interpreters(place, machine), "pytest", [*runtime, *testing], _project_name(place))
    if interpreter is None:
        return Found(_evidence(configured, tests, place), "", notes=(_NO_PYTEST,), weak=not tests)
    found = Found(
        evidence=_evidence(configured, tests, place),
        test=f"{_python_path(place)}{interpreter.program_word} -m pytest --junitxml={{junit}}",
        read=interpreter.read,
        notes=(f"Tests run with the Python of {interpreter.where} ({interpreter.program}).",),
        name=_project_name(place),
        weak=not tests or (_is_compiled(place) and place.has("Cargo.toml")),
    )
    found = _without_missing_plugins(found, place, interpreter)
    found = _with_version_file(found, place)
    return replace(found, notes=(*found.notes, *_doubts(place, interpreter, tests, [*runtime, *testing])))


_NO_PYTEST = "No Python with pytest was found: make a virtual environment with it in .venv, and run init again."


def _django(place: Place, machine: Machine) -> Found:
    runtime, testing = _dependencies(place)
    interpreter = best(interpreters(place, machine), "django", [*runtime, *testing])
    if interpreter is None:
        note = "No Python with Django was found: make a virtual environment in .venv with what the project needs."
        return Found("manage.py of Django", "python3 manage.py test", notes=(note,), name=_project_name(place))
    notes = (
        f"Tests run with the Python of {interpreter.where} ({interpreter.program}).",
        *_missing(interpreter, [*runtime, *testing]),
    )
    test = f"{interpreter.program_word} manage.py test --noinput"
    return Found("manage.py of Django", test, read=interpreter.read, notes=notes, name=_project_name(place))


def _is_django(place: Place) -> bool:
    return place.has("manage.py") and "django" in (place.text("manage.py") or "").lower()


def _evidence(configured: str, tests: Sequence[PurePosixPath], place: Place) -> str:
    if configured:
        return f"pytest's settings in {configured}"
    if tests:
        return f"{printable(str(tests[0]))}, a test for pytest"
    return f"{place.first(*_PROJECT_FILES)}, a Python project"


def _project_name(place: Place) -> str:
    pyproject = place.toml("pyproject.toml")
    for name in (
        inside(pyproject, "project", "name"),
        inside(pyproject, "tool", "poetry", "name"),
        inside(place.ini("setup.cfg"), "metadata", "name"),
    ):
        if isinstance(name, str):
            return name
    return ""


def _python_path(place: Place) -> str:
    """The worktree's own sources first: a project installed in the environment is the owner's, not the ticket's."""
    folders = [f'"$PWD"/{shlex.quote(folder)}' for folder in _source_folders(place)]
    if _has_code_at_the_top(place):
        folders.append('"$PWD"')
    return f"PYTHONPATH={':'.join(folders)} " if folders else ""


def _source_folders(place: Place) -> list[str]:
    pyproject = place.toml("pyproject.toml")
    named = [
        *words(inside(pyproject, "tool", "setuptools", "packages", "find", "where")),
        inside(pyproject, "tool", "setuptools", "package-dir", ""),
        inside(place.ini("setup.cfg"), "options.packages.find", "where"),
        *_SOURCE_FOLDERS,
    ]
    folders = dict.fromkeys(name for name in named if isinstance(name, str) and _is_below(name))
    return [folder for folder in folders if _has_code(place, folder)]


def _has_code(place: Place, folder: str) -> bool:
    """Whether Python can import something from `folder`: a module in it, or a package."""
    below = PurePosixPath(folder).parts
    depth = len(below)
    return place.folder(folder) is not None and any(
        path.parts[:depth] == below and path.suffix == ".py" and len(path.parts) in (depth + 1, depth + 2)
        for path in place.files
    )


def _has_code_at_the_top(place: Place) -> bool:
    aside = {"tests", "test", "docs", "doc", "examples", *_SOURCE_FOLDERS}
    return any(
        len(path.parts) == 2 and path.name == "__init__.py" and path.parts[0] not in aside for path in place.files
    ) or any(len(path.parts) == 1 and path.suffix == ".py" and path.name not in _BUILD_FILES for path in place.files)


_BUILD_FILES = ("setup.py", "noxfile.py", "conftest.py", "tasks.py", "dodo.py", "manage.py")


def _is_below(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and name.isprintable()


def _dependencies(place: Place) -> tuple[list[str], list[str]]:
    """The distributions that the project says it needs: to work, and to be tested."""
    pyproject = place.toml("pyproject.toml")
    runtime = words(inside(pyproject, "project", "dependencies"))
    poetry = [name for name in table(pyproject, "tool", "poetry", "dependencies") if name != "python"]
    listed = _lines(inside(place.ini("setup.cfg"), "options", "install_requires"))
    if not (runtime or poetry or listed):
        listed = _lines(place.text("requirements.txt"))
    testing = [
        line
        for group in _TEST_GROUPS
        for line in [
            *words(inside(pyproject, "dependency-groups", group)),
            *words(inside(pyproject, "project", "optional-dependencies", group)),
            *_lines(inside(place.ini("setup.cfg"), "options.extras_require", group)),
        ]
    ]
    return _names([*runtime, *poetry, *listed]), _names(testing)


def _lines(text: object) -> list[str]:
    return text.splitlines() if isinstance(text, str) else []


def _names(requirements: Sequence[str]) -> list[str]:
    """The names in `requirements`; those that hold only on some systems (`;`) are not counted."""
    found = [re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line) for line in requirements if ";" not in line]
    return list(dict.fromkeys(normalised(match.group(1)) for match in found if match))


def _is_compiled(place: Place) -> bool:
    backend = inside(place.toml("pyproject.toml"), "build-system", "build-backend")
    if isinstance(backend, str) and backend.split(".")[0] in _COMPILED:
        return True
    return "ext_modules" in (place.text("setup.py") or "")


def _without_missing_plugins(found: Found, place: Place, interpreter: Interpreter) -> Found:
    settings = pytest_settings(place)
    options, missing = without_missing_plugins(settings[1].get("addopts") if settings else None, interpreter)
    if options is None:
        return found
    note = (
        f"{', '.join(missing)} is not in {interpreter.where}, so the options that need it are left out (`addopts`). "
        "Install it there and drop the `-o` for the project's own settings."
    )
    return replace(found, test=f"{found.test} -o {shlex.quote(f'addopts={options}')}", notes=(*found.notes, note))


def _with_version_file(found: Found, place: Place) -> Found:
    """A file that the build writes and git does not hold: without it, the package cannot be imported."""
    pyproject = place.toml("pyproject.toml")
    for name in (
        inside(pyproject, "tool", "setuptools_scm", "version_file"),
        inside(pyproject, "tool", "setuptools_scm", "write_to"),
        inside(pyproject, "tool", "hatch", "build", "hooks", "vcs", "version-file"),
        inside(pyproject, "tool", "pdm", "version", "write_to"),
    ):
        if isinstance(name, str) and _is_below(name) and name.endswith(".py"):
            line = 'version = __version__ = "0+unknown"; version_tuple = __version_tuple__ = (0, 0)'
            setup = f"test -e {shlex.quote(name)} || echo {shlex.quote(line)} > {shlex.quote(name)}"
            note = f"The build writes {name}, which a fresh checkout lacks: [checks] setup writes a stand-in."
            return replace(found, setup=setup, notes=(*found.notes, note))
    return found


def _doubts(place: Place, interpreter: Interpreter, tests: Sequence[PurePosixPath], wanted: Sequence[str]) -> list[str]:
    doubts = list(_missing(interpreter, wanted))
    if not tests:
        doubts.append("No test was seen yet. pytest answers 5 (no tests) until the first one is written.")
    name = _project_name(place)
    if name and normalised(name) not in interpreter.distributions:
        doubts.append(
            f"{name} itself is not installed in {interpreter.where}: its sources are found by PYTHONPATH, but tests "
            "that ask for its version or its commands may fail."
        )
    if _is_compiled(place):
        doubts.append("Part of the project is compiled: add the command that builds it to [checks] setup.")
    return doubts


def _missing(interpreter: Interpreter, wanted: Sequence[str]) -> tuple[str, ...]:
    missing = [name for name in dict.fromkeys(wanted) if name not in interpreter.distributions]
    if not missing:
        return ()
    shown = ", ".join(missing[:8]) + (f" and {len(missing) - 8} more" if len(missing) > 8 else "")
    return (
        f"The project asks for {shown}, not found in {interpreter.where}; tests that import it will fail. Install what "
        "the tests need in .venv inside the repository (with pytest), and run init again.",
    )
