"""New tickets: a number is given once, whatever still speaks of the ticket that had it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bare_workspaces import bare_workspace
from tests.stories import NOW
from watchbill.documents.manifest import Manifest, Skipped
from watchbill.errors import Refused
from watchbill.settle import settle
from watchbill.stages.tickets import new
from watchbill.workspace import Workspace


def next_id(workspace: Workspace) -> str:
    return new(Workspace(workspace.root), "One more", today=NOW.date()).id


def an_item(workspace: Workspace) -> None:
    workspace.layout.inbox.mkdir()
    (workspace.layout.inbox / "T-0018-0004.md").write_text("of a ticket that was deleted")


def a_decided_item(workspace: Workspace) -> None:
    workspace.layout.decided.mkdir(parents=True)
    (workspace.layout.decided / "T-0018-0000.md").write_text("of a ticket that was set aside and forgotten")


def a_history(workspace: Workspace) -> None:
    workspace.layout.history_of("T-0018").mkdir(parents=True)


def a_manifest(workspace: Workspace) -> None:
    skipped = (Skipped("T-0018", "its dependency is not merged"),)
    manifest = Manifest(
        id="build-0001", agent="build", created=NOW, base=None, playbook="p", agent_version="v", soft_turns=1,
        hard_turns=2, skipped=skipped,
    )  # fmt: skip
    workspace.layout.manifests.mkdir()
    workspace.layout.manifest(manifest.id).write_bytes(manifest.render())
    example = manifest.render().replace(b"T-0018", b"T-0099")
    (workspace.layout.manifests / "README.md").write_bytes(example)


def a_ticket_set_aside(workspace: Workspace) -> None:
    (workspace.layout.tickets / f"T-0018 - {'a long title ' * 5}.md").write_bytes(b"\xff")
    settle(workspace, NOW)
    assert [path.name[-4:] for path in workspace.layout.quarantine.glob("*T-0018*")] == [], "the name there is cut"
    for item in workspace.layout.inbox.glob("T-0018-*.md"):
        item.unlink()


def a_ticket_set_aside_that_only_its_text_names(workspace: Workspace) -> None:
    (workspace.layout.tickets / "login.md").write_text("---\nid: t-0018\ntitle: [\n---\n", "utf-8")
    settle(workspace, NOW)


def a_broken_ticket_that_only_its_text_names(workspace: Workspace) -> None:
    (workspace.layout.tickets / "login.md").write_text("---\nid: 't-0018'\ntitle: [\n---\n", "utf-8")


@pytest.mark.parametrize(
    "left",
    [
        an_item,
        a_decided_item,
        a_history,
        a_manifest,
        a_ticket_set_aside,
        a_ticket_set_aside_that_only_its_text_names,
        a_broken_ticket_that_only_its_text_names,
    ],
)
def test_a_number_that_anything_still_speaks_of_is_not_given_again(
    tmp_path: Path, left: Callable[[Workspace], None]
) -> None:
    workspace = bare_workspace(tmp_path)
    left(workspace)
    assert next_id(workspace) == "T-0019"


def test_no_number_of_a_pack_that_cannot_be_read_is_given(tmp_path: Path) -> None:
    workspace = bare_workspace(tmp_path)
    folder = workspace.layout.archive / "T-2000"
    folder.mkdir(parents=True)
    (folder / "0001.zip").write_bytes(b"half of one")
    assert next_id(workspace) == "T-3000"


def test_the_last_number_of_all_is_said_to_be_the_last(tmp_path: Path) -> None:
    workspace = bare_workspace(tmp_path)
    (workspace.layout.tickets / "T-999999999.md").write_text("---\nid: T-999999999\ntitle: The last\n---\n", "utf-8")
    with pytest.raises(Refused, match="no number is left"):
        next_id(workspace)
