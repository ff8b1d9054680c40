"""The owner's settings.

Owns the format and the defaults of `watchbill.toml`. No secret ever stands there.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from watchbill.files.document import Strict
from watchbill.layout import PRINCIPAL

BRANCH = re.compile(r"(?!-|/)(?!.*(?:\.\.|//|@\{|/\.|[\x00-\x20~^:?*\[\\\x7f])).+(?<!/)(?<!\.lock)(?<!\.)")


class Project(Strict):
    """The repository and its branches. Relative paths are relative to the workspace."""

    name: str = Field(min_length=1, max_length=100)
    repo: str = Field(min_length=1)
    base: str = "main"
    integration: str = "watchbill/integration"

    @field_validator("base", "integration")
    @classmethod
    def _names_a_branch(cls, value: str) -> str:
        if not BRANCH.fullmatch(value):
            raise ValueError(f"{value!r} is not a name of a branch")
        return value


class Price(Strict):
    """US dollars for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cache_read: float = Field(0, ge=0)
    cache_write: float = Field(0, ge=0)


class Model(Strict):
    """Which models are asked, in order, how long an answer may be, and what it costs."""

    primary: str = Field("claude-sonnet-5-5", min_length=1)
    fallbacks: tuple[str, ...] = ("claude-opus-5-5",)
    max_tokens: int = Field(16_000, ge=256, le=1_000_000)
    timeout_seconds: float = Field(600, gt=0, le=3_600)
    key_file: str = ""
    key_keyring: str = ""
    prices: dict[str, Price] = Field(default_factory=dict)

    @field_validator("key_file", "key_keyring")
    @classmethod
    def _is_no_key_itself(cls, value: str) -> str:
        if value.startswith("sk-"):
            raise ValueError("this looks like a key; no secret ever stands in this file")
        return value

    @field_validator("key_keyring")
    @classmethod
    def _names_service_and_user(cls, value: str) -> str:
        if value and not all(value.rpartition("/")[::2]):
            raise ValueError("write it as SERVICE/USER")
        return value


class Agent(Strict):
    """When an agent runs and how many turns it has: in one session, and for one ticket within it."""

    schedule: str
    soft_turns: int = Field(60, ge=1, le=10_000)
    hard_turns: int = Field(80, ge=1, le=10_000)
    turns_per_ticket: int = Field(30, ge=1, le=10_000)

    @model_validator(mode="after")
    def _soft_comes_first(self) -> Self:
        if self.soft_turns > self.hard_turns:
            raise ValueError("soft_turns may not be more than hard_turns")
        return self


class Agents(Strict):
    """The three agents."""

    build: Agent = Agent(schedule="0 2 * * *")
    qa: Agent = Agent(schedule="0 4 * * *", soft_turns=40, hard_turns=60, turns_per_ticket=15)
    security: Agent = Agent(schedule="30 4 * * *", soft_turns=40, hard_turns=60, turns_per_ticket=15)

    def named(self, agent: str) -> Agent:
        """The settings of one agent."""
        found: Agent = getattr(self, agent)
        return found


class Timetable(Strict):
    """When a verb without a model runs."""

    schedule: str


class Checks(Strict):
    """How the project's own checks are run. An empty `test` means that there are none."""

    setup: str = ""
    test: str = ""
    timeout_seconds: float = Field(600, gt=0, le=86_400)


class Gate(Strict):
    """How a human's decision is proven, how many it takes, and what always needs one.

    `repository` is the id under which decisions are signed; `gate setup` makes it. `approvals_for` holds severities and
    globs of paths; empty, it means every question.
    """

    require: Literal["folder", "signature"] = "folder"
    signers: str = Field("gate", min_length=1)
    repository: str = Field("", max_length=100)
    key: str = ""
    unprotected_key: bool = False
    valid_hours: float = Field(24, gt=0, le=24 * 365)
    approvals: int = Field(1, ge=1, le=100)
    approvals_for: tuple[str, ...] = ()
    protected: tuple[str, ...] = ("pyproject.toml", "conftest.py", ".github/**")
    escalate_after_days: float = Field(0, ge=0, le=3_650)
    escalate_to: tuple[str, ...] = ()

    @field_validator("escalate_to")
    @classmethod
    def _names_principals(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not PRINCIPAL.fullmatch(value):
                raise ValueError(f"{value!r} is not a name that can stand in allowed_signers")
        return values

    @model_validator(mode="after")
    def _signs_for_something(self) -> Self:
        if self.require == "signature" and not self.repository:
            raise ValueError('require = "signature" needs `repository`; set it up with: watchbill gate setup')
        return self

    def periods(self, since: datetime, now: datetime) -> int:
        """How often a question that was asked at `since` is due for somebody else at `now`."""
        if not self.escalate_after_days:
            return 0
        return max(0, int((now - since) / timedelta(days=self.escalate_after_days)))

    def escalated(self, since: datetime, now: datetime) -> tuple[str, ...]:
        """Whom such a question has reached by its age."""
        return self.escalate_to[: self.periods(since, now)]


class Sandbox(Strict):
    """Where commands run, what they may read besides the system, and how much of the machine they may use."""

    mode: Literal["auto", "bubblewrap", "seatbelt", "landlock", "none"] = "auto"
    read: tuple[str, ...] = ()
    network: tuple[Literal["setup", "test"], ...] = ()
    memory_mb: int = Field(4096, ge=16, le=10_000_000)
    processes: int = Field(1024, ge=8, le=1_000_000)
    file_mb: int = Field(1024, ge=1, le=10_000_000)
    scratch_mb: int = Field(1024, ge=1, le=10_000_000)
    disk_mb: int = Field(4096, ge=1, le=10_000_000)

    @field_validator("read")
    @classmethod
    def _absolute(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if value == "/" or not Path(value).expanduser().is_absolute():
                raise ValueError(f"{value!r} must be an absolute path below /")
        return values


class Limits(Strict):
    """After so many attempts a ticket goes to a human; with so many items waiting no new work starts."""

    max_attempts: int = Field(3, ge=1, le=100)
    max_waiting: int = Field(10, ge=1, le=10_000)


class Settings(Strict):
    """The whole of `watchbill.toml`."""

    project: Project
    model: Model = Model()
    agents: Agents = Agents()
    plan: Timetable = Timetable(schedule="50 1,3 * * *")
    merge: Timetable = Timetable(schedule="0 6 * * *")
    checks: Checks = Checks()
    gate: Gate = Gate()
    sandbox: Sandbox = Sandbox()
    limits: Limits = Limits()

    def repo_path(self, workspace: Path) -> Path:
        """The repository, absolute."""
        return (workspace / Path(self.project.repo).expanduser()).resolve()

    def readable(self) -> tuple[Path, ...]:
        """The extra paths that the sandbox may read."""
        return tuple(Path(value).expanduser() for value in self.sandbox.read)
