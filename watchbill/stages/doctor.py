"""Doctor: what this machine and this workspace can do, and what stands in the way.

Owns the examination and its words. It only explains: nothing is mended, written or moved, and one thing that cannot
be examined does not keep the others from it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from watchbill.errors import Misconfigured, WatchbillError
from watchbill.files.quarantine import reasons
from watchbill.gate import ACCEPTED, REVOKED, SIGNERS, UNPROTECTED, Signers, holds, read_signers, signers_folder
from watchbill.inbox import count_open, unreadable
from watchbill.integration import base_head
from watchbill.layout import AGENTS
from watchbill.pause import why_paused
from watchbill.signer import lines_of, names_in, own_key, require_fit, troubles_of
from watchbill.tools.git import HOW_TO_INSTALL_A_FILTER, Repository
from watchbill.tools.sandbox import attempt_forbidden_acts, choose, control_groups
from watchbill.tools.signing import has_ssh_keygen, read_key
from watchbill.workspace import Workspace

# What stands in the way of each act inside a sandbox that holds.
_STOPPED_BY = {
    "bubblewrap": {
        "write outside the worktree": "its own file system, in which nothing else is writable",
        "read a file outside the worktree": "its own file system, in which that file does not exist",
        "connect to the network": "a network of its own, without any way out",
        "connect to a socket of the host": "a network of its own",
        "see a variable of the host": "an empty environment and a process list of its own",
        "change the mode of a file outside": "its own file system, in which that file does not exist",
        "link a file outside into the worktree": "its own file system, in which that file does not exist",
        "connect to a socket file of the host": "its own file system, in which that file does not exist",
        "point the worktree's git elsewhere": "a read-only mount over .git",
        "leave a process behind": "a process list of its own, which ends with the command",
        "look into a process of the host": "a process list of its own",
        "mount a file system": "no capabilities",
        "make a name space": "a limit of none",
        "end a process of the host": "a process list of its own",
    },
    "landlock": {
        "connect to the network": "a filter of system calls",
        "connect to a socket of the host": "a filter of system calls",
        "connect to a socket file of the host": "a filter of system calls",
        "change the mode of a file outside": "a filter of system calls, and the launcher behind it",
        "point the worktree's git elsewhere": "putting .git back afterwards",
        "leave a process behind": "the launcher, which ends what is left",
        "mount a file system": "a filter of system calls, and no capabilities",
        "make a name space": "a filter of system calls",
    },
}
_LONGEST_ANSWER = 10
_BY_FOLDER = 'require = "folder": whoever can edit inbox/ decides; as safe as the sandbox, which keeps the agents out'
_BETTER_KEY = (
    "Give the key a passphrase (ssh-keygen -p -f KEY), then run: watchbill gate setup --key KEY. "
    f"Or let it sign no more: take its line out of {SIGNERS}, or give it a valid-before."
)


@dataclass(frozen=True)
class Line:
    """One thing that was looked at. `hint` says what to do about it and may be empty."""

    topic: str
    state: Literal["ok", "note", "problem"]
    text: str
    hint: str = ""


def examine(workspace: Workspace, next_run: Callable[[str], datetime]) -> list[Line]:
    """Look at everything. `next_run` says when a cron time comes round next, or raises `Misconfigured`."""
    looks: dict[str, Callable[[Workspace], Iterable[Line]]] = {
        "programs": _programs,
        "workspace": _workspace,
        "repository": _repository,
        "sandbox": _sandbox,
        "model": _model,
        "checks": _checks,
        "schedule": lambda opened: _schedule(opened, next_run),
        "pause": _pause,
        "quarantine": _quarantine,
        "inbox": _inbox,
        "gate": _gate,
    }
    lines: list[Line] = []
    for topic, look in looks.items():
        try:
            # One by one: what was found before an error is kept.
            for line in look(workspace):
                lines.append(line)
        except WatchbillError as error:
            lines.append(_once(lines, Line(topic, "problem", error.reason, error.hint)))
        except (OSError, ValueError) as error:
            lines.append(Line(topic, "problem", f"this could not be looked at: {error}"))
    return lines


def _once(lines: list[Line], line: Line) -> Line:
    """A mistake in the settings keeps many things from being looked at; it is explained once."""
    said = next((earlier for earlier in lines if earlier.text == line.text), None)
    return Line(line.topic, "note", f"not looked at, because of the problem under {said.topic}") if said else line


def _programs(_: Workspace) -> Iterable[Line]:
    yield Line("programs", "ok", f"Python {platform.python_version()} ({sys.executable})")
    for program in ("git", "bwrap") if sys.platform == "linux" else ("git",):
        found = shutil.which(program)
        if found is None:
            yield Line("programs", "problem", f"{program} was not found on PATH", "Install it.")
        else:
            yield Line("programs", "ok", f"{_version(found)} ({found})")


def _version(program: str) -> str:
    try:
        answer = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_ANSWER,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program} does not say its version: {error}"
    return answer.stdout.strip() or f"{program} does not say its version"


def _workspace(workspace: Workspace) -> Iterable[Line]:
    yield Line("workspace", "ok", f"{workspace.settings.project.name}, at {workspace.root}")
    _ = workspace.routing, workspace.playbook
    for agent in AGENTS:
        workspace.agent(agent)
    yield Line("workspace", "ok", "the settings, the routing table, the playbook and the agents' files can be read")


def _repository(workspace: Workspace) -> Iterable[Line]:
    repo = Repository.open(workspace.repo)
    project = workspace.settings.project
    yield Line("repository", "ok", str(repo.root))
    yield Line("repository", "ok", f"base branch {project.base} at {base_head(workspace, repo)[:10]}")
    head = repo.head_of(project.integration)
    if head is None:
        yield Line("repository", "ok", f"integration branch {project.integration}: the first run makes it")
    else:
        yield Line("repository", "ok", f"integration branch {project.integration} at {head[:10]}")
    place = repo.checked_out_at(project.integration)
    if place is not None:
        text = f"{project.integration} is checked out at {place}, so nothing can be merged"
        yield Line("repository", "problem", text, f"Check out another branch there: git -C '{place}' switch ...")
    for name, file in repo.missing_filters().items():
        text = f"no agent's change to files like {file} is committed: the repository itself lacks the filter {name!r}"
        yield Line("repository", "problem", text, HOW_TO_INSTALL_A_FILTER)
    if repo.is_dirty():
        yield Line("repository", "note", "the checkout has uncommitted changes; no agent sees or touches them")


def _sandbox(workspace: Workspace) -> Iterable[Line]:
    settings = workspace.settings
    for folder in settings.readable():
        if not folder.exists():
            yield Line("sandbox", "problem", f"[sandbox] read names {folder}, which does not exist")
    sandbox = choose(settings.sandbox.mode, settings.readable(), _git_folder(workspace))
    stopped_by = _STOPPED_BY.get(sandbox.name, {})
    for attempt in attempt_forbidden_acts(sandbox):
        if attempt.held:
            by = stopped_by.get(attempt.act, sandbox.name)
            how = "it did not succeed" if sandbox.name == "none" else f"stopped by {by}"
            yield Line("sandbox", "ok", f"tried to {attempt.act}: {how}")
        else:
            yield Line("sandbox", "problem", f"tried to {attempt.act}: nothing stopped it")
    if sandbox.name == "none":
        hint = 'Set [sandbox] mode = "auto".'
        yield Line("sandbox", "problem", "commands run WITHOUT a sandbox, as the settings say", hint)
    else:
        yield Line("sandbox", "ok", f"{sandbox.name} held")
    yield _limits()
    if settings.sandbox.network:
        yield Line("sandbox", "note", f"the network is open to: {', '.join(settings.sandbox.network)}")


def _limits() -> Line:
    groups = control_groups.available()
    if groups is None:
        text = "no control group can be made here: memory is limited for each process by itself, not for all together"
        return Line("sandbox", "note", text, "systemd-run --user --scope -p Delegate=yes watchbill ... makes one.")
    text = f"processes and memory of a command are limited by a control group (version {groups.version})"
    return Line("sandbox", "ok", text)


def _git_folder(workspace: Workspace) -> Path | None:
    try:
        return Repository.open(workspace.repo).common_dir
    except WatchbillError:
        # Said under its own topic; the sandbox can be tried without.
        return None


def _model(workspace: Workspace) -> Iterable[Line]:
    from watchbill.tools.model.keys import KEY, find_key

    model = workspace.settings.model
    yield Line("model", "ok", ", then ".join((model.primary, *model.fallbacks)))
    base = os.environ.get("ANTHROPIC_BASE_URL")
    if base:
        parts = urlsplit(base)
        yield Line("model", "note", f"ANTHROPIC_BASE_URL sends requests to {parts.scheme}://{parts.hostname}")
    key_file = workspace.key_file
    if find_key(key_file, model.key_keyring) is None:
        hint = f"Set {KEY}, or name a file that only you can read in [model] key_file."
        yield Line("model", "problem", "there is no API key", hint)
    elif os.environ.get(KEY, "").strip():
        yield Line("model", "ok", f"an API key is in the environment ({KEY})")
        if key_file is None and not model.key_keyring:
            hint = "Put the key into a file that only you can read, and name it in [model] key_file."
            yield Line("model", "note", "scheduled jobs do not see this environment", hint)
    else:
        yield Line("model", "ok", f"an API key is in {key_file or 'the keychain'}")


def _checks(workspace: Workspace) -> Iterable[Line]:
    checks = workspace.settings.checks
    if checks.test.strip():
        yield Line("checks", "ok", f"tests: {checks.test} (at most {checks.timeout_seconds:g} seconds)")
    else:
        hint = "Say in [checks] test how the project's tests are run."
        yield Line("checks", "problem", "there is no test command, so no change can be checked", hint)


def _schedule(workspace: Workspace, next_run: Callable[[str], datetime]) -> Iterable[Line]:
    settings = workspace.settings
    times = {"plan": settings.plan.schedule, "merge": settings.merge.schedule}
    times |= {agent: settings.agents.named(agent).schedule for agent in AGENTS}
    for job, text in times.items():
        if not text.strip():
            yield Line("schedule", "note", f"{job} is not scheduled")
            continue
        try:
            yield Line("schedule", "ok", f"{job}: {text}, next on {next_run(text):%a %d %b %Y at %H:%M} once installed")
        except Misconfigured as error:
            yield Line("schedule", "problem", f"{job}: {error.reason}", error.hint)


def _pause(workspace: Workspace) -> Iterable[Line]:
    reason = why_paused(workspace.layout)
    if reason:
        yield Line("pause", "problem", reason, "Go on with: watchbill resume")
    else:
        yield Line("pause", "ok", "not paused")


def _quarantine(workspace: Workspace) -> Iterable[Line]:
    found = reasons(workspace.layout.quarantine)
    if not found:
        yield Line("quarantine", "ok", "empty")
    for entry in found:
        text = f"{entry.get('from')}: {entry.get('why')}"
        yield Line("quarantine", "note", text, f"It lies at {workspace.layout.quarantine / str(entry['file'])}")


def _inbox(workspace: Workspace) -> Iterable[Line]:
    yield Line("inbox", "ok", f"{count_open(workspace.layout)} item(s) wait for you")
    for error in unreadable(workspace.layout):
        yield Line(
            "inbox", "problem", f"{error.path.name} cannot be read: {error.why}", "Correct it and save it again."
        )


def _gate(workspace: Workspace) -> Iterable[Line]:
    gate, found = workspace.settings.gate, holds(workspace.settings, workspace.root, datetime.now(UTC))
    if found.advisory:
        hint = 'Set [sandbox] mode = "auto".' if workspace.settings.sandbox.mode == "none" else _BETTER_KEY
        yield Line("gate", "problem", f"ADVISORY only: {found.advisory}", hint)
    if gate.require == "folder":
        if not found.advisory:
            yield Line("gate", "ok", _BY_FOLDER)
        return
    if not has_ssh_keygen():
        yield Line("gate", "problem", "ssh-keygen was not found on PATH", "Install it (openssh-client).")
    folder = signers_folder(workspace.root, gate)
    signers = read_signers(folder)
    yield Line("gate", "ok", f'require = "signature": only what a key in {folder / SIGNERS} signed counts')
    for name in (SIGNERS, REVOKED, ACCEPTED, UNPROTECTED):
        path = folder / name
        if path.exists() and path.stat().st_mode & 0o022:
            yield Line("gate", "problem", f"others than you can write {path}", f"chmod go-w '{path}'")
    for name in gate.escalate_to:
        if name not in names_in(signers.allowed):
            yield Line("gate", "problem", f"[gate] escalate_to names {name}, who may not sign")
    now = datetime.now(UTC)
    for one in troubles_of(workspace, signers, now):
        yield Line("gate", "problem" if one.is_problem else "note", one.text, one.hint)
    key = own_key(workspace)
    if key is not None:
        yield from _signing_key(key, gate.unprotected_key, signers, now)


def _signing_key(path: Path, unprotected_allowed: bool, signers: Signers, now: datetime) -> Iterable[Line]:
    try:
        key = read_key(path)
        require_fit(key, unprotected_allowed)
    except WatchbillError as error:
        yield Line("gate", "problem", error.reason, error.hint)
    else:
        if any(not line.why for line in lines_of(signers, now, key)):
            yield Line("gate", "ok", f"decisions are signed with {key.path} ({key.kind})")
