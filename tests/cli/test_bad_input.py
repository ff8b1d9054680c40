"""What goes wrong at the edge: each time a sentence, the next thing to do, the right exit code, and nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.outside import (
    asks,
    call,
    command,
    contents,
    environment,
    handoff,
    night,
    refused,
    script,
    take,
    tool,
    works,
)
from tests.repositories import commit_files, git, make_repository, owner_state, write_files
from tests.workspaces import CALCULATOR, change_settings, interpreter_folders, make_workspace, ticket_text, write_ticket
from watchbill.cli import edge
from watchbill.demo.server import ScriptedModel
from watchbill.workspace import Workspace

DONE, USAGE, REFUSED, DAMAGED, TRY_LATER, STOPPED = 0, 2, 3, 4, 75, 130


# The repository


def _bare(folder: Path) -> Path:
    git(folder, "clone", "--quiet", "--bare", str(make_repository(folder / "from")), "there")
    return folder / "there"


def _shallow(folder: Path) -> Path:
    origin = make_repository(folder / "from")
    commit_files(origin, {"more.txt": "more\n"}, "Second commit")
    git(folder, "clone", "--quiet", "--depth=1", origin.as_uri(), "there")
    return folder / "there"


def _plain_folder(folder: Path) -> Path:
    (folder / "there").mkdir()
    return folder / "there"


def _a_file(folder: Path) -> Path:
    (folder / "there").write_text("no folder\n")
    return folder / "there"


UNFIT: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bare": (_bare, "bare repository"),
    "shallow": (_shallow, "shallow clone"),
    "empty": (lambda folder: make_repository(folder / "there", commit=False), "no commit yet"),
    "no repository": (_plain_folder, "not a git repository"),
    "missing": (lambda folder: folder / "there", "not a folder"),
    "a file": (_a_file, "not a folder"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_init_refuses_a_repository_that_cannot_be_worked_on(tmp_path: Path, kind: str) -> None:
    make, words = UNFIT[kind]
    repo = make(tmp_path)
    before = contents(tmp_path)
    said = refused(USAGE, tmp_path, "init", "watch", "--repo", repo)
    assert words in said
    assert contents(tmp_path) == before
    assert not (tmp_path / "watch").exists()


def test_init_refuses_a_workspace_in_the_repository_and_the_other_way_round(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "outer" / "repo")
    before = contents(tmp_path)
    assert "lies inside the repository" in refused(USAGE, tmp_path, "init", repo / "watch", "--repo", repo)
    refused(REFUSED, tmp_path, "init", tmp_path / "outer", "--repo", repo)
    assert contents(tmp_path) == before


def test_init_refuses_a_place_that_is_no_folder_or_lies_below_a_file(tmp_path: Path) -> None:
    repo = make_repository(tmp_path / "repo")
    (tmp_path / "file").write_text("mine\n")
    refused(USAGE, tmp_path, "init", "file", "--repo", repo)
    refused(TRY_LATER, tmp_path, "init", "file/watch", "--repo", repo)
    assert (tmp_path / "file").read_text() == "mine\n"


def test_a_base_branch_that_is_not_there_is_named_and_nothing_is_planned(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, settings={"project": {"base": "trunk"}})
    before = contents(workspace.root)
    for verb in (["plan"], ["run", "all"]):
        assert "trunk" in refused(USAGE, workspace.root, *verb, env=asks("http://127.0.0.1:9"))
    assert contents(workspace.root) == before


def test_a_repository_that_has_gone_is_named(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    (tmp_path / "project").rename(tmp_path / "elsewhere")
    assert str(tmp_path / "project") in refused(USAGE, workspace.root, "plan")
    works(workspace.root, "status")


def test_a_dirty_checkout_below_an_odd_path_is_worked_on_and_stays_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "Bücher & Räder" / 'it\'s "mine" 日本 (1)'
    repo = make_repository(place / "mein Projekt ñ", CALCULATOR)
    write_files(repo, {"calculator.py": "def add(a, b):\n    return 'dirty'\n", "untracked ü.txt": "mine\n"})
    write_files(repo, {"staged.txt": "staged\n"})
    git(repo, "add", "staged.txt")
    before = owner_state(repo)
    assert "not committed" in works(place, "init", "wäch t", "--repo", repo).out
    workspace = Workspace(place / "wäch t")
    change_settings(workspace, {"sandbox": {"read": interpreter_folders()}})
    ticket = works(workspace.root, "ticket", "new", "Größe", "--criterion", "done.txt is there", "--json").json
    assert ticket["ticket"] == "T-0001"
    with ScriptedModel(script(*night(file="Größe und Maß.txt"))) as model:
        works(workspace.root, "run", "all", env=asks(model.url))
        assert model.unused() == []
    assert git(repo, "show", "watchbill/integration:Größe und Maß.txt") == "done"
    assert git(repo, "diff", "--name-only", "-z", "main", "watchbill/integration") == "Größe und Maß.txt\0"
    assert owner_state(repo) == before
    works(workspace.root, "verify")


# Tickets

BAD_TICKETS: dict[str, tuple[bytes, str]] = {
    "T-0002.md": ("---\nid: T-0002\ntitle: Grüße\n---\n".encode("latin-1"), "not UTF-8"),
    "T-0003.md": (ticket_text("T-0003").encode() + b"x" * 10_000_000, "bytes long"),
    "T-0004.md": (b"---\nid: T-0004\ntitle: &a Do it\nlabels: [*a, *a]\n---\n", "aliases"),
    "T-0005.md": (b"---\nid: T-0005\ntitle: !!python/object/apply:os.system [id]\n---\n", "tags"),
    "T-0006.md": (ticket_text("../../../etc/passwd").encode(), "not an id"),
    "T-0007.md": (b"no front matter at all\n", "three dashes"),
    "T-0008.md": (b"---\nid: T-0008\nid: T-0008\ntitle: Twice\n---\n", "stands twice"),
    "T-0009.md": (b"---\nid: T-0009\ntitle: Typo\npriorty: high\n---\n", "priorty"),
    "T-0010.md": (b"", "three dashes"),
    "-rf ~; x\n.md": (b"---\nid: [\n---\n", "YAML"),
}


def test_a_bad_ticket_is_set_aside_unchanged_and_the_others_go_on(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "A good one"}, settings={"limits": {"max_waiting": 100}})
    for name, (data, _) in BAD_TICKETS.items():
        (workspace.layout.tickets / name).write_bytes(data)
    for verb in (["status"], ["ticket", "list"], ["plan", "--dry-run"]):
        works(workspace.root, *verb)
    assert all((workspace.layout.tickets / name).is_file() for name in BAD_TICKETS), "a verb that reads moved a file"

    planned = works(workspace.root, "plan", "--agent", "build", "--json")
    (manifest,) = planned.json
    assert [entry["ticket"] for entry in manifest["entries"]] == ["T-0001"]
    asked = works(workspace.root, "inbox", "list", "--json").json
    assert len(asked) == len(BAD_TICKETS)
    kept = sorted(path.read_bytes() for path in workspace.layout.quarantine.iterdir() if path.suffix != ".json")
    assert kept == sorted(data for data, _ in BAD_TICKETS.values())
    reasons = "".join(path.read_text() for path in workspace.layout.quarantine.glob("*.reason.json"))
    for name, (_, words) in BAD_TICKETS.items():
        assert words in reasons, f"{name}: {reasons}"
    works(workspace.root, "verify")


def test_a_mended_ticket_comes_back(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    (workspace.layout.tickets / "T-0001.md").write_text("---\nid: T-0001\ntitle: [\n---\n")
    works(workspace.root, "plan")
    (item,) = works(workspace.root, "inbox", "list", "--json").json
    write_ticket(workspace, "T-0001", "Mended")
    works(workspace.root, "inbox", "dismiss", item["id"], "-m", "mended")
    (manifest,) = works(workspace.root, "plan", "--agent", "build", "--json").json
    assert [entry["ticket"] for entry in manifest["entries"]] == ["T-0001"]
    assert works(workspace.root, "inbox", "list", "--json").json == []


def test_an_id_that_two_files_claim_is_nobodys_until_a_person_settles_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "One", "T-0002": "Another"})
    (workspace.layout.tickets / "copy.md").write_text(ticket_text("T-0001", "The same id"))
    before = contents(workspace.layout.tickets)
    (manifest,) = works(workspace.root, "plan", "--agent", "build", "--json").json
    assert [entry["ticket"] for entry in manifest["entries"]] == ["T-0002"]
    assert any(skip["ticket"] == "T-0001" for skip in manifest["skipped"])
    assert "2 files claim the id T-0001" in works(workspace.root, "status").out
    assert "copy.md" in refused(REFUSED, workspace.root, "ticket", "show", "T-0001")
    assert contents(workspace.layout.tickets) == before


def test_the_id_in_the_file_counts_not_the_files_name(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    (workspace.layout.tickets / "t-7 - greet people.md").write_text(ticket_text("T-0007", "Greet people"))
    assert "Greet people" in works(workspace.root, "ticket", "show", "T-0007").out
    (manifest,) = works(workspace.root, "plan", "--agent", "build", "--json").json
    assert [entry["ticket"] for entry in manifest["entries"]] == ["T-0007"]
    assert works(workspace.root, "ticket", "new", "Next", "--json").json["ticket"] == "T-0008"


# Settings, routing, agents

WRONG_SETTINGS = {
    "a typo": ("hard_turns = 80", "hard_turn = 80", "did you mean 'hard_turns'?"),
    "a wrong type": ("hard_turns = 80", 'hard_turns = "many"', "agents.build.hard_turns"),
    "a wrong order": ("hard_turns = 80", "hard_turns = 1", "soft_turns may not be more than hard_turns"),
    "a syntax error": ("hard_turns = 80", "hard_turns = = 80", "line"),
    "an unknown table": ("[agents.build]", "[agents.biuld]", "did you mean 'build'?"),
    "a branch that is none": ('base = "main"', 'base = "--upload-pack=x"', "not a name of a branch"),
}


@pytest.mark.parametrize("kind", WRONG_SETTINGS)
def test_a_mistake_in_the_settings_is_explained_with_its_line(tmp_path: Path, kind: str) -> None:
    right, wrong, words = WRONG_SETTINGS[kind]
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    text = workspace.layout.settings.read_text()
    assert right in text
    workspace.layout.settings.write_text(text.replace(right, wrong, 1))
    number = text[: text.index(right)].count("\n") + 1
    before = contents(workspace.root)
    said = refused(USAGE, workspace.root, "plan")
    assert words in said
    assert f"line {number}" in said or kind == "a wrong order"
    assert "watchbill.toml" in said
    assert contents(workspace.root) == before


def test_a_mistake_in_the_routing_stops_everything_with_its_line(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    text = workspace.layout.routing.read_text()
    line = next(line for line in text.splitlines() if line.startswith("high = "))
    workspace.layout.routing.write_text(text.replace(line, 'high = "bild"', 1))
    number = text.splitlines().index(line) + 1
    before = contents(workspace.root)
    for verb in (["run", "build"], ["run", "all"], ["plan"], ["merge"], ["status"]):
        said = refused(USAGE, workspace.root, *verb, env=asks("http://127.0.0.1:9"))
        assert f"routing.toml, line {number}" in said
    assert contents(workspace.root) == before


def test_a_damaged_agent_file_stops_its_session_before_the_first_request(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    path = workspace.layout.agent_file("build")
    with ScriptedModel(script(*night())) as model:
        for damage in (b"You build.\n", b"---\nname: build\ntools: [bash\n---\n", b"\xff\xfe", b""):
            path.write_bytes(damage)
            done = call(workspace.root, "run", "build", env=asks(model.url))
            assert (done.code, "build.md" in done.err) == (DAMAGED, True), done.err
        path.unlink()
        assert "build.md" in refused(USAGE, workspace.root, "plan")
        assert model.requests == []
        shutil.copyfile(Path(__file__).parents[2] / "agents" / "build.md", path)
        works(workspace.root, "run", "build", env=asks(model.url))
        assert len(model.requests) == 2


def test_a_missing_playbook_is_named(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    workspace.layout.playbook_text.unlink()
    assert "PLAYBOOK.md" in refused(USAGE, workspace.root, "plan")


# Manifests


def test_a_manifest_that_is_not_this_sessions_is_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    own = workspace.layout.manifest("build-0001")
    foreign = tmp_path / "build-0001.json"
    shutil.copyfile(own, foreign)
    cases = {
        "qa-0001": "for qa",
        str(foreign): "not a manifest of this workspace",
        "build-0099": "build-0099",
        "../../etc/passwd": "passwd",
        str(tmp_path / "nowhere.json"): "nowhere.json",
    }
    with ScriptedModel(script(*night())) as model:
        for name, words in cases.items():
            assert words in refused(USAGE, workspace.root, "run", "build", "--manifest", name, env=asks(model.url))
        assert model.requests == []
    refused(USAGE, workspace.root, "run", "all", "--manifest", "build-0001")


def test_a_damaged_manifest_is_not_worked_and_the_next_plan_makes_another(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    path = workspace.layout.manifest("build-0001")
    path.write_bytes(path.read_bytes()[:100])
    with ScriptedModel(script(*night())) as model:
        for more in ([], ["--manifest", "build-0001"]):
            done = call(workspace.root, "run", "build", *more, env=asks(model.url))
            assert done.code in (USAGE, 4)
            assert "build-0001" in done.err
        assert model.requests == []
        assert works(workspace.root, "plan", "--agent", "build", "--json").json[0]["id"] == "build-0002"
        works(workspace.root, "run", "build", env=asks(model.url))
        assert len(model.requests) == 2


# The model


def _no_handoff(workspace: Workspace) -> None:
    assert workspace.history("T-0001").documents == ()
    assert works(workspace.root, "status", "--json").json["counts"] == {"build": 1}


def test_without_a_key_nothing_is_built_and_the_manifest_is_kept(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    assert "ANTHROPIC_API_KEY" in refused(USAGE, workspace.root, "run", "build")
    _no_handoff(workspace)
    with ScriptedModel(script(*night())) as model:
        works(workspace.root, "run", "build", env=asks(model.url))
    assert len(workspace.history("T-0001").documents) == 1


HTML = "<!DOCTYPE html><html><body><h1>Welcome to the hotel's network</h1></body></html>"
FAILING: dict[str, tuple[dict[str, Any], int, str]] = {
    "401": ({"status": 401}, USAGE, "key"),
    "404": ({"status": 404}, USAGE, "model"),
    "a page": ({"status": 200, "body": HTML}, TRY_LATER, "ANTHROPIC_BASE_URL"),
}


@pytest.mark.parametrize("kind", FAILING)
def test_a_model_that_cannot_answer_ends_the_session_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    reply, code, words = FAILING[kind]
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, settings={"model": {"fallbacks": ()}})
    works(workspace.root, "plan")
    failing = [take("build", "T-0001", *[reply] * 4)]
    with ScriptedModel(script(*failing, *night())) as model:
        assert words in refused(code, workspace.root, "run", "build", env=asks(model.url))
        asked = len(model.requests)
        assert 1 <= asked <= 4
    _no_handoff(workspace)
    with ScriptedModel(script(*night())) as model:
        works(workspace.root, "plan")
        works(workspace.root, "run", "build", env=asks(model.url))
        assert len(model.requests) == 2
    assert [handoff.outcome for handoff in workspace.history("T-0001").handoffs] == ["done"]


# Checks


def _whole_night(workspace: Workspace) -> list[dict[str, Any]]:
    """A night of one ticket; what waits in the inbox after it."""
    with ScriptedModel(script(*night())) as model:
        works(workspace.root, "run", "all", env=asks(model.url))
    found: list[dict[str, Any]] = works(workspace.root, "inbox", "list", "--json").json
    return found


@pytest.mark.parametrize("test", ["", "no-such-program-anywhere --junit {junit}"])
def test_without_a_test_command_that_runs_nothing_merges_unasked(tmp_path: Path, test: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, test_command=test)
    base = git(tmp_path / "project", "rev-parse", "main")
    assert len(_whole_night(workspace)) >= 1
    assert workspace.history("T-0001").last("merge") is None
    integration = git(
        tmp_path / "project", "for-each-ref", "--format=%(objectname)", "refs/heads/watchbill/integration"
    )
    assert integration in ("", base)
    works(workspace.root, "verify")


def test_checks_that_hang_are_killed_with_everything_they_started(tmp_path: Path) -> None:
    mark = f"{os.getpid()}{time.monotonic_ns() % 1_000_000}"
    hanging = f"sh -c 'setsid sleep 9{mark} & sleep 9{mark}'"
    settings = {"checks": {"timeout_seconds": 2, "setup": "", "test": hanging}}
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, settings=settings)
    assert len(_whole_night(workspace)) >= 1
    assert workspace.history("T-0001").last("merge") is None
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark.encode() in _read(path)]
    assert left == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # a process that ended meanwhile
        return b""


# Names that are none


@pytest.mark.parametrize("name", ["T-0099", "../../x", "../tickets/T-0001", "", "-h", "x\x1b[31m", "T-0001/..", "*"])
def test_a_ticket_or_an_item_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    before = contents(workspace.root)
    for verb in (["ticket", "show"], ["ticket", "close"], ["history"], ["inbox", "show"], ["inbox", "approve"]):
        said = refused(REFUSED, workspace.root, *verb, "--", name)
        assert "\x1b" not in said
    assert contents(workspace.root) == before


def test_without_a_workspace_every_verb_says_how_to_make_one(tmp_path: Path) -> None:
    for verb in (["status"], ["inbox", "list"], ["plan"], ["run", "all"], ["merge"], ["verify"], ["pause"]):
        assert "watchbill init" in refused(USAGE, tmp_path, *verb)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("folder", ["handoffs", "manifests", ".watchbill"])
def test_a_file_in_the_place_of_a_folder_stops_the_run_with_its_name(tmp_path: Path, folder: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    place = workspace.root / folder
    if folder == "handoffs":
        works(workspace.root, "plan")
    shutil.rmtree(place)
    place.write_text("in the way\n")
    verb = ["run", "build"] if folder == "handoffs" else ["plan"]
    with ScriptedModel(script(*night())) as model:
        done = call(workspace.root, *verb, env=asks(model.url))
    assert done.code in (TRY_LATER, 4, USAGE), done.err
    assert folder in done.err
    assert place.read_text() == "in the way\n"


# Who reads, who stops


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", ["status", "ticket list --json", "plan --help"])
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, verb: str, unbuffered: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    reader, writer = os.pipe()
    os.close(reader)
    env = environment(PYTHONUNBUFFERED=unbuffered)
    done = subprocess.run(
        command(*verb.split()),
        cwd=workspace.root,
        env=env,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (DONE, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written_is_said_and_tried_later(tmp_path: Path, unbuffered: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    with Path("/dev/full").open("w") as full:
        env = environment(PYTHONUNBUFFERED=unbuffered)
        done = subprocess.run(
            command("status"), cwd=workspace.root, env=env, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == TRY_LATER
    assert done.stderr.startswith("watchbill: could not write")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR])
def test_a_machine_that_is_short_of_something_is_tried_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def fail(_arguments: Sequence[str]) -> int:
        raise OSError(number, os.strerror(number), "somewhere")

    monkeypatch.setattr(edge, "_call", fail)
    monkeypatch.setattr(edge, "STOP", ())  # the test's own process keeps its signals
    assert edge.run(["status"]) == TRY_LATER
    said = capsys.readouterr().err
    assert said.startswith("watchbill: could not go on") and "Traceback" not in said


def test_what_an_encoding_cannot_say_is_shown_escaped(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Grüße → 日本"})
    done = works(workspace.root, "status", env={"PYTHONIOENCODING": "ascii"})
    assert "Gr\\xfc\\xdfe" in done.out


def test_a_paused_workspace_runs_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    works(workspace.root, "pause", "-m", "the auditors are here")
    with ScriptedModel(script(*night())) as model:
        for verb in (["run", "build"], ["run", "all"], ["merge"]):
            said = refused(TRY_LATER, workspace.root, *verb, env=asks(model.url))
            assert "the auditors are here" in said
            assert "watchbill resume" in said
        assert "the auditors are here" in works(workspace.root, "status").out
        assert model.requests == []
        works(workspace.root, "resume")
        works(workspace.root, "run", "build", env=asks(model.url))
        assert len(model.requests) == 2


def _wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if what():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it did not happen within 30 seconds")


def _start(workspace: Workspace, *arguments: str, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        cwd=workspace.root,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_second_build_session_is_told_to_try_later(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    slow = take("build", "T-0001", tool("write", delay=4, file_path="a.txt", content="a\n"), handoff("build", "done"))
    with ScriptedModel(script(slow)) as model:
        first = _start(workspace, "run", "build", env=asks(model.url))
        _wait_for(lambda: len(model.requests) == 1, first)
        assert "build session" in refused(TRY_LATER, workspace.root, "run", "build", env=asks(model.url))
        out, err = first.communicate(timeout=60)
        assert first.returncode == DONE, out + err
        assert len(model.requests) == 2
    assert len(workspace.history("T-0001").documents) == 1


@pytest.mark.parametrize("who", ["build", "all"])
def test_ctrl_c_in_a_session_keeps_the_work_and_the_next_run_goes_on(tmp_path: Path, who: str) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    slow = take(
        "build",
        "T-0001",
        tool("write", file_path="half.txt", content="half\n"),
        tool("write", delay=300, file_path="never.txt", content="never\n"),
    )
    with ScriptedModel(script(slow)) as model:
        running = _start(workspace, "run", who, env=asks(model.url))
        _wait_for(lambda: len(model.requests) == 2, running)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == STOPPED, out + err
    assert "Traceback" not in err
    assert "the next run goes on" in err
    with ScriptedModel(script(*night())) as model:
        works(workspace.root, "run", "all", env=asks(model.url))
        told = str(model.requests[0].body["messages"])
    merged = git(tmp_path / "project", "diff", "--name-only", "main", "watchbill/integration").split()
    assert merged == ["done.txt", "half.txt"], told
    works(workspace.root, "verify")


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("who", ["build", "all"])
def test_being_told_twice_to_stop_during_a_long_command_is_no_harder(
    tmp_path: Path, who: str, word: signal.Signals
) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"})
    works(workspace.root, "plan")
    slow = take("build", "T-0001", tool("bash", command="touch begun; sleep 100"), handoff("build", "done"))
    begun = workspace.layout.worktree("T-0001") / "begun"
    with ScriptedModel(script(slow)) as model:
        running = _start(workspace, "run", who, env=asks(model.url))
        _wait_for(begun.exists, running)
        running.send_signal(word)
        time.sleep(0.2)
        running.send_signal(word)
        out, err = running.communicate(timeout=30)
    assert running.returncode == STOPPED, out + err
    assert "Traceback" not in err
    (record,) = workspace.layout.sessions.glob("build-*.md")
    assert "turns: 1" in record.read_text()
