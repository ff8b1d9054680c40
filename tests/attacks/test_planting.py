"""A scripted build agent that leaves things behind which would act when the engine commits, diffs, merges, scans or
runs the checks. What runs at all runs inside the sandbox, and reaches nothing there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.repositories import git, owner_state
from tests.sessions import CHECK, PLAIN, Stage, bash, builds, calls, found, hands_over, reviews, stage, take
from tests.workspaces import CALCULATOR, PYTEST, interpreter_folders, make_workspace
from watchbill.cli.progress import plain_line
from watchbill.documents.script import Said
from watchbill.tools.git import command as git_command

# What each of them does when it runs: it writes beside the workspace, looks for the key, and says that it ran.
ACTS = """\
import os, socket
try:
    open({mark!r} + '/' + {name!r}, 'w').write('ran')
except OSError as error:
    print('RAN-INSIDE', {name!r}, error.strerror)
try:
    socket.create_connection(('127.0.0.1', {port}), 1)
    open({mark!r} + '/network', 'w')
except OSError:
    pass
for number in filter(str.isdigit, os.listdir('/proc')):
    try:
        if b'ANTHROPIC' in open('/proc/' + number + '/environ', 'rb').read():
            print('SEES-A-KEY')
    except OSError:
        pass
"""
MODULES = (
    "conftest",
    "sitecustomize",
    "usercustomize",
    "evil",
    "bandit",
    "detect_secrets",
    "junitparser",
    "pytest_evil",
)
PROGRAMS = ("git", "python", "python3", "ssh", "bwrap", "prlimit")
OPTION_LIKE = ("-rf", "--upload-pack=touch pwned", "--output=pwned", ":(top)odd*", "$(touch pwned)", "a;touch pwned")
ODD = (*OPTION_LIKE, "two\nlines", "\x1b]0;owned\x07", "tab\there", "ünï")


def plants(mark: Path, port: int) -> str:
    """A command that plants everything; the acts are the same, the names differ."""
    lines = ["mkdir -p sub/.git/hooks .githooks .github/workflows"]
    for name in MODULES:
        lines.append(f"cat > {name}.py <<'END'\n{ACTS.format(mark=str(mark), name=name, port=port)}END")
    for name in (*PROGRAMS, ".githooks/pre-commit", "sub/.git/hooks/post-checkout"):
        lines.append(f"printf '#!/bin/sh\\ntouch {mark}/program\\n' > {name}; chmod +x {name}")
    lines += [
        "printf '[pytest]\\naddopts = -p evil\\n' > pytest.ini",
        f"printf '[core]\\n\\tfsmonitor = touch {mark}/monitor\\n\\thooksPath = .githooks\\n' > sub/.git/config",
        "printf 'ref: refs/heads/main\\n' > sub/.git/HEAD; mkdir -p sub/.git/objects sub/.git/refs; echo x > sub/file",
        f"printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = --upload-pack=touch {mark}/module\\n' > .gitmodules",
        "printf '*.txt diff=evil merge=evil text\\n*.py diff=evil\\n' > .gitattributes",
        f"printf '[diff \"evil\"]\\n\\ttextconv = touch {mark}/conv\\n' > .gitconfig",
        f"git config diff.evil.textconv 'touch {mark}/conv'; git config core.hooksPath .githooks; true",
        "echo more >> README.md",
    ]
    return ": plant;\n" + "\n".join(lines)


def story(on: Stage) -> None:
    on.run("build")
    on.review()
    on.merge()


@pytest.mark.parametrize("mode", ["bubblewrap", "none"])
def test_what_is_planted_acts_in_the_sandbox_or_not_at_all(mode: str, tmp_path: Path) -> None:
    mark = tmp_path / "marks"
    mark.mkdir()
    workspace = make_workspace(
        tmp_path / "w",
        {"T-0001": "Do it"},
        f"PYTHONPATH=. {PYTEST}",
        CALCULATOR,
        {"sandbox": {"mode": mode, "read": interpreter_folders()}},
    )
    before = owner_state(workspace.repo)
    build = take("build", "T-0001", bash(plants(mark, 9)), hands_over())
    with stage(workspace, build, reviews("T-0001")) as on:
        story(on)
        sent = json.dumps([request.body for request in on.requests])
        planted = on.changes(on.documents()[0].commit or "")
        kept = "".join(path.read_text() for path in (workspace.layout.cache / "checks").iterdir())
        done = [path.name for path in mark.iterdir()]
        assert "conftest.py" in planted and "sub/file" in planted
        assert [name for name in planted if ".git/" in name] == []
        if mode == "none":
            assert {"conftest", "evil", "sitecustomize"} <= set(done), (
                "without the sandbox what is planted reaches its mark"
            )
            return
        assert done == []
        # It did run, where it may: the checks are the project's own code.
        assert "RAN-INSIDE sitecustomize" in kept
        assert "SEES-A-KEY" not in (kept + sent).replace("print('SEES-A-KEY')", "")
    assert owner_state(workspace.repo) == before
    assert any("plant;" in line.get("what", "") for line in on.log.events)


def test_a_filter_that_the_owner_does_not_have_waits_for_a_human(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    attributes = "printf '* filter=evil merge=evil\\n' > .gitattributes"
    plant = f": filter; {attributes}; git config filter.evil.clean 'touch x'; echo new >> notes.txt"
    with stage(workspace, take("build", "T-0001", bash(plant), hands_over())) as on:
        on.run("build")
        assert (on.step().to, on.items()) == (("human",), ["T-0001-0001"])
        assert "filter" in (on.last().reason or "")
        assert "evil" not in git(workspace.repo, "config", "--list")
        assert any("filter;" in line.get("what", "") for line in on.log.events)


@pytest.mark.parametrize("is_off", [False, True])
def test_no_hook_runs_when_the_engine_commits_and_merges(
    is_off: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if one had got through to the repository: an agent cannot write it."""
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    mark = tmp_path / "mark"
    for name in ("pre-commit", "post-commit", "reference-transaction", "post-checkout", "post-index-change"):
        hook = workspace.repo / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\necho {name} >> {mark}\n")
        hook.chmod(0o755)
    if is_off:
        rest = tuple(one for one in git_command.SETTINGS if not one.startswith("core.hooksPath"))
        monkeypatch.setattr(git_command, "SETTINGS", rest)
    with stage(workspace, builds("T-0001"), reviews("T-0001")) as on:
        story(on)
        assert mark.exists() == is_off


def test_odd_names_are_files_and_nothing_else(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    writes = [calls(("write", {"file_path": name, "content": "good\n"})) for name in ODD]
    finding = found("info", "--upload-pack=touch pwned", path="-rf", rule="$(touch pwned)")
    build = take("build", "T-0001", *writes, hands_over())
    with stage(workspace, build, reviews("T-0001", findings=[finding])) as on:
        before = owner_state(workspace.repo)
        story(on)
        assert owner_state(workspace.repo) == before
        (landed,) = [one for one in on.documents() if one.sender == "merge" and one.merged]
        named = git(workspace.repo, "ls-tree", "-r", "-z", "--name-only", landed.merged or "").split("\0")
        assert set(ODD) <= set(named)
        assert list(tmp_path.rglob("pwned*")) == []
        root = workspace.layout
        written = [*root.history_of("T-0001").iterdir(), *root.sessions.glob("*-*.md"), *root.logs.glob("*")]
        assert [path for path in written if b"\x1b" in path.read_bytes()] == []
        events = [plain_line(line) for line in on.log.events]
        assert any("write: -rf" in line for line in events)


# The verdict of QA


FORGES = {
    "writes results of its own": (
        "def pytest_unconfigure(config):\n    path = config.option.xmlpath\n"
        "    open(path, 'w').write('<testsuite><testcase classname=\"x\" name=\"y\"/></testsuite>')\n"
    ),
    "ends the run with no results": "import os\nos._exit(0)\n",
    "leaves every test out": "collect_ignore_glob = ['test_*']\n",
    "ends with zero though tests fail": "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n",
}
BREAKS = "def add(a, b):\n    return a - b\n"
LIES = (
    "import pytest\n\n@pytest.hookimpl(hookwrapper=True)\ndef pytest_runtest_makereport(item, call):\n"
    "    made = yield\n    made.get_result().outcome = 'passed'\n"
)


def break_and_plant(text: str) -> tuple[Said, Said]:
    both = calls(
        ("write", {"file_path": "calculator.py", "content": BREAKS}),
        ("write", {"file_path": "conftest.py", "content": text}),
    )
    return both, hands_over()


@pytest.mark.parametrize("forge", FORGES)
def test_results_that_do_not_fit_the_bases_are_no_pass(forge: str, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, PYTEST, CALCULATOR)
    judges = take("qa", "T-0001", hands_over("pass"), hands_over("fail"))
    with stage(workspace, take("build", "T-0001", *break_and_plant(FORGES[forge])), judges) as on:
        on.run("build")
        on.run("qa")
        assert on.last().outcome == "fail"
        assert {one.source for one in on.last().findings} == {"checks"}
        assert any("It cannot pass" in line.get("what", "") for line in on.log.events)


@pytest.mark.parametrize("protected", [False, True])
def test_a_conftest_that_calls_failures_passes_is_believed_unless_it_is_protected(
    protected: bool, tmp_path: Path
) -> None:
    """Not stopped by the engine's evidence: code of the project says how its tests went. A protected path asks."""
    gate: dict[str, dict[str, object]] = {} if protected else {"gate": {"protected": []}}  # as delivered it is
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, PYTEST, CALCULATOR, gate)
    with stage(workspace, take("build", "T-0001", *break_and_plant(LIES)), reviews("T-0001")) as on:
        on.run("build")
        on.review()
        assert "conftest.py" in on.files()
        assert on.step().to == (("human",) if protected else ("merge",))
