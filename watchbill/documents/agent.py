"""An agent's file: a name, the tools it may use, and its prompt.

Owns the reading of `agents/*.md`, which are in the Claude Code subagent format and work there too. Keys of that
format which the engine has no use for are read past.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field, field_validator

from watchbill.files.document import Document

TOOLS = ("bash", "read", "write", "edit", "glob", "grep")


class AgentFile(Document):
    """One agent. `tools` are wire names in lower case; `model` is a name, or inherit for the configured one."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True, defer_build=True)

    kind: ClassVar[str] = "agent"

    name: str
    description: str
    tools: tuple[str, ...] = TOOLS
    model: str = "inherit"
    max_turns: int | None = Field(None, alias="maxTurns", ge=1)

    @field_validator("tools", mode="before")
    @classmethod
    def _names_of_tools(cls, value: object) -> object:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list | tuple):
            raise ValueError("write the tools as a list with commas, for example: Read, Grep, Bash")
        wire = [str(name).strip().lower() for name in names if str(name).strip()]
        unknown = [name for name in wire if name not in TOOLS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a tool; known are {', '.join(TOOLS)}")
        return tuple(name for name in TOOLS if name in wire)
