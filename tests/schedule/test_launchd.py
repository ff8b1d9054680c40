from __future__ import annotations

import plistlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import pytest
from lxml import etree  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field

from tests.schedule.night import AWKWARD, night, one_job
from watchbill.errors import Misconfigured
from watchbill.schedule import launchd

DTD = Path(__file__).with_name("PropertyList-1.0.dtd")
Absolute = Annotated[str, Field(pattern=r"^/")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Calendar(Strict):
    Month: Annotated[int, Field(ge=1, le=12)] | None = None
    Day: Annotated[int, Field(ge=1, le=31)] | None = None
    Weekday: Annotated[int, Field(ge=0, le=6)] | None = None
    Hour: Annotated[int, Field(ge=0, le=23)] | None = None
    Minute: Annotated[int, Field(ge=0, le=59)] | None = None

    def fires_at(self, moment: datetime) -> bool:
        """As launchd.plist(5) says it: a missing key allows everything, and Day and Weekday are alternatives."""
        days = [
            given == actual
            for given, actual in ((self.Day, moment.day), (self.Weekday, moment.isoweekday() % 7))
            if given is not None
        ]
        others = ((self.Month, moment.month), (self.Hour, moment.hour), (self.Minute, moment.minute))
        return (any(days) or not days) and all(given in (None, actual) for given, actual in others)


class Environment(Strict):
    PATH: str
    HOME: Absolute


class Agent(Strict):
    """Exactly the keys that a job may have; anything else, an API key too, is an error."""

    Label: Annotated[str, Field(pattern=r"^dev\.watchbill\.[a-z0-9-]+\.(plan|build|qa|security|merge)$")]
    ProgramArguments: Annotated[list[str], Field(min_length=2)]
    StartCalendarInterval: Calendar | list[Calendar]
    WorkingDirectory: Absolute
    StandardOutPath: Absolute
    StandardErrorPath: Absolute
    EnvironmentVariables: Environment
    ProcessType: Literal["Background"]

    @property
    def entries(self) -> list[Calendar]:
        times = self.StartCalendarInterval
        return times if isinstance(times, list) else [times]


def read(text: str) -> Agent:
    return Agent.model_validate(plistlib.loads(text.encode()))


def agent_for(when: str) -> Agent:
    (text,) = launchd.render([one_job(when)]).values()
    return read(text)


@pytest.mark.parametrize("name", AWKWARD)
def test_every_plist_is_valid_against_the_document_type(name: str) -> None:
    dtd = etree.DTD(str(DTD))
    parser = etree.XMLParser(no_network=True, load_dtd=False, resolve_entities=False)
    for text in launchd.render(night(Path("/srv") / name)).values():
        assert dtd.validate(etree.fromstring(text.encode(), parser)), dtd.error_log


def test_the_document_type_refuses_what_is_no_plist() -> None:
    dtd = etree.DTD(str(DTD))
    assert not dtd.validate(etree.fromstring(b"<plist><dict><string>no key</string></dict></plist>"))


@pytest.mark.parametrize("name", AWKWARD)
def test_a_plist_says_each_path_exactly(name: str) -> None:
    workspace = Path("/srv") / name
    made = night(workspace)
    rendered = launchd.render(made)
    assert list(rendered) == [f"{launchd.label(job)}.plist" for job in made]
    for job, text in zip(made, rendered.values(), strict=True):
        agent = read(text)
        assert agent.Label == launchd.label(job)
        assert tuple(agent.ProgramArguments) == job.arguments
        assert agent.ProgramArguments[0] == f"{workspace}/bin/watchbill"
        assert agent.WorkingDirectory == str(workspace)
        assert agent.StandardOutPath == agent.StandardErrorPath == str(job.log)
        assert agent.EnvironmentVariables.model_dump() == {"PATH": job.path, "HOME": str(job.home)}


def test_one_time_is_one_dictionary() -> None:
    (text,) = launchd.render([one_job("30 2 * * *")]).values()
    assert plistlib.loads(text.encode())["StartCalendarInterval"] == {"Hour": 2, "Minute": 30}


def test_every_minute_is_sixty_entries_because_an_empty_one_says_nothing() -> None:
    assert len(agent_for("* * * * *").entries) == 60
    assert len(agent_for("* * 1-31 * mon").entries) == 60


def test_either_day_becomes_entries_of_each_kind() -> None:
    (text,) = launchd.render([one_job("0 2 1 * mon")]).values()
    assert plistlib.loads(text.encode())["StartCalendarInterval"] == [
        {"Day": 1, "Hour": 2, "Minute": 0},
        {"Weekday": 1, "Hour": 2, "Minute": 0},
    ]


def test_a_day_that_must_be_two_things_at_once_is_refused() -> None:
    with pytest.raises(Misconfigured, match="cannot say") as refusal:
        agent_for("0 2 */2 * mon")
    assert "systemd" in refusal.value.hint


def test_a_time_with_too_many_entries_is_refused() -> None:
    assert len(agent_for("0-9 0-19 * * *").entries) == launchd.MOST_ENTRIES
    with pytest.raises(Misconfigured, match="more than 200 entries") as refusal:
        agent_for("0-9 0-20 * * *")
    assert refusal.value.hint


@pytest.mark.parametrize(
    "when",
    ["30 2 * * 1-5", "*/20 4,5 * * fri-sun", "0 6 1,15 * *", "0 6 31 jan-jun sun", "* 3 * * *", "7 * * 2 */3"],
)
def test_the_entries_fire_when_cron_would(when: str) -> None:
    times = one_job(when).times
    entries = agent_for(when).entries
    moment = datetime(2026, 1, 1)
    for _ in range(4000):
        assert any(entry.fires_at(moment) for entry in entries) == times.matches(moment), moment
        moment += timedelta(minutes=181)
    fired = moment
    for _ in range(20):
        fired = times.next_after(fired)
        assert any(entry.fires_at(fired) for entry in entries), fired
