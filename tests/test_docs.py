"""What the documentation says is true: its commands run, its links lead somewhere, its verbs and options exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.cli.outside import environment, works
from tests.repositories import make_repository
from tests.workspaces import CALCULATOR

PROJECT = Path(__file__).parent.parent
VERBS = "archive doctor demo gate history inbox init merge pause plan resume run schedule status ticket verify watch"
GROUPS = ("gate", "inbox", "schedule", "ticket")


def pages() -> list[Path]:
    """Every page that people read."""
    folders = ("", "agents", "playbook", "bench", "tickets", "manifests", "handoffs", "inbox", "sessions", "launchd")
    return [path for folder in folders for path in sorted((PROJECT / folder).glob("*.md"))]


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The tag and the text of every fenced block."""
    for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.M | re.S):
        yield match[1], match[2]


def commands(text: str) -> Iterator[list[str]]:
    """Every call of `watchbill` in blocks and in code spans, as words."""
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    lines = [line for _, block in blocks(text) for line in block.splitlines()]
    for line in [*spans, *lines]:
        match = re.match(r"\s*(?:\$ )?watchbill ((?:[a-z]|--).*)", line)
        if match:
            yield match[1].partition("#")[0].split()


@cache
def help_of(*verb: str) -> str:
    return works(PROJECT, *verb, "--help").out


def test_the_commands_of_the_readme_run_in_their_order(tmp_path: Path) -> None:
    shown = [block for tag, block in blocks((PROJECT / "README.md").read_text("utf-8")) if tag == "sh"]
    assert len(shown) >= 3
    repo = make_repository(tmp_path / "sample", CALCULATOR)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(shown)],
        cwd=repo,
        env=environment(PATH=path, HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "T-0001" in done.stdout
    assert "everything holds" in done.stdout


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT)))
def test_verbs_and_options_that_are_named_exist(page: Path) -> None:
    for words in commands(page.read_text("utf-8")):
        if words[0].startswith("-"):
            assert words[0] in help_of(), f"{page.name}: watchbill {' '.join(words)}"
            continue
        verb = words[:2] if words[0] in GROUPS and len(words) > 1 else words[:1]
        assert verb[0] in VERBS.split(), f"{page.name}: watchbill {' '.join(words)}"
        if len(verb) == 2:
            for one in verb[1].split("|"):
                assert f"\n  {one} " in help_of(verb[0]), f"{page.name}: watchbill {' '.join(words)}"
        verb = [part.split("|")[0] for part in verb]
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(words)):
            assert option in help_of(*verb), f"{page.name}: watchbill {' '.join(words)}"


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_files_that_are_named_as_rooms_exist(page: str) -> None:
    text = (PROJECT / page).read_text("utf-8")
    for name in re.findall(r"`([\w./]+(?:\.py|\.toml|\.md|/))`", text):
        places = [PROJECT / name, PROJECT / "watchbill" / name]
        is_pattern = re.search(r"\d{4}|^\.", name) or name.startswith(("tests/", "watchbill/", "/"))
        assert is_pattern or any(place.exists() for place in places) or _is_somewhere(name), f"{page} names {name}"


def _is_somewhere(name: str) -> bool:
    """A file that is named without its folder, or that every workspace has."""
    made_by_init = ("watchbill.toml", "quarantine/", "decided/", "schemas/", "playbook/schemas/")
    return name in made_by_init or any(
        path.name == Path(name).name for folder in ("watchbill", "playbook") for path in (PROJECT / folder).rglob("*")
    )
