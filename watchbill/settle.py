"""Putting in order what a dead run, a full disk or a careless editor left behind.

Owns recovery at the start of every verb that writes: each thing is settled, said in one line, and the run goes on.
Never decides about work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from watchbill.errors import Damaged, Stale
from watchbill.files.publish import TEMPORARY_SUFFIX, move, publish, sha256
from watchbill.files.quarantine import set_aside
from watchbill.files.scratch import abandoned
from watchbill.gate import holds
from watchbill.hand_over import step_of
from watchbill.history import histories_on_disk, read_history
from watchbill.inbox import ask, ask_about_damage, is_known, open_items, unreadable
from watchbill.landed import settle_landed
from watchbill.layout import DOCUMENT_NUMBER, ITEM_ID, TICKET_ID, branch_of, item_id
from watchbill.overview import Overview, overview_of
from watchbill.rules.card import Card
from watchbill.rules.next_step import Question
from watchbill.tools.git import Repository, erase, remove_empty_branches, remove_empty_objects
from watchbill.tools.redaction import redact
from watchbill.workspace import Workspace

_OURS = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}" + re.escape(TEMPORARY_SUFFIX))


def settle(workspace: Workspace, now: datetime) -> list[str]:
    """Settle everything, and say what was done, a line each."""
    seen = overview_of(workspace)
    lines = [*_sweep(workspace, seen), *_mend_repository(workspace, seen)]
    damage = list(_set_damage_aside(workspace, seen, now))
    ready = [ticket for ticket, card in seen.cards.items() if "merge" in card.to]
    landed = list(settle_landed(workspace, ready, now)) if ready else []
    seen = overview_of(workspace) if damage or landed else seen
    return [
        *lines,
        *damage,
        *landed,
        *_publish_missing_questions(workspace, seen, now),
        *_file_answered_items(workspace),
        *_reopen_items(workspace, seen),
        *(f"{error.path.name} in the inbox cannot be read: {error.why}" for error in unreadable(workspace.layout)),
    ]


def _sweep(workspace: Workspace, seen: Overview) -> Iterable[str]:
    """Remove temporary files whose writer is dead: nothing was ever published from them."""
    layout = workspace.layout
    folders = [layout.tickets, layout.manifests, layout.inbox, layout.decided, layout.sessions, layout.quarantine]
    folders += [layout.root, layout.private, layout.cache, *layout.cache.glob("*/")]
    strays = (path for folder in folders if folder.is_dir() for path in folder.glob(f".*{TEMPORARY_SUFFIX}"))
    for path in (*strays, *seen.strays):
        match = _OURS.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)
            yield f"removed {path.name}, which a run that died had not finished writing"
    left = abandoned(layout.temporary)
    erase(*left)
    if left:
        yield f"removed the temporary files of {len(left)} run(s) that died"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return process != os.getpid()


def _mend_repository(workspace: Workspace, seen: Overview) -> Iterable[str]:
    """Remove what a power cut left empty in the repository, and put branches back where the documents say they were."""
    folder = workspace.repo / ".git"
    if folder.is_file():
        folder = Repository.open(workspace.repo).common_dir
    objects = remove_empty_objects(folder)
    if objects:
        yield f"removed {objects} empty object(s), which a power cut had left in the repository"
    integration = workspace.settings.project.integration
    tickets = {branch_of(ticket): ticket for ticket in seen.cards}
    for branch in remove_empty_branches(folder, [integration, *tickets]):
        repo = Repository.open(workspace.repo)
        if branch == integration:
            commit = _newest(repo, _merged(workspace))
        else:
            commit = _newest(repo, [_last_work(workspace, tickets[branch])])
        if commit:
            repo.create_branch(branch, commit)
            repo.make_durable()
        now = f"at {commit[:10]} again" if commit else "made anew when it is needed"
        yield f"the branch {branch} was left empty by a power cut; it is {now}"


def _merged(workspace: Workspace) -> list[str]:
    histories = (read_history(workspace.layout, ticket, None) for ticket in histories_on_disk(workspace.layout))
    return [handoff.merged for history in histories for handoff in history.handoffs if handoff.merged]


def _last_work(workspace: Workspace, ticket: str) -> str:
    handoff = read_history(workspace.layout, ticket, None).last("build")
    return (handoff.commit or "") if handoff else ""


def _newest(repo: Repository, commits: Iterable[str]) -> str | None:
    """The one among them that contains all the others."""
    newest: str | None = None
    for commit in commits:
        is_there = bool(commit) and repo.commit_id(commit) is not None
        if is_there and (newest is None or repo.is_ancestor(newest, commit)):
            newest = commit
    return newest


def _set_damage_aside(workspace: Workspace, seen: Overview, now: datetime) -> Iterable[str]:
    layout = workspace.layout
    for error in seen.damaged:
        ticket = _guess_id(error.path)
        kept = set_aside(error.path, redact(error.why), layout.quarantine, layout.root, now)
        ask_about_damage(layout, ticket, 0, kept, error.why, now)
        yield f"set {error.path.name} aside: {error.why}"
    for history in seen.troubled:
        ticket = history.id
        for error in history.damaged_files:
            yield from _keep_damaged_handoff(workspace, ticket, error, now)
        for seq in history.missing:
            if ask_about_damage(layout, ticket, seq, layout.handoff(ticket, seq), "There is no such file.", now):
                yield f"document {seq:04} of {ticket} is missing; a human is asked"


def _keep_damaged_handoff(workspace: Workspace, ticket: str, error: Damaged, now: datetime) -> Iterable[str]:
    """A handoff that cannot be read stays beside the others, so that its number is not given twice."""
    layout = workspace.layout
    match = DOCUMENT_NUMBER.fullmatch(error.path.name)
    if match is None:
        return
    kept = error.path
    if error.path.suffix == ".md" and os.path.lexists(error.path):
        kept = layout.damaged_handoff(error.path)
        _set_document_aside(workspace, error, kept, now)
        yield f"set document {error.path.name} of {ticket} aside: {error.why}"
    # Asked here also when a run died between setting it aside and asking.
    ask_about_damage(layout, ticket, int(match[1]), kept, error.why, now)


def _set_document_aside(workspace: Workspace, error: Damaged, kept: Path, now: datetime) -> None:
    layout = workspace.layout
    try:
        publish(kept.with_name(f"{kept.name}.reason.txt"), redact(f"{error.path.name}: {error.why}\n").encode())
        move(error.path, kept)
    except Stale:
        # One of that number lies there already: this is a mend that went wrong.
        set_aside(error.path, redact(error.why), layout.quarantine, layout.root, now)


def _publish_missing_questions(workspace: Workspace, seen: Overview, now: datetime) -> Iterable[str]:
    gate = holds(workspace.settings, workspace.root, now)
    for ticket, card in seen.cards.items():
        items = [item_id(ticket, seq) for seq in card.questions]
        if all(is_known(workspace.layout, item) for item in items):
            continue
        history = workspace.history(ticket)
        for item in ask(workspace.layout, history, step_of(workspace, history), now, gate=gate):
            yield f"asked again what a run that died could not ask: {item}"


def _file_answered_items(workspace: Workspace) -> Iterable[str]:
    """An item whose answer is published, or whose ticket a human has ended, but which still lies in the inbox."""
    for waiting in open_items(workspace.layout):
        match = ITEM_ID.fullmatch(waiting.item.id)
        if match is None or waiting.item.answers == 0:
            continue
        history = workspace.history(waiting.item.ticket)
        answered = any(
            handoff.sender == "human"
            and (handoff.answers == waiting.item.answers or handoff.decision in ("reject", "close"))
            for handoff in history.counted
        )
        # A question that takes several answers stays open after the first.
        asked = any(question.seq == waiting.item.answers for question in step_of(workspace, history).questions)
        if answered and not asked:
            try:
                move(waiting.path, workspace.layout.decided_item(waiting.item.id))
            except Stale:
                continue
            yield f"filed {waiting.item.id}, which was answered already"


def _reopen_items(workspace: Workspace, seen: Overview) -> Iterable[str]:
    """An item that was filed, and whose question is open again: because the decision does not count, for instance since
    its key was revoked, or because more people have to agree now."""
    layout = workspace.layout
    for card in seen.cards.values():
        for seq in card.questions:
            item = item_id(card.ticket, seq)
            if not layout.decided_item(item).is_file() or layout.inbox_item(item).exists():
                continue
            # It is filed after its decision was published: read anew, the history holds what it was filed for.
            step = step_of(workspace, workspace.history(card.ticket))
            question = next((question for question in step.questions if question.seq == seq), None)
            if question is not None:
                move(layout.decided_item(item), layout.inbox_item(item))
                yield f"{item} waits again: {_why_again(card, question)}"


def _why_again(card: Card, question: Question) -> str:
    return f"it {question.waiting}" if question.given or not card.void else "the decision about it does not count"


def _guess_id(path: Path) -> str:
    """The id that a broken ticket file seems to be about: from its name, or made from it."""
    match = TICKET_ID.match(path.name)
    if match:
        return match[0]
    return f"X-{int(sha256(path.name.encode())[:7], 16)}"
