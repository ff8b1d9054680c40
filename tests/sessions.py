"""Sessions for tests: a script of what the model says, played to the real engine by the scripted server.

Owns short words for a model's replies, and how a test runs an agent or whole rounds and sees what came of it. Git, the
sandbox, the checks, the scanners and the SDK are the real ones.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.repositories import git
from watchbill import rounds
from watchbill.demo.server import Request, ScriptedModel
from watchbill.documents.handoff import Handoff
from watchbill.documents.manifest import Agent
from watchbill.documents.script import Failed, Reply, Said, Script, Take, Text, ToolUse, Usage
from watchbill.hand_over import step_of
from watchbill.rounds import Night, go_round, merge_ready
from watchbill.rules.next_step import Step
from watchbill.stages import plan as planning
from watchbill.stages import run as running
from watchbill.stages.decide import decide, pick_up
from watchbill.stages.merge import Result
from watchbill.tools.git import Repository
from watchbill.tools.sandbox import Sandbox, choose
from watchbill.workspace import Workspace

NAMES = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
AT_ONCE = {"retry-after-ms": "1"}
CHECK = "sh check.sh"

# A project whose check needs nothing but a shell: it is good while no file says "bad".
PLAIN: Mapping[str, str | bytes] = {
    "check.sh": "! grep -q '^bad' *.txt\n",
    "notes.txt": "good\n",
    ".gitignore": "*.log\n",
}


# --- what a model says ---------------------------------------------------------------------------------------------


def says(text: str = "Well.", stop: str | None = None) -> Said:
    """Words without a tool."""
    return Said(content=(Text(text=text),), stop_reason=stop, usage=Usage(input_tokens=10, output_tokens=2))


def calls(*uses: tuple[str, Any], stop: str | None = None, text: str = "") -> Said:
    """One message that calls tools: pairs of a name and an input."""
    blocks = tuple(ToolUse(name=name, input=given) for name, given in uses)
    before = (Text(text=text),) if text else ()
    return Said(content=(*before, *blocks), stop_reason=stop, usage=Usage(input_tokens=10, output_tokens=2))


def bash(command: str) -> Said:
    """One command."""
    return calls(("bash", {"command": command}))


def writes(path: str, content: str) -> Said:
    """One file."""
    return calls(("write", {"file_path": path, "content": content}))


def handing_over(outcome: str = "done", **more: Any) -> dict[str, Any]:
    """A whole input of submit_handoff."""
    return {
        "outcome": outcome,
        "summary": "It is done.",
        "open_questions": [],
        "next": "",
        "confidence": 0.9,
        "findings": [],
        "requests": [],
        **more,
    }


def hands_over(outcome: str = "done", **more: Any) -> Said:
    """The call that ends a conversation."""
    return calls(("submit_handoff", handing_over(outcome, **more)))


def found(severity: str = "high", title: str = "A hole", **more: Any) -> dict[str, Any]:
    """A finding in a model's words."""
    return {
        "severity": severity,
        "confidence": 0.9,
        "rule": "hole",
        "title": title,
        "path": "notes.txt",
        "line": 1,
        "evidence": "seen",
        "rationale": "it matters",
        **more,
    }


def fails(status: int, body: Any = None, **headers: str) -> Failed:
    """A server that fails. It asks to be tried again at once, unless it says otherwise."""
    return Failed(status=status, headers=headers if "retry-after" in headers else {**AT_ONCE, **headers}, body=body)


def take(agent: str, ticket: str, *replies: Reply) -> Take:
    """One conversation. What QA hands over gets the list of criteria that only QA has."""
    told = tuple(_with_criteria(reply) for reply in replies) if agent == "qa" else replies
    return Take(agent=agent, ticket=ticket, replies=told)


def _with_criteria(reply: Reply) -> Reply:
    if isinstance(reply, Failed):
        return reply
    return reply.model_copy(update={"content": tuple(_judged(block) for block in reply.content)})


def _judged(block: Text | ToolUse) -> Text | ToolUse:
    if isinstance(block, Text) or block.name != "submit_handoff" or not isinstance(block.input, dict):
        return block
    return block.model_copy(update={"input": {"criteria": [], **block.input}})


def builds(ticket: str, path: str = "notes.txt", content: str = "good\nnew\n") -> Take:
    """A build that writes one file and is done."""
    return take("build", ticket, writes(path, content), hands_over())


def reviews(ticket: str, outcome: str = "pass", **more: Any) -> tuple[Take, Take]:
    """Both reviewers with the same verdict."""
    return take("qa", ticket, hands_over(outcome, **more)), take("security", ticket, hands_over(outcome, **more))


# --- the stage -----------------------------------------------------------------------------------------------------


@dataclass
class Log:
    """A log that keeps its events."""

    events: list[dict[str, Any]] = field(default_factory=list)
    bound: dict[str, Any] = field(default_factory=dict)
    on_event: Callable[[dict[str, Any]], object] = lambda _: None

    def bind(self, **more: Any) -> Log:
        return Log(self.events, {**self.bound, **more}, self.on_event)

    def info(self, event: str, **more: Any) -> None:
        line = {**self.bound, **more, "event": event}
        self.events.append(line)
        self.on_event(line)


@dataclass
class Stage:
    """A workspace and the model that answers in it."""

    workspace: Workspace
    model: ScriptedModel
    sandbox: Callable[[Repository], Sandbox]
    log: Log = field(default_factory=Log)

    @property
    def requests(self) -> list[Request]:
        """Every HTTP request that reached the model's server."""
        return self.model.requests

    def plan(self, *agents: Agent) -> None:
        planning.plan(self.workspace, datetime.now(UTC), agents or planning.AGENTS)

    def run(self, agent: Agent, jobs: int = 1, plan: bool = True) -> running.Session:
        """Plan for one agent and run its session, which must find something to do."""
        if plan:
            self.plan(agent)
        session = running.run(self.workspace, agent, self.sandbox, self.log, running.Options(jobs=jobs))
        assert session is not None, f"there was nothing to do for {agent}"
        return session

    def review(self) -> tuple[running.Session, running.Session]:
        """A session of QA, then one of security."""
        return self.run("qa"), self.run("security")

    def merge(self) -> list[Result]:
        return merge_ready(self.workspace, self.sandbox, self.log)

    def go_round(self, jobs: int = 1) -> Night:
        def between() -> None:
            pick_up(self.workspace, datetime.now(UTC))

        options = running.Options(jobs=jobs)
        return go_round(self.workspace, self.sandbox, self.log, options, between)

    def decide(self, item: str, decision: str, note: str = "so be it") -> None:
        decide(self.workspace, item, decision, note, "ada", datetime.now(UTC))

    # What came of it.

    def documents(self, ticket: str = "T-0001") -> tuple[Handoff, ...]:
        return self.workspace.history(ticket).handoffs

    def last(self, ticket: str = "T-0001") -> Handoff:
        return self.documents(ticket)[-1]

    def files(self, ticket: str = "T-0001") -> tuple[str, ...]:
        """The files that the engine verified for the newest document."""
        verified = self.last(ticket).verified
        assert verified is not None
        return verified.files

    def step(self, ticket: str = "T-0001") -> Step:
        return step_of(self.workspace, self.workspace.history(ticket))

    def items(self) -> list[str]:
        return sorted(path.stem for path in self.workspace.layout.inbox.glob("T-*.md"))

    def first_message(self, number: int = 0) -> str:
        """What the model was told first in request `number`."""
        content = self.requests[number].body["messages"][0]["content"]
        return content if isinstance(content, str) else "".join(block["text"] for block in content)

    def results(self, number: int = -1) -> str:
        """The tool results in the newest message of request `number`."""
        return json.dumps(self.requests[number].body["messages"][-1]["content"])

    def changes(self, commit: str) -> dict[str, str]:
        """The files that a commit changes against its first parent: name to status."""
        lines = git(self.workspace.repo, "diff", "--name-status", "--no-renames", f"{commit}^1", commit).splitlines()
        return {line.split("\t")[1]: line.split("\t")[0] for line in lines}

    def read(self, commit: str, path: str) -> str:
        return git(self.workspace.repo, "show", f"{commit}:{path}")


@contextmanager
def stage(workspace: Workspace, *takes: Take | tuple[Take, ...], key: str | None = "a-key") -> Iterator[Stage]:
    """The scripted model, with this process pointed at it. `key=None` leaves the process without a key."""
    whole = tuple(one for part in takes for one in (part if isinstance(part, tuple) else (part,)))
    with ScriptedModel(Script(title="a test", takes=whole)) as model, environment(model.url, key):
        yield Stage(workspace, model, sandbox_of(workspace))


@contextmanager
def environment(url: str, key: str | None) -> Iterator[None]:
    """This process, pointed at a model's server."""
    before = {name: os.environ.pop(name, None) for name in NAMES}
    os.environ["ANTHROPIC_BASE_URL"] = url
    if key is not None:
        os.environ["ANTHROPIC_API_KEY"] = key
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def sandbox_of(workspace: Workspace) -> Callable[[Repository], Sandbox]:
    """The real sandbox, as the settings want it, proven once."""
    made: list[Sandbox] = []
    one_at_a_time = threading.Lock()

    def make(repo: Repository) -> Sandbox:
        with one_at_a_time:
            if not made:
                settings = workspace.settings
                made.append(choose(settings.sandbox.mode, settings.readable(), repo.common_dir))
        return made[0]

    return make


def turns(soft: int, hard: int, per_ticket: int) -> dict[str, int]:
    """The caps of one agent, as settings."""
    return {"soft_turns": soft, "hard_turns": hard, "turns_per_ticket": per_ticket}


def command(*words: str) -> list[str]:
    """Watchbill as a process of its own."""
    return [sys.executable, "-m", "watchbill", *words]


def program_environment(url: str, workspace: Workspace) -> dict[str, str]:
    """What such a process needs."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(workspace.root),
        "PYTHONPATH": str(Path(rounds.__file__).parents[1]),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "a-key",
        "WATCHBILL_WORKSPACE": str(workspace.root),
    }
