"""A scripted model that reaches for what lies around its worktree, from every role: what stopped it, and who knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.attacks.ground import attack, ground, runs
from tests.attacks.table import REACHES
from tests.leaks import OWN_KEY
from tests.sessions import calls, hands_over, stage, take
from watchbill.documents.manifest import Agent


@pytest.mark.parametrize(
    ("role", "mode"),
    [("build", "bubblewrap"), ("qa", "bubblewrap"), ("security", "bubblewrap"), ("build", "landlock")],
)
def test_nothing_around_the_worktree_is_reached(role: Agent, mode: str, tmp_path: Path) -> None:
    attacks = [one for one in REACHES if role in one.roles]
    with ground(tmp_path, mode) as place:
        battle = attack(place, role, attacks)
        assert [trouble for came in battle.came.values() if (trouble := came.trouble())] == []
        assert place.ears.heard == []
        assert place.bystander.poll() is None
        assert not runs(place.places["daemon"])
        written = [path for path in place.workspace.root.rglob("*") if path.is_file()]
        for secret in (OWN_KEY, OWN_KEY[::-1]):
            assert secret not in json.dumps(battle.requests)
            assert [path for path in written if secret.encode() in path.read_bytes()] == []
        assert battle.outcome == ("blocked" if role == "build" else "fail")


@pytest.mark.parametrize("role", ["build", "qa", "security"])
def test_a_pause_cannot_be_lifted_by_the_model_that_it_stops(role: Agent, tmp_path: Path) -> None:
    with ground(tmp_path) as place:
        paused = place.workspace.layout.paused
        place.places["paused"] = str(paused)
        ticket = place.ticket_for(role)
        lifts = calls(
            ("bash", {"command": place.spelled("rm @paused@")}),
            ("write", {"file_path": str(paused), "content": ""}),
        )
        with stage(place.workspace, take(role, ticket, lifts, hands_over("blocked"))) as on:
            on.log.on_event = lambda line: paused.touch() if line["event"] == "turn" else None
            session = on.run(role)
            assert (len(on.requests), paused.exists()) == (1, True)
            assert session.stopped == "the workspace is paused"
            assert [line["what"] for line in on.log.events if "rm " in line.get("what", "")] != []
