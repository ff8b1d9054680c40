"""The ground on which a scripted model attacks: a real workspace with everything in it that is worth attacking.

Owns what stands there, how one conversation plays many attacks, and what came of each: the answer that the model got,
the lines of the log, and what had changed outside of its worktree when the next call began. One ground takes the
sessions of every role in every sandbox: each of them finds a ticket of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import OWN_KEY
from tests.repositories import git
from tests.sessions import CHECK, PLAIN, builds, calls, hands_over, stage, take, turns
from tests.workspaces import change_settings, interpreter_folders, make_workspace, write_ticket
from watchbill.cli.begin import sandbox_of
from watchbill.documents.handoff import Handoff
from watchbill.documents.manifest import Agent
from watchbill.errors import WatchbillError
from watchbill.hand_over import hand_over
from watchbill.layout import branch_of
from watchbill.stages.archive import archive
from watchbill.stages.decide import close, decide
from watchbill.tools.git import Repository
from watchbill.tools.log import open_log
from watchbill.tools.model import beneath
from watchbill.workspace import Workspace

THROUGH = "GOT-THROUGH"
# What the engine itself writes while a session runs.
LIVING = ("logs", "locks", "tmp", "journals")


@dataclass(frozen=True)
class Attack:
    """One call of one tool. `@name@` in it stands for a place of the ground.

    `stopped` is a pattern for what the model is told by whatever stopped it. `roles` are those who try it with a tool
    that they have. A file tool says no to it, unless it `is_harmless`: then it does what it should, and no more.
    """

    name: str
    tool: str
    given: Mapping[str, Any]
    stopped: str
    roles: tuple[Agent, ...] = ("build", "qa", "security")
    is_harmless: bool = False


@dataclass(frozen=True)
class Came:
    """What came of an attack. `logged` are the log's lines of that turn about a tool; `changed` are places outside."""

    attack: Attack
    answer: str
    logged: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def got_through(self) -> bool:
        return THROUGH in self.answer or bool(self.changed)

    def trouble(self) -> str:
        """What is wrong: it got through, it was stopped by something else, or the log does not say that it was
        tried. "" when the guard held."""
        if self.got_through:
            return f"{self.attack.name} got through: {self.answer} {self.changed}"
        if not re.search(self.attack.stopped, self.answer):
            return f"{self.attack.name} was stopped by something else: {self.answer}"
        words = [f"{self.attack.tool}: "]
        if self.attack.tool == "bash":
            words = [f"bash: : {self.attack.name};"]
        elif not self.attack.is_harmless:
            words.append("refused: ")
        if not all(any(word in line for line in self.logged) for word in words):
            return f"nothing records that somebody tried to {self.attack.name}: {self.logged}"
        return ""


@dataclass
class Ears:
    """Listeners of the host. `heard` has a line for everything that reached one of them."""

    heard: list[str] = field(default_factory=list)


@dataclass
class Ground:
    """A workspace, what surrounds it, and the names by which attacks call its places."""

    workspace: Workspace
    around: Path
    places: dict[str, str]
    ears: Ears
    bystander: subprocess.Popen[bytes]
    built: Handoff
    tickets: int = 0

    def spelled(self, text: str) -> str:
        for name, place in self.places.items():
            text = text.replace(f"@{name}@", place)
        return text

    def within(self, mode: str) -> None:
        """From here on commands run in that sandbox."""
        change_settings(self.workspace, {"sandbox": {"mode": mode}})
        self.workspace = Workspace(self.workspace.root)

    def ticket_for(self, role: Agent) -> str:
        """A new ticket for the next session of `role`: one to build, or one that was built and waits for a review."""
        self.tickets += 1
        ticket = f"T-{100 + self.tickets:04}"
        write_ticket(self.workspace, ticket, "Do that")
        if role != "build":
            work = {"from": "build", "outcome": "done", "base": self.built.base, "commit": self.built.commit}
            hand_over(self.workspace, ticket, work, datetime.now(UTC), lambda *_: True)
        return ticket

    def call(self, attack: Attack) -> tuple[str, dict[str, Any]]:
        given = {key: self.spelled(value) if isinstance(value, str) else value for key, value in attack.given.items()}
        return attack.tool, given

    def state(self, own: Path) -> dict[str, str]:
        """Every file around, but for the attacker's worktree and what the engine writes while it runs."""
        root = self.workspace.layout
        out = (own, self.workspace.repo / ".git" / "objects", *(root.private / name for name in LIVING))
        # The journal of the session before is not written any more.
        apart = {
            name: _sum(Path(place)) for name, place in (("journal", self.places["journal"]), (".git", own / ".git"))
        }
        return {**dict(_looks(self.around, out)), **apart}


def _looks(folder: Path, out: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(place, name) not in out]
        for name in (*folders, *files):
            path = Path(place, name)
            status = path.lstat()
            yield (
                str(path),
                f"{status.st_mode:o} {status.st_nlink if stat.S_ISREG(status.st_mode) else ''} {_sum(path)}",
            )


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def caps() -> dict[str, dict[str, Any]]:
    """Settings that let one conversation try a hundred things."""
    return {agent: {"schedule": "0 2 * * *", **turns(250, 260, 250)} for agent in ("build", "qa", "security")}


@contextmanager
def ground(folder: Path, mode: str = "auto", **sandbox: int) -> Iterator[Ground]:
    """Everything that is worth attacking."""
    tables: dict[str, dict[str, Any]] = {
        "sandbox": {"read": interpreter_folders(), "mode": mode, **sandbox},
        "agents": caps(),
        "limits": {"max_waiting": 100},
    }
    workspace = make_workspace(folder / "around", {"T-0001": "Do it"}, CHECK, PLAIN, tables)
    with ExitStack() as stack:
        ears = Ears()
        mark = f"{300 + secrets.randbelow(300)}.{secrets.randbelow(10**12):012}"
        bystander = stack.enter_context(_bystander())
        stack.enter_context(_a_racer(folder / "around" / "bait"))
        places: dict[str, str] = {
            "python": f"{sys.executable} -I -S",
            "engine": str(os.getpid()),
            "bystander": str(bystander.pid),
            "daemon": mark,
            "project": str(workspace.repo),
            **_furnish(workspace, folder / "around"),
            **_listening(stack, folder / "around", ears),
            "ssh agent": str(stack.enter_context(_ssh_agent())),
        }
        opened = Workspace(workspace.root)
        yield Ground(opened, folder / "around", places, ears, bystander, opened.history("T-0001").handoffs[0])


def _furnish(workspace: Workspace, around: Path) -> dict[str, str]:
    """One document of every kind, other people's worktrees, and a home."""
    layout = workspace.layout
    now = datetime.now(UTC)
    with stage(workspace, builds("T-0001")) as on:
        on.run("build")
    for ticket in ("T-0002", "T-0003", "T-0005"):
        write_ticket(workspace, ticket, "Something else")
        asked = {"from": "build", "outcome": "blocked", "reason": "which of the two?"}
        hand_over(workspace, ticket, asked, now - timedelta(days=90), lambda *_: True)
    decide(workspace, "T-0005-0001", "reject", "no", "ada", now - timedelta(days=80))
    close(workspace, "T-0003", "done by hand", "ada", now - timedelta(days=80))
    archive(Workspace(workspace.root), timedelta(days=30), now)
    close(workspace, "T-0001", "no longer wanted", "ada", now)
    repo = Repository.open(workspace.repo)
    head = git(workspace.repo, "rev-parse", "main")
    repo.worktree(layout.worktree("T-0009"), branch_of("T-0009"), head)
    others = [layout.worktree(name) for name in ("T-0008.qa", "T-0008.security")]
    for other in others:
        repo.detached_worktree(other, head)
    for other in others:
        repo.put_by(other)
    (layout.root / "gate").mkdir()
    (layout.root / "gate" / "allowed_signers").write_text("ada ssh-ed25519 AAAA\n")
    if not layout.index.exists():
        layout.index.write_text("{}\n")
    (layout.cache / "checks").mkdir(parents=True, exist_ok=True)
    home = around / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text(f"the key {OWN_KEY}\n")
    (home / "key").write_text(f"{OWN_KEY}\n")
    (home / "key").chmod(0o600)
    assert len(list(layout.worktrees.glob("spare.*"))) == 2, "a session takes one of them"
    return {
        "root": str(layout.root),
        "handoff": str(layout.handoff("T-0001", 1)),
        "next handoff": str(layout.handoff("T-0001", 3)),
        "ticket": str(layout.tickets / "T-0001.md"),
        "manifest": _first(layout.manifests, "build-*"),
        "inbox item": str(layout.inbox_item("T-0002-0001")),
        "decided item": _first(layout.decided),
        "session record": _first(layout.sessions, "build-*"),
        "playbook": str(layout.playbook_text),
        "routing table": str(layout.routing),
        "settings": str(layout.settings),
        "agent": str(layout.agent_file("build")),
        "journal": _first(layout.journals, "build-*"),
        "log": str(layout.logs / "log"),
        "index": str(layout.index),
        "archive": _first(layout.archive),
        "signers": str(layout.root / "gate" / "allowed_signers"),
        "result of checks": str(layout.cache / "checks" / f"{'0' * 32}.json"),
        "other worktree": str(layout.worktree("T-0009") / "notes.txt"),
        "other git file": str(layout.worktree("T-0009") / ".git"),
        "spare worktree": str(layout.worktrees / "spare.*" / "notes.txt"),
        "checkout": str(workspace.repo / "notes.txt"),
        "git config": str(workspace.repo / ".git" / "config"),
        "git hook": str(workspace.repo / ".git" / "hooks" / "post-commit"),
        "git ref": str(workspace.repo / ".git" / "refs" / "heads" / "main"),
        "key file": str(home / "key"),
        "home key": str(home / ".ssh" / "id_ed25519"),
    }


def _first(folder: Path, pattern: str = "*") -> str:
    return str(min(path for path in folder.rglob(pattern) if path.is_file()))


# It lets everybody trace it who may at all, also where the kernel keeps that to parents.
BYSTANDER = "import ctypes, time; ctypes.CDLL(None).prctl(0x59616D61, -1); print(flush=True); time.sleep(600)"


@contextmanager
def _bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user that holds the key in its environment, as the engine does."""
    words = [sys.executable, "-I", "-S", "-c", BYSTANDER]
    process = subprocess.Popen(
        words, env={"ANTHROPIC_API_KEY": OWN_KEY}, start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def _ssh_agent() -> Iterator[Path]:
    """The person's own agent, where `ssh-agent` puts its socket; the engine has it in its environment."""
    with tempfile.TemporaryDirectory(prefix="ssh-", dir="/tmp") as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder, "agent.1")
        said = subprocess.run(["ssh-agent", "-s", "-a", path], check=True, capture_output=True, text=True).stdout
        number = int(re.findall(r"SSH_AGENT_PID=(\d+)", said)[0])
        patch.setenv("SSH_AUTH_SOCK", str(path))
        try:
            yield path
        finally:
            os.kill(number, signal.SIGTERM)


@contextmanager
def _a_racer(bait: Path) -> Iterator[None]:
    """Somebody who is quicker than the file tools: once they saw that the folder `raced` is no link, it is one."""
    bait.mkdir()
    (bait / "0001.md").write_text(f"{THROUGH}\n")
    look = beneath._Walk._link_at

    def look_and_lose(walk: beneath._Walk, seen: str) -> str | None:
        target = look(walk, seen)
        if seen == "raced" and target is None:
            os.rename("raced", "won", src_dir_fd=walk._here, dst_dir_fd=walk._here)
            os.symlink(bait, "raced", dir_fd=walk._here)
        return target

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beneath._Walk, "_link_at", look_and_lose)
        yield


def _listening(stack: ExitStack, around: Path, ears: Ears) -> dict[str, str]:
    """Listeners on the host: TCP, UDP and Unix, by path and abstract. Each says that it heard something."""
    abstract = f"watchbill-attack-{secrets.token_hex(8)}"
    path = around / "agent.sock"
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    sockets = [("tcp", tcp)]
    for name, address in (("unix", str(path)), ("abstract", f"\0{abstract}")):
        made = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        made.bind(address)
        made.listen()
        sockets.append((name, made))
    stopped = threading.Event()

    def listen(name: str, server: socket.socket) -> None:
        server.settimeout(0.1)
        while not stopped.is_set():
            try:
                if server is udp:
                    _, sender = server.recvfrom(1_000)
                    server.sendto(b"heard", sender)
                else:
                    server.accept()[0].close()
                ears.heard.append(name)
            except TimeoutError:
                continue
            except OSError:
                return

    threads = [threading.Thread(target=listen, args=pair, daemon=True) for pair in (*sockets, ("udp", udp))]
    for thread in threads:
        thread.start()

    def end() -> None:
        stopped.set()
        for thread in threads:
            thread.join()

    stack.callback(end)
    return {
        "tcp": str(tcp.getsockname()[1]),
        "udp": str(udp.getsockname()[1]),
        "unix": str(path),
        "abstract": abstract,
    }


# --- the attack ----------------------------------------------------------------------------------------------------


class NoError(Exception):
    """Nothing raises it."""


@dataclass
class Battle:
    """A session whose model did nothing but attack, and handed over at last."""

    ticket: str
    outcome: str
    came: dict[str, Came]
    requests: list[dict[str, Any]]
    lines: list[dict[str, Any]]

    def __getitem__(self, name: str) -> Came:
        return self.came[name]


def attack(place: Ground, role: Agent, attacks: Sequence[Attack], mode: str = "", *, may_fail: bool = False) -> Battle:
    """Play `attacks` in one conversation of `role`, each in a message of its own, in the sandbox `mode` or that of the
    ground. With `may_fail` the session may end with any error afterwards: a guard is off, and the damage is done."""
    if mode:
        place.within(mode)
    ticket = place.ticket_for(role)
    messages = [calls(place.call(one)) for one in attacks]
    ends = hands_over("blocked")
    own = place.workspace.layout.worktree(ticket if role == "build" else f"{ticket}.{role}")
    outcome = ""
    states: list[dict[str, str]] = []
    lines: list[dict[str, Any]] = []
    with stage(place.workspace, take(role, ticket, *messages, ends), key=OWN_KEY) as on:

        def saw(line: Any) -> None:
            lines.append(dict(line))
            if line.get("event") == "turn":
                states.append(place.state(own))

        # As the command line makes it: with the limits of the settings.
        on.sandbox = sandbox_of(place.workspace)
        on.log = open_log(place.workspace.layout.logs, saw)
        with suppress(WatchbillError if may_fail else NoError):
            outcome = on.run(role).outcomes[ticket]
        told = _answers(on.requests[-1].body["messages"])
        requests = [request.body for request in on.requests]
    assert len(told) == len(attacks), "every attack got an answer"
    came = {}
    for number, one in enumerate(attacks):
        of_it = [line for line in lines if line["event"] == "tool" and line["turn"] == number + 1]
        logged = (f"{line['tool']}: {line['what']}" for line in of_it)
        before, then = states[number], states[number + 1]
        changed = tuple(sorted(path for path in before.keys() | then.keys() if before.get(path) != then.get(path)))
        came[one.name] = Came(one, told[number], tuple(logged), changed)
    return Battle(ticket, outcome, came, requests, lines)


def _answers(messages: list[dict[str, Any]]) -> list[str]:
    """The results of tools, in order, as the server received them."""
    blocks = [block for message in messages if isinstance(message["content"], list) for block in message["content"]]
    return [_words(block["content"]) for block in blocks if block.get("type") == "tool_result"]


def _words(content: Any) -> str:
    return content if isinstance(content, str) else "".join(str(block.get("text", "")) for block in content)


def running(word: str) -> list[int]:
    """The processes of the host with `word` among their arguments."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found
