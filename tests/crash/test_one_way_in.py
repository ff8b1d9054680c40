"""Every document of a verb came to be by one link from a temporary name beside it, seen in the calls of the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.kit import Arena
from tests.crash.scenes import SCENES
from watchbill.layout import Layout

_TEMPORARY = re.compile(r"\.(?P<name>[^/]+)\.\d+-[0-9a-f]{8}\.tmp")
_CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<given>.*)\) += (?P<result>-?\d+)")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')


def documents(layout: Layout) -> set[Path]:
    """Every file in the folders of documents."""
    folders = (layout.tickets, layout.manifests, layout.handoffs, layout.inbox, layout.sessions)
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


def ways_round(log: str, layout: Layout, before: set[Path]) -> Iterator[str]:
    """What in the calls of a verb gave a document its name or content in another way than publishing or moving one."""
    folders = tuple(f"{folder}/" for folder in (layout.tickets, layout.manifests, layout.handoffs, layout.inbox))
    folders += (f"{layout.sessions}/",)
    named = {str(path) for path in before}
    for call in map(_CALL.match, whole_lines(log)):
        paths = _PATH.findall(call["given"]) if call and int(call["result"]) >= 0 else []
        if not call or not paths or not any(path.startswith(folders) for path in paths):
            continue
        if call["name"].startswith("link"):
            source, target = map(Path, paths[:2])
            temporary = _TEMPORARY.fullmatch(source.name)
            is_published = temporary and temporary["name"] == target.name and source.parent == target.parent
            if is_published or str(source) in named:
                named.add(str(target))
            else:
                yield call[0]
        elif _gives_a_name_or_content(call["name"], call["given"], paths[0]):
            yield call[0]
    yield from (f"nobody made {path}" for path in documents(layout) if str(path) not in named)


def whole_lines(log: str) -> Iterator[str]:
    """The calls of a log, each on one line, also where strace tells the beginning and the end of one apart."""
    begun: dict[str, str] = {}
    for line in log.splitlines():
        thread, _, rest = line.partition(" ")
        if rest.endswith("<unfinished ...>"):
            begun[thread] = line.removesuffix("<unfinished ...>").rstrip()
        elif rest.lstrip().startswith("<... ") and thread in begun:
            yield begun.pop(thread) + rest.partition("resumed>")[2]
        else:
            yield line


def _gives_a_name_or_content(name: str, given: str, path: str) -> bool:
    is_for_writing = any(flag in given for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"))
    return name.startswith("rename") or (name == "openat" and is_for_writing and not _is_temporary(path))


def _is_temporary(path: str) -> bool:
    return _TEMPORARY.fullmatch(Path(path).name) is not None


def looked_at(arena: Arena, scene: str, patch: str = "") -> tuple[list[str], set[Path]]:
    """Run a scene's verb: the ways round publishing, and the new documents."""
    log = arena.root / "one-way-in.log"
    with arena.play(SCENES[scene]) as on:
        before = documents(on.workspace.layout)
        done = arena.run(on, SCENES[scene].verb, patch, log)
        assert done.code == 0, done.err
        new = documents(on.workspace.layout) - before
        return list(ways_round(log.read_text("utf-8", "replace"), on.workspace.layout, before)), new


@pytest.mark.parametrize(
    ("scene", "made"),
    [
        ("ticket", {"tickets": 1}),
        ("plan", {"manifests": 3}),
        ("approve", {"handoffs": 1, "inbox": 1}),
        ("build", {"handoffs": 2, "sessions": 1}),
    ],
)
def test_every_document_of_a_verb_was_linked_into_place(arena: Arena, scene: str, made: dict[str, int]) -> None:
    found, new = looked_at(arena, scene)
    assert found == []
    folders = [path.relative_to(arena.workspace.root).parts[0] for path in new]
    assert {folder: folders.count(folder) for folder in folders} == made


def test_a_call_that_strace_tells_in_two_parts_is_read_as_one() -> None:
    log = '7 link("/a", "/b" <unfinished ...>\n8 fsync(3) = 0\n7 <... link resumed>) = 0\n'
    assert list(whole_lines(log)) == ["8 fsync(3) = 0", '7 link("/a", "/b") = 0']


@pytest.mark.parametrize("broken", ["with_documents_written_in_place", "with_documents_renamed_into_place"])
def test_a_document_written_in_another_way_is_caught(arena: Arena, broken: str) -> None:
    found, _ = looked_at(arena, "ticket", f"tests.crash.breaks:{broken}")
    assert found
