"""Every guard switched off once: the very checks of this folder then see the attack get through.

What is switched off is put back by pytest. What gets through changes only what the test made.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.ground import Ground, attack, ground
from tests.attacks.table import KINDS, NEW, REACHES
from watchbill.stages.run import runner
from watchbill.tools.model import beneath
from watchbill.tools.sandbox import Bubblewrap, Sandbox, child, choosing
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

    def more(box: Bubblewrap, worktree: Path, write: Any) -> Any:
        return [bubblewrap_module._Mount(place.around, place.around, False), *real(box, worktree, write)]

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


def without_the_record(patch: pytest.MonkeyPatch, _place: Ground) -> None:
    patch.setattr(runner.SessionRunner, "_tool", lambda *_: None)


OFF: dict[str, tuple[SwitchOff, tuple[str, ...]]] = {
    "the record of what was tried": (without_the_record, ("append to the handoff", "call a tool of the engine's")),
    "the network's name space": (isolation(add=("--share-net",)), ("tcp", "udp", "an abstract socket")),
    "the capabilities": (
        isolation(drop=("--cap-drop ALL", "--disable-userns", "--uid 1000 --gid 1000"), add=("--cap-add", "ALL")),
        ("mount",),
    ),
    "the ban on name spaces": (isolation(drop=("--disable-userns",)), ("a user namespace",)),
    "the processes' name space": (
        isolation(
            drop=("--unshare-all",), add=("--unshare-ipc", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try")
        ),
        ("end a process", "end the engine"),
    ),
    "the empty environment": (with_the_engines_environment, ("environments in proc",)),
    "the worktree's git file": (without_git_on_top, ("replace its own git file",)),
    "the mounts": (
        with_the_workspace_writable,
        ("append to the session record", "append to the index", "append to the inbox item"),
    ),
    "the hidden home": (with_the_home_folder_shown, ("the home folder", "the key file", "a socket by its path")),
    "the walk from the worktree's descriptor": (
        with_files_opened_by_name,
        ("write the session record", "write the other worktree", "write the checkout"),
    ),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("attacks"), "bubblewrap") as place:
        yield place


@pytest.mark.parametrize("guard", OFF)
def test_without_a_guard_its_attack_is_seen(guard: str, shared: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    switch_off, names = OFF[guard]
    switch_off(monkeypatch, shared)
    battle = attack(shared, "build", [BY_NAME[name] for name in names], may_fail=True)
    assert [name for name in names if not battle[name].trouble()] == []
    if guard != "the record of what was tried":
        assert [name for name in names if not battle[name].got_through] == []


def test_without_a_sandbox_all_of_them_are_seen(tmp_path: Path) -> None:
    places = (*(f"append to the {kind}" for kind in KINDS), *(f"make a {kind}" for kind in NEW), *WAYS)
    rest = ("environments in proc", "the home folder", "the key file", "a socket by its path", "an abstract socket")
    names = (*places, *rest, "tcp", "udp", "end a process", "end the engine")
    with ground(tmp_path, "none") as place:
        battle = attack(place, "build", [BY_NAME[name] for name in names if name], may_fail=True)
        assert [name for name in names if not battle[name].got_through] == []
        assert set(place.ears.heard) == {"tcp", "udp", "unix", "abstract"}
