"""What the survey says of the repository as a whole: its base, its name, and which language goes first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.tools.survey.looking import Workshop


@pytest.mark.parametrize(
    ("current", "branches", "base"),
    [
        ("main", ["main", "master"], "main"),
        ("develop", ["main", "develop"], "develop"),
        ("fix-1", ["fix-1", "develop", "trunk", "master"], "master"),
        ("fix-1", ["fix-1", "other"], "fix-1"),
        (None, ["trunk", "release"], "trunk"),
        (None, ["release"], "release"),
        (None, ["release", "next"], None),
        ("main", [], None),
        ("watchbill/integration", ["watchbill/integration", "release"], "release"),
        ("main", ["work"], "work"),
    ],
)
def test_the_base_is_the_main_branch_or_else_the_current_one(
    workshop: Workshop, current: str | None, branches: Sequence[str], base: str | None
) -> None:
    found = workshop.look({}, current, branches)

    assert found.base == base
    if base != current:
        assert any("base" in note or "branch" in note for note in found.notes)


def test_a_repository_without_tests_says_what_to_write(workshop: Workshop) -> None:
    found = workshop.look({"README.md": "hello"})

    assert (found.test, found.setup, found.read) == ("", "", ())
    assert any("[checks] test" in note and "{junit}" in note for note in found.notes)
    assert found.name == "a repository é"


def test_projects_in_folders_are_named_when_the_top_has_none(workshop: Workshop) -> None:
    found = workshop.look({"backend/pyproject.toml": "[project]\nname='x'\n", "web/package.json": "{}"})

    assert found.test == ""
    assert any("backend/pyproject.toml" in note and "cd 'backend'" in note for note in found.notes)


def test_a_language_goes_before_a_makefile_and_the_makefile_is_mentioned(workshop: Workshop) -> None:
    found = workshop.look({"Makefile": "test:\n\tgo test\n", "go.mod": "module example.org/thing/v2\n"})

    assert found.test.endswith("go test ./...")
    assert found.name == "thing"
    assert any("make test" in note for note in found.notes)


def test_a_language_without_any_test_goes_after_one_with_tests(workshop: Workshop) -> None:
    found = workshop.look({"setup.py": "", "Makefile": "check: build\n\t./check\n"})

    assert found.test == "make check"


@pytest.mark.parametrize(
    "makefile", ["test := 1\n", "tests = x\n", ".PHONY: test\n", "\ttest: x\n", "test ::= y\n", "latest:\n\ttrue\n"]
)
def test_what_only_looks_like_a_target_is_none(workshop: Workshop, makefile: str) -> None:
    assert workshop.look({"Makefile": makefile}).test == ""


@pytest.mark.parametrize(
    ("files", "test"),
    [
        ({"Makefile": "all: x\n\nlint test: all\n\t./t\n"}, "make test"),
        ({"justfile": "build:\n  x\ntest filter='': build\n  x\n"}, "just test"),
        ({"scripts/test": "#!/usr/bin/env bash\n"}, "sh scripts/test"),
        ({"Package.swift": ""}, "swift test --disable-sandbox"),
        ({"App.sln": ""}, "dotnet test --no-restore"),
        ({"mix.exs": "defmodule X do end"}, "HEX_OFFLINE=1 mix test"),
        ({"deno.json": "{}", "a_test.ts": ""}, "deno test --cached-only --junit-path={junit}"),
        ({"deno.json": '{"tasks": {"test": "x"}}'}, "deno task test"),
        ({"pubspec.yaml": "name: x\n", "test/a_test.dart": ""}, "dart test"),
        ({"Makefile.PL": "", "t/a.t": ""}, "prove -lr t"),
        ({"phpunit.xml": "<phpunit/>"}, "phpunit --log-junit {junit}"),
        ({"Gemfile": "", "spec/a_spec.rb": ""}, "bundle exec rspec"),
        ({"Rakefile": "", "test/test_a.rb": ""}, "rake test"),
        ({"test/a.bats": ""}, "bats test"),
        ({"meson.build": "test('a', b)"}, 'meson setup "${TMPDIR:-/tmp}"/watchbill-build && '
         'meson test -C "${TMPDIR:-/tmp}"/watchbill-build --print-errorlogs'),
    ],
)  # fmt: skip
def test_one_command_for_each_kind_of_project(workshop: Workshop, files: dict[str, str], test: str) -> None:
    assert workshop.look(files).test == test


def test_a_missing_tool_is_said(workshop: Workshop) -> None:
    found = workshop.look({"go.mod": "module x\n"})

    assert found.test
    assert any("go is not on PATH" in note for note in found.notes)
