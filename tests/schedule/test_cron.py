from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.schedule.night import AWKWARD, install_program, night, one_job
from watchbill.errors import Misconfigured
from watchbill.schedule import cron
from watchbill.schedule.cron_times import parse


def command_for_the_shell(text: str) -> str:
    """What Vixie cron hands to sh: `\\%` becomes `%`; a bare `%` would end the command, so it is an error here."""
    made: list[str] = []
    escaped = False
    for character in text:
        if escaped:
            escaped = False
            if character == "%":
                made[-1] = character
                continue
        elif character == "\\":
            escaped = True
        else:
            assert character != "%", text
        made.append(character)
    return "".join(made)


def lines(text: str) -> list[tuple[str, str]]:
    """A strict reading of a crontab: comments, and lines of five fields that parse, and a command."""
    assert text.endswith("\n")
    found = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        fields = line.split(" ", 5)
        assert len(fields) == 6, line
        when = " ".join(fields[:5])
        assert parse(when).text == when
        found.append((when, command_for_the_shell(fields[5])))
    return found


def only_file(workspace: Path) -> str:
    (text,) = cron.render(night(workspace)).values()
    return text


@pytest.mark.parametrize("name", AWKWARD)
def test_every_command_is_good_shell(name: str) -> None:
    commands = lines(only_file(Path("/srv") / name))
    assert len(commands) == 5
    for _, command in commands:
        answer = subprocess.run(["sh", "-n"], input=command, text=True, capture_output=True, timeout=30, check=False)
        assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("name", AWKWARD)
def test_a_command_runs_the_program_in_its_folder_and_appends_to_its_log(name: str, tmp_path: Path) -> None:
    workspace = tmp_path / name
    program = install_program(workspace)
    job = night(workspace)[1]
    _, command = lines(only_file(workspace))[1]
    for _ in range(2):
        subprocess.run(["sh", "-c", command], env={"PATH": "/usr/bin:/bin"}, timeout=30, check=True)
    said = "\n".join([str(program), "run", "build", str(workspace), str(workspace / "home"), job.path]) + "\n"
    assert job.log.read_text(encoding="utf-8") == said * 2


def test_a_bare_percent_sign_would_end_the_command() -> None:
    with pytest.raises(AssertionError):
        command_for_the_shell("cd '100% done'")


def test_the_times_are_the_ones_given_in_numbers() -> None:
    assert [when for when, _ in lines(only_file(Path("/srv/watch")))] == [
        "50 1 * * *",
        "0 2 * * 1-5",
        "*/20 4,5 * * 1-5",
        "30 4 1,15 * *",
        "0 6 * 1-6 6,0",
    ]


def test_no_line_changes_the_owners_other_lines() -> None:
    assert not [line for line in only_file(Path("/srv/watch")).splitlines() if line.startswith(("PATH", "HOME"))]


def test_a_command_longer_than_cron_takes_is_refused() -> None:
    with pytest.raises(Misconfigured, match="998 bytes") as refusal:
        cron.render([one_job("0 2 * * *", Path("/srv") / ("ä" * 100))])
    assert "PATH" in refusal.value.hint


def test_no_jobs_make_no_file() -> None:
    assert cron.render([]) == {}
