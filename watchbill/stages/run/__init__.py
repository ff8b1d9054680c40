"""Run: one session of one agent, from its manifest to its record.

Owns the beginning: the lock, the choice of the manifest, and what is done about sessions that died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from watchbill.dead_sessions import settle_dead_sessions
from watchbill.errors import Misconfigured, TryLater, WatchbillError
from watchbill.files.locks import held
from watchbill.pause import why_paused
from watchbill.stages.run.access import NoKey
from watchbill.stages.run.choosing import choose_manifest, cut_off, work_left
from watchbill.stages.run.runner import Options, SessionRunner
from watchbill.stages.run.session import Session
from watchbill.tools.git import Repository
from watchbill.tools.model import ModelTrouble
from watchbill.tools.redaction import hold_urls
from watchbill.tools.sandbox import Sandbox
from watchbill.workspace import Workspace

__all__ = ["NoKey", "Options", "Session", "choose_manifest", "cut_off", "run", "trouble_as_error"]


def run(
    workspace: Workspace,
    agent: str,
    sandbox: Callable[[Repository], Sandbox],
    log: Any,
    options: Options | None = None,
) -> Session | None:
    """Run one session of `agent`. None when there is nothing to do, and then no request is made.

    Raises `TryLater` when another session of the agent is under way, the workspace is paused, or no model answers;
    `Misconfigured` when the key or the model is wrong.
    """
    options = options or Options()
    with held(workspace.layout.lock(agent), f"{agent} session"):
        paused = why_paused(workspace.layout)
        if paused:
            raise TryLater(paused, "Go on with: watchbill resume")
        manifest = choose_manifest(workspace, agent, options.manifest)
        if manifest is None or not work_left(workspace, manifest):
            return None
        repo = Repository.open(workspace.repo)
        hold_urls("git remote", repo.remote_urls())
        for line in settle_dead_sessions(workspace, repo, agent, datetime.now(UTC)):
            log.info(line, agent=agent, ticket="", session="", turn=0)
        if not work_left(workspace, manifest):
            return None
        runner = SessionRunner(workspace, repo, sandbox(repo), manifest, log, options)
        return asyncio.run(runner.run())


def trouble_as_error(trouble: ModelTrouble, agent: str) -> WatchbillError:
    """What the person who started the session is told when no model answered."""
    hint = "Nothing was lost; the tickets stay in the queue."
    if trouble.kind in ("key", "no such model"):
        mend = "Check the key (ANTHROPIC_API_KEY) and [model] in watchbill.toml."
        return Misconfigured(f"{agent}: {trouble.reason}", f"{mend} {hint}")
    if trouble.kind == "foreign":
        return TryLater(f"{agent}: {trouble.reason}", f"Check ANTHROPIC_BASE_URL. {hint}")
    return TryLater(f"{agent}: {trouble.reason}", hint)
