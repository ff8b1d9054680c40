"""Workspaces in the state in which each verb has its work to do.

Owns the stories: which tickets, what the model says about them, and the verb that is going to be disturbed. Everything
before that verb happens undisturbed, by the real engine.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.sessions import CHECK, PLAIN, Stage, builds, hands_over, reviews, stage, take, turns
from tests.workspaces import make_workspace, ticket_text
from watchbill.documents.script import Take
from watchbill.workspace import Workspace

CAP = 12
AGAIN = 4


@dataclass(frozen=True)
class Scene:
    """A verb, and how its workspace came to where it is. `takes` are what the model says while the verb runs.

    `again` is what is run after it, undisturbed. `repeatable` is false for a verb that does its work anew each time.
    """

    name: str
    verb: tuple[str, ...]
    prepare: Callable[[Stage], None]
    before: tuple[Take, ...] = ()
    takes: tuple[Take, ...] = ()
    repeatable: bool = True
    may_end_with: tuple[int, ...] = (0,)

    @property
    def again(self) -> tuple[tuple[str, ...], ...]:
        """The same verb twice; a session needs a new plan when the first one could still say how it ended."""
        return (self.verb, ("plan",), self.verb) if self.verb[0] == "run" else (self.verb, self.verb)


def _two_builds() -> tuple[Take, ...]:
    return builds("T-0001"), builds("T-0002", "other.txt", "good\n")


def _reviews_of_two() -> tuple[Take, ...]:
    return (*reviews("T-0001"), *reviews("T-0002"))


def _nothing(_: Stage) -> None:
    return


def _planned(on: Stage) -> None:
    on.plan("build")


def _built(on: Stage) -> None:
    on.run("build")


def _built_and_planned(on: Stage) -> None:
    on.run("build")
    on.plan("qa", "security")


def _reviewed(on: Stage) -> None:
    on.run("build")
    on.review()


SCENES: dict[str, Scene] = {
    scene.name: scene
    for scene in (
        Scene("plan", ("plan",), _built, _two_builds()),
        Scene("ticket", ("ticket", "new", "Another thing"), _nothing, repeatable=False),
        Scene("build", ("run", "build"), _planned, (), _two_builds()),
        Scene("qa", ("run", "qa"), _built_and_planned, _two_builds(), _reviews_of_two()),
        Scene("security", ("run", "security"), _built_and_planned, _two_builds(), _reviews_of_two()),
        Scene(
            "approve",
            ("inbox", "approve", "T-0001-0001", "-m", "go on", "--by", "ada"),
            _built,
            (take("build", "T-0001", hands_over("blocked", requests=["Which colour?"])), _two_builds()[1]),
            may_end_with=(0, 3),
        ),
        Scene("merge", ("merge",), _reviewed, (*_two_builds(), *_reviews_of_two())),
    )
}


def prepare(scene: Scene, arena: Path) -> Workspace:
    """Make `arena` with a workspace `watch` and its repository `project`, ready for the verb of `scene`."""
    arena.mkdir(parents=True)
    workspace = make_workspace(
        arena,
        {
            "T-0001": ticket_text("T-0001", "The first", priority="high"),
            "T-0002": ticket_text("T-0002", "The second"),
            "T-0003": ticket_text("T-0003", "The third", dependencies="[T-0001]"),
        },
        CHECK,
        PLAIN,
        {
            "sandbox": {"mode": "none", "read": []},
            "agents": {agent: _caps() for agent in ("build", "qa", "security")},
        },
    )
    with stage(workspace, scene.before) as on:
        scene.prepare(on)
    return workspace


def _caps() -> dict[str, object]:
    return {"schedule": "0 2 * * *", **turns(40, 60, CAP)}


def copy(arena: Path, to: Path) -> None:
    """Copy a whole arena. Git names worktrees by absolute paths, so it works only where it was made."""
    if to.exists():
        shutil.rmtree(to)
    subprocess.run(["cp", "-a", "--reflink=auto", arena, to], check=True, timeout=60)


@contextmanager
def model_for(scene: Scene, workspace: Workspace) -> Iterator[Stage]:
    """The model of `scene`, ready to say the same to a few sessions in turn."""
    with stage(workspace, *(scene.takes for _ in range(AGAIN))) as on:
        yield on
