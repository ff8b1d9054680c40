"""A repository written for a test, on a machine of the test's choosing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from watchbill.tools.survey import Survey, survey


def written(root: Path, files: Mapping[str, str]) -> Path:
    """`files` (name: contents) below `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    root.mkdir(parents=True, exist_ok=True)
    return root


class Workshop:
    """A machine with a home folder and exactly the programs that were installed in it; pytest is Watchbill's own."""

    def __init__(self, folder: Path) -> None:
        self.repo = folder / "a repository é"
        self.home = folder / "home"
        self.home.mkdir()
        self.environ: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.asked: list[Sequence[str]] = []
        self._programs: dict[str, str] = {}

    def install(self, name: str, path: Path | str, answer: str = "") -> Path:
        """A program `name` at `path`, which says `answer` to whatever it is asked."""
        place = Path(path)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("#!/bin/sh\nexit 1\n")
            place.chmod(0o755)
        self._programs[name] = str(place)
        self.answers[str(place)] = answer
        return place

    def which(self, name: str) -> str | None:
        return self._programs.get(name)

    def ask(self, words: Sequence[str]) -> str | None:
        self.asked.append(words)
        return self.answers.get(words[0]) or None

    def look(
        self, files: Mapping[str, str], current: str | None = "main", branches: Sequence[str] = ("main",)
    ) -> Survey:
        written(self.repo, files)
        return survey(self.repo, current, branches, self.which, ask=self.ask, environ=self.environ, home=self.home)
