"""Which Python can run a project's tests.

Owns the search for interpreters that have pytest (or Django): virtual environments are read, not run, since one that
lies in the repository may hold anything; installed interpreters are asked. It never installs anything.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from watchbill.tools.survey.machine import Machine, without_nested
from watchbill.tools.survey.place import Place, is_file, is_folder

_MAX_LINKS = 40
# Isolated: neither the folder it runs in nor the owner's variables change the answer.
_QUESTION = "import json, sys; print(json.dumps([sys.executable, sys.prefix, sys.base_prefix, sys.path]))"


def normalised(name: str) -> str:
    """A distribution's name as installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True)
class Interpreter:
    """A Python. `where` is for a sentence; `read` is what a sandbox must show of it; `sites` hold its packages."""

    program: Path
    where: str
    read: tuple[Path, ...]
    sites: tuple[Path, ...]

    @property
    def program_word(self) -> str:
        """The program as a word of a shell line."""
        return shlex.quote(str(self.program))

    @cached_property
    def distributions(self) -> frozenset[str]:
        """The normalised names of what is installed."""
        found = set()
        for site in self.sites:
            for entry in _names(site):
                name, dot, kind = entry.rpartition(".")
                if dot and kind in ("dist-info", "egg-info", "egg-link"):
                    found.add(normalised(name.split("-")[0] if kind != "egg-link" else name))
        return frozenset(found)

    def can_import(self, package: str) -> bool:
        return any(is_folder(site / package) or is_file(site / f"{package}.py") for site in self.sites)


def interpreters(place: Place, machine: Machine) -> list[Interpreter]:
    """Every Python found, the project's own first and Watchbill's own, which always has pytest, last."""
    named = machine.environ.get("VIRTUAL_ENV", "")
    found = [
        *(_environment(place.root / name, name, machine) for name in (".venv", "venv")),
        _environment(Path(named), "the active virtual environment", machine) if named else None,
        _installed(machine.program("python3"), "python3 on PATH", machine),
        _own(machine),
    ]
    return [interpreter for interpreter in found if interpreter is not None]


def best(
    candidates: Sequence[Interpreter], package: str, wanted: Iterable[str], project: str = ""
) -> Interpreter | None:
    """The first that can import `package` and lacks the fewest of `wanted`; among equals, one that has `project`."""
    able = [candidate for candidate in candidates if candidate.can_import(package)]
    needed = {normalised(name) for name in wanted}

    def lack(candidate: Interpreter) -> tuple[int, int, bool]:
        missing = needed - candidate.distributions
        # Many tests run without a plugin that the project would like; hardly any without a library.
        plugins = sum(name.startswith("pytest-") for name in missing)
        return len(missing) - plugins, plugins, normalised(project) not in candidate.distributions

    return min(able, key=lack, default=None)


def _environment(folder: Path, where: str, machine: Machine) -> Interpreter | None:
    """The virtual environment `folder`, known from its files alone."""
    program = folder / "bin" / "python"
    if not folder.is_absolute() or not is_file(folder / "pyvenv.cfg") or not is_file(program):
        return None
    bases = _bases(program, folder)
    if bases is None:
        return None
    sites = _sites(folder)
    if _sees_the_system(folder / "pyvenv.cfg"):
        sites += tuple(site for base in bases for site in _sites(base))
    return Interpreter(program, where, machine.readable([folder, *bases]), sites)


def _installed(program: Path | None, where: str, machine: Machine) -> Interpreter | None:
    """The interpreter behind `program` (which may be a shim), as it says itself."""
    answer = machine.ask(program, "-I", "-c", _QUESTION) if program else None
    try:
        executable, prefix, base, path = json.loads(answer or "null")
        return _running(Path(executable), Path(prefix), Path(base), [str(entry) for entry in path], where, machine)
    except (ValueError, TypeError, RecursionError):
        return None


def _own(machine: Machine) -> Interpreter:
    """The Python that Watchbill itself runs on."""
    where = "Watchbill's own environment"
    return _running(Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), sys.path, where, machine)


def _running(program: Path, prefix: Path, base: Path, path: Sequence[str], where: str, machine: Machine) -> Interpreter:
    sites = tuple(Path(folder) for folder in path if Path(folder).name in ("site-packages", "dist-packages"))
    folders = [prefix, base, *(_bases(program, prefix) or ())]
    return Interpreter(program, where, machine.readable(folders), sites)


def _bases(program: Path, environment: Path) -> tuple[Path, ...] | None:
    """The installations that `program` leads to, link by link; None if one of them is no installation of Python.

    A link in a repository can name any file of this machine. Only a folder with a standard library is believed.
    """
    found: list[Path] = []
    for link in _links(program):
        prefix = link.parent.parent
        if prefix == environment or os.path.realpath(prefix) == os.path.realpath(environment):
            continue
        if not _is_an_installation(prefix):
            return None
        found.append(prefix)
    return without_nested(found)


def _links(path: Path) -> list[Path]:
    chain = [path]
    while chain[-1].is_symlink() and len(chain) < _MAX_LINKS:
        chain.append(Path(os.path.normpath(chain[-1].parent / os.readlink(chain[-1]))))  # noqa: PTH115
    return [*chain, Path(os.path.realpath(path))]


def _is_an_installation(prefix: Path) -> bool:
    return is_file(prefix / "pyvenv.cfg") or any(prefix.glob("lib*/python3*/os.py"))


def _sites(prefix: Path) -> tuple[Path, ...]:
    return tuple(sorted({*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib/python3*/dist-packages")}))


def _sees_the_system(settings: Path) -> bool:
    try:
        text = settings.read_bytes()[:10_000].decode("utf-8", "replace")
    except OSError:
        return False
    return re.search(r"(?im)^include-system-site-packages\s*=\s*true", text) is not None


def _names(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []
