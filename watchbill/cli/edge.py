"""The edge of the program: errors become a sentence, a hint and an exit code.

Owns that mapping, and nothing else. It has the only broad `except`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from watchbill.errors import EXIT_DEFECT, EXIT_DONE, EXIT_USAGE, WatchbillError

INTERRUPTED = 130


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    from watchbill.cli.app import app

    try:
        app(list(arguments))
        return EXIT_DONE
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_USAGE if end.code else EXIT_DONE
    except WatchbillError as error:
        _say(error.reason, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        _say("stopped", "What was done so far is kept; the next run goes on from there.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone away (a pager, `head`): that is no error of anybody's.
        sys.stderr.close()
        return EXIT_DONE
    except Exception:
        import traceback

        traceback.print_exc()
        _say("this is a defect of Watchbill's", "Nothing that was published is lost. Please report the lines above.")
        return EXIT_DEFECT


def _say(reason: str, hint: str) -> None:
    print(f"watchbill: {reason}", file=sys.stderr)
    if hint:
        print(f"  {hint}", file=sys.stderr)
