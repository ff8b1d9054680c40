"""`run` and `merge` on the command line: one session, the whole watch, the merge.

Owns how these verbs begin and end for a person: settling first, the brief at the end, and the exit code when no model
answered.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchbill.cli import begin, show
from watchbill.errors import Misconfigured, TryLater
from watchbill.pause import why_paused

if TYPE_CHECKING:
    from watchbill.stages.run import Options, Session
    from watchbill.tools.model import ModelTrouble, Reply
    from watchbill.workspace import Workspace


def run(who: str, manifest: str | None, jobs: int, record: Path | None, json: bool) -> None:
    """Run a session of one agent, or go round with all."""
    opened = begin.workspace()
    _refuse_when_paused(opened)
    if who == "all" and manifest is not None:
        raise Misconfigured(
            "--manifest goes with one agent, not with all", "Name the agent: watchbill run build|qa|security"
        )
    started = begin.now()
    builder = _recorder(opened, record)
    try:
        trouble = _go(opened, who, _options(manifest, jobs, builder), started, json)
    finally:
        if builder is not None and record is not None:
            _write_script(builder, record)
    if trouble is not None:
        from watchbill.stages.run import trouble_as_error

        raise trouble_as_error(*trouble)


def merge(json: bool) -> None:
    """Merge what is ready."""
    from watchbill.rounds import merge_ready

    opened = begin.workspace()
    _refuse_when_paused(opened)
    begin.settled(opened)
    begin.use_scratch(opened)
    show.merges(merge_ready(opened, begin.sandbox_of(opened), begin.logger(opened)), json)


def _go(
    opened: Workspace, who: str, options: Options, started: datetime, json: bool
) -> tuple[ModelTrouble, str] | None:
    from watchbill.stages.report import brief

    begin.settled(opened)
    begin.use_scratch(opened)
    log = begin.logger(opened)
    sandbox = begin.sandbox_of(opened)
    if who == "all":
        from watchbill.rounds import go_round

        night = go_round(opened, sandbox, log, options, lambda: begin.take_answers(opened))
        show.brief(brief(opened, started), json)
        return next(((trouble, agent) for agent, trouble in night.troubles.items() if agent == "build"), None)
    from watchbill.stages.run import run as stage

    session = stage(opened, who, sandbox, log, options)
    _show_session(session, who, json)
    if session is not None and session.trouble is not None and who == "build":
        return session.trouble, who
    return None


def _show_session(session: Session | None, who: str, json: bool) -> None:
    if session is None:
        if json:
            show.as_json(None)
        else:
            print(f"nothing to do for {who} (plan first with: watchbill plan)")
        return
    if json:
        show.as_json({"session": session.id, "outcomes": session.outcomes, "turns": session.turns})
        return
    print(f"session {session.id}: {session.turns} turn(s)")
    for line in session.lines:
        print(f"  {show.plain(line)}")


def _options(manifest: str | None, jobs: int, builder: Any) -> Options:
    from watchbill.stages.run import Options

    if builder is None:
        return Options(manifest=manifest, jobs=jobs)
    from watchbill.documents.script import said
    from watchbill.tools.model.outgoing import Outgoing
    from watchbill.tools.redaction import redact

    outgoing = Outgoing(redact)

    def record(agent: str, ticket: str, session: str, reply: Reply) -> None:
        usage = {
            "input_tokens": reply.usage.input,
            "output_tokens": reply.usage.output,
            "cache_read_input_tokens": reply.usage.cache_read,
            "cache_creation_input_tokens": reply.usage.cache_write,
        }
        message = {"content": outgoing.words(reply.content), "stop_reason": reply.stop_reason, "usage": usage}
        builder.add(agent, ticket, session, said(message))

    return Options(manifest=manifest, jobs=jobs, record=record)


def _refuse_when_paused(opened: Workspace) -> None:
    reason = why_paused(opened.layout)
    if reason:
        raise TryLater(reason, "Go on with: watchbill resume")


def _recorder(opened: Workspace, record: Path | None) -> Any:
    if record is None:
        return None
    if record.exists():
        raise Misconfigured(f"{record} exists already", "Name a new file for --record.")
    from watchbill.documents.script import ScriptBuilder

    return ScriptBuilder(f"Recorded from {opened.settings.project.name}")


def _write_script(builder: Any, record: Path) -> None:
    from watchbill.documents.script import render
    from watchbill.files.publish import publish

    publish(record, render(builder.script()).encode())
    begin.note(f"recorded to {record}")
