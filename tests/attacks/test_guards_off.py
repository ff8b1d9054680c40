"""Every guard switched off once: the very checks of this folder then see the attack get through, and say so.

What is switched off is put back by pytest. What gets through changes only what the test made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.ground import Ground, attack, ground, running
from tests.attacks.table import KINDS, NEW, REACHES
from watchbill.stages.run import runner
from watchbill.tools.model import beneath
from watchbill.tools.sandbox import (
    Bubblewrap,
    Sandbox,
    child,
    choosing,
    control_groups,
    landlock,
    landlock_launcher,
    seccomp,
)
from watchbill.tools.sandbox import bubblewrap as bubblewrap_module

SwitchOff = Callable[[pytest.MonkeyPatch, Ground], None]
BY_NAME = {one.name: one for one in REACHES}
WAYS = ("put others in their place", "write through a link", "write through a hard link", "remove them")


def unproven(patch: pytest.MonkeyPatch) -> None:
    """The engine looks whether the sandbox holds before it uses it; without this it would refuse to run."""

    def believe(sandbox: Sandbox) -> Sandbox:
        return sandbox

    patch.setattr(choosing, "_proven", believe)


def isolation(*, drop: tuple[str, ...] = (), add: tuple[str, ...] = ()) -> SwitchOff:
    def switch_off(patch: pytest.MonkeyPatch, _place: Ground) -> None:
        real = Bubblewrap._isolation

        def fewer(box: Bubblewrap, network: bool) -> list[str]:
            text = " ".join(real(box, network))
            for words in drop:
                assert words in text
                text = text.replace(words, "")
            return [*text.split(), *add]

        unproven(patch)
        patch.setattr(Bubblewrap, "_isolation", fewer)

    return switch_off


def with_the_workspace_writable(patch: pytest.MonkeyPatch, place: Ground) -> None:
    real = Bubblewrap._mounts

    def more(box: Bubblewrap, worktree: Path, write: Any) -> Any:
        root = place.workspace.root
        return [bubblewrap_module._Mount(root, root, True), *real(box, worktree, write)]

    patch.setattr(Bubblewrap, "_mounts", more)


def with_the_home_folder_shown(patch: pytest.MonkeyPatch, place: Ground) -> None:
    real = Bubblewrap._mounts
    shown = (place.around, Path(place.places["ssh agent"]).parent)

    def more(box: Bubblewrap, worktree: Path, write: Any) -> Any:
        return [*(bubblewrap_module._Mount(one, one, False) for one in shown), *real(box, worktree, write)]

    patch.setattr(Bubblewrap, "_mounts", more)


def with_the_engines_environment(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    unproven(patch)
    real = child.run_child
    patch.setattr(bubblewrap_module, "run_child", lambda *a, **k: real(*a, **{**k, "env": dict(os.environ)}))


def without_git_on_top(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    unproven(patch)
    patch.setattr(bubblewrap_module, "_has_git_entry", lambda _worktree: False)


def with_files_opened_by_name(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    def write(top: Path, path: str, data: bytes) -> None:
        (top / path).write_bytes(data)

    patch.setattr(beneath, "write", write)


def without_looking_what_it_is(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    def write(top: Path, path: str, data: bytes) -> None:
        with beneath.found(top, path, to_write=True) as found:
            descriptor = os.open(found.name, os.O_RDWR | os.O_NONBLOCK | os.O_TRUNC, dir_fd=found.folder)
            os.write(descriptor, data)
            os.close(descriptor)

    patch.setattr(beneath, "_require_regular", lambda *_a, **_k: None)
    patch.setattr(beneath, "write", write)


def with_links_followed_by_the_system(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    patch.setattr(beneath, "_FOLDER", beneath._FOLDER & ~os.O_NOFOLLOW)


def without_the_record(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    patch.setattr(runner.SessionRunner, "_tool", lambda *_: None)


def unfiltered(*calls: str) -> SwitchOff:
    """Landlock without the filter's rules for these calls."""

    def switch_off(patch: pytest.MonkeyPatch, _place: Ground) -> None:
        rules = seccomp._rules
        unproven(patch)
        patch.setattr(seccomp, "_rules", lambda network: [one for one in rules(network) if one.call not in calls])

    return switch_off


def ungoverned(*names: str) -> SwitchOff:
    """Landlock without its rule sets of these names, and sockets there to try it with."""

    def switch_off(patch: pytest.MonkeyPatch, place: Ground) -> None:
        unfiltered("socket")(patch, place)
        for name in names:
            patch.setattr(landlock, name, 0)

    return switch_off


def with_all_files_open(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    unproven(patch)
    patch.setattr(landlock, "_SYSTEM", ("/",))
    patch.setattr(landlock, "_READ", landlock._WRITE)


def without_putting_git_back(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    unproven(patch)
    patch.setattr(landlock, "_put_back", lambda *_: None)


THROUGH = "got through"
RIGHTS = isolation(drop=("--cap-drop ALL", "--disable-userns", "--uid 1000 --gid 1000"), add=("--cap-add", "ALL"))
OWN_PROCESSES = isolation(
    drop=("--unshare-all",), add=("--unshare-ipc", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
)


@dataclass(frozen=True)
class Off:
    """One guard: how it is switched off, which attacks then are seen, in which sandbox, and what is said of them."""

    switch_off: SwitchOff
    names: tuple[str, ...]
    said: str = THROUGH
    mode: str = "bubblewrap"


OFF = {
    "the record of what was tried": Off(
        without_the_record, ("append to the handoff", "call a tool of the engine's"), "nothing records"
    ),
    "the network's name space": Off(
        isolation(add=("--share-net",)), ("tcp", "udp", "ask a resolver", "an abstract socket")
    ),
    "the capabilities": Off(RIGHTS, ("mount", "remount")),
    "the ban on name spaces": Off(
        isolation(drop=("--disable-userns",)), ("a user namespace", "a user namespace by unshare")
    ),
    "the processes' name space": Off(OWN_PROCESSES, ("end a process", "end the engine")),
    "the empty environment": Off(
        with_the_engines_environment, ("environments in proc", "own environment", "the variable of the ssh agent")
    ),
    "the worktree's git file": Off(without_git_on_top, ("replace its own git file", "remove its own git file")),
    "the mounts": Off(
        with_the_workspace_writable,
        ("append to the session record", "append to the index", "append to the inbox item"),
    ),
    "the hidden home": Off(
        with_the_home_folder_shown, ("the home folder", "the key file", "a socket by its path", "the ssh agent")
    ),
    "the walk from the worktree's descriptor": Off(
        with_files_opened_by_name, ("write the session record", "write the other worktree", "write the checkout")
    ),
    "the look at what a file is": Off(
        without_looking_what_it_is,
        ("plant a pipe, a device, a second name", "read a pipe", "write a pipe", "write by a second name"),
        "stopped by something else",
    ),
    "the way past links": Off(
        with_links_followed_by_the_system,
        ("prepare a race", "read in a race", "prepare another race", "write in a race"),
    ),
    "the filter, about sockets": Off(unfiltered("socket"), ("udp", "ask a resolver", "the ssh agent"), mode="landlock"),
    "the filter, about name spaces": Off(unfiltered("unshare"), ("a user namespace",), mode="landlock"),
    "the rules about ports": Off(ungoverned("_ALL_PORTS"), ("tcp",), mode="landlock"),
    "the rules about other processes": Off(
        ungoverned("_ALL_SCOPES"), ("an abstract socket", "end a process", "end the engine"), mode="landlock"
    ),
    "the rules about files": Off(
        with_all_files_open,
        ("append to the session record", "append to the index", "the home folder", "the key file"),
        mode="landlock",
    ),
    "git's file is put back": Off(
        without_putting_git_back, ("replace its own git file", "remove its own git file"), mode="landlock"
    ),
}
# What only makes ready for the attack that follows.
READY = ("plant", "prepare")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("attacks"), "bubblewrap") as place:
        yield place


@pytest.mark.parametrize("guard", OFF)
def test_without_a_guard_its_attack_is_seen(guard: str, shared: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    off = OFF[guard]
    off.switch_off(monkeypatch, shared)
    battle = attack(shared, "build", [BY_NAME[name] for name in off.names], off.mode, may_fail=True)
    troubles = {name: battle[name].trouble() for name in off.names if not name.startswith(READY)}
    assert {name: trouble for name, trouble in troubles.items() if off.said not in trouble} == {}


# What a command leaves running is ended twice: by the end of its processes' name space, or by the launcher as the
# reaper of all of them, and by the control group.


def without_groups(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    patch.setattr(control_groups, "available", lambda: None)


def without_the_end_of_the_rest(patch: pytest.MonkeyPatch, place: Ground) -> None:
    """Bubblewrap without processes of its own, and a launcher for Landlock that ends nobody."""
    OWN_PROCESSES(patch, place)
    text = Path(str(landlock_launcher.__file__)).read_text()
    assert text.count("    end_everything()\n") == 1
    lazy = place.around.parent / "launcher.py"
    lazy.write_text(text.replace("    end_everything()\n", ""))
    patch.setattr(landlock_launcher, "__file__", str(lazy))


@pytest.mark.parametrize("mode", ["bubblewrap", "landlock"])
@pytest.mark.parametrize(
    ("switches", "left"),
    [((without_groups,), 0), ((without_the_end_of_the_rest,), 0), ((without_groups, without_the_end_of_the_rest), 1)],
    ids=["the group", "the rest", "both"],
)
def test_what_a_command_leaves_outlives_it_only_without_both_guards(
    switches: tuple[SwitchOff, ...],
    left: int,
    mode: str,
    shared: Ground,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave = BY_NAME["leave a daemon"]
    unproven(monkeypatch)
    for switch_off in switches:
        switch_off(monkeypatch, shared)
    battle = attack(shared, "build", [leave], mode)
    daemons = running(shared.places["daemon"])
    for number in daemons:
        os.kill(number, signal.SIGKILL)
    assert (battle[leave.name].trouble(), len(daemons)) == ("", left)


def test_without_a_sandbox_all_of_them_are_seen(tmp_path: Path) -> None:
    places = (*(f"append to the {kind}" for kind in KINDS), *(f"make a {kind}" for kind in NEW), *WAYS)
    rest = ("environments in proc", "the home folder", "the key file", "a socket by its path", "an abstract socket")
    names = (*places, *rest, "the ssh agent", "tcp", "udp", "trace a process", "end a process", "end the engine")
    with ground(tmp_path, "none") as place:
        battle = attack(place, "build", [BY_NAME[name] for name in names if name], may_fail=True)
        assert [name for name in names if not battle[name].got_through] == []
        assert set(place.ears.heard) == {"tcp", "udp", "unix", "abstract"}
