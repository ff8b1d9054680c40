"""Facts about making a workspace, on real folders and real repositories."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.repositories import clone, commit_files, git, make_repository, owner_state
from tests.workspaces import NOW
from watchbill.documents.settings import Price, Settings
from watchbill.errors import Misconfigured, Refused, TryLater
from watchbill.files import settings_file
from watchbill.files.locks import held
from watchbill.files.template import template_files
from watchbill.layout import DATA_FOLDERS, Layout
from watchbill.stages.init import SCHEMAS, Made, init, repo_as_written
from watchbill.stages.init.settings_text import comment_of, settings_text, toml_value
from watchbill.workspace import Workspace, open_workspace


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "project")


@pytest.fixture
def made(tmp_path: Path, repo: Path) -> Made:
    return init(tmp_path / "watch", repo, NOW)


def keys_of(model: type[BaseModel], name: str = "") -> Iterator[str]:
    """Every key that the settings know, tables with free names left out."""
    for key, field in model.model_fields.items():
        full = f"{name}.{key}" if name else key
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, full)
        elif full != "model.prices":
            yield full


def look_up(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def files_below(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".watchbill" not in path.parts
    }


# What is made


def test_a_workspace_opens_with_settings_routing_and_agents(made: Made, repo: Path) -> None:
    workspace = open_workspace(made.root)
    assert workspace.repo == repo
    assert workspace.settings.project.base == "main"
    assert workspace.routing.merge.require == ("qa", "security")
    assert [workspace.agent(name).name for name in ("build", "qa", "security")] == ["build", "qa", "security"]
    assert workspace.playbook


def test_the_template_is_copied_byte_for_byte(made: Made) -> None:
    for name, data in template_files().items():
        assert (made.root / name).read_bytes() == data
    assert {f"{folder}/README.md" for folder in DATA_FOLDERS} <= set(template_files())


def test_nothing_but_readmes_comes_from_the_folders_of_data() -> None:
    for name in template_files():
        folder, _, file = name.partition("/")
        assert folder in ("agents", "playbook") or file == "README.md"


def test_every_kind_of_document_has_its_published_schema(made: Made) -> None:
    found = {path.stem: json.loads(path.read_bytes()) for path in Layout(made.root).schemas.glob("*.json")}
    assert set(found) == set(SCHEMAS) == {"ticket", "handoff", "manifest", "inbox_item", "session"}
    assert all(schema["$id"] == f"watchbill/{kind}/1" for kind, schema in found.items())


def test_folders_and_files_are_their_owners_alone(made: Made) -> None:
    layout = Layout(made.root)
    for path in (made.root, *made.root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert all((made.root / folder).is_dir() for folder in DATA_FOLDERS)
    assert layout.private.is_dir()
    assert layout.decided.is_dir()


def test_an_empty_folder_that_others_could_read_is_closed(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "watch").mkdir(mode=0o755)
    assert stat.S_IMODE(init(tmp_path / "watch", repo, NOW).root.stat().st_mode) == 0o700


def test_git_has_no_use_for_what_is_derived(made: Made) -> None:
    git(made.root, "init", "--quiet")
    git(made.root, "add", "--all")
    assert ".watchbill" not in git(made.root, "ls-files")
    assert "watchbill.toml" in git(made.root, "ls-files")


def test_the_repository_is_not_touched(tmp_path: Path, repo: Path) -> None:
    before = owner_state(repo)
    init(tmp_path / "watch", repo, NOW)
    assert owner_state(repo) == before
    assert git(repo, "branch", "--list") == "* main"


def test_the_same_workspace_is_made_twice_from_the_same_input(tmp_path: Path, repo: Path) -> None:
    one, other = init(tmp_path / "one", repo, NOW), init(tmp_path / "other", repo, NOW)
    assert files_below(one.root) == files_below(other.root)


def test_the_notes_say_what_to_do_next(made: Made) -> None:
    said = " ".join(made.notes)
    assert "[sandbox] read" in said
    assert "watchbill ticket new" in said
    assert "watchbill run all" in said


# The settings


def test_every_key_stands_in_the_settings_with_its_value_and_a_comment(made: Made) -> None:
    text = (made.root / "watchbill.toml").read_text("utf-8")
    values, settings = tomllib.loads(text), Workspace(made.root).settings
    expected = settings.model_dump(mode="json")
    keys = list(keys_of(Settings))
    assert len(keys) > 30
    for key in keys:
        assert look_up(values, key) == look_up(expected, key), key
        comment = comment_of(key)
        assert comment, f"{key} has no comment"
        last = comment.split("\n# ")[-1]
        name = key.rpartition(".")[2]
        assert f"# {comment}\n{name} = " in text or f"# {last}\n{name} = " in text, key


def test_no_comment_is_about_a_key_that_is_gone() -> None:
    from watchbill.stages.init.settings_text import COMMENTS

    known = {*keys_of(Settings), "model.prices"}
    tables = {key.rpartition(".")[0] for key in known} | {"agents"}
    for key in COMMENTS:
        pattern = re.compile(re.escape(key).replace(r"\*", "[a-z]+"))
        assert any(pattern.fullmatch(name) for name in known | tables), key


def test_the_defaults_are_the_models_own(made: Made) -> None:
    settings = Workspace(made.root).settings
    default = Settings.model_validate({"project": {"name": "x", "repo": "y"}})
    for table in ("model", "agents", "plan", "merge", "gate", "limits"):
        assert getattr(settings, table) == getattr(default, table), table


def test_no_price_is_invented_but_an_example_shows_how(made: Made) -> None:
    text = (made.root / "watchbill.toml").read_text("utf-8")
    assert Workspace(made.root).settings.model.prices == {}
    example = "\n".join(line[2:] for line in text.split("shown.\n")[1].split("\n\n")[0].splitlines())
    prices = tomllib.loads(example)["model"]["prices"]
    assert set(prices["NAME OF THE MODEL"]) == set(Price.model_fields)
    assert set(prices["NAME OF THE MODEL"].values()) == {0.0}


def test_what_the_survey_found_stands_in_the_settings(tmp_path: Path) -> None:
    files = {"pyproject.toml": "[project]\nname = 'grüße'\n", "tests/test_it.py": "def test_it(): pass\n"}
    repo = make_repository(tmp_path / "project", files, branch="trunk")
    settings = Workspace(init(tmp_path / "watch", repo, NOW).root).settings
    assert settings.project.base == "trunk"
    assert settings.project.name == "grüße"
    assert "pytest" in settings.checks.test
    assert "{junit}" in settings.checks.test


def test_a_neighbour_is_named_relative_and_anything_else_absolute(tmp_path: Path, repo: Path) -> None:
    neighbour = Workspace(init(tmp_path / "watch", repo, NOW).root)
    distant = Workspace(init(tmp_path / "deeper" / "watch", repo, NOW).root)
    assert neighbour.settings.project.repo == "../project"
    assert distant.settings.project.repo == str(repo)
    assert neighbour.repo == distant.repo == repo


def test_a_repository_with_any_name_is_found_again(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / 'mein "Projekt" \\ d\'été, 漢字\t[x]')
    for folder in ("watch", "deeper/watch"):
        assert Workspace(init(tmp_path / folder, repo, NOW).root).repo == repo


def test_a_folder_inside_the_checkout_names_the_repository(tmp_path: Path, repo: Path) -> None:
    assert Workspace(init(tmp_path / "watch", repo / "src", NOW).root).repo == repo


@given(st.text())
def test_any_text_survives_the_settings_file(text: str) -> None:
    assert tomllib.loads(f"key = {toml_value(text)}") == {"key": text}


def test_prices_that_are_set_survive_too() -> None:
    values = {"project": {"name": "x", "repo": "y"}, "model": {"prices": {'a "b" 1.5': {"input": 3, "output": 15.5}}}}
    settings = Settings.model_validate(values)
    text = settings_text(settings, NOW)
    assert settings_file.parse(text.encode(), Path("watchbill.toml"), Settings) == settings


# What is refused


def test_a_folder_that_holds_a_workspace_is_refused_and_stays_as_it_is(made: Made, repo: Path) -> None:
    before = files_below(made.root)
    with pytest.raises(Refused, match="holds a workspace already") as error:
        init(made.root, repo, NOW)
    assert error.value.hint
    assert files_below(made.root) == before


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "tickets/T-0001.md", "agents/build.md", "folder/"])
def test_a_folder_that_is_not_empty_is_refused_and_stays_as_it_is(name: str, tmp_path: Path, repo: Path) -> None:
    path = tmp_path / "watch" / name
    path.parent.mkdir(parents=True)
    if name.endswith("/"):
        path.mkdir()
    else:
        path.write_text("mine")
    with pytest.raises(Refused, match="is not empty") as error:
        init(tmp_path / "watch", repo, NOW)
    assert "empty folder" in error.value.hint
    assert not (tmp_path / "watch" / "watchbill.toml").exists()
    assert path.is_dir() or path.read_text() == "mine"


def test_a_link_in_the_place_of_a_file_is_refused(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "tickets").symlink_to(tmp_path)
    with pytest.raises(Refused, match="is not empty"):
        init(tmp_path / "watch", repo, NOW)


def test_a_folder_under_version_control_is_welcome(tmp_path: Path, repo: Path) -> None:
    make_repository(tmp_path / "watch", commit=False)
    assert open_workspace(init(tmp_path / "watch", repo, NOW).root).repo == repo


def test_a_file_is_no_folder(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "watch").write_text("mine")
    with pytest.raises(Misconfigured, match="is not a folder"):
        init(tmp_path / "watch", repo, NOW)


@pytest.mark.parametrize("inside", ["", "watch", "deep/er/watch", ".git/watch"])
def test_a_workspace_inside_the_repository_is_refused(inside: str, repo: Path) -> None:
    with pytest.raises((Misconfigured, Refused)) as error:
        init(repo / inside, repo, NOW)
    assert error.value.hint
    assert not list(repo.rglob("watchbill.toml"))


def test_a_link_into_the_repository_does_not_deceive(tmp_path: Path, repo: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    with pytest.raises(Misconfigured, match="lies inside the repository"):
        init(tmp_path / "link" / "watch", repo, NOW)


def test_a_workspace_around_the_repository_is_refused(tmp_path: Path) -> None:
    around = tmp_path / "around"
    repo = make_repository(around / ".git" / "project")
    with pytest.raises(Misconfigured, match="lies inside"):
        init(around, repo, NOW)


def test_a_workspace_inside_the_main_checkout_of_a_worktree_is_refused(tmp_path: Path, repo: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "second"))
    with pytest.raises(Misconfigured, match="lies inside the repository"):
        init(repo / "watch", tmp_path / "second", NOW)


def test_a_worktree_of_a_repository_is_as_good_as_any(tmp_path: Path, repo: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "--detach", str(tmp_path / "second"))
    assert Workspace(init(tmp_path / "watch", tmp_path / "second", NOW).root).repo == tmp_path / "second"


@pytest.mark.parametrize("kind", ["nothing", "folder", "bare", "empty", "shallow"])
def test_a_repository_that_cannot_be_worked_with_is_refused_before_anything_is_written(
    kind: str, tmp_path: Path, repo: Path
) -> None:
    other = tmp_path / "other"
    if kind == "folder":
        other.mkdir()
    elif kind == "bare":
        git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(other))
    elif kind == "empty":
        make_repository(other, commit=False)
    elif kind == "shallow":
        commit_files(repo, {"more.txt": "more"}, "Second commit")
        git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", str(other))
    with pytest.raises(Misconfigured) as error:
        init(tmp_path / "watch", other, NOW)
    assert error.value.hint
    assert not (tmp_path / "watch").exists()


def test_a_repository_that_no_settings_file_can_name_is_refused(tmp_path: Path) -> None:
    # Not every file system takes such a name, so only its spelling is made here.
    with pytest.raises(Misconfigured, match="is not UTF-8"):
        repo_as_written(tmp_path / "watch", tmp_path / os.fsdecode(b"caf\xe9"))


def test_a_branch_in_the_way_of_all_branches_is_reported(tmp_path: Path, repo: Path) -> None:
    git(repo, "branch", "watchbill")
    with pytest.raises(Misconfigured, match="branch named 'watchbill'") as error:
        init(tmp_path / "watch", repo, NOW)
    assert "branch -m" in error.value.hint


def test_a_dirty_checkout_is_only_a_note(tmp_path: Path, repo: Path) -> None:
    (repo / "README.md").write_text("changed")
    made = init(tmp_path / "watch", repo, NOW)
    assert any("what is not committed is not seen" in note for note in made.notes)
    assert not any("not committed" in note for note in init(tmp_path / "w2", clone(repo, tmp_path / "c"), NOW).notes)


def test_an_integration_branch_of_an_earlier_workspace_is_a_note(tmp_path: Path, repo: Path) -> None:
    git(repo, "branch", "watchbill/integration")
    assert any("has a branch watchbill/integration already" in note for note in init(tmp_path / "w", repo, NOW).notes)


# Crashes

KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path
from watchbill.stages.init import init
calls = 0
def count(event, args):
    global calls
    writes = event == "open" and args[2] & os.O_CREAT and str(args[0]).endswith(".tmp")
    if writes or event in ("os.link", "os.mkdir", "os.remove"):
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), 9)
sys.addaudithook(count)
init(Path(sys.argv[1]), Path(sys.argv[2]), datetime.fromisoformat(sys.argv[4]))
"""


@pytest.mark.parametrize("at", [1, 2, 3, 8, 14, 20, 21, 22, 40, 41, 42, 60])
def test_killed_at_any_moment_it_leaves_no_workspace_and_the_next_init_completes_it(
    at: int, tmp_path: Path, repo: Path
) -> None:
    root = tmp_path / "watch"
    command = [sys.executable, "-c", KILLED, str(root), str(repo), str(at), NOW.isoformat()]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(tmp_path)}
    died = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert died.returncode == -9, died.stderr.decode()
    assert not (root / "watchbill.toml").exists()
    complete = init(root, repo, NOW)
    assert files_below(complete.root) == files_below(init(tmp_path / "another", repo, NOW).root)
    assert not list(root.rglob("*.tmp"))


def test_a_second_init_at_the_same_time_is_told_to_wait(tmp_path: Path, repo: Path) -> None:
    layout = Layout(tmp_path / "watch")
    with held(layout.lock("init"), "init"), pytest.raises(TryLater):
        init(layout.root, repo, NOW)
    assert not layout.settings.exists()
