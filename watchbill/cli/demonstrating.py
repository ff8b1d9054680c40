"""`demo` on the command line: the words before and after the show."""

from __future__ import annotations

from pathlib import Path

from watchbill.cli import begin, show

BEFORE = """\
This is the whole team at work on a small sample project: git, the checks, the scanners, the sandbox and the SDK are
the real ones. The model is NOT: its words come from a script, played by a server on this machine. Nothing leaves it.
"""
AFTER = """\
The workspace is left for you to look at:
  cd {root}
  export PATH="{program}:$PATH"
  watchbill status              how everything stands
  watchbill inbox list          what waits for you
  watchbill history T-0003      a first attempt that broke a test, and what became of it
  watchbill verify              check every document, chain and merge
  git -C {repo} log --graph --oneline {integration}
"""


def demo(directory: Path | None, replay: Path | None) -> None:
    """Set the stage, let the team work through the backlog, and end with the brief."""
    from watchbill.demo.show import place, scripted_model, set_stage
    from watchbill.rounds import go_round
    from watchbill.stages.report import brief
    from watchbill.stages.run import Options

    print(BEFORE, flush=True)
    started = begin.now()
    with scripted_model(replay):
        opened = set_stage(place(directory), started)
        begin.settled(opened)
        begin.use_scratch(opened)
        go_round(opened, begin.sandbox_of(opened), begin.logger(opened), Options(), lambda: begin.take_answers(opened))
    show.brief(brief(opened, started), json=False, scripted=True)
    settings = opened.settings.project
    print(
        "\n" + AFTER.format(root=opened.root, repo=opened.repo, integration=settings.integration, program=_program()),
        end="",
    )


def _program() -> str:
    """The folder of the `watchbill` program."""
    import sys

    return str(Path(sys.executable).parent)
