"""The log: JSON lines without secrets, which never stop a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.leaks import AWS, OWN_KEY
from tests.tools.redaction.broken import damaged_rules
from watchbill.tools.log import NOT_SEARCHED, open_log


@pytest.fixture
def open_to_all() -> Iterator[None]:
    """Whatever this process makes is everybody's, unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def lines(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.iterdir()
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_no_secret_stands_in_a_line_or_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", OWN_KEY)
    shown: list[dict[str, Any]] = []
    log = open_log(tmp_path / "logs", lambda event: shown.append(dict(event))).bind(session="build-0001-1", turn=3)
    log.info(f"said {AWS}", what=[OWN_KEY, {f"x {AWS}": OWN_KEY}], error=ValueError(OWN_KEY), kept=None)
    text = json.dumps(lines(tmp_path / "logs")) + json.dumps(shown)
    assert AWS not in text
    assert OWN_KEY not in text
    (line,) = lines(tmp_path / "logs")
    assert line["event"] == "said [redacted: aws-access-token]"
    assert (line["session"], line["turn"], line["kept"]) == ("build-0001-1", 3, None)
    assert line["error"] == "[redacted: ANTHROPIC_API_KEY]"


def test_a_line_that_cannot_be_searched_is_replaced_and_the_run_goes_on(tmp_path: Path) -> None:
    shown: list[dict[str, Any]] = []
    log = open_log(tmp_path / "logs", lambda event: shown.append(dict(event))).bind(session="build-0001-1", turn=3)
    (tmp_path / "rules").mkdir()
    with damaged_rules(tmp_path / "rules"):
        log.info("a word that nobody may see", what="nor this")
    (line,) = lines(tmp_path / "logs")
    assert line["event"] == shown[0]["event"] == NOT_SEARCHED
    assert (line["session"], line["turn"], line["level"]) == ("build-0001-1", 3, "info")
    assert "what" not in line


@pytest.mark.usefixtures("open_to_all")
def test_the_folders_of_the_log_are_their_owners_alone(tmp_path: Path) -> None:
    open_log(tmp_path / "private" / "logs", lambda _: None).info("a line")
    assert [oct(path.stat().st_mode & 0o777) for path in (tmp_path / "private", tmp_path / "private" / "logs")] == [
        "0o700",
        "0o700",
    ]
    assert oct(next((tmp_path / "private" / "logs").iterdir()).stat().st_mode & 0o777) == "0o600"
