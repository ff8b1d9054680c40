"""What the command line says: one JSON document where it is asked for, calm lines for a person, help for every verb."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import watchbill
from tests.cli.outside import asks, call, environment, handoff, night, script, take, tool, works
from tests.repositories import git
from tests.workspaces import make_workspace, ticket_text
from watchbill.demo.server import ScriptedModel
from watchbill.workspace import Workspace

HEAVY = ("anthropic", "bandit", "git", "httpx2", "junitparser", "keyring", "pytest", "re2", "structlog", "watchdog")
GROUPS = {
    "ticket": ("new", "list", "show", "close"),
    "inbox": ("list", "show", "approve", "dismiss", "reject", "escalate", "sign"),
    "gate": ("setup", "allow", "show"),
    "schedule": ("show",),
}
SINGLE = ["init", "plan", "run", "merge", "watch", "history", "status", "verify", "archive"]
SINGLE += ["pause", "resume", "demo", "doctor"]
VERBS = [[verb] for verb in SINGLE] + [[group, verb] for group, verbs in GROUPS.items() for verb in verbs]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One ticket that waits for a human, one that is ready, one in quarantine."""
    folder = tmp_path_factory.mktemp("output")
    made = make_workspace(folder, {"T-0001": "Decide on the colour", "T-0002": "Paint the shed"})
    (made.layout.tickets / "T-0003.md").write_text("---\nid: [\n---\n")
    blocked = take("build", "T-0001", handoff("build", "blocked", requests=["Which colour?"]))
    deferred = take("build", "T-0002", handoff("build", "deferred"))
    works(made.root, "plan")
    with ScriptedModel(script(blocked, deferred)) as model:
        works(made.root, "run", "build", env=asks(model.url))
        assert model.unused() == []
    return made


LISTING = [
    "status",
    "ticket list",
    "ticket show T-0001",
    "inbox list",
    "inbox show T-0001-0001",
    "history T-0001",
    "plan --dry-run",
    "verify",
    "archive",
    "merge",
    "run qa",
    "schedule show --cron",
    "doctor",
    "gate show",
    "inbox sign",
]


@pytest.mark.parametrize("verb", LISTING)
def test_json_is_one_document_on_standard_output(workspace: Workspace, verb: str) -> None:
    found = works(workspace.root, *verb.split(), "--json").json
    assert (found is None) == (verb == "run qa")


def test_a_session_in_json_keeps_its_progress_on_standard_error(tmp_path: Path) -> None:
    made = make_workspace(tmp_path, {"T-0001": "Do it"})
    plan = works(made.root, "plan", "--json").json
    assert {manifest["agent"] for manifest in plan} == {"build", "qa", "security"}
    with ScriptedModel(script(*night())) as model:
        built = works(made.root, "run", "build", "--json", env=asks(model.url))
        assert built.json == {"session": "build-0001-1", "outcomes": {"T-0001": "done"}, "turns": 2}
        assert "build T-0001 [1/30] write: done.txt" in built.err
        whole = works(made.root, "run", "all", "--json", env=asks(model.url))
    assert [merged["ticket"] for merged in whole.json["merged"]] == ["T-0001"]
    assert whole.json["requests"] == 2
    assert "merge" in whole.err


def test_a_new_ticket_says_where_it_lies(workspace: Workspace) -> None:
    made = works(workspace.root, "ticket", "new", "One more", "--depends", "T-0002", "--json").json
    text = Path(made["path"]).read_text()
    Path(made["path"]).unlink()
    assert "title: One more" in text
    assert "dependencies:\n- T-0002\n" in text


STATUS = """\
project: 1 waits for you, 1 ready to build
  gate: an edit of the inbox folder decides

waits for you (2 item(s)):
  T-0001-0001  -  Which colour?
  T-0003-0000  -  a ticket cannot be read

under way:
  T-0002  ready to build  Paint the shed

set aside because it cannot be read:
  tickets/T-0003.md  line 3: the front matter is not valid YAML (did not find expected node content)

last sessions:
"""
INBOX = """\
  T-0001-0001  -  Which colour?
  T-0003-0000  -  a ticket cannot be read
read one with: watchbill inbox show ITEM
gate: an edit of the inbox folder decides
"""
TICKETS = """\
  T-0001  waits for you   Decide on the colour
  T-0002  ready to build  Paint the shed
"""


def test_plain_output_is_calm(workspace: Workspace) -> None:
    status = works(workspace.root, "status").out
    assert status.startswith(STATUS)
    (session,) = status.removeprefix(STATUS).splitlines()
    assert session.endswith("build-0001-1  2 turns  build: 1 blocked, 1 deferred")
    assert works(workspace.root, "inbox", "list").out == INBOX
    assert works(workspace.root, "ticket", "list").out == TICKETS


def test_a_new_workspace_says_what_to_do_first(tmp_path: Path) -> None:
    made = make_workspace(tmp_path)
    assert works(made.root, "status").out == "project: no tickets yet\n  gate: an edit of the inbox folder decides\n"
    assert "watchbill ticket new" in works(made.root, "ticket", "list").out
    assert works(made.root, "inbox", "list").out == "nothing waits for you\n"
    assert "watchbill plan" in works(made.root, "run", "build").out
    assert works(made.root, "merge").out == "nothing is ready to merge\n"


def test_nothing_that_a_terminal_obeys_is_printed(tmp_path: Path) -> None:
    title = '"Paint \\e]0;gone\\a \\e[31mred\\r"'
    made = make_workspace(tmp_path, {"T-0001": ticket_text("T-0001", title, "Do \x1b[2Jit.")})
    write = tool("bash", command="printf '\\033[31mred\\n'; # \x1b[31m")
    said = handoff("build", "done", summary="all \x1b[31mred")
    edit = tool("write", file_path="a\x1b[31m.txt", content="a\n")
    works(made.root, "plan")
    with ScriptedModel(script(take("build", "T-0001", write, edit, said))) as model:
        done = works(made.root, "run", "build", env=asks(model.url))
        shown = done.out + done.err
    for verb in ("status", "ticket show T-0001", "history T-0001", "plan --dry-run"):
        done = works(made.root, *verb.split())
        shown += done.out + done.err
    assert "red" in shown
    assert "\x1b" not in shown
    assert "\a" not in shown


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help(tmp_path: Path, verb: list[str]) -> None:
    done = works(tmp_path, *verb, "--help")
    usage, _, rest = done.out.partition("\n")
    assert usage.startswith(f"Usage: watchbill {' '.join(verb)} ")
    assert len(rest.strip().splitlines()[0].strip()) > 10, "no sentence on what it does"


def test_the_help_names_every_verb_and_the_tests_know_them_all(tmp_path: Path) -> None:
    def named(*group: str) -> set[str]:
        _, _, listed = works(tmp_path, *group, "--help").out.partition("Commands:\n")
        return {line.split()[0] for line in listed.splitlines() if re.match(r"  \S", line)}

    assert named() == {*SINGLE, *GROUPS}
    for group, verbs in GROUPS.items():
        assert named(group) == set(verbs)


def test_the_program_and_the_module_are_the_same(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("watchbill")
    assert program.is_file(), f"{program} is missing: install the project into the environment of the tests"
    for arguments in (["--help"], ["--version"], ["status"], ["nonsense"]):
        answers = [
            subprocess.run(
                [*start, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60
            )
            for start in ([str(program)], [sys.executable, "-m", "watchbill"])
        ]
        one, other = [(answer.returncode, answer.stdout, answer.stderr) for answer in answers]
        assert one == other


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    assert works(tmp_path, "--version").out == f"watchbill {watchbill.__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(tmp_path: Path, shell: str) -> None:
    source = works(tmp_path, env={"_WATCHBILL_COMPLETE": f"source_{shell}"}).out
    assert "_WATCHBILL_COMPLETE" in source
    words = {"_WATCHBILL_COMPLETE": "complete_bash", "COMP_WORDS": "watchbill in", "COMP_CWORD": "1"}
    assert works(tmp_path, env=words).out.split() == ["init", "inbox"]


def test_what_is_mistyped_is_answered_with_what_was_meant(tmp_path: Path) -> None:
    done = call(tmp_path, "statsu")
    assert (done.code, "'status'" in done.err) == (2, True)
    done = call(tmp_path, "run", "nobody")
    assert (done.code, "'security'" in done.err) == (2, True)


@pytest.mark.parametrize("verb", ["--help", "--version", "status", "inbox list", "ticket list", "run --help"])
def test_quick_verbs_load_nothing_heavy(workspace: Workspace, tmp_path: Path, verb: str) -> None:
    a_plugin_for_pydantic(tmp_path)
    listing = (
        "import sys; from watchbill.cli.edge import run; code = run(sys.argv[1:]); print(*sys.modules); sys.exit(code)"
    )
    asked = [sys.executable, "-c", listing, *verb.split()]
    env = environment()
    env["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    done = subprocess.run(asked, cwd=workspace.root, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "watchbill.cli.app" in loaded
    assert sorted(loaded & {*HEAVY, "a_plugin"}) == []


def a_plugin_for_pydantic(folder: Path) -> None:
    """An installed package that pydantic would load, if it went looking through all packages."""
    package = folder / "a_plugin-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Name: a_plugin\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[pydantic]\na_plugin = a_plugin\n")
    (folder / "a_plugin.py").write_text("def new_schema_validator(*_, **__):\n    return None, None, None\n")


def test_help_loads_no_document(tmp_path: Path) -> None:
    loaded = modules_of(tmp_path, "--help")
    assert [name for name in loaded if name in ("pydantic", "yaml") or name.startswith("watchbill.documents")] == []


def modules_of(folder: Path, *arguments: str) -> set[str]:
    """Every module that a command has loaded when it ends."""
    listing = "import sys; from watchbill.cli.edge import run; print(run(sys.argv[1:]), *sys.modules)"
    asked = [sys.executable, "-c", listing, *arguments]
    done = subprocess.run(asked, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)
    code, *modules = done.stdout.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


def test_a_recorded_session_plays_back_to_the_same_commit(tmp_path: Path) -> None:
    results: list[dict[str, Any]] = []
    recorded = tmp_path / "night.json"
    for place in ("first", "second"):
        made = make_workspace(tmp_path / place, {"T-0001": "Do it"})
        told = script(*night()) if place == "first" else recorded_script(recorded)
        with ScriptedModel(told) as model:
            record = ["--record", str(recorded)] if place == "first" else []
            works(made.root, "run", "all", *record, env=asks(model.url))
            assert model.unused() == []
            results.append({"requests": len(model.requests), "tree": tree(made)})
    assert results[0] == results[1]
    assert results[0]["requests"] == 4
    again = call(made.root, "run", "all", "--record", recorded)
    assert again.code == 2
    assert "exists already" in again.err


def recorded_script(path: Path) -> Any:
    """The script in a file that `run --record` wrote."""
    from watchbill.documents.script import parse

    return parse(path.read_text("utf-8"), path)


def tree(made: Workspace) -> str:
    """The files of what was merged, as one git id."""
    return git(made.root.parent / "project", "rev-parse", "watchbill/integration^{tree}")


def test_a_verb_without_a_model_knows_the_key_in_its_file(tmp_path: Path) -> None:
    made = make_workspace(tmp_path, {}, settings={"model": {"key_file": "key"}})
    key = "a-key-of-no-known-shape-4711"
    (made.root / "key").write_text(key)
    (made.root / "key").chmod(0o600)
    (made.layout.tickets / "T-0001.md").write_text(f"---\nid: T-0001\n{key}: x\n{key}: x\n---\n")
    done = works(made.root, "plan")
    (page,) = made.layout.inbox.glob("T-*.md")
    assert "the key '[redacted: API key]' stands twice" in page.read_text("utf-8")
    assert key not in page.read_text("utf-8")
    assert key not in done.err + done.out
