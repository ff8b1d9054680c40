"""The whole watch: it ends when nothing moves, keeps its caps, and costs nothing when idle."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.repositories import git, owner_state
from tests.sessions import CHECK, PLAIN, bash, builds, fails, found, hands_over, reviews, stage, take, turns, writes
from tests.workspaces import NOW, change_settings, make_workspace, ticket_text
from watchbill.errors import TryLater
from watchbill.files.locks import held
from watchbill.pause import pause
from watchbill.stages.verify import verify
from watchbill.workspace import Workspace


def plain(folder: Path, *tickets: str) -> Workspace:
    return make_workspace(folder, {id: f"Do {id}" for id in tickets or ("T-0001",)}, CHECK, PLAIN)


def published(workspace: Workspace) -> list[str]:
    return sorted(path.name for path in workspace.layout.manifests.glob("*.json"))


def test_an_idle_watch_asks_no_model_and_publishes_no_second_manifest(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    workspace.layout.tickets.joinpath("T-0001.md").unlink()
    with stage(workspace) as on:
        on.go_round()
        first = published(workspace)
        night = on.go_round()
        assert (night.rounds, night.sessions, night.merges) == (1, [], [])
        assert published(workspace) == first
        assert on.requests == []
        assert not list(workspace.layout.sessions.glob("*-*.md"))


def test_after_a_night_the_watch_is_idle_again(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    with stage(workspace, builds("T-0001"), *reviews("T-0001")) as on:
        on.go_round()
        asked = len(on.requests)
        on.go_round()
        manifests = published(workspace)
        night = on.go_round()
        assert (len(on.requests), night.sessions, published(workspace)) == (asked, [], manifests)


def test_a_ticket_travels_the_whole_way_and_the_one_that_waits_for_it_too(tmp_path: Path) -> None:
    workspace = plain(tmp_path, "T-0001")
    text = ticket_text("T-0002", "The second", dependencies="[T-0001]")
    workspace.layout.tickets.joinpath("T-0002.md").write_text(text)
    before = owner_state(workspace.repo)
    second = take("build", "T-0002", bash("cat one.txt"), writes("two.txt", "2\n"), hands_over())
    with stage(workspace, builds("T-0001", "one.txt", "1\n"), second, *reviews("T-0001"), *reviews("T-0002")) as on:
        night = on.go_round()
        assert [(merge.ticket, merge.outcome) for merge in night.merges] == [("T-0001", "merged"), ("T-0002", "merged")]
        assert git(workspace.repo, "show", "watchbill/integration:two.txt") == "2"
        assert on.model.unused() == []
        assert verify(Workspace(workspace.root), on.last().created).violations == ()
    assert owner_state(workspace.repo) == before


def test_what_reviewers_send_back_is_mended_in_the_same_night(tmp_path: Path) -> None:
    flaw = hands_over("fail", findings=[found("medium")])
    takes = (
        builds("T-0001"),
        take("qa", "T-0001", flaw),
        take("security", "T-0001", hands_over("pass")),
        builds("T-0001", content="good\nbetter\n"),
        *reviews("T-0001"),
    )
    with stage(plain(tmp_path), *takes) as on:
        night = on.go_round()
        assert [merge.outcome for merge in night.merges] == ["merged"]
        assert [handoff.sender for handoff in on.documents()].count("build") == 2


def test_a_ticket_that_never_gets_done_ends_at_a_human(tmp_path: Path) -> None:
    takes = [take("build", "T-0001", writes("notes.txt", f"{number}\n"), hands_over("deferred")) for number in range(9)]
    with stage(plain(tmp_path), *takes) as on:
        night = on.go_round()
        assert [handoff.outcome for handoff in on.documents()] == ["deferred"] * 3
        assert on.items() == ["T-0001-0003"]
        assert night.rounds <= 5


def test_the_caps_of_an_agent_hold_for_the_whole_night(tmp_path: Path) -> None:
    workspace = plain(tmp_path, "T-0001", "T-0002", "T-0003")
    others = {agent: turns(40, 60, 15) | {"schedule": "0 4 * * *"} for agent in ("qa", "security")}
    build = turns(6, 8, 3) | {"schedule": "0 2 * * *"}
    change_settings(workspace, {"agents": {"build": build, **others}, "limits": {"max_attempts": 50}})
    endless = [take("build", f"T-000{n}", *[bash("true")] * 40) for n in (1, 2, 3) for _ in range(20)]
    with stage(Workspace(workspace.root), *endless) as on:
        night = on.go_round()
        assert len(on.requests) <= 8
        assert night.spent["build"] == len(on.requests)


def test_an_answer_that_is_written_during_the_night_is_picked_up(tmp_path: Path) -> None:
    takes = (take("build", "T-0001", hands_over("blocked", requests=["May I?"])), builds("T-0001"), *reviews("T-0001"))
    with stage(plain(tmp_path), *takes) as on:
        on.go_round()
        item = on.workspace.layout.inbox_item("T-0001-0001")
        text = item.read_text()
        item.write_text(text.replace("\ndecision: ''", "\ndecision: approve", 1))
        night = on.go_round()
        assert [merge.outcome for merge in night.merges] == ["merged"]


def test_a_model_that_is_away_ends_the_night_without_spending_attempts(tmp_path: Path) -> None:
    with stage(plain(tmp_path, "T-0001", "T-0002"), take("build", "T-0001", fails(401))) as on:
        night = on.go_round()
        assert night.troubles["build"].kind == "key"
        assert len(on.requests) == 1
        assert on.documents() == on.documents("T-0002") == ()


def test_a_pause_ends_the_night(tmp_path: Path) -> None:
    workspace = plain(tmp_path, "T-0001", "T-0002")
    with stage(workspace, builds("T-0001"), builds("T-0002", "b.txt")) as on:
        on.log.on_event = lambda line: pause(workspace.layout, "", NOW) if line["event"] == "tool" else None
        with pytest.raises(TryLater, match="paused"):
            on.go_round()
        assert len(on.requests) == 1
        assert on.last().outcome == "deferred"


def test_a_build_session_elsewhere_makes_it_try_later(tmp_path: Path) -> None:
    workspace = plain(tmp_path)
    with stage(workspace, builds("T-0001")) as on, held(workspace.layout.lock("build"), "build session"):
        with pytest.raises(TryLater, match="another build session"):
            on.go_round()
        assert on.requests == []
