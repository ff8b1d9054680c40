from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.schedule.night import AWKWARD, SCHEDULES, night
from watchbill.errors import Misconfigured
from watchbill.schedule.jobs import jobs

HOME = Path("/home/owner")
PROGRAM = ("/opt/watchbill",)


def test_there_is_a_job_for_the_manifests_one_for_each_agent_and_one_for_the_merge() -> None:
    made = jobs(Path("/srv/watch"), ("/opt/py", "-m", "watchbill"), SCHEDULES, "/bin", HOME)
    assert [(job.name, job.arguments[3:]) for job in made] == [
        ("plan", ("plan",)),
        ("build", ("run", "build")),
        ("qa", ("run", "qa")),
        ("security", ("run", "security")),
        ("merge", ("merge",)),
    ]
    assert {job.arguments[:3] for job in made} == {("/opt/py", "-m", "watchbill")}
    assert len({job.log for job in made}) == 5


def test_an_empty_schedule_makes_no_job() -> None:
    made = jobs(Path("/srv/watch"), PROGRAM, {"plan": "0 1 * * *", "qa": " "}, "/bin", HOME)
    assert [job.name for job in made] == ["plan"]


def test_no_schedule_at_all_is_refused() -> None:
    with pytest.raises(Misconfigured, match="nothing to schedule"):
        jobs(Path("/srv/watch"), PROGRAM, {}, "/bin", HOME)


def test_an_unknown_job_is_refused() -> None:
    with pytest.raises(Misconfigured, match='"deploy"'):
        jobs(Path("/srv/watch"), PROGRAM, {"deploy": "0 1 * * *"}, "/bin", HOME)


@pytest.mark.parametrize(
    ("workspace", "program", "home"),
    [("watch", "/opt/w", "/root"), ("/srv", "watchbill", "/root"), ("/srv", "/opt/w", "~")],
)
def test_a_relative_path_is_refused(workspace: str, program: str, home: str) -> None:
    with pytest.raises(Misconfigured, match="absolute"):
        jobs(Path(workspace), (program,), SCHEDULES, "/bin", Path(home))


@pytest.mark.parametrize("name", ["two\nlines", "tab\tbed", "bell\x07", "latin-\udce9", "line\u2028separator"])
def test_a_path_that_no_schedule_can_say_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="cannot say") as refusal:
        night(Path("/srv") / name)
    refusal.value.reason.encode()


@pytest.mark.parametrize("name", AWKWARD)
def test_a_slug_is_plain_whatever_the_folder_is_called(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+-[0-9a-f]{6}", night(Path("/srv") / name)[0].workspace_slug)


def test_two_workspaces_of_one_name_do_not_share_a_slug() -> None:
    assert night(Path("/a/watch"))[0].workspace_slug != night(Path("/b/watch"))[0].workspace_slug
