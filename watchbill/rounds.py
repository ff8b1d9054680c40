"""The whole watch in one command: merge, plan, build, plan, review, merge, round after round.

Owns the order of the verbs and when to stop: when nothing moves any more, or an agent has spent its turns. The caps
of an agent hold for the whole of it, however many sessions that takes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from watchbill.documents.manifest import Agent
from watchbill.overview import overview_of
from watchbill.rules.planning import natural
from watchbill.stages import merge as merging
from watchbill.stages import plan as planning
from watchbill.stages import run as running
from watchbill.tools.git import Repository
from watchbill.tools.model import ModelTrouble
from watchbill.tools.sandbox import Sandbox
from watchbill.workspace import Workspace

MOST_ROUNDS = 50
BUILDERS: tuple[Agent, ...] = ("build",)
REVIEWERS: tuple[Agent, ...] = ("qa", "security")


@dataclass
class Night:
    """What `run all` did so far. `troubles` are why agents could not go on."""

    spent: dict[str, int] = field(default_factory=dict)
    sessions: list[running.Session] = field(default_factory=list)
    merges: list[merging.Result] = field(default_factory=list)
    troubles: dict[str, Any] = field(default_factory=dict)
    rounds: int = 0


def go_round(
    workspace: Workspace,
    sandbox: Callable[[Repository], Sandbox],
    log: Any,
    options: running.Options,
    between: Callable[[], None],
) -> Night:
    """Go round until nothing moves. `between` is called before each plan (answers of humans are picked up there)."""
    night = Night()
    while night.rounds < MOST_ROUNDS:
        night.rounds += 1
        before = overview_of(workspace).documents
        between()
        night.merges += merge_ready(workspace, sandbox, log)
        _sessions(workspace, BUILDERS, sandbox, log, options, night)
        _sessions(workspace, REVIEWERS, sandbox, log, options, night)
        night.merges += merge_ready(workspace, sandbox, log)
        if overview_of(workspace).documents == before:
            break
    return night


def merge_ready(workspace: Workspace, sandbox: Callable[[Repository], Sandbox], log: Any) -> list[merging.Result]:
    """Merge what is ready, in the planner's order."""

    def say(ticket: str, text: str) -> None:
        log.info(text, agent="merge", ticket=ticket, session="", turn=0)

    return merging.merge(workspace, ready_to_merge, sandbox, lambda: datetime.now(UTC), say)


def ready_to_merge(workspace: Workspace) -> list[str]:
    """The tickets whose next step is the merge: the more urgent first, then the older."""
    cards = [card for card in overview_of(workspace).cards.values() if "merge" in card.to]
    order = ("critical", "high", "medium", "low")
    return [card.ticket for card in sorted(cards, key=lambda card: (order.index(card.priority), natural(card.ticket)))]


def _sessions(
    workspace: Workspace,
    agents: tuple[Agent, ...],
    sandbox: Callable[[Repository], Sandbox],
    log: Any,
    options: running.Options,
    night: Night,
) -> None:
    """Plan for `agents`, and run one session of each, side by side. What one of them raises is raised at the end."""
    able = tuple(agent for agent in agents if agent not in night.troubles)
    resumed = tuple(agent for agent in able if _goes_on(workspace, agent, night))
    anew = tuple(agent for agent in able if agent not in resumed)
    planned = (
        *resumed,
        *(planned.agent for planned in planning.renew(workspace, datetime.now(UTC), anew, night.spent)),
    )
    with ThreadPoolExecutor(max_workers=len(agents)) as pool:
        futures = {agent: pool.submit(running.run, workspace, agent, sandbox, log, options) for agent in planned}
        try:
            wait(futures.values())
        except BaseException:
            options.stop.set()
            raise
    for agent, future in futures.items():
        try:
            session = future.result()
        except running.NoKey as error:
            # The others can still do the machine's part, and what is ready can still be merged.
            night.troubles[agent] = ModelTrouble("key", error.reason)
            continue
        if session is None:
            continue
        night.sessions.append(session)
        night.spent[agent] = night.spent.get(agent, 0) + session.turns + session.retries
        if session.trouble is not None:
            night.troubles[agent] = session.trouble


def _goes_on(workspace: Workspace, agent: Agent, night: Night) -> bool:
    """Whether the agent first goes on with the manifest of a session that died.

    That manifest's hard cap is what the night that was cut off had left, so this night begins with the rest spent.
    """
    found = running.cut_off(workspace, agent)
    if found is None:
        return False
    manifest, made = found
    spent_before = workspace.settings.agents.named(agent).hard_turns - manifest.hard_turns
    night.spent[agent] = max(night.spent.get(agent, 0), spent_before + made)
    return True
