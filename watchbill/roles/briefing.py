"""The first message of a conversation: what an agent is told about its ticket.

Owns the wording and the bounds of what every role is given: ticket, earlier handoffs, memory, budget.
"""

from __future__ import annotations

import re

from watchbill.layout import DOCUMENT_NUMBER, handoff_ref
from watchbill.roles.case import Case
from watchbill.roles.framing import Frames
from watchbill.rules.turn_caps import entry_caps


def system_prompt(case: Case, agent: str) -> str:
    """The playbook and the agent's prompt: the same bytes for every ticket of a session."""
    return f"{case.workspace.playbook.strip()}\n\n---\n\n{case.workspace.agent(agent).body.strip()}\n"


def opening(case: Case, frames: Frames, agent: str) -> list[str]:
    """What every role is told first: the frames, the ticket, and what came before."""
    parts = [frames.preface(), f"# Your ticket: {case.ticket}", frames.frame("the ticket", case.raw_ticket)]
    earlier = _earlier(case, frames)
    if earlier:
        parts += ["# What happened before (newest last)", *earlier]
    if case.memory:
        parts += ["# Notes from earlier sessions", frames.frame("session records", case.memory, 12_000)]
    settings = case.workspace.settings.agents.named(agent)
    caps = entry_caps(case.entry.turns, settings.soft_turns, settings.hard_turns)
    parts += [
        "# Your budget",
        f"At most {caps.hard} turns; from turn {caps.soft} on only submit_handoff works. One turn is one message of "
        "yours, however many tools it calls: ask for what is independent in one message.",
    ]
    return parts


def how_to_test(case: Case) -> str:
    """How the project's tests are run, without the engine's own arguments."""
    test = case.workspace.settings.checks.test
    if not test.strip():
        return "No test command is configured; find out how this project is tested, if it is."
    plain = re.sub(r"\S*\{junit\}\S*", "", test).strip()
    return f"The engine judges by this command, run in a clean checkout: `{' '.join(plain.split())}`"


def _earlier(case: Case, frames: Frames) -> list[str]:
    wanted = set(case.entry.read)
    newer = case.history.counted[-1].seq if case.history.counted else 0
    parts = []
    for handoff in case.history.counted:
        ref = handoff_ref(case.ticket, handoff.seq)
        if ref in wanted or handoff.seq > _last_planned(case) or handoff.seq == newer:
            label = f"handoff {ref} from {handoff.sender}"
            parts.append(frames.frame(label, handoff.render().decode("utf-8", "replace"), 24_000))
    return parts


def _last_planned(case: Case) -> int:
    numbers = [int(match[1]) for ref in case.entry.read if (match := DOCUMENT_NUMBER.fullmatch(f"{ref[-4:]}.md"))]
    return max(numbers, default=0)
