"""Signed decisions as a person makes them: the real program, a passphrase that is asked for, one JSON document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.outside import call, works
from tests.signatures import person
from tests.stages.waiting_workspace import ask_something, make_workspace, with_answer
from watchbill.workspace import Workspace

PASSPHRASE = "correct horse"


def asking(folder: Path, passphrase: str = PASSPHRASE) -> dict[str, str]:
    """The environment of somebody who knows the passphrase."""
    program = folder / "askpass"
    program.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    program.chmod(0o700)
    return {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force", "SSH_AUTH_SOCK": ""}


@pytest.fixture
def signed(tmp_path: Path) -> Workspace:
    """A workspace whose owner has set signing up, with one question."""
    ada = person(tmp_path, "ada", passphrase=PASSPHRASE)
    workspace = make_workspace(tmp_path / "w")
    set_up = works(workspace.root, "gate", "setup", "--key", ada.key, "--as", "ada", env=asking(tmp_path))
    assert "gate: decisions are signed" in set_up.out
    opened = Workspace(workspace.root)
    ask_something(opened)
    return opened


def test_the_statement_is_shown_and_the_answer_is_one_json_document(signed: Workspace, tmp_path: Path) -> None:
    words = ("inbox", "approve", "T-0001-0001", "-m", "go \x1b[2J on", "--json")
    done = works(signed.root, *words, env=asking(tmp_path))
    assert done.json == {
        "item": "T-0001-0001",
        "ticket": "T-0001",
        "decision": "approve",
        "to": ["build"],
        "waits": "",
        "asked_again": "",
    }
    plain = "T-0001 (Something hard): approve, go ahead: Let the build agent try again, with your note as its answer."
    lines = (plain, "you sign:", "decision: approve", "item: T-0001-0001", "principal: ada", "asks for its passphrase")
    for line in lines:
        assert line in done.err
    assert "\x1b" not in done.err
    assert signed.history("T-0001").void == {}
    shown = works(signed.root, "gate", "show", "--json")
    assert shown.json["gate"] == "gate: decisions are signed"
    assert works(signed.root, "status").out.splitlines()[1] == "  gate: decisions are signed"


@pytest.mark.parametrize("answered", ["by command", "in the file"])
def test_without_a_terminal_nothing_is_signed_and_the_reason_is_said(signed: Workspace, answered: str) -> None:
    item = signed.layout.inbox_item("T-0001-0001")
    words = ["inbox", "approve", item.stem]
    if answered == "in the file":
        item.write_text(with_answer(item, "approve"), "utf-8")
        words = ["inbox", "sign"]
    done = call(signed.root, *words, env={"SSH_ASKPASS": "", "DISPLAY": ""})
    assert (done.code, "there is no terminal to ask for the passphrase" in done.err) == (3, True)
    assert len(signed.history("T-0001").handoffs) == 1


def test_a_wrong_passphrase_signs_nothing(signed: Workspace, tmp_path: Path) -> None:
    done = call(signed.root, "inbox", "approve", "T-0001-0001", env=asking(tmp_path, "wrong"))
    assert (done.code, "nothing was signed" in done.err) == (3, True)
    assert len(signed.history("T-0001").handoffs) == 1


def test_an_answer_in_a_file_waits_for_its_signature(signed: Workspace, tmp_path: Path) -> None:
    item = signed.layout.inbox_item("T-0001-0001")
    item.write_text(with_answer(item, "reject"), "utf-8")
    unsigned = works(signed.root, "ticket", "new", "Something else")
    assert "answered in its file, but not signed" in unsigned.err
    listed = works(signed.root, "inbox", "list")
    assert "gate: decisions are signed" in listed.out
    for verb in (("inbox", "list"), ("status",)):
        assert "      ! reject stands in its file, but not signed" in works(signed.root, *verb).out
    done = works(signed.root, "inbox", "sign", "--json", env=asking(tmp_path))
    assert [one["decision"] for one in done.json] == ["reject"]
    assert not item.exists()


def test_a_second_set_up_needs_no_name(signed: Workspace, tmp_path: Path) -> None:
    env = {**asking(tmp_path), "LOGNAME": "somebody"}
    done = works(signed.root, "gate", "setup", "--key", tmp_path / "ada", env=env)
    assert done.out.startswith("ada signs with")
    assert f"to try {tmp_path / 'ada'}, ssh-keygen asks for its passphrase" in done.err


def test_closing_a_ticket_is_signed_as_well(signed: Workspace, tmp_path: Path) -> None:
    assert call(signed.root, "ticket", "close", "T-0001", env={"SSH_ASKPASS": "", "DISPLAY": ""}).code == 3
    works(signed.root, "ticket", "close", "T-0001", env=asking(tmp_path))
    assert signed.history("T-0001").handoffs[-1].decision == "close"
    assert signed.history("T-0001").void == {}


def test_who_stops_at_the_second_prompt_reads_what_was_decided_and_what_was_not(
    signed: Workspace, tmp_path: Path
) -> None:
    ask_something(signed, "T-0002")
    for item in signed.layout.inbox.glob("T-*.md"):
        item.write_text(with_answer(item, "reject"), "utf-8")
    env = asking(tmp_path)
    program, once = tmp_path / "askpass", tmp_path / "once"
    stop = 'kill -INT "$(ps -o ppid= -p "$PPID" | tr -d " ")"; exit 1'
    program.write_text(f"#!/bin/sh\nif test -e {once}; then {stop}; fi\ntouch {once}; echo '{PASSPHRASE}'\n")
    done = call(signed.root, "inbox", "sign", env=env)
    assert (done.code, done.out) == (130, "T-0001-0001: reject; nothing more happens to T-0001\n")
    assert done.err.endswith(
        "watchbill: stopped\n  Nothing was signed, and nothing was decided about T-0002-0001.\n"
    ), done.err
    assert len(signed.history("T-0002").handoffs) == 1
