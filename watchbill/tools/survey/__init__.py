"""What a repository says about itself: its name, its main branch, and how its tests are run.

Owns the survey with which `init` writes honest settings, and the order in which languages are tried. It reads files and
asks installed tools where they live; it never runs the repository's code and never writes in it. Nothing that lies in
the repository makes it raise: what cannot be read becomes a note.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchbill.tools.survey.compiled import cmake, go, meson
from watchbill.tools.survey.found import Found, Look
from watchbill.tools.survey.interpreted import elixir, perl, php, ruby
from watchbill.tools.survey.jvm import gradle, maven
from watchbill.tools.survey.machine import Ask, Machine, Which, ask_program
from watchbill.tools.survey.node import deno, node
from watchbill.tools.survey.place import Place, printable
from watchbill.tools.survey.python import python
from watchbill.tools.survey.rust import rust
from watchbill.tools.survey.simple import bats, dart, fixed, just, make, script

__all__ = ["Survey", "survey"]

MAIN_BRANCHES = ("main", "master", "trunk", "develop")
# The first that finds tests wins; languages before the general runners, which often only call them.
_LOOKS: tuple[Look, ...] = (
    python, node, rust, go, maven, gradle, cmake, meson, ruby, php, elixir, deno, dart, perl, fixed,
    make, just, bats, script,
)  # fmt: skip
_PROJECT_FILES = (
    "pyproject.toml", "setup.py", "package.json", "Cargo.toml", "go.mod", "pom.xml", "build.gradle",
    "build.gradle.kts", "Gemfile", "composer.json", "mix.exs", "CMakeLists.txt",
)  # fmt: skip
_MAX_NAME = 100


@dataclass(frozen=True)
class Survey:
    """What was found.

    `base` is None when no branch can be the base. `setup` and `test` are shell lines, "" for none; in `test`, `{junit}`
    stands where JUnit XML is wanted. `read` are absolute paths that the sandbox must show beyond the system's own.
    `notes` are sentences for a person: what was found, what was not, and what to edit.
    """

    name: str
    base: str | None
    setup: str
    test: str
    read: tuple[Path, ...]
    notes: tuple[str, ...]


def survey(
    repo: Path,
    current_branch: str | None,
    branches: Sequence[str],
    which: Which = shutil.which,
    *,
    ask: Ask = ask_program,
    environ: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Survey:
    """Look at the checkout `repo`, whose local branches are `branches` (`current_branch` is None when detached).

    `ask` runs an installed program and gives back its stdout, or None. Raises nothing for what lies in the repository.
    """
    place = Place(repo)
    machine = Machine(place.root, which, ask, os.environ if environ is None else environ, home or Path.home())
    every = [found for look in _LOOKS if (found := look(place, machine))]
    every.sort(key=lambda found: found.weak or not found.test)
    base, base_notes = _base(current_branch, branches)
    chosen = every[0] if every else None
    notes = [*base_notes, *_told(chosen, every[1:], place), *place.notes]
    return Survey(
        name=_name(chosen, place.root),
        base=base,
        setup=chosen.setup if chosen else "",
        test=chosen.test if chosen else "",
        read=tuple(dict.fromkeys(chosen.read)) if chosen else (),
        notes=tuple(printable(note, 600) for note in notes),
    )


def _base(current: str | None, branches: Sequence[str]) -> tuple[str | None, list[str]]:
    """The branch that work starts from, and what a person should know about the choice."""
    own = [branch for branch in branches if not branch.startswith("watchbill/")]
    if not own:
        mend = "make one (git switch -c main), then set [project] base to it"
        return None, [f"The repository has no branch of its own to start from: {mend}."]
    if current in MAIN_BRANCHES and current in own:
        return current, []
    for branch in MAIN_BRANCHES:
        if branch in own:
            return branch, [f"Work starts from {branch}, not from the branch you are on ([project] base)."]
    if current in own:
        return current, [f"Work starts from {current}, the branch you are on ([project] base)."]
    if len(own) == 1:
        return own[0], [f"Work starts from {own[0]}, the only branch ([project] base)."]
    return None, ["No branch looks like the main one: name it in [project] base."]


def _name(chosen: Found | None, root: Path) -> str:
    folder = root.name or Path(os.path.realpath(root)).name
    for name in (chosen.name if chosen else "", folder.removesuffix(".git")):
        if kept := printable(name, _MAX_NAME).strip("/ "):
            return kept
    return "project"


def _told(chosen: Found | None, others: Sequence[Found], place: Place) -> list[str]:
    if chosen is None:
        return [_NOTHING, *_below(place)]
    if not chosen.test:
        return [f"Found {chosen.evidence}, but no command for the tests: write it in [checks] test.", *chosen.notes]
    lines = [f"The command in [checks] test was chosen because of {chosen.evidence}.", *chosen.notes]
    if "{junit}" not in chosen.test:
        lines.append("Only the exit code of the tests is known: a runner that writes JUnit XML to {junit} tells more.")
    also = [f"{found.evidence} (`{found.test}`)" for found in others if found.test and not found.weak]
    if also:
        lines.append(f"Also found: {'; '.join(also[:5])}. To run them too, join them with && in [checks] test.")
    return lines


_NOTHING = (
    "No way to run the tests was found. Write the command in [checks] test of watchbill.toml, with {junit} where it "
    "takes a path for JUnit XML; until then, QA has no tests to judge by."
)


def _below(place: Place) -> list[str]:
    """Projects in folders, for a repository that has nothing at its top."""
    found = [str(path) for path in place.files if path.name in _PROJECT_FILES and 2 <= len(path.parts) <= 3]
    if not found:
        return []
    folder = str(Path(found[0]).parent)
    listed = ", ".join(found[:6])
    return [f"There are projects in folders ({listed}). For example: test = \"cd '{folder}' && …\"."]
