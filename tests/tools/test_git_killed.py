"""A git that somebody kills has failed for no reason of the repository's."""

from __future__ import annotations

import errno
import os

import pytest

from watchbill.errors import Refused, TryLater
from watchbill.tools.git.command import Output, unexpected


@pytest.mark.parametrize(("code", "kind"), [(-9, TryLater), (-64, TryLater), (1, Refused), (128, Refused)])
def test_a_git_that_was_killed_is_tried_again_and_no_human_is_asked(code: int, kind: type[Exception]) -> None:
    error = unexpected("update-ref", Output(code, b"", ""))
    assert isinstance(error, kind)


def test_the_reason_names_the_signal() -> None:
    assert "SIGKILL" in str(unexpected("gc", Output(-9, b"", "")))


@pytest.mark.parametrize("number", [errno.EINTR, errno.EIO, errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_what_the_disk_or_the_machine_did_to_git_is_tried_again_and_no_human_is_asked(number: int) -> None:
    said = f"fatal: could not open '.git/worktrees/T-0001/commondir': {os.strerror(number)}"
    assert isinstance(unexpected("worktree", Output(128, b"", said)), TryLater)
