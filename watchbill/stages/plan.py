"""Plan: write the manifests of the next sessions.

Owns gathering what planning looks at and publishing the result; the decisions are `rules/planning`'s. The same inputs
give the same manifest, so one whose inputs are all as they were stands without being made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any

from watchbill import strict_json
from watchbill.documents.manifest import Agent, Manifest, Skipped
from watchbill.documents.settings import Agent as AgentSettings
from watchbill.errors import Damaged, Stale
from watchbill.files.locks import held
from watchbill.files.publish import publish, replace, sha256
from watchbill.inbox import count_open
from watchbill.index import collector_at_rest
from watchbill.integration import base_head
from watchbill.layout import MANIFEST_ID, Layout
from watchbill.overview import overview_of
from watchbill.rules.planning import Decision, Heading, Situation, decide, manifest_of
from watchbill.session_records import is_used
from watchbill.tools.git import Repository
from watchbill.tools.redaction import redact
from watchbill.workspace import Workspace

AGENTS: tuple[Agent, ...] = ("build", "qa", "security")
# With fewer tickets a manifest is made anew sooner than it is remembered.
MANY = 1_000


@dataclass(frozen=True)
class Planned:
    """The manifest of an agent's next session. `is_new` when this plan wrote it."""

    layout: Layout
    agent: Agent
    id: str
    is_new: bool

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest.load(self.layout.manifest(self.id))


def plan(
    workspace: Workspace,
    now: datetime,
    agents: tuple[Agent, ...] = AGENTS,
    dry_run: bool = False,
    spent: Mapping[str, int] = MappingProxyType({}),
) -> list[Manifest]:
    """The manifests of the next session of each agent, published unless `dry_run`. See `renew`."""
    if dry_run:
        return _Planner(workspace, now, spent).decide(agents)
    return [planned.manifest for planned in renew(workspace, now, agents, spent)]


def renew(
    workspace: Workspace,
    now: datetime,
    agents: tuple[Agent, ...] = AGENTS,
    spent: Mapping[str, int] = MappingProxyType({}),
) -> list[Planned]:
    """Publish the manifest of the next session of each agent.

    When the newest manifest is unused and says the same, it stands, and nothing new is written. `spent` are turns
    that the same run has used already; an agent with none left below its soft cap gets no manifest.
    """
    with held(workspace.layout.lock("plan"), "plan"), collector_at_rest():
        return _Planner(workspace, now, spent).renew(agents)


class _Planner:
    """Plans for several agents from one look at the workspace."""

    def __init__(self, workspace: Workspace, now: datetime, spent: Mapping[str, int]) -> None:
        self.workspace, self.layout, self.now, self.spent = workspace, workspace.layout, now, spent
        repo = Repository.open(workspace.repo)
        self.base = repo.head_of(workspace.settings.project.integration) or base_head(workspace, repo)
        self.seen = overview_of(workspace)
        self.waiting = count_open(self.layout)

    def decide(self, agents: tuple[Agent, ...]) -> list[Manifest]:
        able = {agent: caps for agent in agents if (caps := self._caps_left(agent))}
        return [self._manifest(agent, decide(agent, self._situation, caps), caps) for agent, caps in able.items()]

    def renew(self, agents: tuple[Agent, ...]) -> list[Planned]:
        able = {agent: caps for agent in agents if (caps := self._caps_left(agent))}
        before = _remembered(self.layout)
        after = {agent: self._renewed(agent, caps, before.get(agent)) for agent, caps in able.items()}
        if self.seen.size > MANY and any(before.get(agent) != known for agent, (_, known) in after.items()):
            _remember(self.layout, {**before, **{agent: known for agent, (_, known) in after.items()}})
        return [planned for planned, _ in after.values()]

    def _renewed(self, agent: Agent, caps: AgentSettings, before: Any) -> tuple[Planned, dict[str, Any]]:
        """The agent's manifest, and what is to be remembered of it."""
        standing = _standing(self.layout, agent)
        known = before if standing and _is_of(self.layout, before, standing) else None
        inputs = self._inputs(agent, caps)
        if standing and known and known["inputs"] == inputs:
            return Planned(self.layout, agent, standing, is_new=False), known
        decision = decide(agent, self._situation, caps)
        says = self._named(agent, caps, decision.in_bytes)
        if standing and known and known["says"] == says:
            planned = Planned(self.layout, agent, standing, is_new=False)
        else:
            planned = self._publish(self._manifest(agent, decision, caps), None if known else standing)
        after = {"inputs": inputs, "says": says, "id": planned.id, "stamp": _stamp(self.layout, planned.id)}
        return planned, after

    def _caps_left(self, agent: Agent) -> AgentSettings | None:
        """The agent's settings with what was spent taken off its caps, or None when its soft cap is reached."""
        settings, spent = self.workspace.settings.agents.named(agent), self.spent.get(agent, 0)
        if spent >= settings.soft_turns:
            return None
        return settings.model_copy(
            update={"soft_turns": settings.soft_turns - spent, "hard_turns": settings.hard_turns - spent}
        )

    @cached_property
    def _situation(self) -> Situation:
        tickets = self.layout.tickets
        return Situation(
            cards=self.seen.cards,
            waiting=self.waiting,
            max_waiting=self.workspace.settings.limits.max_waiting,
            damaged=self.seen.damaged,
            duplicates={
                ticket: tuple(tickets / file for file in files) for ticket, files in self.seen.duplicates.items()
            },
        )

    def _manifest(self, agent: Agent, decision: Decision, caps: AgentSettings) -> Manifest:
        heading = Heading(
            number=_highest(self.layout, agent) + 1,
            agent=agent,
            created=self.now,
            base=self.base,
            playbook=self.workspace.playbook_hash,
            agent_version=self.workspace.agent_version(agent),
        )
        return manifest_of(heading, decision, caps)

    def _inputs(self, agent: Agent, caps: AgentSettings) -> str:
        """A name for everything that the agent's manifest follows from, but its number and its time."""
        limits = self.workspace.settings.limits
        return self._named(agent, caps, f"{self.seen.name}\0{self.waiting}\0{limits.max_waiting}".encode())

    def _named(self, agent: Agent, caps: AgentSettings, tickets: bytes) -> str:
        """A name for `tickets`, and for what a manifest says besides."""
        besides = (
            caps.model_dump_json(),
            str(self.base),
            self.workspace.playbook_hash,
            self.workspace.agent_version(agent),
        )
        return sha256("\0".join((*besides, "")).encode() + tickets)

    def _publish(self, manifest: Manifest, standing: str | None) -> Planned:
        manifest = _without_secrets(manifest)
        if standing and _says_the_same(self.layout, standing, manifest):
            return Planned(self.layout, manifest.agent, standing, is_new=False)
        while True:
            try:
                publish(self.layout.manifest(manifest.id), manifest.render())
                return Planned(self.layout, manifest.agent, manifest.id, is_new=True)
            except Stale:
                number = _highest(self.layout, manifest.agent) + 1
                manifest = manifest.model_copy(update={"id": f"{manifest.agent}-{number:04}"})


def _without_secrets(manifest: Manifest) -> Manifest:
    """The manifest as it may be written. Of a hundred thousand entries only the reasons are looked at, in one pass."""
    reasons = "\n\0\n".join(_reasons(manifest))
    if redact(reasons) == reasons:
        return manifest
    entries = tuple(entry.model_copy(update={"reason": redact(entry.reason)}) for entry in manifest.entries)
    skipped = tuple(Skipped(one.ticket, redact(one.reason)) for one in manifest.skipped)
    return manifest.model_copy(update={"entries": entries, "skipped": skipped})


def _reasons(manifest: Manifest) -> Iterator[str]:
    yield from (entry.reason for entry in manifest.entries)
    yield from (skipped.reason for skipped in manifest.skipped)


def _highest(layout: Layout, agent: str) -> int:
    names = (MANIFEST_ID.fullmatch(path.stem) for path in layout.manifests.glob(f"{agent}-*.json"))
    return max((int(match[2]) for match in names if match), default=0)


def _standing(layout: Layout, agent: str) -> str | None:
    """The newest manifest of the agent, if no session has begun with it."""
    number = _highest(layout, agent)
    name = f"{agent}-{number:04}"
    if not number or is_used(layout, name) or layout.journal(name).exists():
        return None
    return name


def _says_the_same(layout: Layout, name: str, manifest: Manifest) -> bool:
    try:
        standing = Manifest.load(layout.manifest(name))
    except Damaged:
        return False
    return standing.model_copy(update={"id": manifest.id, "created": manifest.created}) == manifest


def _stamp(layout: Layout, name: str) -> list[int]:
    status = layout.manifest(name).stat()
    return [status.st_ino, status.st_mtime_ns, status.st_size]


def _remembered(layout: Layout) -> dict[str, Any]:
    """By agent: the names of the inputs and of what was decided, the manifest that says it, the stamp of its file."""
    try:
        found = strict_json.read(layout.planned.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_of(layout: Layout, known: Any, name: str) -> bool:
    """Whether what is remembered is of that manifest, as it lies there."""
    is_whole = isinstance(known, dict) and known.keys() == {"inputs", "says", "id", "stamp"}
    return is_whole and known["id"] == name and known["stamp"] == _stamp(layout, name)


def _remember(layout: Layout, planned: dict[str, Any]) -> None:
    replace(layout.planned, json.dumps(planned).encode())
