"""The loop of a session on one ticket: ask, run tools, ask again, until there is a handoff or no turn is left.

Owns the outcome of every way in which a conversation can end. Never publishes: it says how it ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from watchbill.errors import TryLater
from watchbill.roles.budget import CapReached, TicketBudget
from watchbill.roles.submission import NAME as SUBMIT
from watchbill.roles.submission import Submission
from watchbill.tools.model import ModelTrouble, Reply, Usage
from watchbill.tools.model.conversation import Conversation

# After so many handoffs that the engine knows to be untrue the model is not asked again.
PATIENCE = 3
_ENDS = {
    "end_turn": "the model ended its answer without a handoff",
    "stop_sequence": "the model ended its answer without a handoff",
    "max_tokens": "the model's answer was cut off at max_tokens",
    "refusal": "the model refused to go on",
    "model_context_window_exceeded": "the conversation no longer fits the model's context window",
}


@dataclass
class Ending:
    """How a conversation ended: with a `submission`, or without one for a `reason`. `replies` counts what the model
    answered. `halted` is trouble of the machine's (its disk), with which the whole session ends."""

    submission: Submission | None = None
    reason: str = ""
    trouble: ModelTrouble | None = None
    usage: Usage = field(default_factory=Usage)
    model: str | None = None
    last_words: str = ""
    stopped: bool = False
    replies: int = 0
    written: frozenset[str] = frozenset()
    halted: TryLater | None = None


@dataclass
class Desk:
    """Where the submission lands when the model hands over, and the trouble that a tool had with the machine."""

    submission: Submission | None = None
    refused: list[str] = field(default_factory=list)
    halted: TryLater | None = None

    def halt(self, trouble: TryLater) -> None:
        self.halted = self.halted or trouble


async def converse(
    conversation: Conversation,
    budget: TicketBudget,
    desk: Desk,
    must_stop: Callable[[], str],
    on_turn: Callable[[Reply], None],
) -> Ending:
    """Work one ticket. `must_stop` gives a reason to stop before the next request, or an empty string."""
    ending = Ending()
    while True:
        stop = must_stop()
        if stop:
            ending.reason, ending.stopped = stop, True
            return ending
        if budget.pace() == "stop":
            ending.reason = f"the hard cap is reached ({budget.spent} requests)"
            return ending
        if budget.pace() == "last":
            conversation.force_next(SUBMIT)
        try:
            reply = await conversation.ask()
        except CapReached:
            ending.reason = f"the hard cap is reached ({budget.spent} requests, retries included)"
            return ending
        except ModelTrouble as trouble:
            ending.reason, ending.trouble = trouble.reason, trouble
            return ending
        ending.replies += 1
        ending.usage += reply.usage
        ending.model = reply.model
        ending.last_words = reply.text or ending.last_words
        on_turn(reply)
        if reply.stop_reason == "pause_turn":
            continue
        if reply.stop_reason != "tool_use" or not reply.tools:
            ending.reason = _why_it_ended(reply)
            return ending
        if budget.pace() == "last":
            conversation.force_next(SUBMIT)
        await conversation.run_tools()
        if desk.submission is not None:
            ending.submission = desk.submission
            return ending
        if desk.halted is not None:
            ending.reason, ending.halted = desk.halted.reason, desk.halted
            return ending
        if len(desk.refused) >= PATIENCE:
            ending.reason = f"{PATIENCE} handoffs were refused; the last one: {desk.refused[-1]}"
            return ending


def _why_it_ended(reply: Reply) -> str:
    if reply.stop_reason == "tool_use":
        return "the model said that it calls a tool, and called none"
    return _ENDS.get(reply.stop_reason, f"the model stopped for an unknown reason ({reply.stop_reason[:40]})")
