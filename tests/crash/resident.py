"""A process that has the engine's modules loaded and runs one verb per fork.

Owns that a trial costs no start-up, and that a tracer finds nothing but the verb's own calls. It is told what to do by
lines of JSON on standard input and answers each with one. What runs in the fork is `watchbill.__main__.main`, unchanged
but for a `patch`, by which a test breaks the engine on purpose.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import watchbill

# Besides all of the engine's: what the verbs load as they go, which would be compiled anew in each fork.
MODULES = (
    "anthropic",
    "anthropic.lib.tools",
    "anthropic.lib.tools.agent_toolset",
    "anthropic.types.beta",
    "anthropic.resources.beta.messages",
    "anyio._backends._asyncio",
    "git",
    "h11",
    "httpcore2",
    "opentelemetry.propagate",
    "pydantic.validate_call_decorator",
    "structlog",
    "truststore",
    "typer._adapters",
    "typer._click.decorators",
)
_PR_SET_PDEATHSIG = 1
_PR_SET_PTRACER = 0x59616D61


def main() -> None:
    """Answer orders until standard input ends, or whoever started this one is gone."""
    _die_with_the_parent()
    for name in (*_of_the_engine(), *MODULES):
        importlib.import_module(name)
    print(json.dumps({"ready": True}), flush=True)
    gates: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "start":
            pid, gate = _start(order)
            gates[pid] = gate
            answer: dict[str, Any] = {"pid": pid}
        elif order["do"] == "go":
            os.write(gates[order["pid"]], b"!")
            answer = {}
        else:
            _, status = os.waitpid(order["pid"], 0)
            os.close(gates.pop(order["pid"]))
            answer = {"code": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer), flush=True)


def _of_the_engine() -> Iterator[str]:
    for found in pkgutil.walk_packages(watchbill.__path__, "watchbill."):
        if not found.name.endswith("__main__"):
            yield found.name


def _start(order: Mapping[str, Any]) -> tuple[int, int]:
    """A fork that waits at its gate, so that a tracer can attach before anything happens."""
    gate, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _run(order, gate)
    os.close(gate)
    return pid, ours


def _run(order: Mapping[str, Any], gate: int) -> NoReturn:
    code = 99
    try:
        os.setsid()
        _die_with_the_parent()
        _let_others_trace()
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        _redirect(0, os.devnull, os.O_RDONLY)
        _redirect(1, order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        _redirect(2, order["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        from watchbill.__main__ import main as program

        if order.get("patch"):
            module, _, function = order["patch"].partition(":")
            getattr(importlib.import_module(module), function)()
        os.read(gate, 1)
        os.close(gate)
        program(order["args"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(descriptor: int, path: str, how: int) -> None:
    opened = os.open(path, how, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)


def _die_with_the_parent() -> None:
    """A test that is ended must not leave a verb behind that goes on by itself."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(99)


def _let_others_trace() -> None:
    """Where only parents may trace (Yama), the tracer, which is no parent of ours, needs to be let in."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1 & 0xFFFFFFFFFFFFFFFF), 0, 0, 0)


if __name__ == "__main__":
    main()
