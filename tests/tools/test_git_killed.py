"""A git that somebody kills has failed for no reason of the repository's."""

from __future__ import annotations

import pytest

from watchbill.errors import Refused, TryLater
from watchbill.tools.git.command import Output, unexpected


@pytest.mark.parametrize(("code", "kind"), [(-9, TryLater), (-64, TryLater), (1, Refused), (128, Refused)])
def test_a_git_that_was_killed_is_tried_again_and_no_human_is_asked(code: int, kind: type[Exception]) -> None:
    error = unexpected("update-ref", Output(code, b"", ""))
    assert isinstance(error, kind)


def test_the_reason_names_the_signal() -> None:
    assert "SIGKILL" in str(unexpected("gc", Output(-9, b"", "")))
