"""A sandbox whose commands end when somebody says stop.

Owns nothing but passing that word on: whoever interrupts a session should not wait for a command of ten minutes.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watchbill.tools.sandbox.contract import NO_VARIABLES, Limits, Result, Sandbox, also_reading


@dataclass(frozen=True)
class Stoppable:
    """`inner`, with `stopped` watched during every command."""

    inner: Sandbox
    stopped: threading.Event

    @property
    def name(self) -> str:
        return self.inner.name

    def also_reading(self, folders: Sequence[Path]) -> Stoppable:
        """The same with more folders to read inside."""
        return replace(self, inner=also_reading(self.inner, folders))

    def run(
        self,
        command: Sequence[str] | str,
        worktree: Path,
        limits: Limits,
        *,
        network: bool = False,
        write: Sequence[Path] = (),
        env: Mapping[str, str] = NO_VARIABLES,
        stop: threading.Event | None = None,
    ) -> Result:
        """As the inner sandbox's; a `stop` of the caller's own counts instead."""
        return self.inner.run(
            command, worktree, limits, network=network, write=write, env=env, stop=stop or self.stopped
        )
