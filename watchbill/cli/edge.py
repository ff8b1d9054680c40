"""The edge of the program: errors become a sentence, a hint and an exit code.

Owns that mapping, and what becomes of output that nobody can take. It has the only broad `except`.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Sequence

from watchbill.errors import EXIT_DEFECT, EXIT_DONE, EXIT_TRY_LATER, EXIT_USAGE, SHORTAGES, WatchbillError

INTERRUPTED = 130
STOP = (signal.SIGINT, signal.SIGTERM)
# Typer ends with this when whoever read our output has gone away; no verb of ours does.
_NOBODY_READS = 1
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_KEPT = "What was done so far is kept; the next run goes on from there."


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    _print_in_any_encoding()
    # Pydantic would read the metadata of every installed package for plugins, which nothing here has a use for.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    for word in STOP:
        signal.signal(word, _stop_once)
    try:
        code = _call(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except WatchbillError as error:
        _say(error.reason, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        from watchbill.cli import begin

        _say("stopped", begin.if_stopped.pop("hint", _KEPT))
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone away (a pager, `head`): that is no error of anybody's.
        _print_no_more()
        return EXIT_DONE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            _print_no_more()
            _say(f"could not write: {error}", f"{_KEPT} Make room, or mend the disk.")
            return EXIT_TRY_LATER
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            _say(f"could not go on: {error}", f"{_KEPT} Close what holds so much of this machine, or allow more.")
            return EXIT_TRY_LATER
        import traceback

        traceback.print_exc()
        _say("this is a defect of Watchbill's", "Nothing that was published is lost. Please report the lines above.")
        return EXIT_DEFECT


def _stop_once(_number: int, _frame: object) -> None:
    """Ctrl-C, or a scheduler that ends a job. Once is enough: a second time would only break the tidying up."""
    for word in STOP:
        signal.signal(word, signal.SIG_IGN)
    raise KeyboardInterrupt


def _call(arguments: Sequence[str]) -> int:
    from watchbill.cli import begin
    from watchbill.cli.app import app

    try:
        app(list(arguments), prog_name="watchbill")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            raise KeyboardInterrupt from end
        if end.code == _NOBODY_READS:
            raise BrokenPipeError from end
        return end.code if isinstance(end.code, int) else EXIT_USAGE if end.code else EXIT_DONE
    finally:
        begin.end()
    return EXIT_DONE


def _print_in_any_encoding() -> None:
    """What a terminal's encoding cannot say (`→` in an old locale, a name that is not UTF-8) is shown escaped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_no_more() -> None:
    """Let what is still to be printed vanish: the interpreter would stumble over it again while it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError:
        sys.stdout = None


def _say(reason: str, hint: str) -> None:
    from watchbill.cli.progress import tell_line

    tell_line(f"watchbill: {reason}")
    if hint:
        tell_line(f"  {hint}")
