"""No secret leaves the engine: not into a document, a log line, a journal, a recording or a request."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import ALL, AWS, GITHUB, OWN_KEY, TOKEN, leaks_below, leaks_in
from tests.repositories import git
from tests.sessions import CHECK, PLAIN, Stage, bash, builds, calls, found, hands_over, says, stage, take, writes
from tests.tools.redaction.broken import damaged_rules
from tests.workspaces import NOW, make_workspace, ticket_text
from watchbill.documents.script import Said, ScriptBuilder, render
from watchbill.errors import Misconfigured
from watchbill.hand_over import hand_over
from watchbill.inbox import ask_about_damage
from watchbill.settle import settle
from watchbill.stages.tickets import new
from watchbill.tools.log import open_log
from watchbill.tools.model import Reply, Usage
from watchbill.workspace import Workspace

# Its output is longer than what is shown of it, with a secret just where it is cut.
TELLING_CHECK = f"cat answers.txt; printf '%0{4_000 - 10}d' 1; test ! -e broken"
REMOTE = "https://me:a-word-for-the-remote@example.org/x.git"


@pytest.fixture(autouse=True)
def _a_variable_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SERVICE_TOKEN", TOKEN)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def everywhere(outcome: str, **more: Any) -> Said:
    """A handoff with a secret in every text of it."""
    finding = found("medium", title=f"A {AWS} hole", rule=f"x {GITHUB}", evidence=ALL, rationale=ALL)
    texts = {"summary": ALL, "next": ALL, "open_questions": [ALL, TOKEN], "requests": [ALL], "findings": [finding]}
    return hands_over(outcome, **{**texts, **more})


@contextmanager
def a_night(workspace: Workspace) -> Iterator[Stage]:
    """Build, both reviewers and a human's answer, each with secrets in all they say, print and write."""
    prints = bash(f"cat <<'END'\n{ALL}\nEND\necho It is a-word-for-the-remote")
    work = (
        calls(("bash", {"command": f"echo {TOKEN} {AWS} > /dev/null"}), text=ALL),
        prints,
        writes("answers.txt", f"{ALL}\n"),
        calls(("read", {"file_path": "answers.txt"}), ("grep", {"pattern": "key", "path": "."})),
        everywhere("done"),
    )
    criteria = [{"criterion": ALL, "met": True, "evidence": ALL}]
    judged = take("qa", "T-0001", prints, everywhere("pass", criteria=criteria, findings=[], requests=[]))
    looked = take("security", "T-0001", says(ALL, "max_tokens"))
    with stage(workspace, take("build", "T-0001", *work), judged, looked, key=OWN_KEY) as on:
        on.log = open_log(workspace.layout.logs, lambda _: None)
        on.run("build")
        on.review()
        for item in on.items():
            on.decide(item, "dismiss", f"the key is {OWN_KEY}, the other {AWS}")
        (workspace.layout.tickets / "T-0009.md").write_text(f"---\nid: T-0009\n{AWS} {AWS}: x\n---\n")
        settle(workspace, NOW)
        yield on


def owners(folder: Path) -> Workspace:
    """A workspace whose ticket has secrets in it, which is its owner's."""
    text = ticket_text("T-0001", f"Use {GITHUB}", f"## Description\n\nIt is {OWN_KEY} and {AWS}.")
    workspace = make_workspace(folder, {"T-0001": text}, TELLING_CHECK, {**PLAIN, "answers.txt": "none\n"})
    git(workspace.repo, "remote", "add", "origin", REMOTE)
    return workspace


def test_a_night_full_of_secrets_leaves_none_behind(tmp_path: Path) -> None:
    with umask(0):
        workspace = owners(tmp_path)
        layout = workspace.layout
        with a_night(workspace) as on:
            assert [handoff.sender for handoff in on.documents()] == ["build", "qa", "security", "human"]
            # The ticket is its owner's, what lies in a worktree the agent's, and what was set aside keeps its bytes.
            apart = (layout.tickets, layout.worktrees, *layout.quarantine.glob("*.md"))
            assert leaks_below(layout.root, apart) == []
            sent = json.dumps([request.body for request in on.requests], ensure_ascii=False)
            assert len(on.requests) > 6
            assert leaks_in(sent) == []
            for text in (sent, *(path.read_text("utf-8") for path in written(workspace))):
                assert "[redacted: " in text
                assert "a-word-for-the-remote" not in text
            assert "It is [redacted: git remote 1]" in sent
            # The work itself is as the agent left it, and the scanners say where it holds what.
            commit = on.documents()[0].commit or ""
            assert AWS in on.read(commit, "answers.txt")
            assert GITHUB not in git(workspace.repo, "log", "--format=%B", commit)
            findings = {(one.source, one.rule, one.path) for one in on.documents()[2].findings}
            assert ("detect-secrets", "AWS Access Key", "answers.txt") in findings
    worktrees = list(layout.worktrees.iterdir())
    assert worktrees
    assert [mode for path in (*below(layout.root, apart), *worktrees) if (mode := too_open(path))] == []


def written(workspace: Workspace) -> list[Path]:
    """One file of every kind that holds somebody's words."""
    layout = workspace.layout
    handoffs = [layout.handoff("T-0001", seq) for seq in (1, 2, 3, 4)]
    others = (layout.logs, layout.decided)
    checks = max((layout.cache / "checks").iterdir(), key=lambda path: path.stat().st_size)
    records = [next(layout.sessions.glob("build-*.md"))]
    reasons = [next(layout.quarantine.glob("*.reason.json"))]
    return [*handoffs, checks, *records, *reasons, *(next(folder.iterdir()) for folder in others)]


def below(folder: Path, leave_out: tuple[Path, ...]) -> list[Path]:
    found = [path for path in folder.rglob("*") if not any(place in path.parents for place in leave_out)]
    assert len(found) > 40
    return [folder, *(path for path in found if path not in leave_out)]


def too_open(path: Path) -> str:
    """What is wrong with the rights of a file or folder of the engine's own."""
    mode = path.stat().st_mode & 0o777
    wanted = 0o700 if path.is_dir() else 0o600
    return "" if mode == wanted else f"{path}: {mode:o}"


def test_nobody_elses_rights_are_needed_when_the_owner_gives_none(tmp_path: Path) -> None:
    with umask(0o077):
        workspace = make_workspace(tmp_path, {}, CHECK, PLAIN)
        new(workspace, "A ticket", today=NOW.date())
        with stage(workspace, builds("T-0001")) as on:
            on.run("build")
    layout = workspace.layout
    assert [mode for path in below(layout.root, (layout.worktrees,)) if (mode := too_open(path))] == []


# When secrets cannot be recognised


def test_nothing_is_sent_or_published_and_no_turn_is_spent_when_secrets_cannot_be_recognised(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    layout = workspace.layout
    (tmp_path / "rules").mkdir()
    with stage(workspace, builds("T-0001")) as on:
        on.plan("build")
        with damaged_rules(tmp_path / "rules"), pytest.raises(Misconfigured, match="rules for secrets"):
            on.run("build", plan=False)
        assert on.requests == []
        assert not layout.history_of("T-0001").exists()
        assert list(layout.sessions.glob("build-*.md")) == []
        assert '"turn"' not in layout.journal("build-0001").read_text()
        # When it is mended the same manifest is worked, as if nothing had been.
        on.run("build", plan=False)
        assert on.last().outcome == "done"


def test_work_that_cannot_be_handed_over_waits_in_the_ticket_for_the_next_session(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    (tmp_path / "rules").mkdir()
    broken = damaged_rules(tmp_path / "rules")
    replies = (writes("notes.txt", "good\nnew\n"), hands_over(summary="It is done, at last."))
    with stage(workspace, take("build", "T-0001", *replies), take("build", "T-0001", hands_over())) as on:
        on.plan("build")
        # The rules are lost when the handoff is on its way in.
        on.log.on_event = lambda line: broken.__enter__() if line.get("tool") == "submit_handoff" else None
        with pytest.raises(Misconfigured, match="rules for secrets"):
            on.run("build", plan=False)
        broken.__exit__(None, None, None)
        on.log.on_event = lambda _: None
        assert on.documents() == ()
        on.run("build", plan=False)
        assert [document.outcome for document in on.documents()] == ["deferred", "done"]
        assert on.files() == ("notes.txt",)


@pytest.mark.parametrize("door", ["handoff", "inbox"])
def test_no_document_is_published_that_could_not_be_searched(door: str, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    layout = workspace.layout
    (tmp_path / "rules").mkdir()
    fields = {"from": "build", "outcome": "blocked", "reason": "a reason of some length"}
    with damaged_rules(tmp_path / "rules"), pytest.raises(Misconfigured, match="rules for secrets"):
        if door == "handoff":
            hand_over(workspace, "T-0001", fields, NOW, lambda *_: True)
        else:
            ask_about_damage(layout, "T-0001", 1, layout.handoff("T-0001", 1), "a reason", NOW)
    assert not layout.history_of("T-0001").exists()
    assert list(layout.inbox.glob("T-*.md")) == []


# Beside the night


def test_a_recording_holds_no_secret() -> None:
    from watchbill.cli.running import _options

    builder = ScriptBuilder("a recording")
    record = _options(None, 1, builder).record
    assert record is not None
    content = ({"type": "text", "text": AWS}, {"type": "tool_use", "name": "bash", "input": {"command": f"echo {AWS}"}})
    record("build", "T-0001", "build-0001-1", Reply("tool_use", AWS, ("bash",), "one", Usage(), content))
    assert leaks_in(render(builder.script())) == []
    assert "echo [redacted: aws-access-token]" in render(builder.script())


def test_a_manifest_holds_no_secret_in_its_reasons(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    (workspace.layout.tickets / "T-0002.md").write_text(f"---\nid: T-0002\n{AWS}: x\n{AWS}: x\n---\n")
    with stage(workspace) as on:
        on.plan("build")
        on.plan("build")
    (manifest,) = workspace.layout.manifests.glob("build-*.json")
    assert AWS not in manifest.read_text("utf-8")
    assert "the key '[redacted: aws-access-token]' stands twice" in manifest.read_text("utf-8")
