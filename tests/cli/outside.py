"""Watchbill from the outside: the real program in a process of its own.

Owns how a test calls it, what it is given and how a failure is worded. Nothing of the engine runs in the test's process
but the scripted model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import watchbill
from watchbill.documents.script import Script, parse

PROJECT = Path(watchbill.__file__).parent.parent
# What would change the program's behaviour from outside, and is not the test's own.
_NOT_OURS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "WATCHBILL_WORKSPACE", "GIT_DIR")


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, and the text of both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """The environment of a command, without a key and without what the tester's own shell says about Watchbill."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return {**kept, "PYTHONPATH": str(PROJECT), "COLUMNS": "120", **more}


def asks(url: str) -> dict[str, str]:
    """What points a command at a model's server."""
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "a-key-of-the-tests"}


def command(*arguments: str | Path) -> list[str]:
    """The command line of `watchbill` with these arguments."""
    return [sys.executable, "-m", "watchbill", *map(str, arguments)]


def call(
    folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 120, stdin: str = ""
) -> Done:
    """Run `watchbill` in `folder`, however it ends. No traceback may ever reach a person."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def works(folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 120) -> Done:
    """Run `watchbill`, which must end with 0."""
    done = call(folder, *arguments, env=env, timeout=timeout)
    assert done.code == 0, f"{arguments}: exit {done.code}\n{done.out}\n{done.err}"
    return done


def refused(code: int, folder: Path, *arguments: str | Path, env: Mapping[str, str] | None = None) -> str:
    """Run `watchbill`, which must end with `code` and say why and what to do next. Returns what it said."""
    done = call(folder, *arguments, env=env)
    assert done.code == code, f"{arguments}: exit {done.code}, not {code}\n{done.out}\n{done.err}"
    said = done.err.strip().splitlines()
    assert any(line.startswith("watchbill: ") for line in said), done.err
    assert said[-1].startswith("  "), f"no word on what to do next: {done.err}"
    return done.err


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but what is derived, with its bytes: to show that nothing was lost or changed."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".watchbill" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(found)}


def script(*takes: Mapping[str, Any]) -> Script:
    """A script of these takes."""
    return parse(json.dumps({"schema": "watchbill/script/1", "title": "a test", "takes": list(takes)}), Path("a test"))


def take(agent: str, ticket: str, *replies: Mapping[str, Any]) -> dict[str, Any]:
    """One session's conversation about one ticket."""
    return {"agent": agent, "ticket": ticket, "replies": list(replies)}


def tool(name: str, delay: float = 0, **input: Any) -> dict[str, Any]:
    """A reply that calls one tool."""
    return {"content": [{"type": "tool_use", "name": name, "input": input}], "delay_seconds": delay}


def handoff(agent: str, outcome: str, **more: Any) -> dict[str, Any]:
    """A reply that hands off."""
    fields = {
        "outcome": outcome,
        "summary": f"{agent} says {outcome}",
        "open_questions": [],
        "next": "as routed",
        "confidence": 0.9,
        "findings": [],
        "requests": [],
        **({"criteria": []} if agent == "qa" else {}),
        **more,
    }
    return tool("submit_handoff", **fields)


def night(ticket: str = "T-0001", file: str = "done.txt", text: str = "done\n") -> list[dict[str, Any]]:
    """The takes of a ticket that is built, reviewed and merged without trouble."""
    build = take("build", ticket, tool("write", file_path=file, content=text), handoff("build", "done"))
    return [build, take("qa", ticket, handoff("qa", "pass")), take("security", ticket, handoff("security", "pass"))]
