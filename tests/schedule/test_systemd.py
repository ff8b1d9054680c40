from __future__ import annotations

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.schedule.night import AWKWARD, install_program, night, one_job
from watchbill.errors import Misconfigured
from watchbill.schedule import systemd
from watchbill.schedule.cron_times import parse

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there is no systemd on macOS")

START = datetime(2026, 11, 20, tzinfo=UTC)
ITERATIONS = 25


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program, "systemd-analyze is missing, so units cannot be checked: install the package systemd"
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60, check=False, env={"LC_ALL": "C.UTF-8"}
    )


def fires(calendar: str) -> list[datetime]:
    """The times systemd itself reads from an OnCalendar value, in UTC."""
    answer = analyze("calendar", f"--iterations={ITERATIONS}", "--base-time=2026-11-20 00:00:00 UTC", f"{calendar} UTC")
    assert answer.returncode == 0, answer.stderr
    found = re.findall(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", answer.stdout, re.MULTILINE)
    assert found, answer.stdout
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in found]


def unquoted(text: str) -> list[str]:
    """Words of a unit's line, by the rules of systemd.syntax(7) that matter here; anything else is an error."""
    words: list[str] = []
    rest = text
    while rest:
        match = re.match(r'"((?:[^"\\%]|\\["\\]|%%)*)"(?: |$)', rest)
        assert match, rest
        words.append(re.sub(r'\\(["\\])|%(%)', r"\1\2", match[1]))
        rest = rest[match.end() :]
    return words


def settings(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and not line.startswith("["):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", AWKWARD)
def test_systemd_itself_accepts_every_unit(name: str, tmp_path: Path) -> None:
    workspace = tmp_path / name
    install_program(workspace)
    units = tmp_path / "units"
    units.mkdir()
    for file, text in systemd.render(night(workspace)).items():
        (units / file).write_text(text, encoding="utf-8")
    answer = analyze("verify", "--man=no", *(str(unit) for unit in sorted(units.iterdir())))
    ours = [line for line in answer.stderr.splitlines() if "watchbill" in line]
    assert (answer.returncode, ours) == (0, []), answer.stderr


def test_systemd_looks_for_the_program_where_the_unit_says(tmp_path: Path) -> None:
    workspace = tmp_path / "100% $HOME"
    for file, text in systemd.render(night(workspace)).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    answer = analyze("verify", "--man=no", *(str(unit) for unit in tmp_path.glob("*-build.service")))
    assert answer.returncode != 0
    assert f"{workspace}/bin/watchbill" in answer.stderr


@pytest.mark.parametrize("name", AWKWARD)
def test_a_service_says_each_path_exactly(name: str) -> None:
    workspace = Path("/srv") / name
    made = night(workspace)
    units = systemd.render(made)
    assert len(units) == 2 * len(made)
    for job in made:
        service = settings(units[f"{systemd.unit_name(job)}.service"])
        (command,) = service["ExecStart"]
        assert command.startswith(":"), "without it systemd would replace $NAME in the arguments"
        words = unquoted(command[1:])
        if words[0] == "/bin/sh":
            assert words[1:3] == ["-c", 'exec "$0" "$@"']
            words = words[3:]
        assert tuple(words) == job.arguments
        environment = [word for line in service["Environment"] for word in unquoted(line)]
        assert environment == [f"PATH={job.path}", f"HOME={job.home}"]
        assert [path.replace("%%", "%") for path in service["WorkingDirectory"]] == [str(workspace)]
        assert service["SuccessExitStatus"] == ["75"]


def test_a_program_that_systemd_would_refuse_is_started_by_the_shell(tmp_path: Path) -> None:
    workspace = tmp_path / 'it\'s "quoted" $HOME'
    program = install_program(workspace)
    job = night(workspace)[1]
    (command,) = settings(systemd.render([job])[f"{systemd.unit_name(job)}.service"])["ExecStart"]
    answer = subprocess.run(unquoted(command[1:]), capture_output=True, text=True, timeout=30, check=True)
    assert answer.stdout.splitlines()[:3] == [str(program), "run", "build"]


def test_a_timer_catches_up_on_what_it_missed_and_starts_its_own_service() -> None:
    job = one_job("0 2 * * *")
    timer = settings(systemd.render([job])[f"{systemd.unit_name(job)}.timer"])
    assert timer["Persistent"] == ["true"]
    assert timer["Unit"] == [f"{systemd.unit_name(job)}.service"]
    assert timer["OnCalendar"] == ["*-*-* 02:00:00"]


@pytest.mark.parametrize("name", ["ends with a blank ", "ends with a backslash\\"])
def test_a_folder_that_a_unit_cannot_say_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="cannot say the folder"):
        systemd.render(night(Path("/srv") / name))


def test_either_day_is_two_lines_and_both_days_are_one() -> None:
    assert systemd.on_calendar(parse("0 2 1 * mon")) == ["*-*-01 02:00:00", "Mon *-*-* 02:00:00"]
    assert systemd.on_calendar(parse("0 2 */10 * mon")) == ["Mon *-*-01,11,21,31 02:00:00"]


@pytest.mark.parametrize(
    "when",
    [
        "30 2 * * 1-5",
        "*/20 4,5 * * fri-sun",
        "0 6 1,15 * *",
        "0 6 13 * fri",
        "0 6 */2 * mon",
        "* * * * *",
        "5-59/15 */6 31 jan-aug *",
        "0 0 29 2 *",
    ],
)
def test_systemd_fires_when_cron_would(when: str) -> None:
    times = parse(when)
    found = {moment for calendar in systemd.on_calendar(times) for moment in fires(calendar)}
    expected = [START]
    for _ in range(ITERATIONS):
        expected.append(times.next_after(expected[-1]))
    # Each line answers with its own first times, so only as many of all of them are known to be complete.
    assert sorted(found)[:ITERATIONS] == expected[1:]
