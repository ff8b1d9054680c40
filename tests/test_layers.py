"""The folders are floors, and imports only go down.

The table below is the only list of the floors. Imports inside functions count as well: they save start-up time, not
the architecture. The package's own `__init__` is free.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "watchbill"

FLOORS: dict[int, tuple[str, ...]] = {
    1: ("errors", "layout", "strict_json"),
    2: ("files", "tools"),
    3: ("documents",),
    4: ("history",),
    5: ("rules",),
    6: (
        "roles",
        "workspace",
        "index",
        "overview",
        "integration",
        "hand_over",
        "heads",
        "gate",
        "signer",
        "inbox",
        "pause",
        "dead_sessions",
        "session_records",
        "settle",
        "landed",
    ),
    7: ("stages",),
    8: ("schedule", "demo", "web", "importers", "rounds"),
    9: ("cli", "__main__"),
}
# Rooms of these floors may import each other, as long as there is no circle.
NEIGHBOURS_MAY_MEET = (6, 9)
# What lies in these rooms stands side by side: a kind of document, a verb, a door to the outside.
SIDE_BY_SIDE = ("documents", "stages", "tools")
# The exceptions: the shapes of ids that all documents share, what runs only inside the sandbox, and what hides secrets.
SIBLINGS_THAT_MAY = (
    ("documents.*", "documents.types"),
    ("tools.checks", "tools.sandbox"),
    ("tools.scanners", "tools.sandbox"),
    ("tools.*", "tools.redaction"),
)
# Decisions are pure functions: they open no file and no door.
NEVER = {"rules": ("files", "tools")}


@dataclass(frozen=True)
class Import:
    """One import, by module names below the package, such as `rules.planning`."""

    importer: str
    imported: str
    line: int

    @property
    def rooms(self) -> tuple[str, str]:
        return self.importer.partition(".")[0], self.imported.partition(".")[0]

    @property
    def siblings(self) -> tuple[str, str]:
        """The two files or folders within a room that the import connects."""
        return ".".join(self.importer.split(".")[:2]), ".".join(self.imported.split(".")[:2])

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.imported}"


def module_names(package: Path) -> dict[str, Path]:
    """Every module of the package by its name below it; a folder's `__init__` has the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[:2] == ("demo", "sample"):  # somebody else's project, which the demo works on
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imports_of(package: Path) -> list[Import]:
    """Every import of one module of the package by another, wherever it stands in the file."""
    modules = module_names(package)
    found = []
    for importer, path in modules.items():
        for target, line in targets(path, package):
            imported = longest_module(target, modules)
            if imported and imported != importer:
                found.append(Import(importer, imported, line))
    return found


def targets(path: Path, package: Path) -> Iterator[tuple[str, int]]:
    """The names below the package that a file imports, each with its line."""
    prefix = f"{package.name}."
    here = [package.name, *path.relative_to(package).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        for name in names_in(node, here):
            if name.startswith(prefix):
                yield name.removeprefix(prefix), getattr(node, "lineno", 0)


def names_in(node: ast.AST, here: list[str]) -> Iterator[str]:
    match node:
        case ast.Import():
            yield from (alias.name for alias in node.names)
        case ast.ImportFrom():
            above = here[: len(here) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            yield name


def longest_module(target: str, modules: dict[str, Path]) -> str:
    """`rules.planning.plan` is the module `rules.planning`; empty when the package has no such module."""
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target


def floor_of(room: str) -> int:
    for floor, rooms in FLOORS.items():
        if room in rooms:
            return floor
    raise AssertionError(f"watchbill/{room} stands on no floor: give it one in tests/test_layers.py")


def violations(package: Path) -> list[str]:
    """Every import that breaks a rule of the house, as a sentence."""
    found = []
    imports = imports_of(package)
    for one in imports:
        reason = why_not(one)
        if reason:
            found.append(f"{one}: {reason}")
    found += [f"a circle: {circle}" for circle in circles(imports)]
    return found


def why_not(one: Import) -> str:
    upper, lower = one.rooms
    if upper == lower:
        return "" if may_stand_beside(one) else f"what lies in {upper}/ does not import its siblings"
    if lower in NEVER.get(upper, ()):
        return f"{upper}/ never imports {lower}/"
    above, below = floor_of(upper), floor_of(lower)
    if above < below:
        return f"upward, from floor {above} to floor {below}"
    if above == below and above not in NEIGHBOURS_MAY_MEET:
        return f"both are on floor {above}"
    return ""


def may_stand_beside(one: Import) -> bool:
    importer, imported = one.siblings
    if one.rooms[0] not in SIDE_BY_SIDE or importer == imported or "." not in importer:
        return True
    return any(imported == lower and upper in (importer, f"{one.rooms[0]}.*") for upper, lower in SIBLINGS_THAT_MAY)


def circles(imports: list[Import]) -> list[str]:
    """Circles among modules and among rooms, each once, as `a → b → a`."""
    modules = {(one.importer, one.imported) for one in imports}
    rooms = {one.rooms for one in imports if one.rooms[0] != one.rooms[1]}
    return [*circles_in(modules), *circles_in(rooms)]


def circles_in(edges: set[tuple[str, str]]) -> list[str]:
    below: dict[str, list[str]] = {}
    for upper, lower in sorted(edges):
        below.setdefault(upper, []).append(lower)
    found: list[str] = []
    finished: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        if name in way:
            found.append(" → ".join([*way[way.index(name) :], name]))
        elif name not in finished:
            for lower in below.get(name, []):
                visit(lower, [*way, name])
            finished.add(name)

    for name in sorted(below):
        visit(name, [])
    return found


def test_imports_only_go_down() -> None:
    assert violations(PACKAGE) == []


def test_every_module_stands_on_a_floor() -> None:
    for name in module_names(PACKAGE):
        floor_of(name.partition(".")[0])


def house(folder: Path, files: dict[str, str]) -> Path:
    """A made-up package of the same name, with an `__init__` in every folder."""
    package = folder / "watchbill"
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (path / "__init__.py").touch()
    return package


@pytest.mark.parametrize(
    "text",
    [
        "from watchbill.stages.run import run",
        "import watchbill.stages.run",
        "from watchbill.stages import run",
        "from watchbill import stages",
        "from ..stages import run",
        "def late():\n    from watchbill.stages.run import run",
        "if TYPE_CHECKING:\n    from watchbill.stages.run import run",
        "import importlib\nimportlib.import_module('watchbill.stages.run')",
    ],
)
def test_an_upward_import_is_found(text: str, tmp_path: Path) -> None:
    package = house(tmp_path, {"rules/next_step.py": text, "stages/run.py": "run = 1"})
    (found,) = violations(package)
    assert found.startswith("rules.next_step (line ")
    assert "upward, from floor 5 to floor 7" in found


def test_a_downward_import_is_fine(tmp_path: Path) -> None:
    package = house(tmp_path, {"stages/run.py": "from watchbill.rules import next_step", "rules/next_step.py": ""})
    assert violations(package) == []


@pytest.mark.parametrize("room", SIDE_BY_SIDE)
def test_an_import_of_a_sibling_is_found(room: str, tmp_path: Path) -> None:
    package = house(tmp_path, {f"{room}/one.py": f"from watchbill.{room}.other import x", f"{room}/other.py": "x = 1"})
    (found,) = violations(package)
    assert "does not import its siblings" in found


def test_one_tool_may_have_several_files(tmp_path: Path) -> None:
    files = {"tools/git/merging.py": "from watchbill.tools.git import command", "tools/git/command.py": ""}
    assert violations(house(tmp_path, files)) == []


def test_a_tool_in_a_folder_may_not_import_another_tool(tmp_path: Path) -> None:
    files = {"tools/git/merging.py": "from watchbill.tools.model import client", "tools/model/client.py": ""}
    (found,) = violations(house(tmp_path, files))
    assert "does not import its siblings" in found


def test_two_rooms_of_one_floor_do_not_meet(tmp_path: Path) -> None:
    (found,) = violations(house(tmp_path, {"files/locks.py": "from watchbill.tools import git", "tools/git.py": ""}))
    assert "both are on floor 2" in found


def test_a_rule_that_opens_a_file_is_found(tmp_path: Path) -> None:
    (found,) = violations(house(tmp_path, {"rules/gate.py": "from watchbill.files import locks", "files/locks.py": ""}))
    assert "never imports files/" in found


def test_a_circle_of_modules_is_found(tmp_path: Path) -> None:
    files = {
        "rules/one.py": "from watchbill.rules import two",
        "rules/two.py": "def late():\n    from watchbill.rules.three import x",
        "rules/three.py": "x = 1\nfrom watchbill.rules.one import y",
    }
    assert violations(house(tmp_path, files)) == ["a circle: rules.one → rules.two → rules.three → rules.one"]


def test_a_circle_of_rooms_is_found_even_if_no_module_is_in_one(tmp_path: Path) -> None:
    files = {
        "inbox.py": "from watchbill.roles import build",
        "roles/build.py": "",
        "roles/qa.py": "from watchbill.inbox import ask",
    }
    assert violations(house(tmp_path, files)) == ["a circle: inbox → roles → inbox"]


def test_a_room_on_no_floor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="watchbill/helpers stands on no floor"):
        violations(house(tmp_path, {"helpers/x.py": "from watchbill import errors", "errors.py": ""}))
