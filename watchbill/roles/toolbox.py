"""The tools on a model's bench, and the rule that at the soft cap only the finishing one works.

Owns `bash` (always inside the sandbox) and the wrapping of every tool with the pace of the session and the frames of
the conversation. The list of tools stays the same from the first request to the last.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from watchbill.errors import TryLater, WatchbillError
from watchbill.roles.framing import Frames
from watchbill.roles.submission import NAME as SUBMIT
from watchbill.rules.turn_caps import Pace
from watchbill.tools.model import Answer, Tool, ToolRefused
from watchbill.tools.model.file_tools import file_tools
from watchbill.tools.redaction import MARK, redact
from watchbill.tools.sandbox import Limits, Sandbox, without_cut_words

BASH_SECONDS = 120.0
LONGEST_BASH_SECONDS = 600.0
SHOWN = 30_000

BASH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "a shell command, run in the worktree"},
        "timeout_ms": {"type": "integer", "description": "when to give up; 120000 if left out, 600000 at most"},
    },
    "required": ["command"],
    "additionalProperties": False,
}
BASH_TEXT = (
    "Run a shell command in the worktree. Each command is a shell of its own, with no network, and nothing that it "
    "starts outlives it. Standard output and error come back together."
)
WRAP_UP = (
    "The soft cap of turns is reached. Nothing but submit_handoff works from here on: hand over what there is, and say "
    "what is left (outcome deferred if it is not done). The work in the worktree is kept."
)
HALTED = "The session ends here, for a reason of the machine's. The work in the worktree is kept."
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
NOW = "\n\n[The soft cap of turns is reached. From here on only submit_handoff works: hand over now, as it stands.]"
FAILED = "The engine could not carry that out."
CUT = "[the output was cut in the middle]"
SOON = "\n\n[One more turn before only submit_handoff works. Bring the work to a state that can be handed over.]"


@dataclass
class Bench:
    """What the tools of one conversation share. `until_wrap_up` counts the turns that come before the soft cap's;
    `frames` are those that its first message told of; `written` are the paths that the file tools wrote, as the model
    gave them. `halt` is told of trouble that no model can do anything about."""

    pace: Callable[[], Pace]
    until_wrap_up: Callable[[], int]
    frames: Frames
    note: Callable[[str, str], None] = lambda _tool, _what: None
    written: set[str] = field(default_factory=set)
    halt: Callable[[TryLater], None] = lambda _trouble: None


def bench_tools(
    names: Sequence[str], worktree: Path, sandbox: Sandbox, bench: Bench, submit: Tool, seconds: float
) -> list[Tool]:
    """The tools among `names` for one worktree, and `submit` last."""
    tools = file_tools(names, worktree)
    if "bash" in names:
        tools.insert(0, bash_tool(worktree, sandbox, seconds, lambda what: bench.note("bash", what)))
    return [*(_paced(_halting(tool, bench), bench) for tool in tools), _noted(_halting(submit, bench), bench)]


def bash_tool(
    worktree: Path,
    sandbox: Sandbox,
    longest: float = LONGEST_BASH_SECONDS,
    note: Callable[[str], None] = lambda _what: None,
) -> Tool:
    """`bash`, inside the sandbox. A command that fails is a result, not a refusal. `note` hears of every limit that
    one ran into."""

    async def call(given: Any) -> Answer:
        command, seconds = _read_bash(given, longest)
        limits = Limits(seconds=seconds, output_bytes=SHOWN)
        result = await asyncio.to_thread(sandbox.run, command, worktree, limits)
        for sentence in (*result.limited, *([f"killed after {seconds:.0f} seconds"] if result.timed_out else [])):
            note(f"limited: {sentence}")
        said = [CUT] if result.truncated else []
        said += [f"[{sentence}]" for sentence in result.limited]
        if result.timed_out:
            said.append(f"[killed after {seconds:.0f} seconds]")
        elif result.exit_code is None:
            said.append("[stopped before its end]")
        elif result.exit_code:
            said.append(f"[exit code {result.exit_code}]")
        if not said and not result.output:
            said.append("[no output]")
        return Answer("\n".join(said), without_cut_words(result.output), "a command")

    return Tool("bash", BASH_TEXT, BASH_SCHEMA, call)


def _read_bash(given: Any, longest: float) -> tuple[str, float]:
    command = given.get("command") if isinstance(given, dict) else None
    if not isinstance(command, str) or not command.strip():
        raise ToolRefused("bash: the input does not fit. It takes: command (text), timeout_ms (optional).")
    if "\0" in command:
        raise ToolRefused("bash: a command cannot hold a NUL character.")
    wanted = given.get("timeout_ms")
    seconds = wanted / 1000 if isinstance(wanted, int | float) and wanted is not True and wanted > 0 else BASH_SECONDS
    return command, min(seconds, longest, LONGEST_BASH_SECONDS)


def _halting(tool: Tool, bench: Bench) -> Tool:
    """A full or broken disk of the engine's is no business of the model's: the conversation ends with it. Of other
    trouble the model hears, but the words of git or of the system are not the engine's own."""

    async def call(given: Any) -> Any:
        try:
            answer = await tool.call(given)
            return bench.frames.answer(answer) if isinstance(answer, Answer) else answer
        except TryLater as trouble:
            bench.halt(trouble)
            raise ToolRefused(HALTED) from trouble
        except WatchbillError as error:
            raise ToolRefused(FAILED, error.reason, "the machine") from error
        except OSError as error:
            if error.errno not in DISK:
                raise ToolRefused(FAILED, str(error), "the machine") from error
            bench.halt(TryLater(f"{tool.name} could not go on: {error}", "Make room, or mend the disk."))
            raise ToolRefused(HALTED) from error

    return replace(tool, call=call)


def _paced(tool: Tool, bench: Bench) -> Tool:
    async def call(given: Any) -> Any:
        if bench.pace() != "work":
            bench.note(tool.name, "refused: the soft cap is reached")
            raise ToolRefused(WRAP_UP)
        bench.note(tool.name, describe(given))
        try:
            if tool.name in ("write", "edit"):
                _refuse_marks(given)
                _refuse_stand_ins(given, bench.frames.stand_ins)
            shown = await tool.call(given)
        except ToolRefused as refusal:
            bench.note(tool.name, _refusal(refusal))
            raise ToolRefused(bench.frames.refusal(refusal) + _notice(bench.until_wrap_up())) from refusal
        if tool.name in ("write", "edit") and isinstance(given, dict):
            bench.written.add(str(given.get("file_path")))
        return shown + _notice(bench.until_wrap_up()) if isinstance(shown, str) else shown

    return replace(tool, call=call)


def _refuse_marks(given: Any) -> None:
    """What stands for a secret must not take its place in a file: the model was never shown what does."""
    values = [given.get(key) for key in ("content", "new_string")] if isinstance(given, dict) else []
    mark = next((found[0] for value in values if isinstance(value, str) and (found := MARK.search(value))), None)
    if mark:
        raise ToolRefused(
            f"Nothing was written: {mark} stands for a secret that you are not shown, and would replace it. Change the "
            "other lines only, with edit."
        )


def _refuse_stand_ins(given: Any, stand_ins: set[str]) -> None:
    """What was shown in place of a hidden character must not come to stand in a file, and is not found in one."""
    keys = ("content", "old_string", "new_string")
    text = "\n".join(str(given.get(key) or "") for key in keys) if isinstance(given, dict) else ""
    mistaken = sorted(shown for shown in stand_ins if shown in text)
    if mistaken:
        raise ToolRefused(
            f"Nothing was written: {mistaken[0]} was shown to you in place of a hidden character; the file holds the "
            "character itself. Change the other lines only, or use a command for this one."
        )


def _noted(submit: Tool, bench: Bench) -> Tool:
    async def call(given: Any) -> Any:
        bench.note(SUBMIT, describe(given))
        try:
            return await submit.call(given)
        except ToolRefused as refusal:
            bench.note(SUBMIT, _refusal(refusal))
            raise ToolRefused(bench.frames.refusal(refusal)) from refusal

    return replace(submit, call=call)


def _notice(left: int) -> str:
    if left <= 0:
        return NOW
    return SOON if left == 1 else ""


def describe(given: Any) -> str:
    """One line about a call, for the person who watches."""
    if not isinstance(given, dict):
        return ""
    value = given.get("command") or given.get("file_path") or given.get("pattern") or given.get("outcome") or ""
    return _one_line(str(value))


def _refusal(refusal: ToolRefused) -> str:
    return f"refused: {_one_line(str(refusal))}"


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 100 else redact(flat)[:99] + "…"
