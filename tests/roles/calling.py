"""Calling a tool as the model's side does, from a test without a loop of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from watchbill.tools.model import Tool


def called(tool: Tool, given: Any) -> Any:
    """What `tool` answers to `given`. Raises `ToolRefused`."""

    async def call() -> Any:
        return await tool.call(given)

    return asyncio.run(call())
