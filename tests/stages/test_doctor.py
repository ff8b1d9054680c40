"""The doctor explains what holds and what stands in the way, changes nothing, and never stops at the first problem."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from tests.repositories import commit_files, git, make_repository, owner_state, write_files
from tests.signatures import let_sign, person, revoke
from tests.stages.waiting_workspace import NOW, SETTINGS, ask_something, make_workspace, with_answer
from watchbill.cli.doctor import show
from watchbill.files.quarantine import set_aside
from watchbill.pause import pause
from watchbill.schedule import cron_times
from watchbill.stages.doctor import Line, examine
from watchbill.workspace import Workspace

KEY = "sk-ant-0123456789"
WHOLE = SETTINGS + '[checks]\ntest = "python -m unittest"\n'


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    made = make_workspace(tmp_path / "w", WHOLE)
    make_repository(made.repo)
    return made


def with_settings(workspace: Workspace, settings: str) -> Workspace:
    workspace.layout.settings.write_text(settings, "utf-8")
    return Workspace(workspace.root)


def next_run(text: str) -> datetime:
    return cron_times.parse(text).next_after(NOW)


def found(workspace: Workspace, topic: str) -> list[Line]:
    return [line for line in examine(workspace, next_run) if line.topic == topic]


def problems(workspace: Workspace) -> list[Line]:
    return [line for line in examine(workspace, next_run) if line.state == "problem"]


def test_a_sound_workspace_has_no_problem_and_is_left_as_it_was(workspace: Workspace) -> None:
    before = owner_state(workspace.repo), sorted(path for path in workspace.root.rglob("*"))
    assert problems(workspace) == []
    assert (owner_state(workspace.repo), sorted(path for path in workspace.root.rglob("*"))) == before


def test_every_forbidden_act_is_tried_and_what_stopped_it_is_named(workspace: Workspace) -> None:
    lines = [line.text for line in found(workspace, "sandbox")]
    assert any(text.startswith("tried to write outside the worktree: stopped by ") for text in lines)
    assert any(text.startswith("tried to connect to the network: stopped by ") for text in lines)
    assert any(text.endswith(" held") for text in lines)
    assert "control group" in lines[-1]


def test_without_a_sandbox_the_acts_succeed_and_the_gate_is_called_advisory(workspace: Workspace) -> None:
    opened = with_settings(workspace, WHOLE + '[sandbox]\nmode = "none"\n')
    sandbox = {line.text for line in found(opened, "sandbox") if line.state == "problem"}
    assert "tried to write outside the worktree: nothing stopped it" in sandbox
    (gate,) = found(opened, "gate")
    assert gate.state == "problem"
    assert gate.text.startswith("ADVISORY")


def test_the_key_is_found_but_never_shown(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://someone:secret@127.0.0.1:9/v1")
    show(workspace, as_json=False)
    printed = capsys.readouterr().out
    assert "an API key is in the environment" in printed
    assert KEY not in printed
    assert "secret" not in printed


def test_no_key_and_a_key_file_that_others_can_read_are_problems(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    assert [line.text for line in problems(workspace)] == ["there is no API key"]
    opened = with_settings(workspace, WHOLE + '[model]\nkey_file = "key"\n')
    (opened.root / "key").write_text(KEY)
    (opened.root / "key").chmod(0o644)
    assert "can be read by others" in problems(opened)[0].text
    (opened.root / "key").chmod(0o600)
    assert problems(opened) == []


def test_a_mistake_in_the_settings_is_explained_once_and_the_rest_is_still_looked_at(workspace: Workspace) -> None:
    opened = with_settings(workspace, "[projekt]\n")
    (problem,) = problems(opened)
    assert problem.topic == "workspace"
    assert "projekt" in problem.text
    assert found(opened, "pause")[0].text == "not paused"
    assert found(opened, "checks")[0].text == "not looked at, because of the problem under workspace"


def test_a_missing_base_branch_is_named_with_those_that_exist(workspace: Workspace) -> None:
    opened = with_settings(workspace, WHOLE.replace('name = "small"', 'name = "small"\nbase = "trunk"'))
    (problem,) = problems(opened)
    assert "trunk" in problem.text
    assert "main" in problem.hint


def test_no_repository_is_a_problem_of_the_repository_alone(workspace: Workspace) -> None:
    workspace.repo.rename(workspace.repo.with_name("elsewhere"))
    assert [line.topic for line in problems(workspace)] == ["repository"]


def test_a_checked_out_integration_branch_and_a_dirty_checkout_are_seen(workspace: Workspace) -> None:
    git(workspace.repo, "switch", "--quiet", "--create", "watchbill/integration")
    write_files(workspace.repo, {"README.md": "changed\n"})
    lines = found(workspace, "repository")
    assert [line.state for line in lines if "checked out at" in line.text] == ["problem"]
    assert [line.state for line in lines if "uncommitted" in line.text] == ["note"]


def test_a_filter_that_only_the_owners_own_settings_have_is_a_problem(workspace: Workspace) -> None:
    attributes = {".gitattributes": "*.bin filter=lfs\n", "big.bin": "1\n"}
    commit_files(workspace.repo, attributes, "large files")
    (line,) = [line for line in found(workspace, "repository") if line.state == "problem"]
    assert "big.bin" in line.text and "'lfs'" in line.text
    assert "git lfs install --local" in line.hint


def test_a_schedule_that_cannot_be_read_is_a_problem_and_an_empty_one_is_not(workspace: Workspace) -> None:
    more = '[plan]\nschedule = "99 * * * *"\n[merge]\nschedule = ""\n'
    states = {line.text.split(":")[0]: line.state for line in found(with_settings(workspace, WHOLE + more), "schedule")}
    assert states == {
        "plan": "problem",
        "merge is not scheduled": "note",
        "build": "ok",
        "qa": "ok",
        "security": "ok",
    }


def test_pause_quarantine_unreadable_items_and_missing_tests_are_told(workspace: Workspace) -> None:
    opened = with_settings(workspace, SETTINGS)
    pause(opened.layout, "the cat walks on the keyboard", NOW)
    broken = opened.layout.tickets / "T-0009.md"
    broken.write_text("no ticket")
    set_aside(broken, "it has no front matter", opened.layout.quarantine, opened.root, NOW)
    item = ask_something(opened)
    item.write_text(with_answer(item, "perhaps"), "utf-8")
    told = "\n".join(line.text for line in examine(opened, next_run) if line.state != "ok")
    for words in ("the cat", "tickets/T-0009.md: it has no front matter", "T-0001-0001.md cannot be read", "no test"):
        assert words in told


def test_programs_that_are_missing_are_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(workspace.root))
    assert "git was not found on PATH" in [line.text for line in found(workspace, "programs")]
    assert [line.state for line in found(workspace, "repository")] == ["problem"]


def test_json_is_one_document(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    show(workspace, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == 0
    assert {"topic": "quarantine", "state": "ok", "text": "empty", "hint": ""} in document["lines"]
    assert os.environ["ANTHROPIC_API_KEY"] not in json.dumps(document)


def test_the_doctor_looks_at_the_signing_key_and_at_who_may_write_the_signers(
    workspace: Workspace, tmp_path: Path
) -> None:
    ada = person(tmp_path, "ada")
    gate = f'[gate]\nrequire = "signature"\nrepository = "r"\nkey = "{ada.key}"\n'
    opened = with_settings(workspace, WHOLE + gate)
    (line,) = [line for line in found(opened, "gate") if line.state == "problem"]
    assert "allowed_signers is missing" in line.text
    (opened.root / "gate").mkdir()
    let_sign(opened, f"ada {ada.public}")
    (line,) = [line for line in found(opened, "gate") if line.state == "problem"]
    assert "has no passphrase" in line.text
    opened = with_settings(workspace, WHOLE + gate + 'unprotected_key = true\nescalate_to = ["grace"]\n')
    (opened.root / "gate" / "allowed_signers").chmod(0o666)
    texts = [line.text for line in found(opened, "gate") if line.state == "problem"]
    assert texts[0].startswith("ADVISORY only: a key without a passphrase")
    assert "others than you can write" in texts[1]
    assert texts[2] == "[gate] escalate_to names grace, who may not sign"


def test_the_doctor_judges_each_signer(workspace: Workspace, tmp_path: Path) -> None:
    ada, eve = person(tmp_path, "ada"), person(tmp_path, "eve")
    gate = f'[gate]\nrequire = "signature"\nrepository = "r"\nunprotected_key = true\nkey = "{ada.key}"\n'
    opened = with_settings(workspace, WHOLE + gate)
    (opened.root / "gate").mkdir()
    retired = f'eve valid-before="20200101" {eve.public}'

    def told(*signers: str) -> list[tuple[str, str]]:
        let_sign(opened, *signers)
        return [(str(line.state), line.text) for line in found(opened, "gate")][2:]

    assert [state for state, _ in told(f"ada {ada.public}", retired)] == ["note", "ok"]
    assert [state for state, _ in told(f"ada {ada.public}", "mallory not-a-key AAAA")] == ["problem", "ok"]
    assert [state for state, _ in told(f'ada valid-before="20200101" {ada.public}')] == ["note", "problem"]
    assert "does not list" in told(f"eve {eve.public}")[0][1]
    revoke(opened, eve.public)
    assert told(f"ada {ada.public}", f"eve {eve.public}")[0] == (
        "problem",
        f"line 2 of allowed_signers lets nobody sign: its key is revoked ({f'eve {eve.public}'[:59]}…)",
    )
