"""A disk that is full while the engine looks at what a model handed over: the session ends, and nothing is lost."""

from __future__ import annotations

from tests.crash.kit import Arena
from tests.crash.scenes import SCENES


def test_a_full_disk_in_a_tool_ends_the_session_with_its_reason_and_the_next_one_goes_on(arena: Arena) -> None:
    scene = SCENES["build"]
    with arena.play(scene) as on:
        done = arena.run(on, scene.verb, "tests.crash.breaks:with_a_full_disk_when_the_model_hands_over")
        assert done.code == 75, done.err
        assert "No space left on device" in done.err
        assert "Traceback" not in done.err
        asked = len(on.requests)
        (record,) = on.workspace.layout.sessions.glob("build-*.md")
        assert f"turns: {asked}\n" in record.read_text()
        assert "No space left on device" in record.read_text()
        assert on.documents() == ()
        for verb in scene.again:
            assert arena.run(on, verb).code == 0
        assert [one.outcome for one in on.documents()] == ["done"]
        assert on.files() == ("notes.txt",)
        assert arena.run(on, ("verify",)).code == 0
