"""The jobs of a workspace are printed and written into its launchd folder; nothing else is touched."""

from __future__ import annotations

import json
import os
import plistlib
import stat
from pathlib import Path

import pytest

from tests.stages.waiting_workspace import SETTINGS, make_workspace
from watchbill.cli.scheduling import show
from watchbill.errors import Misconfigured
from watchbill.workspace import Workspace

KEY = "sk-ant-never-write-this-anywhere"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    return make_workspace(tmp_path / "night watch")


def with_settings(workspace: Workspace, more: str) -> Workspace:
    workspace.layout.settings.write_text(SETTINGS + more, "utf-8")
    return Workspace(workspace.root)


def names(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.layout.launchd.iterdir())


def test_launchd_gets_a_property_list_for_each_job(workspace: Workspace) -> None:
    show(workspace, ["launchd"], as_json=False)
    found = {path: plistlib.loads(path.read_bytes()) for path in workspace.layout.launchd.iterdir()}
    assert sorted(path.name.split(".")[-2] for path in found) == ["build", "merge", "plan", "qa", "security"]
    called = {" ".join(job["ProgramArguments"][-2:]).split("/")[-1] for job in found.values()}
    assert {"run build", "run qa", "run security"} <= called
    for path, job in found.items():
        assert path.name == f"{job['Label']}.plist"
        assert os.access(job["ProgramArguments"][0], os.X_OK)
        assert job["WorkingDirectory"] == str(workspace.root)
        assert sorted(job["EnvironmentVariables"]) == ["HOME", "PATH"]
        assert Path(job["StandardOutPath"]).parent.is_dir()


def test_systemd_and_cron_files_lie_in_the_same_folder(workspace: Workspace) -> None:
    show(workspace, ["systemd", "cron"], as_json=False)
    endings = [name.rpartition(".")[2] for name in names(workspace)]
    assert sorted(set(endings)) == ["crontab", "service", "timer"]
    assert endings.count("timer") == endings.count("service") == 5
    assert endings.count("crontab") == 1


def test_what_is_printed_is_what_is_written(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    show(workspace, ["cron"], as_json=False)
    (path,) = workspace.layout.launchd.iterdir()
    assert path.read_text("utf-8") in capsys.readouterr().out
    assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


def test_an_empty_schedule_makes_no_job_and_removes_the_old_one(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    show(workspace, ["systemd"], as_json=False)
    own = workspace.layout.launchd / "watchbill-mine.timer"
    own.write_text("the owner's own")
    changed = with_settings(workspace, '[agents.qa]\nschedule = ""\n[merge]\nschedule = ""\n')
    show(changed, ["systemd"], as_json=False)
    left = [name for name in names(workspace) if name != own.name]
    assert sorted({name.rpartition("-")[2] for name in left}) == [
        f"{job}.{end}" for job in ("build", "plan", "security") for end in ("service", "timer")
    ]
    assert own.exists()
    assert "-qa.timer, which is scheduled no more" in capsys.readouterr().err


def test_jobs_of_the_place_where_the_workspace_lay_before_are_removed(workspace: Workspace) -> None:
    show(workspace, ["launchd"], as_json=False)
    before = names(workspace)
    moved = Workspace(workspace.root.rename(workspace.root.with_name("moved")))
    show(moved, ["launchd"], as_json=False)
    assert len(names(moved)) == len(before) == 5
    assert not set(names(moved)) & set(before)


def test_another_schedulers_files_stay(workspace: Workspace) -> None:
    show(workspace, ["launchd"], as_json=False)
    before = set(names(workspace))
    show(workspace, ["cron"], as_json=False)
    assert before < set(names(workspace))


def test_a_time_that_cannot_be_said_writes_nothing(workspace: Workspace) -> None:
    changed = with_settings(workspace, '[merge]\nschedule = "0 6 */2 * mon"\n')
    with pytest.raises(Misconfigured, match="launchd cannot say"):
        show(changed, ["cron", "launchd"], as_json=False)
    assert names(workspace) == []


def test_no_key_is_written_or_printed_and_it_says_where_the_key_comes_from(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    show(workspace, ["launchd", "systemd", "cron"], as_json=False)
    printed = capsys.readouterr()
    assert KEY not in printed.out + printed.err
    assert all(KEY not in path.read_text("utf-8") for path in workspace.layout.launchd.iterdir())
    assert "key_file under [model]" in printed.err


def test_it_says_how_each_kind_is_installed(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    show(workspace, ["launchd", "systemd", "cron"], as_json=False)
    said = capsys.readouterr().err
    assert "launchctl bootstrap gui/$UID ~/Library/LaunchAgents/dev.watchbill.night-watch-" in said
    assert "systemctl --user enable --now watchbill-night-watch-" in said
    assert f"cat '{workspace.layout.launchd}/watchbill-night-watch-" in said


def test_json_is_one_document(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    show(workspace, [], as_json=True)
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert printed.err == ""
    assert [job["name"] for job in found["jobs"]] == ["plan", "build", "qa", "security", "merge"]
    for file in found["files"]:
        assert Path(file["path"]).read_text("utf-8") == file["text"]


def test_only_absolute_folders_of_path_are_handed_on(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", ":.:bin:/usr/bin:/bin:/usr/bin")
    show(workspace, ["launchd"], as_json=False)
    job = plistlib.loads(next(workspace.layout.launchd.iterdir()).read_bytes())
    assert job["EnvironmentVariables"]["PATH"] == "/usr/bin:/bin"


def test_the_program_is_the_one_beside_the_interpreter(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    show(workspace, ["cron"], as_json=True)
    assert json.loads(capsys.readouterr().out)["jobs"][0]["command"][1:] == ["-m", "watchbill", "plan"]
    script = tmp_path / "bin" / "watchbill"
    script.parent.mkdir()
    script.touch(mode=0o755)
    show(workspace, ["cron"], as_json=True)
    assert json.loads(capsys.readouterr().out)["jobs"][0]["command"] == [str(script), "plan"]
