"""What must hold after a fault, and once the verb has been run again.

Owns the checks. Each answers with what is wrong, a sentence each, so that a test can also show that a broken engine is
caught.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.faults import LATER_OR_DAMAGED, endings, injected
from tests.crash.kit import Arena, Call, Done
from tests.crash.scenes import Scene
from tests.repositories import git
from tests.sessions import Stage
from watchbill.documents.manifest import Manifest
from watchbill.files import journal
from watchbill.hand_over import step_of
from watchbill.history import histories_on_disk
from watchbill.layout import MANIFEST_ID
from watchbill.stages.verify import verify
from watchbill.workspace import Workspace

FOLDERS = ("agents", "playbook", "tickets", "manifests", "handoffs", "inbox", "sessions")
MINUTES = 10
# How far from its recorded number a temporary file's opening is looked for.
_SHIFTS = (0, 1, -1, 2, -2)


def trial(arena: Arena, scene: Scene, call: Call, fault: str, patch: str = "") -> list[str]:
    """Disturb the scene's verb at `call`, run it again, and say what does not hold. See `faults` for them.

    Every sentence carries the call and the fault, so that it can be tried again alone.
    """
    for shift in _SHIFTS if call.name == "openat" and not call.path else (0,):
        where = replace(call, number=call.number + shift)
        wrong = _trial(arena, scene, where, fault, patch)
        if wrong is not None:
            return [f"{scene.name}, {fault} at {where}: {one}" for one in wrong]
    arena.missed.append(f"{scene.name}, {fault} at {call}")
    return []


def _trial(arena: Arena, scene: Scene, call: Call, fault: str, patch: str) -> list[str] | None:
    """None when the fault was not met."""
    expected = undisturbed(arena, scene)
    with arena.play(scene) as on:
        before = documents(on.workspace)
        done = arena.disturbed(on, scene.verb, call, injected(fault), patch)
        if not done.hit:
            return None
        wrong = [*how_it_ended(done, fault, endings(call, fault)), *afterwards(on, done, before)]
        return [*wrong, *in_the_end(arena, scene, on, expected, patch)]


def afterwards(on: Stage, done: Done, before: Mapping[str, bytes]) -> Iterator[str]:
    """What must hold right after a fault. `before` are the documents that were there before it."""
    yield from promises(done, on.workspace)
    yield from spending(on)
    yield from lost(before, on.workspace)


def in_the_end(arena: Arena, scene: Scene, on: Stage, expected: State, patch: str = "") -> Iterator[str]:
    """Run again, and see that everything comes to the same end."""
    kept = documents(on.workspace)
    let_time_pass(on.workspace)
    yield from run_again(arena, scene, on, patch)
    yield from lost(kept, on.workspace)
    for check in (leftovers, doubles, violations):
        yield from check(on.workspace)
    yield from spending(on)
    yield from differences(expected, state(scene, on.workspace))


def let_time_pass(workspace: Workspace) -> None:
    """The next run comes minutes later at the earliest: by then a lock of git's that is still there is a dead one's."""
    for lock in (workspace.repo / ".git").rglob("*.lock"):
        before = lock.stat().st_mtime - MINUTES * 60
        os.utime(lock, (before, before))


def run_again(arena: Arena, scene: Scene, on: Stage, patch: str = "") -> Iterator[str]:
    """The next runs, undisturbed."""
    for verb in scene.again:
        done = arena.run(on, verb, patch)
        if done.code not in scene.may_end_with:
            yield f"run again, {' '.join(verb)} ended with {done.code}: {done.err[-600:]}"
        yield from promises(done, on.workspace)


# --- the state of a workspace --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """Where everything stands: no times, no ids of commits or sessions, and nothing that is derived."""

    tickets: Mapping[str, object]
    items: Mapping[str, str]
    integration: str
    manifests: Mapping[str, object]


def undisturbed(arena: Arena, scene: Scene) -> State:
    """The state that the scene comes to without any fault."""
    if scene.name not in arena.known:
        with arena.play(scene) as on:
            done = arena.run(on, scene.verb)
            assert done.code == 0, done.err
            again = list(run_again(arena, scene, on))
            assert not again, again
            arena.known[scene.name] = state(scene, on.workspace)
            assert not list(violations(on.workspace)), list(violations(on.workspace))
    known: State = arena.known[scene.name]
    return known


def state(scene: Scene, workspace: Workspace) -> State:
    layout = Workspace(workspace.root).layout
    fresh = Workspace(workspace.root)
    backlog = fresh.backlog()
    tickets: dict[str, object] = {}
    for ticket in sorted({*backlog.tickets, *histories_on_disk(layout)}):
        history = fresh.history(ticket)
        step = step_of(fresh, history)
        story = [
            (one.sender, one.outcome, one.decision, one.to, _tree(fresh, one.commit), _tree(fresh, one.candidate))
            for one in history.handoffs
            if one.outcome != "deferred"  # how the engine says that a session died on it
        ]
        tickets[ticket] = (step.to, step.ended, history.damage, story)
    items = {path.stem: path.parent.name for path in layout.inbox.rglob("*.md") if path.name != "README.md"}
    head = fresh.settings.project.integration
    has_branch = bool(git(fresh.repo, "branch", "--list", head))
    return State(
        tickets if scene.repeatable else {key: value for key, value in tickets.items() if key <= "T-0003"},
        items,
        _tree(fresh, head) if has_branch else "",
        _manifests(fresh) if scene.name == "plan" else {},
    )


def _tree(workspace: Workspace, commit: str | None) -> str:
    return git(workspace.repo, "rev-parse", "--verify", f"{commit}^{{tree}}") if commit else ""


def _manifests(workspace: Workspace) -> dict[str, object]:
    found = [Manifest.load(path) for path in workspace.layout.manifests.glob("*.json")]
    return {one.id: one.model_dump(exclude={"created"}) for one in found}


def documents(workspace: Workspace) -> dict[str, bytes]:
    """Every published file by name. An item keeps its name when it is filed under `decided`."""
    found = {}
    for folder in FOLDERS:
        for path in (workspace.root / folder).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                found[str(path.relative_to(workspace.root)).replace("/decided/", "/")] = path.read_bytes()
    return found


# --- the checks ----------------------------------------------------------------------------------------------------


def how_it_ended(done: Done, fault: str, may_end_with: tuple[int, ...] = (0, *LATER_OR_DAMAGED)) -> Iterator[str]:
    """By the kill; or in order, with a reason and without a traceback."""
    if not done.hit:
        return
    if fault in ("power", "signal=KILL"):
        if done.code != -9:
            yield f"it was killed, but ended with {done.code}"
        return
    if "Traceback" in done.err:
        yield f"it showed a traceback: {done.err[-1500:]}"
    if done.code not in may_end_with:
        yield f"it ended with {done.code}: {done.err[-600:]}"
    if done.code and "watchbill: " not in done.err:
        yield f"it ended with {done.code} and gave no reason: {done.err[-600:]}"


def promises(done: Done, workspace: Workspace) -> Iterator[str]:
    """What was said to be done is there: a line is only written once its document is on the disk."""
    layout = workspace.layout
    for line in done.err.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] in ("build", "qa", "security", "merge") and words[1].startswith("T-"):
            says_so = "goes to" in line or words[2:4] == ["merged", "as"]
            if says_so and not any(one.sender == words[0] for one in workspace.history(words[1]).handoffs):
                yield f"it said {line!r}, and there is no such document"
    for line in done.out.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].startswith(str(layout.tickets)) and not Path(words[1]).is_file():
            yield f"it said {line!r}, and there is no such ticket"
        if ": approve; " in line and not any(one.sender == "human" for one in workspace.history("T-0001").handoffs):
            yield f"it said {line!r}, and there is no such document"


def lost(before: Mapping[str, bytes], workspace: Workspace) -> Iterator[str]:
    """Documents that were there and are gone, or are no longer what they were."""
    now = documents(workspace)
    for name, data in before.items():
        if name not in now:
            yield f"{name} is gone"
        elif now[name] != data:
            yield f"{name} was changed"


def leftovers(workspace: Workspace) -> Iterator[str]:
    """Temporary files of ours, and locks of git's on our branches."""
    for path in workspace.root.rglob("*.tmp"):
        if workspace.layout.worktrees not in path.parents:
            yield f"{path.relative_to(workspace.root)} was left behind"
    for path in workspace.layout.temporary.glob("*"):
        yield f"{path.relative_to(workspace.root)} was left behind"
    refs = workspace.repo / ".git" / "refs"
    for path in refs.rglob("*.lock"):
        yield f"{path.relative_to(workspace.repo)} was left behind"


def doubles(workspace: Workspace) -> Iterator[str]:
    """Documents that say the same thing twice."""
    layout = workspace.layout
    for ticket in histories_on_disk(layout):
        handoffs = workspace.history(ticket).handoffs
        by_session = Counter((one.sender, one.session) for one in handoffs if one.session)
        said_twice = [key for key, number in by_session.items() if number > 1]
        said_twice += [(one.sender, str(one.answers)) for one in handoffs if _is_answered_twice(one.answers, handoffs)]
        if said_twice or sum(one.merged is not None for one in handoffs) > 1:
            yield f"{ticket} has documents twice: {said_twice or 'merged'}"
    for path in layout.decided.glob("*.md"):
        if (layout.inbox / path.name).exists():
            yield f"{path.name} is both open and decided"


def _is_answered_twice(answers: int | None, handoffs: tuple[object, ...]) -> bool:
    return answers is not None and sum(getattr(one, "answers", None) == answers for one in handoffs) > 1


def spending(on: Stage) -> Iterator[str]:
    """No entry of a manifest ever got more requests than it was given, and each request was journalled before."""
    layout = on.workspace.layout
    sent = Counter((one.session.rpartition("-")[0], one.ticket) for one in on.requests)
    for (manifest, ticket), number in sent.items():
        assert MANIFEST_ID.fullmatch(manifest), manifest
        entries = json.loads(layout.manifest(manifest).read_bytes())["entries"]
        cap = next(entry["turns"] for entry in entries if entry["ticket"] == ticket)
        if number > cap:
            yield f"{ticket} got {number} requests under {manifest}, which allows {cap}"
        lines = [one for one in journal.read(layout.journal(manifest)) if one.get("ticket") == ticket]
        counted = sum(one.get("event") in ("turn", "retry") for one in lines)
        if number > counted:
            yield f"{number} requests for {ticket} were sent under {manifest}, but only {counted} journalled"


def violations(workspace: Workspace) -> Iterator[str]:
    """What `watchbill verify` finds."""
    for one in verify(Workspace(workspace.root), datetime.now(UTC)).violations:
        yield f"verify: {one.path}: {one.what}"


def differences(expected: State, found: State) -> Iterator[str]:
    """Where the end differs from that of an undisturbed run."""
    for ticket in sorted({*expected.tickets, *found.tickets}):
        if expected.tickets.get(ticket) != found.tickets.get(ticket):
            yield f"{ticket} came to {found.tickets.get(ticket)}, undisturbed to {expected.tickets.get(ticket)}"
    for name in ("items", "integration", "manifests"):
        if getattr(expected, name) != getattr(found, name):
            yield f"{name}: {getattr(found, name)}, undisturbed {getattr(expected, name)}"
