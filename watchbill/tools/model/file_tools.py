"""The SDK's own file tools, confined to one worktree.

Owns which of them are offered and that git's pointer file cannot be written. The confinement is the SDK's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from watchbill.tools.model.contract import Tool, ToolRefused

FILE_TOOLS = ("read", "write", "edit", "glob", "grep")


def file_tools(names: Sequence[str], worktree: Path) -> list[Tool]:
    """The file tools among `names`, for `worktree`."""
    from anthropic.lib.tools.agent_toolset import (
        AgentToolContext,
        beta_edit_tool,
        beta_glob_tool,
        beta_grep_tool,
        beta_read_tool,
        beta_write_tool,
    )

    context = AgentToolContext(workdir=worktree, read_only_roots=[worktree / ".git"])
    makers = {
        "read": beta_read_tool,
        "write": beta_write_tool,
        "edit": beta_edit_tool,
        "glob": beta_glob_tool,
        "grep": beta_grep_tool,
    }
    return [_from_sdk(makers[name](context), worktree) for name in FILE_TOOLS if name in names]


def _from_sdk(tool: Any, worktree: Path) -> Tool:
    from anthropic.lib.tools import ToolError

    definition = tool.to_dict()
    prefixes = sorted({f"{worktree}/", f"{worktree.resolve()}/"}, key=len, reverse=True)

    async def call(given: Any) -> Any:
        try:
            result = await tool.call(given)
        except ToolError as error:
            raise ToolRefused(_relative(str(error), prefixes)) from error
        except (ValueError, TypeError) as error:
            raise ToolRefused(_expected(tool.name, definition["input_schema"])) from error
        return _relative(result, prefixes) if isinstance(result, str) else result

    return Tool(tool.name, definition["description"], definition["input_schema"], call)


def _relative(text: str, prefixes: list[str]) -> str:
    for prefix in prefixes:
        text = text.replace(prefix, "")
    return text


def _expected(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    keys = [f"{key}{'' if key in required else ' (optional)'}" for key in schema.get("properties", {})]
    return f"{name}: the input does not fit. It takes: {', '.join(keys)}."
