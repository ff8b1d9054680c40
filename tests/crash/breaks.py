"""The engine, broken on purpose.

Owns the ways in which a test breaks it, to see that the checks would notice. Each is called in the process that is
about to run a verb.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def without_the_fsync_of_the_folder() -> None:
    from watchbill.files import journal, publish

    def nothing(_folder: Path) -> None:
        return

    vars(publish)["sync_folder"] = nothing
    vars(journal)["sync_folder"] = nothing


def without_waiting_for_the_commit() -> None:
    from watchbill.tools.git import Repository

    def nothing(_repo: Repository) -> None:
        return

    setattr(Repository, "make_durable", nothing)  # noqa: B010


def with_the_turn_counted_after_the_call() -> None:
    from watchbill.files import journal
    from watchbill.roles import budget
    from watchbill.tools.model.conversation import Conversation

    waiting: list[tuple[Path, dict[str, Any]]] = []
    ask = Conversation.ask

    class Later:
        read = staticmethod(journal.read)

        @staticmethod
        def append(path: Path, entry: dict[str, Any]) -> None:
            waiting.append((path, entry))

    async def ask_first(conversation: Conversation) -> Any:
        reply = await ask(conversation)
        while waiting:
            journal.append(*waiting.pop(0))
        return reply

    vars(budget)["journal"] = Later
    setattr(Conversation, "ask", ask_first)  # noqa: B010


def without_the_lock() -> None:
    from watchbill.stages import run
    from watchbill.stages.run import runner

    @contextlib.contextmanager
    def held(_path: Path, _doing: str) -> Iterator[None]:
        yield

    for module in (run, runner):
        if "held" in vars(module):
            vars(module)["held"] = held


def with_documents_written_in_place() -> None:
    from watchbill.stages import tickets

    def publish(path: Path, data: bytes) -> None:
        path.write_bytes(data)

    vars(tickets)["publish"] = publish


def with_documents_renamed_into_place() -> None:
    from watchbill.files.publish import replace
    from watchbill.stages import tickets

    vars(tickets)["publish"] = replace


def with_a_full_disk_when_the_model_hands_over() -> None:
    import errno
    import os
    import tempfile

    from watchbill.roles.build import _Work
    from watchbill.roles.submission import Submission

    accept = _Work.accept

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def accept_on_a_full_disk(work: _Work, submission: Submission) -> None:
        working = vars(tempfile)["NamedTemporaryFile"]
        vars(tempfile)["NamedTemporaryFile"] = full
        try:
            await accept(work, submission)
        finally:
            vars(tempfile)["NamedTemporaryFile"] = working

    setattr(_Work, "accept", accept_on_a_full_disk)  # noqa: B010


def with_a_lock_that_children_inherit() -> None:
    import subprocess

    from watchbill.files import locks

    start = subprocess.Popen.__init__

    class Inherited:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        @staticmethod
        def open(path: Path, flags: int, mode: int = 0o777) -> int:
            descriptor = os.open(path, flags, mode)
            os.set_inheritable(descriptor, True)
            return descriptor

    def start_with_everything(self: Any, *args: Any, **more: Any) -> None:
        start(self, *args, **{**more, "close_fds": False, "pass_fds": ()})

    vars(locks)["os"] = Inherited()
    setattr(subprocess.Popen, "__init__", start_with_everything)  # noqa: B010
