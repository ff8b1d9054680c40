"""The working through of a manifest: ticket by ticket, or several side by side.

Owns what is published when, and that what stands in the way of one ticket holds up no other. How a ticket is prepared
and judged is its role's; how a conversation goes is `roles/turns`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from watchbill.documents.manifest import Entry, Manifest
from watchbill.errors import Refused, Stale, WatchbillError
from watchbill.files import journal
from watchbill.files.document import stamp
from watchbill.hand_over import hand_over, step_of
from watchbill.integration import integration_head
from watchbill.pause import why_paused
from watchbill.roles.briefing import system_prompt
from watchbill.roles.budget import SessionBudget, TicketBudget
from watchbill.roles.build import Build
from watchbill.roles.case import Assignment, CannotMerge, Case, Role
from watchbill.roles.qa import Qa
from watchbill.roles.security import Security
from watchbill.roles.submission import Submission, submission_tool
from watchbill.roles.toolbox import Bench, bench_tools, describe
from watchbill.roles.turns import Desk, Ending, converse
from watchbill.rules.next_step import Step
from watchbill.rules.turn_caps import Caps, Pace, entry_caps
from watchbill.session_records import memory_of, publish_record, records
from watchbill.stages.run.access import access_for
from watchbill.stages.run.session import Session, cost_of, record_of
from watchbill.stages.run.words import body, body_without_handoff
from watchbill.tools.git import Repository
from watchbill.tools.model import ModelTrouble, Reply, ToolRefused, Usage
from watchbill.tools.model.conversation import Conversation
from watchbill.tools.redaction import redact
from watchbill.tools.sandbox import Sandbox, Stoppable
from watchbill.workspace import Workspace

ROLES: dict[str, Role] = {"build": Build(), "qa": Qa(), "security": Security()}
FATAL = ("key", "no such model", "unreachable", "foreign", "busy", "spent")
GLANCE_SECONDS = 0.3
Record = Callable[[str, str, str, Reply], None]


@dataclass(frozen=True)
class Options:
    """How a session is run: `manifest` names one (newest unused otherwise), `jobs` tickets go on at once.

    Setting `stop` from another thread ends the session before its next request, and the commands that run.
    """

    manifest: str | None = None
    jobs: int = 1
    record: Record | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class SessionRunner:
    """Works through one manifest. `run` goes from the first journal line to the record."""

    def __init__(
        self,
        workspace: Workspace,
        repo: Repository,
        sandbox: Sandbox,
        manifest: Manifest,
        log: Any,
        options: Options,
    ) -> None:
        self.workspace = workspace
        self.repo = repo
        self.sandbox: Sandbox = Stoppable(sandbox, options.stop)
        self.manifest = manifest
        self.options = options
        self.role = ROLES[manifest.agent]
        path = workspace.layout.journal(manifest.id)
        opened = sum(1 for line in journal.read(path) if line.get("event") == "open")
        self.session = Session(f"{manifest.id}-{opened + 1}", manifest.agent, manifest.id, datetime.now(UTC))
        self.log = log.bind(session=self.session.id, agent=manifest.agent, ticket="", turn=0)
        caps = Caps(manifest.soft_turns, manifest.hard_turns)
        self.budget = SessionBudget.open(path, self.session.id, caps)
        self.access = access_for(workspace, self.role.name)
        self.past = records(workspace.layout, manifest.agent)
        self.integration = integration_head(workspace, repo)

    async def run(self) -> Session:
        opened = {"event": "open", "session": self.session.id, "at": stamp(self.session.started)}
        journal.append(self.budget.journal_path, opened)
        self.log.info("session begins", tickets=len(self.manifest.entries), hard_turns=self.manifest.hard_turns)
        queue = list(self.manifest.entries)
        workers = [asyncio.create_task(self._work_through(queue)) for _ in range(max(1, self.options.jobs))]
        try:
            await self._until_done_or_stopped(workers)
        except BaseException as error:
            self.options.stop.set()
            self.session.stopped = f"it was cut off ({type(error).__name__}: {error})"[:500]
            raise
        finally:
            for worker in workers:
                worker.cancel()
            self._close()
        return self.session

    async def _until_done_or_stopped(self, workers: list[asyncio.Task[None]]) -> None:
        """Wait for the workers; when somebody says stop, from whatever thread, they are cancelled."""
        pending: set[asyncio.Task[None]] = set(workers)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=GLANCE_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
            if self.options.stop.is_set() and pending:
                raise asyncio.CancelledError

    async def _work_through(self, queue: list[Entry]) -> None:
        while queue and not self.session.stopped:
            entry = queue.pop(0)
            if not self.budget.may_start():
                self.session.outcomes[entry.ticket] = "not started"
                self._note(entry.ticket, "not started: the session's soft cap was reached; the next session takes it")
                continue
            try:
                await self._work(entry)
            except Stale as error:
                self._left_alone(entry.ticket, error.reason)
            except Refused as error:
                self._hand_to_a_human(entry.ticket, error)

    def _left_alone(self, ticket: str, why: str) -> None:
        self.session.outcomes[ticket] = "moved on"
        self._note(ticket, f"left alone: {why}")

    def _hand_to_a_human(self, ticket: str, error: Refused, turns: int = 0, ending: Ending | None = None) -> None:
        """What stands in the way of one ticket holds up no other. What was spent on it stays on its bill."""
        step = step_of(self.workspace, self.workspace.history(ticket))
        fields = {
            "from": self.role.name,
            "outcome": "blocked",
            "commit": step.commit,
            "reason": f"{error.reason} {error.hint}".strip()[:4_000],
            "body": "## What was done\n\nThe engine wrote this handoff: it could not go on with this ticket.",
        }
        try:
            self._publish(ticket, fields, turns, ending)
        except Stale as moved:
            self._left_alone(ticket, moved.reason)

    async def _work(self, entry: Entry) -> None:
        file = self.workspace.ticket_file(entry.ticket)
        history = self.workspace.history_of(entry.ticket, file)
        step = step_of(self.workspace, history)
        if file is None or self.manifest.agent not in step.to:
            self._left_alone(entry.ticket, step.reason or "its ticket cannot be read")
            return
        case = Case(
            workspace=self.workspace,
            repo=self.repo,
            sandbox=self.sandbox,
            history=history,
            step=step,
            entry=entry,
            session=self.session.id,
            raw_ticket=file.path.read_text("utf-8", "replace"),
            memory=memory_of(self.past, entry.ticket),
            integration=self.integration,
            say=lambda text: self._event(entry.ticket, text),
        )
        self._event(entry.ticket, f"begins: {entry.reason}", title=file.ticket.title)
        try:
            assignment = await asyncio.to_thread(self.role.prepare, case)
        except CannotMerge as conflict:
            self._publish(entry.ticket, conflict.fields, 0, None)
            return
        budget = TicketBudget(
            self.budget, entry.ticket, entry_caps(entry.turns, self.manifest.soft_turns, self.manifest.hard_turns)
        )
        ending = await self._converse(case, assignment, budget)
        self._account(ending)
        if ending.halted is not None:
            self.session.outcomes[entry.ticket] = "cut off"
            self._note(entry.ticket, f"cut off: {ending.reason}")
            raise ending.halted
        try:
            fields = await asyncio.to_thread(assignment.conclude, ending, budget.turns)
        except Refused as error:
            self._hand_to_a_human(entry.ticket, error, budget.turns, ending)
            return
        if fields is None:
            self.session.outcomes[entry.ticket] = "not started"
            self._note(entry.ticket, f"not started: {ending.reason}")
        else:
            self._publish(entry.ticket, self._with_claims(fields, ending), budget.turns, ending)
        await asyncio.to_thread(self._put_by, case, assignment)

    def _put_by(self, case: Case, assignment: Assignment) -> None:
        """What was done is committed and said. A worktree that cannot be put by stays for the ticket's next session."""
        try:
            self.repo.put_by(assignment.worktree)
        except (WatchbillError, OSError) as error:
            case.say(f"its worktree could not be put by: {error}")

    async def _converse(self, case: Case, assignment: Assignment, budget: TicketBudget) -> Ending:
        trouble = self.session.trouble
        if self.access is None:
            trouble = trouble or ModelTrouble("key", "there is no API key (set ANTHROPIC_API_KEY, or [model] key_file)")
        if self.access is None or trouble is not None:
            self._event(case.ticket, f"no model is asked: {trouble.reason if trouble else ''}")
            return Ending(reason=trouble.reason if trouble else "", trouble=trouble)
        desk = Desk()

        async def accept(submission: Submission) -> None:
            if desk.submission is not None:
                raise ToolRefused("You have handed over already; that stands.")
            try:
                await assignment.accept(submission)
            except ToolRefused as refusal:
                desk.refused.append(str(refusal))
                raise
            desk.submission = submission

        def pace() -> Pace:
            return "stop" if desk.submission is not None else budget.pace()

        bench = Bench(
            pace,
            budget.until_wrap_up,
            assignment.frames,
            lambda tool, what: self._tool(case.ticket, budget, tool, what),
            halt=desk.halt,
        )
        agent_tools = self.workspace.agent(self.role.name).tools
        names = [name for name in assignment.tools if name in agent_tools]
        longest = self.workspace.settings.checks.timeout_seconds
        submit = submission_tool(self.role.name, accept)
        tools = bench_tools(names, assignment.worktree, self.sandbox, bench, submit, longest)
        on_the_bench = {tool.name for tool in tools}
        headers = {
            "x-watchbill-agent": self.role.name,
            "x-watchbill-ticket": case.ticket,
            "x-watchbill-session": self.session.id,
        }

        def on_reply(reply: Reply) -> None:
            if self.options.record:
                self.options.record(self.role.name, case.ticket, self.session.id, reply)

        def on_turn(reply: Reply) -> None:
            said = redact(" ".join(reply.text.split()))[:120]
            self._event(case.ticket, "turn", turn=budget.spent, of=budget.caps.hard, said=said, stop=reply.stop_reason)
            # The SDK answers a call of what is not on the bench itself, so no tool could note it.
            for use in (block for block in reply.content if block.get("type") == "tool_use"):
                if use.get("name") not in on_the_bench:
                    what = f"refused: there is no such tool here ({describe(use.get('input'))})"
                    self._tool(case.ticket, budget, str(use.get("name"))[:60], what)

        def must_stop() -> str:
            if self.options.stop.is_set():
                return "it was told to stop"
            return why_paused(self.workspace.layout) or ""

        system = system_prompt(case, self.role.name)
        async with Conversation(
            self.access, system, assignment.first, tools, headers, budget.reserve, on_reply
        ) as conversation:
            ending = await converse(conversation, budget, desk, must_stop, on_turn)
        ending.written = frozenset(bench.written)
        if ending.stopped:
            self.session.stopped = ending.reason
        if ending.trouble is not None and ending.trouble.kind in FATAL:
            self.session.trouble = ending.trouble
            if self.role.name == "build":
                self.session.stopped = ending.trouble.reason
        return ending

    def _with_claims(self, fields: dict[str, Any], ending: Ending) -> dict[str, Any]:
        submission = ending.submission
        claims: dict[str, Any] = {}
        if submission is not None:
            claims = {
                "claimed": submission.claimed(),
                "confidence": submission.confidence,
                "requests": submission.requests,
                "body": body(submission),
            }
        elif ending.reason:
            claims = {"reason": ending.reason, "body": body_without_handoff(ending)}
        return {**claims, **fields}

    def _publish(self, ticket: str, fields: dict[str, Any], turns: int, ending: Ending | None) -> None:
        model = ending.model if ending else None
        stamped: dict[str, Any] = {}
        if fields["from"] == self.role.name:
            stamped = {
                "session": self.session.id,
                "manifest": self.manifest.id,
                "agent_version": self.workspace.agent_version(self.role.name, model),
                "model": model,
                "turns": turns,
            }
        handoff, step = hand_over(
            self.workspace,
            ticket,
            {**fields, **stamped},
            datetime.now(UTC),
            still_valid=lambda _history, step: self._still_wanted(step, fields),
            diff=lambda work: self.repo.diff(work.base, work.commit) if work.base and work.commit else "",
        )
        self.session.outcomes[ticket] = handoff.outcome
        why = handoff.reason or (handoff.claimed.summary if handoff.claimed else "")
        self._note(ticket, f"{handoff.outcome}, goes to {' and '.join(step.to)}: {' '.join(why.split())[:300]}")
        if handoff.claimed:
            self.session.open_questions += [f"{ticket}: {text[:300]}" for text in handoff.claimed.open_questions[:5]]
        if handoff.sender == "build" and handoff.commit:
            self.session.artifacts.append(f"{ticket}: {handoff.commit}")

    def _still_wanted(self, step: Step, fields: dict[str, Any]) -> bool:
        """Whether the work still makes sense: it is this agent's turn, or a verdict is about the work as it stands.

        While one reviewer works the other may ask a human; what the first found out is not thrown away.
        """
        is_verdict = fields["from"] in ("qa", "security") and not step.ended
        return self.role.name in step.to or (is_verdict and fields["commit"] == step.commit)

    def _account(self, ending: Ending) -> None:
        self.session.usage += ending.usage
        if ending.model and ending.model not in self.session.models:
            self.session.models.append(ending.model)
        if self.session.cost is not None and ending.usage != Usage():
            price = cost_of(self.workspace, ending.model, ending.usage)
            self.session.cost = None if price is None else self.session.cost + price

    def _close(self) -> None:
        """Publish the record: after it the manifest is used up, unless the session could not do its work."""
        self.session.retries = self.budget.retries
        self.session.turns = self.budget.turns
        record = record_of(self.session, datetime.now(UTC))
        publish_record(self.workspace.layout, record)
        self.log.info("session ends", outcome=record.outcome, turns=record.turns, retries=record.retries)

    def _note(self, ticket: str, text: str) -> None:
        self.session.lines.append(f"{ticket}: {text}")
        self._event(ticket, text)

    def _event(self, ticket: str, event: str, **more: Any) -> None:
        turn = more.pop("turn", self.budget.by_ticket[ticket])
        self.log.info(event, ticket=ticket, turn=turn, **more)

    def _tool(self, ticket: str, budget: TicketBudget, tool: str, what: str) -> None:
        self._event(ticket, "tool", turn=budget.spent, of=budget.caps.hard, tool=tool, what=what)
