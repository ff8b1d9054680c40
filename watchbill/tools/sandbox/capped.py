"""A sandbox whose commands have the limits that the owner set.

Owns nothing but those limits: a caller says how long and how much output, the settings say how much of the machine.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watchbill.tools.sandbox.contract import NO_VARIABLES, Limits, Result, Sandbox, also_reading


@dataclass(frozen=True)
class Capped:
    """`inner`, with `caps` in place of a caller's limits, except for its `seconds` and `output_bytes`."""

    inner: Sandbox
    caps: Limits

    @property
    def name(self) -> str:
        return self.inner.name

    def also_reading(self, folders: Sequence[Path]) -> Capped:
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
        """As the inner sandbox's."""
        capped = replace(self.caps, seconds=limits.seconds, output_bytes=limits.output_bytes)
        return self.inner.run(command, worktree, capped, network=network, write=write, env=env, stop=stop)
