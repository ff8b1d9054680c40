"""One inbox item as it is to be read now, whatever its file said when it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stages.waiting_workspace import NOW, SETTINGS, ask_something, make_workspace, with_answer
from watchbill.cli import show
from watchbill.errors import Refused
from watchbill.stages.decide import decide
from watchbill.stages.page import page_of
from watchbill.workspace import Workspace

ITEM = "T-0001-0001"
OLD = "gate: an edit of the inbox folder decides"


def test_an_old_page_tells_the_gate_of_today_and_how_many_have_to_agree(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    item = ask_something(workspace)
    assert f"(When this was asked: {OLD})" in item.read_text("utf-8")
    now = page_of(workspace, ITEM, NOW).body
    assert f"after `decision:` in {item} and save it, or run" in now
    assert f"({OLD})" in now and "agree" not in now
    gate = '[gate]\nrequire = "signature"\nrepository = "r"\napprovals = 2\n'
    workspace.layout.settings.write_text(SETTINGS + gate, "utf-8")
    (tmp_path / "gate").mkdir()
    (tmp_path / "gate" / "allowed_signers").write_text("", "utf-8")
    body = page_of(Workspace(workspace.root), ITEM, NOW).body
    assert OLD not in body and "(gate: decisions are signed)" in body
    assert "then sign it with `watchbill inbox sign`" in body
    assert "2 people have to decide the same.\n\nIt waits; 0 of 2 agree (none yet)." in body
    assert body.count("## How to answer") == 1 and "## What the agents tried" in body


def test_an_answered_page_says_what_became_of_it_and_offers_no_more_answers(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    ask_something(workspace)
    decide(workspace, ITEM, "escalate", "", "ada", NOW)
    body = page_of(workspace, ITEM, NOW).body
    assert "It was answered: escalate by ada (document 0002). It goes on as T-0001-0002" in body
    assert "watchbill inbox approve" not in body
    assert "watchbill inbox approve T-0001-0002" in page_of(workspace, "T-0001-0002", NOW).body


def test_a_spoilt_page_is_shown_with_its_trouble(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    item = ask_something(workspace)
    item.write_text(with_answer(item, "aprove"), "utf-8")
    page = page_of(workspace, ITEM, NOW)
    assert page.item is None and page.trouble.startswith(f"{item} cannot be read: decision: ")
    assert "decision: aprove" in page.body and "the specification contradicts itself" in page.body


@pytest.mark.parametrize("item", ["T-0001-0009", "../watchbill", ""])
def test_what_is_no_item_has_no_page(tmp_path: Path, item: str) -> None:
    with pytest.raises(Refused, match="there is no item"):
        page_of(make_workspace(tmp_path), item, NOW)


def test_a_history_says_who_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = make_workspace(tmp_path)
    ask_something(workspace)
    decide(workspace, ITEM, "approve", "", "ada", NOW)
    show.history(workspace.history("T-0001"), json=False)
    assert "human → build: approve by ada\n" in capsys.readouterr().out
