"""No secret leaves the engine: not into a document, a log line, a journal, a recording or a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import ALL, AWS, GITHUB, OWN_KEY, TOKEN, leaks_below, leaks_in
from tests.sessions import PLAIN, Stage, bash, calls, found, hands_over, says, stage, take, writes
from tests.workspaces import make_workspace, ticket_text
from watchbill.settle import settle
from watchbill.tools.log import open_log
from watchbill.workspace import Workspace

TELLING_CHECK = "cat answers.txt; test ! -e broken"


@pytest.fixture(autouse=True)
def _a_variable_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SERVICE_TOKEN", TOKEN)


def everywhere(outcome: str, **more: Any) -> Any:
    """A handoff with a secret in every text of it."""
    finding = found("medium", title=f"A {AWS} hole", rule=f"x {GITHUB}"[:120], evidence=ALL, rationale=ALL)
    texts = {"summary": ALL, "next": ALL, "open_questions": [ALL, TOKEN], "requests": [ALL], "findings": [finding]}
    return hands_over(outcome, **{**texts, **more})


def a_night(workspace: Workspace) -> Iterator[Stage]:
    """Build, both reviewers and a human's answer, each with secrets in all they say, print and write."""
    prints = bash("cat <<'END'\n" + ALL + "\nEND")
    work = (
        calls(("bash", {"command": f"echo {TOKEN} {AWS} > /dev/null"}), text=ALL),
        prints,
        writes("answers.txt", ALL + "\n"),
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
        on.plan()
        for item in on.items():
            on.decide(item, "dismiss", f"the key is {OWN_KEY}, the other {AWS}")
        settle(workspace, on.documents()[-1].created)
        yield on


def owners(folder: Path) -> Workspace:
    """A workspace whose ticket has a secret in it, which is its owner's."""
    text = ticket_text("T-0001", f"Use {GITHUB}", f"## Description\n\nIt is {OWN_KEY} and {AWS}.")
    return make_workspace(folder, {"T-0001": text}, TELLING_CHECK, {**PLAIN, "answers.txt": "none\n"})


def test_a_night_full_of_secrets_leaves_none_behind(tmp_path: Path) -> None:
    workspace = owners(tmp_path)
    layout = workspace.layout
    for on in a_night(workspace):
        assert [handoff.sender for handoff in on.documents()] == ["build", "qa", "security", "human"]
        # The ticket is its owner's, and what lies in a worktree is the agent's.
        assert leaks_below(layout.root, (layout.tickets, layout.worktrees)) == []
        sent = json.dumps([request.body for request in on.requests], ensure_ascii=False)
        assert len(on.requests) > 6
        assert leaks_in(sent) == []
        assert "[redacted: aws-access-token]" in sent
        assert "[redacted: aws-access-token]" in layout.handoff("T-0001", 1).read_text("utf-8")
        assert "[redacted: SOME_SERVICE_TOKEN]" in next(layout.logs.iterdir()).read_text("utf-8")
        assert any("[redacted:" in path.read_text("utf-8") for path in layout.decided.iterdir())
        assert any("[redacted:" in path.read_text("utf-8") for path in (layout.cache / "checks").iterdir())
        # The work itself is as the agent left it: it is what the scanners look at.
        commit = on.documents()[0].commit or ""
        assert AWS in on.read(commit, "answers.txt")
        findings = {(one.source, one.path): one for one in on.documents()[2].findings}
        assert ("detect-secrets", "answers.txt") in findings
