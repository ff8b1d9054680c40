"""How a conversation ends when the model will not end it truly, or will not end it at all."""

from __future__ import annotations

from pathlib import Path

from tests.sessions import CHECK, PLAIN, bash, calls, handing_over, hands_over, stage, take
from tests.workspaces import make_workspace
from watchbill.session_records import records


def test_three_untrue_handoffs_end_the_conversation(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    with stage(workspace, take("build", "T-0001", *[hands_over("done")] * 6)) as on:
        on.run("build")
        assert len(on.requests) == 3
        assert on.last().outcome == "deferred"
        assert "3 handoffs were refused" in on.last().reason


def test_what_is_called_after_the_handoff_in_the_same_message_is_not_run(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    both = calls(
        ("write", {"file_path": "before.txt", "content": "x\n"}),
        ("submit_handoff", handing_over("done")),
        ("write", {"file_path": "after.txt", "content": "x\n"}),
    )
    with stage(workspace, take("build", "T-0001", both)) as on:
        on.run("build")
        assert on.files() == ("before.txt",)


def test_what_was_spent_is_kept_when_the_work_cannot_be_committed(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, {"T-0001": "Do it"}, CHECK, PLAIN)
    forbidden = bash("mkdir 'git~1' && echo x > 'git~1/config'")
    with stage(workspace, take("build", "T-0001", forbidden, hands_over())) as on:
        on.run("build")
        assert (on.last().outcome, on.last().turns) == ("blocked", 2)
        assert "git does not take everything" in on.last().reason
        (record,) = records(workspace.layout)
        assert (record.turns, record.tokens.input, record.tokens.output) == (2, 20, 4)
