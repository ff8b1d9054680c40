"""Plan: write the manifests of the next sessions.

Owns gathering what planning looks at and publishing the result; the decisions are `rules/planning`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from watchbill.documents.manifest import Agent, Manifest
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.errors import Damaged, Stale
from watchbill.files.locks import held
from watchbill.files.publish import publish
from watchbill.hand_over import step_of
from watchbill.inbox import count_open
from watchbill.integration import base_head
from watchbill.layout import MANIFEST_ID
from watchbill.rules.planning import Heading, Situation
from watchbill.rules.planning import plan as decide
from watchbill.session_records import is_used
from watchbill.tools.git import Repository
from watchbill.workspace import Workspace

AGENTS: tuple[Agent, ...] = ("build", "qa", "security")


def plan(
    workspace: Workspace,
    now: datetime,
    agents: tuple[Agent, ...] = AGENTS,
    dry_run: bool = False,
    spent: Mapping[str, int] = MappingProxyType({}),
) -> list[Manifest]:
    """The manifests of the next session of each agent, published unless `dry_run`.

    When the newest manifest is unused and says the same, it stands, and nothing new is written. `spent` are turns
    that the same run has used already; an agent with none left below its soft cap gets no manifest.
    """
    agents = tuple(agent for agent in agents if _caps_left(workspace, agent, spent.get(agent, 0)))
    if dry_run:
        return _decide(workspace, now, agents, spent)
    with held(workspace.layout.lock("plan"), "plan"):
        return [_publish(workspace, manifest) for manifest in _decide(workspace, now, agents, spent)]


def situation(workspace: Workspace) -> Situation:
    """Everything that planning looks at, as it stands now."""
    backlog = workspace.backlog()
    histories = {ticket: workspace.history(ticket, backlog) for ticket in backlog.tickets}
    return Situation(
        backlog=backlog,
        histories=histories,
        steps={ticket: step_of(workspace, history) for ticket, history in histories.items()},
        waiting=count_open(workspace.layout),
        max_waiting=workspace.settings.limits.max_waiting,
    )


def _caps_left(workspace: Workspace, agent: str, spent: int) -> AgentSettings | None:
    """The agent's settings with what was spent taken off its caps, or None when its soft cap is reached."""
    settings = workspace.settings.agents.named(agent)
    if spent >= settings.soft_turns:
        return None
    return settings.model_copy(
        update={"soft_turns": settings.soft_turns - spent, "hard_turns": settings.hard_turns - spent}
    )


def _decide(workspace: Workspace, now: datetime, agents: tuple[Agent, ...], spent: Mapping[str, int]) -> list[Manifest]:
    repo = Repository.open(workspace.repo)
    base = repo.head_of(workspace.settings.project.integration) or base_head(workspace, repo)
    seen = situation(workspace)
    return [
        decide(
            Heading(
                number=_highest(workspace, agent) + 1,
                agent=agent,
                created=now,
                base=base,
                playbook=workspace.playbook_hash,
                agent_version=workspace.agent_version(agent),
            ),
            seen,
            settings,
        )
        for agent in agents
        if (settings := _caps_left(workspace, agent, spent.get(agent, 0))) is not None
    ]


def _publish(workspace: Workspace, manifest: Manifest) -> Manifest:
    standing = _newest_unused(workspace, manifest.agent)
    if standing is not None and _says_the_same(standing, manifest):
        return standing
    while True:
        try:
            publish(workspace.layout.manifest(manifest.id), manifest.render())
            return manifest
        except Stale:
            number = _highest(workspace, manifest.agent) + 1
            manifest = manifest.model_copy(update={"id": f"{manifest.agent}-{number:04}"})


def _says_the_same(one: Manifest, other: Manifest) -> bool:
    apart = {"id", "created"}
    return one.model_dump(exclude=apart) == other.model_dump(exclude=apart)


def _highest(workspace: Workspace, agent: str) -> int:
    names = (MANIFEST_ID.fullmatch(path.stem) for path in workspace.layout.manifests.glob(f"{agent}-*.json"))
    return max((int(match[2]) for match in names if match), default=0)


def _newest_unused(workspace: Workspace, agent: str) -> Manifest | None:
    number = _highest(workspace, agent)
    name = f"{agent}-{number:04}"
    path = workspace.layout.manifest(name)
    if not number or is_used(workspace.layout, name) or workspace.layout.journal(name).exists():
        return None
    try:
        return Manifest.load(path)
    except Damaged:
        return None
