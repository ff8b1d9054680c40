"""No code but the publish primitive writes a document: this reads the source. `tests/crash/test_one_way_in.py` watches
what verbs ask of the kernel.

A module that writes something else stands in the tables below, with what it writes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "watchbill"

# By module: what is called there, and what it writes.
MAY_WRITE = {
    "files/publish.py": ("link open rename", "documents: the one way in"),
    "files/journal.py": ("open", "lines of the requests that were made, each synced, and of what histories end with"),
    "files/locks.py": ("open", "locks, which hold the number of a process"),
    "files/archive.py": ("open", "nothing: it opens a document in a pack, for reading"),
    "index/kept.py": ("fdopen open replace", "the index, which may be lost at any time"),
    "tools/log.py": ("open", "the log, which may be lost"),
    "tools/git/command.py": ("write_text", "the settings of a passing room for git"),
    "tools/git/merging.py": ("write_bytes", "attributes of files, in a passing room for git"),
    "tools/git/repository.py": (
        "TemporaryFile open write_text",
        "git's own notes of worktrees",
    ),
    "tools/git/spares.py": (
        "rename replace write_bytes",
        "worktrees that were put by, and a mark of when one was clean",
    ),
    "tools/git/worktree.py": ("NamedTemporaryFile write_text", "a note in a worktree, and a passing file for git"),
    "tools/model/beneath.py": ("fdopen open", "what a model writes, in its worktree alone"),
    "tools/model/search.py": ("open", "nothing: it reads what a pattern is looked for in"),
    "tools/sandbox/control_groups.py": ("write_text", "limits, which the kernel takes as files"),
    "tools/sandbox/landlock.py": (
        "copyfile copytree open write_bytes write_text",
        "a passing copy of git's own data, and the worktree's .git put back",
    ),
    "tools/sandbox/landlock_launcher.py": ("open", "nothing: it holds the worktree, by its descriptor"),
    "tools/sandbox/choosing.py": ("write_text", "a passing secret that the sandbox must not show"),
    "tools/signing.py": ("open write_bytes write_text", "the terminal; a signature and the signers, in a passing room"),
    "tools/scanners.py": ("open", "passing copies that scanners read, and what they said"),
    "cli/edge.py": ("open", "nothing: the null device takes the place of an output that is gone"),
    "demo/show.py": ("copytree", "the sample's own project"),
}
# Derived files, which are made anew at will.
MAY_REPLACE = {
    "stages/plan.py": "from what a standing manifest was made",
    "roles/build.py": "a list of files that a set-up made",
    "roles/evidence.py": "what the checks said about a commit",
    "stages/gate_setup.py": "the settings' lines about the gate, and who may sign",
    "cli/scheduling.py": "jobs for the machine's own scheduler",
    "demo/show.py": "the settings of the demo's workspace",
}

_ANYWHERE = {"write_text", "write_bytes", "hardlink_to", "symlink_to", "copyfile", "copyfileobj", "copytree", "copy2"}
_ANYWHERE |= {"NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile", "mkstemp", "rename", "renames", "touch"}
# Other things have methods of these names.
_OF_MODULES = {"link", "symlink", "replace", "copy", "move", "truncate", "mknod", "mkfifo", "open", "fdopen"}
_MODULES = ("os", "shutil", "tempfile", "io", "pathlib", "codecs", "gzip")


def modules() -> dict[str, str]:
    """The source of every module of the package, by its path; the demo's sample is somebody else's project."""
    found = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    return {name: path.read_text("utf-8") for name, path in found.items() if not name.startswith("demo/sample/")}


def writes(source: str) -> list[str]:
    """What in a module may write, rename, link or copy a file: names, each with its line."""
    return [f"{name} (line {line})" for line, name in sorted({one for node in _nodes(source) for one in _found(node)})]


def replaces(source: str) -> bool:
    """Whether a module takes from `files.publish` what writes a file anew."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == "watchbill.files.publish"
        and any(alias.name == "replace" for alias in node.names)
        for node in _nodes(source)
    )


def _nodes(source: str) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(source))


def _found(node: ast.AST) -> Iterator[tuple[int, str]]:
    match node:
        case ast.ImportFrom(module=str(module), names=names) if module in _MODULES:
            yield from ((node.lineno, f"{module}.{one.name}") for one in names if one.name in _ANYWHERE | _OF_MODULES)
        case ast.Call(func=ast.Name(id="open")) if not _reads(node, 1):
            yield node.lineno, "open"
        case ast.Call(func=ast.Attribute(attr=name, value=owner)) if _writes(node, name, _name_of(owner)):
            yield node.lineno, name


def _name_of(owner: ast.expr) -> str:
    return owner.id if isinstance(owner, ast.Name) else ""


def _writes(call: ast.Call, name: str, owner: str) -> bool:
    if name == "open" and owner == "os":
        return not _are_for_reading(call.args[1] if len(call.args) > 1 else None)
    if name in ("open", "fdopen") and owner in _MODULES:
        return not _reads(call, 1)
    if name == "open":
        # A class that has a way of opening something of its own is no path.
        return not owner[:1].isupper() and not _reads(call, 0)
    if name == "replace" and owner not in _MODULES:
        # A path takes one argument for it, a text two, and a moment none without a keyword.
        return len(call.args) == 1 and not call.keywords
    return name in _ANYWHERE or (name in _OF_MODULES and owner in _MODULES)


def _reads(call: ast.Call, place: int) -> bool:
    """Whether a call opens for reading only; a mode that does not stand there might be any."""
    given = next((word.value for word in call.keywords if word.arg == "mode"), None)
    mode = given or (call.args[place] if len(call.args) > place else None)
    return mode is None or (isinstance(mode, ast.Constant) and not set(str(mode.value)) & set("wax+"))


def _are_for_reading(flags: ast.expr | None) -> bool:
    """Whether flags of `os.open` all stand there by name, and none of them lets anything be written."""
    if isinstance(flags, ast.BinOp):
        return _are_for_reading(flags.left) and _are_for_reading(flags.right)
    writing = ("O_WRONLY", "O_RDWR", "O_CREAT", "O_APPEND", "O_TRUNC", "O_TMPFILE")
    return isinstance(flags, ast.Attribute) and flags.attr.startswith("O_") and flags.attr not in writing


def test_only_the_modules_of_the_table_write_files() -> None:
    found = {name: calls for name, source in modules().items() if (calls := writes(source))}
    called = {name: {call.partition(" ")[0] for call in calls} for name, calls in found.items()}
    allowed = {name: set(calls.split()) for name, (calls, _) in MAY_WRITE.items()}
    strangers = {name: found[name] for name in called if called[name] - allowed.get(name, set())}
    assert strangers == {}, "publish it (files/publish.py), or say in MAY_WRITE what it is"
    assert called == allowed, "what is not called any more needs no word in MAY_WRITE"


def test_only_derived_files_are_written_anew() -> None:
    found = {name for name, source in modules().items() if replaces(source)}
    assert found == set(MAY_REPLACE), "a document is published; a derived file has a line in MAY_REPLACE"


@pytest.mark.parametrize(
    "line",
    [
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, how)",
        "io.open(path, 'x')",
        "os.fdopen(handle, 'wb')",
        "path.open('r+')",
        "path.open(mode)",
        "(folder / name).open('xb')",
        "path.write_text(text)",
        "layout.handoff(ticket, 1).write_bytes(data)",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "os.open(path, os.O_RDWR)",
        "os.open(path, flags)",
        "temporary.rename(path)",
        "temporary.replace(path)",
        "os.replace(one, other)",
        "os.rename(one, other)",
        "os.link(one, other)",
        "path.hardlink_to(other)",
        "path.symlink_to(other)",
        "shutil.copyfile(one, other)",
        "shutil.copy(one, other)",
        "shutil.move(one, other)",
        "path.touch()",
        "tempfile.NamedTemporaryFile(dir=folder)",
        "tempfile.mkstemp()",
        "from os import link",
        "from shutil import move as give",
        "from os import open as door",
    ],
)
def test_a_way_round_is_found(line: str) -> None:
    assert len(writes(f"def work():\n    {line}\n")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "open(path, 'rb')",
        "path.open()",
        "path.open('rb', buffering=0)",
        "os.open(path, os.O_RDONLY | os.O_DIRECTORY)",
        "os.fdopen(handle, 'rb')",
        "Repository.open(path)",
        "text.replace('a', 'b')",
        "moment.replace(microsecond=0)",
        "replace(history, documents=())",
        "publish(path, data)",
        "move(path, target)",
        "names.copy()",
        "from watchbill.files.publish import move, publish",
    ],
)
def test_what_only_reads_or_publishes_is_not(line: str) -> None:
    assert writes(f"def work():\n    {line}\n") == []


def test_who_writes_files_anew_is_found() -> None:
    assert replaces("from watchbill.files.publish import publish, replace")
    assert not replaces("from dataclasses import replace")
