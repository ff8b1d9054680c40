"""Whatever lies in a repository, the survey answers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tools.survey.looking import Workshop, written
from watchbill.tools.survey.place import MAX_BYTES

FILES = (
    "package.json", "pyproject.toml", "setup.cfg", "tox.ini", "pytest.ini", "requirements.txt", "setup.py", "manage.py",
    "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain", "rust-toolchain.toml", "go.mod", "go.work",
    "pom.xml", "build.gradle", "gradle/wrapper/gradle-wrapper.properties", "CMakeLists.txt", "meson.build", "Gemfile",
    "Gemfile.lock", "spec/a_spec.rb", "composer.json", "phpunit.xml", "mix.exs", "deno.json", "pubspec.yaml",
    "Makefile", "justfile", "test.sh", "tests/test_a.py",
)  # fmt: skip
CONTENTS = {
    "empty": b"",
    "zeros": b"\0" * 100,
    "latin-1": "# caf\xe9\n[a]\nb = '\xe9'\n".encode("latin-1"),
    "utf-16": '{"scripts": {"test": "x"}}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"scripts": {"test": "x"}}',
    "a list": b"[]",
    "a number": b"17",
    "half": b'{"scripts": {"te',
    "deep": b"[" * 200_000,
    "deep tables": b'{"a":' * 200_000,
    "a huge number": b'{"version": 1' + b"0" * 10_000 + b"}",
    "wrong types": b'{"scripts": [], "name": 3, "dependencies": "x", "workspaces": 1, "require": 1}',
    "toml of wrong types": b"project = 3\ntool = [1]\npackage = 'x'\nworkspace = 1\ndependencies = [1]\n",
    "more toml of wrong types": b"[project]\nname = 1\ndependencies = {a=1}\n[tool.pytest]\nini_options = 3\n",
    "escapes": b'{"name": "\\u001b[2J", "scripts": {"test": "\\u001b[31m mocha"}}',
    "lone surrogates": b'{"name": "\\ud800", "scripts": {"test": "\\udfff"}}',
    "sections twice": b"[pytest]\na=1\n[pytest]\na=2\n a\n[tool:pytest]\naddopts='\n",
    "no sections": b"a = %(b)s\n%%\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTENTS)
def test_broken_files_never_raise(workshop: Workshop, kind: str) -> None:
    for name in FILES:
        path = workshop.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENTS[kind])
        workshop.look({})
        path.unlink()
    for name in FILES:
        (workshop.repo / name).write_bytes(CONTENTS[kind])
    found = workshop.look({})

    said = [found.name, found.test, found.setup, *found.notes]
    assert all(text.isprintable() for text in said)
    assert all(text.encode("utf-8") is not None for text in said)


@pytest.mark.parametrize("name", FILES)
def test_things_that_are_no_files_never_raise(workshop: Workshop, name: str) -> None:
    path = workshop.repo / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("nowhere")
    workshop.look({})
    path.unlink()
    path.symlink_to(name)
    workshop.look({})
    path.unlink()
    path.mkdir()
    workshop.look({})
    path.rmdir()
    os.mkfifo(path)

    assert workshop.look({}).name


def test_an_unparsable_file_is_named(workshop: Workshop) -> None:
    found = workshop.look({"package.json": "{", "pyproject.toml": "[", "go.mod": "module x\n"})

    assert any("package.json is not valid JSON" in note for note in found.notes)
    assert any("pyproject.toml is not valid TOML" in note for note in found.notes)


def test_a_package_json_that_is_a_list_is_named(workshop: Workshop) -> None:
    assert any("package.json does not hold a table" in note for note in workshop.look({"package.json": "[1]"}).notes)


def test_what_a_project_calls_itself_cannot_play_with_the_terminal(workshop: Workshop) -> None:
    found = workshop.look(
        {"pyproject.toml": '[project]\nname = "a\\u001b[2J\\nb"\n', "tests/test_a.py": "def test_a(): pass\n"}
    )

    assert found.name == "a [2J b"
    assert any("a [2J b" in note for note in found.notes)
    assert all(note.isprintable() for note in found.notes)


def test_a_huge_file_is_left_aside(workshop: Workshop) -> None:
    found = workshop.look({"package.json": '{"scripts": {"test": "ava"}}' + " " * MAX_BYTES})

    assert found.test == ""
    assert any("larger than" in note for note in found.notes)


def test_a_link_out_of_the_repository_is_not_followed(workshop: Workshop, tmp_path: Path) -> None:
    written(tmp_path, {"secret": "test:\n\ttrue\n"})
    written(workshop.repo, {})
    (workshop.repo / "Makefile").symlink_to(tmp_path / "secret")

    assert workshop.look({}).test == ""


def test_a_link_within_the_repository_is_followed(workshop: Workshop) -> None:
    written(workshop.repo, {"build/rules": "test:\n\ttrue\n"})
    (workshop.repo / "Makefile").symlink_to("build/rules")

    assert workshop.look({}).test == "make test"


def test_a_circle_of_folders_ends(workshop: Workshop) -> None:
    written(workshop.repo, {"a/b/x.txt": ""})
    (workshop.repo / "a" / "b" / "c").symlink_to("../..")

    assert workshop.look({}).test == ""


def test_names_that_are_not_utf_8_are_no_trouble(workshop: Workshop) -> None:
    written(workshop.repo, {"tests/x": ""})
    try:
        (workshop.repo / "tests" / os.fsdecode(b"test_\xff.py")).write_text("")
    except OSError:
        return  # A file system that takes no such names has no such trouble.

    found = workshop.look({})

    assert all(note.encode("utf-8") is not None for note in found.notes)


def test_a_repository_that_is_not_there_has_nothing(workshop: Workshop) -> None:
    workshop.repo = workshop.repo / "nowhere" / "at all"

    assert workshop.look({}).test == ""
