"""Planning on a real workspace: what is published, what stands, what is only shown."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.repositories import commit_files
from tests.sessions import CHECK, PLAIN, builds, hands_over, stage, take
from tests.workspaces import NOW, change_settings, make_workspace, ticket_text, write_ticket
from watchbill.documents.manifest import Manifest
from watchbill.errors import Damaged, Misconfigured, TryLater
from watchbill.files.locks import held
from watchbill.stages.plan import plan
from watchbill.workspace import Workspace

BACKLOG = {
    "T-0001": "First",
    "T-0002": ticket_text("T-0002", dependencies="[T-0001]"),
    "T-0003": ticket_text("T-0003", dependencies="[T-0004]"),
    "T-0004": ticket_text("T-0004", dependencies="[T-0003]"),
    "T-0005": ticket_text("T-0005", dependencies="[T-0404]"),
    "T-0006": ticket_text("T-0006", priority="critical"),
    "T-0007": ticket_text("T-0007", status="closed"),
    "T-0008": "---\nid: nonsense\n---\n",
}


def small(folder: Path, tickets: dict[str, str] | None = None) -> Workspace:
    return make_workspace(folder, BACKLOG if tickets is None else tickets, CHECK, PLAIN)


def published(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.layout.manifests.glob("*.json"))


def test_every_ticket_is_an_entry_or_skipped_with_its_reason(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    (build,) = plan(workspace, NOW, ("build",))
    assert [entry.ticket for entry in build.entries] == ["T-0006", "T-0001"]
    reasons = {skipped.ticket: skipped.reason for skipped in build.skipped}
    assert set(reasons) == {"T-0002", "T-0003", "T-0004", "T-0005", "T-0007", "T-0008.md"}
    for ticket, word in (("T-0002", "T-0001"), ("T-0003", "T-0004"), ("T-0005", "T-0404"), ("T-0007", "closed")):
        assert word in reasons[ticket]


def test_what_is_published_is_what_was_planned(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    planned = plan(workspace, NOW)
    assert published(workspace) == ["build-0001.json", "qa-0001.json", "security-0001.json"]
    assert [Manifest.load(workspace.layout.manifest(manifest.id)) for manifest in planned] == planned


def test_a_dry_run_writes_nothing_and_says_the_same(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    shown = plan(workspace, NOW, dry_run=True)
    assert published(workspace) == []
    assert plan(workspace, NOW) == shown


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    first = [manifest.render() for manifest in plan(workspace, NOW, dry_run=True)]
    assert [manifest.render() for manifest in plan(Workspace(workspace.root), NOW, dry_run=True)] == first


def test_an_unused_manifest_that_says_the_same_stands(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    first = plan(workspace, NOW)
    assert plan(workspace, NOW + timedelta(hours=1)) == first
    assert len(published(workspace)) == 3


def test_a_new_ticket_makes_a_new_manifest(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    write_ticket(workspace, "T-0009", "Another")
    (second,) = plan(workspace, NOW, ("build",))
    assert second.id == "build-0002"
    assert "T-0009" in {entry.ticket for entry in second.entries}


def test_a_base_that_moved_makes_a_new_manifest(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    tip = commit_files(workspace.repo, {"later.txt": "x\n"}, "the owner goes on")
    (second,) = plan(workspace, NOW, ("build",))
    assert (second.id, second.base) == ("build-0002", tip)


def test_a_damaged_newest_manifest_is_left_and_followed_by_a_new_one(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    workspace.layout.manifest("build-0001").write_text("{")
    (second,) = plan(workspace, NOW, ("build",))
    assert second.id == "build-0002"
    assert workspace.layout.manifest("build-0001").read_text() == "{"


def test_turns_that_the_night_has_spent_are_taken_off_and_at_the_soft_cap_nothing_is_planned(tmp_path: Path) -> None:
    workspace = small(tmp_path, {"T-0001": "First"})
    caps = workspace.settings.agents.build
    (some,) = plan(workspace, NOW, ("build",), spent={"build": caps.soft_turns - 1})
    assert (some.soft_turns, some.hard_turns) == (1, caps.hard_turns - caps.soft_turns + 1)
    assert plan(workspace, NOW, ("build",), spent={"build": caps.soft_turns}) == []


def test_a_full_inbox_lets_nothing_new_begin(tmp_path: Path) -> None:
    workspace = small(tmp_path, {"T-0001": "First", "T-0002": "Second"})
    change_settings(workspace, {"limits": {"max_waiting": 1}})
    workspace = Workspace(workspace.root)
    with stage(workspace, take("build", "T-0001", hands_over("blocked")), builds("T-0002")) as on:
        workspace.layout.tickets.joinpath("T-0002.md").rename(tmp_path / "later.md")
        on.run("build")
        (tmp_path / "later.md").rename(workspace.layout.tickets / "T-0002.md")
        (build,) = plan(workspace, NOW, ("build",))
        assert build.entries == ()
        assert "max_waiting" in {skipped.ticket: skipped.reason for skipped in build.skipped}["T-0002"]


def test_two_planners_do_not_meet(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    with held(workspace.layout.lock("plan"), "plan"), pytest.raises(TryLater, match="another plan"):
        plan(workspace, NOW)


def test_a_repository_without_the_base_branch_is_the_owners_to_mend(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    change_settings(workspace, {"project": {"base": "trunk"}})
    with pytest.raises(Misconfigured, match="has no branch 'trunk'"):
        plan(Workspace(workspace.root), NOW)
    assert published(workspace) == []


def test_a_manifest_is_plain_json(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    value = json.loads(workspace.layout.manifest("build-0001").read_bytes())
    assert value["schema"] == "watchbill/manifest/1"


# A manifest is remembered by what it was made from.


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchbill.stages.plan.MANY", 1)


def not_decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError(f"it was decided again, from {len(given)} things")

    monkeypatch.setattr("watchbill.stages.plan.decide", refuse)


@pytest.mark.usefixtures("remembering")
def test_what_planning_does_not_look_at_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = small(tmp_path)
    first = plan(workspace, NOW)
    write_ticket(workspace, "T-0001", ticket_text("T-0001", "First", body="Said in better words."))
    not_decided_again(monkeypatch)
    assert plan(workspace, NOW + timedelta(hours=1)) == first


@pytest.mark.usefixtures("remembering")
@pytest.mark.parametrize(
    "change", ["priority", "new", "gone", "damaged", "caps", "base", "manifest", "inbox", "prompt"]
)
def test_whatever_planning_looks_at_makes_it_decide_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    layout = workspace.layout
    if change == "priority":
        write_ticket(workspace, "T-0001", ticket_text("T-0001", "First", priority="high"))
    elif change == "new":
        write_ticket(workspace, "T-0009", "Another")
    elif change == "gone":
        (layout.tickets / "T-0001.md").unlink()
    elif change == "damaged":
        write_ticket(workspace, "T-0010", "---\nid: nonsense\n---\n")
    elif change == "caps":
        change_settings(
            workspace, {"agents": {"build": {**workspace.settings.agents.build.model_dump(), "hard_turns": 99}}}
        )
    elif change == "base":
        commit_files(workspace.repo, {"later.txt": "x\n"}, "the owner goes on")
    elif change == "manifest":
        layout.manifest("build-0001").write_text("{")
    elif change == "inbox":
        (layout.inbox / "T-0001-0001.md").write_text("a question")
    elif change == "prompt":
        layout.agent_file("build").write_text(layout.agent_file("build").read_text() + "\nBe brief.\n")
    not_decided_again(monkeypatch)
    with pytest.raises(AssertionError, match="decided again"):
        plan(Workspace(workspace.root), NOW, ("build",))


@pytest.mark.usefixtures("remembering")
def test_what_changes_no_decision_needs_no_other_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = small(tmp_path)
    first = plan(workspace, NOW)
    write_ticket(workspace, "T-0002", ticket_text("T-0002", priority="low", dependencies="[T-0001]"))

    def refuse(*given: object) -> None:
        raise AssertionError(f"a manifest was made, from {len(given)} things")

    with monkeypatch.context() as patched:
        patched.setattr("watchbill.stages.plan.manifest_of", refuse)
        assert plan(workspace, NOW + timedelta(hours=1)) == first
    workspace.layout.manifest("qa-0001").write_text("{")
    assert [manifest.id for manifest in plan(workspace, NOW)] == ["build-0001", "qa-0002", "security-0001"]


@pytest.mark.usefixtures("remembering")
@pytest.mark.parametrize("change", ["order", "reason", "prompt"])
def test_whatever_a_manifest_says_makes_another_when_it_changes(tmp_path: Path, change: str) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    if change == "order":
        write_ticket(workspace, "T-0006", ticket_text("T-0006", priority="low"))
    elif change == "reason":
        write_ticket(workspace, "T-0002", ticket_text("T-0002", dependencies="[T-0404]"))
    elif change == "prompt":
        prompt = workspace.layout.agent_file("build")
        prompt.write_text(prompt.read_text() + "\nBe brief.\n")
    (second,) = plan(Workspace(workspace.root), NOW, ("build",))
    (shown,) = plan(Workspace(workspace.root), NOW, ("build",), dry_run=True)
    assert (second.id, shown.model_copy(update={"id": second.id})) == ("build-0002", second)


@pytest.mark.usefixtures("remembering")
@pytest.mark.parametrize("kept", ["[]", "{", '{"build": 1}', '{"build": {"inputs": "x"}}', '{"build": ["x", "y", []]}'])
def test_what_is_remembered_may_be_anything(tmp_path: Path, kept: str) -> None:
    workspace = small(tmp_path)
    first = plan(workspace, NOW, ("build",))
    workspace.layout.planned.write_text(kept)
    assert plan(workspace, NOW, ("build",)) == first


@pytest.mark.usefixtures("remembering")
def test_a_manifest_that_a_session_began_with_is_not_planned_with_again(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    plan(workspace, NOW, ("build",))
    workspace.layout.journals.mkdir(parents=True, exist_ok=True)
    workspace.layout.journal("build-0001").write_text('{"event": "open"}\n')
    (second,) = plan(workspace, NOW, ("build",))
    assert second.id == "build-0002"


def test_a_manifest_of_an_older_version_is_read_as_the_present_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = small(tmp_path)
    (planned,) = plan(workspace, NOW, ("build",))
    path = workspace.layout.manifest(planned.id)
    older = path.read_text("utf-8").replace("watchbill/manifest/1", "watchbill/manifest/0").replace('"base"', '"start"')
    path.write_text(older, "utf-8")
    with pytest.raises(Damaged, match="watchbill/manifest/0, which nobody reads any more"):
        Manifest.load(path)

    def renamed(meta: dict[str, object]) -> dict[str, object]:
        return {"base" if key == "start" else key: value for key, value in meta.items()}

    monkeypatch.setattr(Manifest, "upgrades", {0: renamed})
    assert Manifest.load(path) == planned


def test_a_manifest_of_a_later_version_is_not_guessed(tmp_path: Path) -> None:
    workspace = small(tmp_path)
    (planned,) = plan(workspace, NOW, ("build",))
    path = workspace.layout.manifest(planned.id)
    path.write_text(path.read_text("utf-8").replace("watchbill/manifest/1", "watchbill/manifest/2"), "utf-8")
    with pytest.raises(Damaged, match="update Watchbill"):
        Manifest.load(path)
