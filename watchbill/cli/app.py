"""The verbs of the command line.

Owns names, options and help. What a verb does is a stage's; how its result is shown is `show`'s. Nothing heavy is
imported before a verb needs it.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from watchbill import __version__
from watchbill.cli import begin

app = typer.Typer(
    name="watchbill",
    help="An unattended software team that you can trust at 2 AM.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
tickets = typer.Typer(help="The backlog: write a ticket, see where each stands.", no_args_is_help=True)
inbox = typer.Typer(help="What waits for you: read it, answer it.", no_args_is_help=True)
gate = typer.Typer(help="How your decisions are proven: signatures, and who may sign.", no_args_is_help=True)
schedule = typer.Typer(help="When the agents run.", no_args_is_help=True)
app.add_typer(tickets, name="ticket")
app.add_typer(inbox, name="inbox")
app.add_typer(schedule, name="schedule")
app.add_typer(gate, name="gate")

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Note = Annotated[str, typer.Option("--note", "-m", help="Why, in a sentence. The next agent reads it.")]
By = Annotated[Optional[str], typer.Option("--by", help="Who decides (your user name if left out).")]  # noqa: UP045
SigningKey = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--key", help="The private key that signs, where the gate asks for it ([gate] key if left out)."),
]
Item = Annotated[str, typer.Argument(metavar="ITEM", help="The item, for example T-0012-0004.")]
Id = Annotated[str, typer.Argument(metavar="TICKET", help="The ticket, for example T-0012.")]


class Agent(StrEnum):
    """Who can run."""

    build = "build"
    qa = "qa"
    security = "security"


class Who(StrEnum):
    """Whom `run` runs."""

    build = "build"
    qa = "qa"
    security = "security"
    all = "all"


class Kind(StrEnum):
    """Kinds of ticket."""

    bug = "bug"
    feature = "feature"
    chore = "chore"
    security = "security"


class Priority(StrEnum):
    """How urgent a ticket is."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"watchbill {__version__}")
        raise typer.Exit


@app.callback()
def main(
    workspace: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--workspace", "-w", help="The workspace (the folder here or above if left out)."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    begin.chosen["workspace"] = workspace


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the workspace is made.")],
    repo: Annotated[Path, typer.Option(help="The git repository to work on.")],
) -> None:
    """Make a workspace for a repository."""
    from watchbill.stages.init import init as make

    made = make(directory, repo, begin.now())
    print(f"made the workspace {made.root}")
    for line in made.notes:
        print(f"  {line}")


@tickets.command("new")
def ticket_new(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="One line: what is wanted.")],
    kind: Annotated[Kind, typer.Option("--type", help="What kind of work it is.")] = Kind.feature,
    priority: Annotated[Priority, typer.Option(help="How urgent it is.")] = Priority.medium,
    description: Annotated[str, typer.Option("--description", "-d", help="What and why.")] = "",
    criterion: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--criterion", "-c", help="How one can see that it is done; can be repeated."),
    ] = None,
    depends: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--depends", help="A ticket that must be merged first; can be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Write a new ticket."""
    from watchbill.cli import show
    from watchbill.stages import tickets as stage

    opened = begin.settled(begin.workspace())
    ticket = stage.new(
        opened,
        title,
        kind=kind.value,
        priority=priority.value,
        description=description,
        criteria=tuple(criterion or ()),
        dependencies=tuple(depends or ()),
        today=begin.now().date(),
    )
    path = opened.layout.tickets / f"{ticket.id}.md"
    show.made_ticket(ticket.id, path, json)


@tickets.command("list")
def ticket_list(json: Json = False) -> None:
    """List the tickets and where each stands."""
    from watchbill.cli import show
    from watchbill.stages.report import status as read

    show.ticket_list(read(begin.workspace()), json)


@tickets.command("show")
def ticket_show(ticket: Id, json: Json = False) -> None:
    """Show one ticket."""
    from watchbill.cli import show
    from watchbill.stages.tickets import one

    show.ticket(one(begin.workspace(), ticket), json)


@tickets.command("close")
def ticket_close(ticket: Id, note: Note = "", by: By = None, key: SigningKey = None) -> None:
    """Close a ticket: nothing more happens to it. Its history and its branch stay."""
    from watchbill.cli.deciding import close as stage

    stage(ticket, note, by, key)


@app.command()
def plan(
    agent: Annotated[Optional[Agent], typer.Option(help="Plan for this agent only.")] = None,  # noqa: UP045
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be planned; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Write the manifests of the next sessions."""
    from watchbill.cli import show
    from watchbill.stages.plan import AGENTS
    from watchbill.stages.plan import plan as stage

    opened = begin.workspace()
    agents = AGENTS if agent is None else tuple(name for name in AGENTS if name == agent.value)
    if not dry_run:
        begin.settled(opened)
    show.manifests(stage(opened, begin.now(), agents, dry_run), dry_run, json)


@app.command()
def run(
    who: Annotated[Who, typer.Argument(metavar="AGENT", help="build, qa, security, or all: round after round.")],
    manifest: Annotated[Optional[str], typer.Option(help="A manifest (the newest unused if left out).")] = None,  # noqa: UP045
    jobs: Annotated[int, typer.Option(min=1, max=16, help="How many tickets at once.")] = 1,
    record: Annotated[Optional[Path], typer.Option(help="Write the model's replies to a script.")] = None,  # noqa: UP045
    json: Json = False,
) -> None:
    """Run a session of one agent, or the whole watch."""
    from watchbill.cli.running import run as stage

    stage(who.value, manifest, jobs, record, json)


@app.command()
def merge(json: Json = False) -> None:
    """Merge what every review has passed."""
    from watchbill.cli.running import merge as stage

    stage(json)


@inbox.command("list")
def inbox_list(json: Json = False) -> None:
    """List what waits for you."""
    from watchbill.cli import show
    from watchbill.inbox import open_items
    from watchbill.stages.report import reminders, waiting

    opened = begin.workspace()
    lines = waiting(opened)
    show.inbox(lines, open_items(opened.layout), json)
    if lines and not json:
        from watchbill.gate import holds

        words = holds(opened.settings, opened.root, begin.now()).words
        show.gate(words, reminders(opened, begin.now()))


@inbox.command("show")
def inbox_show(item: Item, json: Json = False) -> None:
    """Show one item whole."""
    from watchbill.cli import show
    from watchbill.stages.page import page_of

    show.inbox_item(page_of(begin.workspace(), item, begin.now()), json)


def _decide(item: str, decision: str, note: str, by: str | None, key: Path | None, json: bool, to: str = "") -> None:
    from watchbill.cli.deciding import decide as stage

    stage(item, decision, note, by, key, json, to)


@inbox.command("approve")
def inbox_approve(item: Item, note: Note = "", by: By = None, key: SigningKey = None, json: Json = False) -> None:
    """The proposal goes ahead."""
    _decide(item, "approve", note, by, key, json)


@inbox.command("dismiss")
def inbox_dismiss(item: Item, note: Note = "", by: By = None, key: SigningKey = None, json: Json = False) -> None:
    """It is wrong or accepted: go on."""
    _decide(item, "dismiss", note, by, key, json)


@inbox.command("reject")
def inbox_reject(item: Item, note: Note = "", by: By = None, key: SigningKey = None, json: Json = False) -> None:
    """Abandon the ticket."""
    _decide(item, "reject", note, by, key, json)


@inbox.command("escalate")
def inbox_escalate(
    item: Item,
    note: Note = "",
    to: Annotated[str, typer.Option("--to", help="Who decides: a name from allowed_signers.")] = "",
    by: By = None,
    key: SigningKey = None,
    json: Json = False,
) -> None:
    """Still blocked: somebody else decides."""
    _decide(item, "escalate", note, by, key, json, to)


@inbox.command("sign")
def inbox_sign(
    items: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[ITEM]...", help="Which ones (all that are answered in their files if left out)."),
    ] = None,
    by: By = None,
    key: SigningKey = None,
    json: Json = False,
) -> None:
    """Sign and publish the answers that were written into files."""
    from watchbill.cli.deciding import sign as stage

    stage(items or [], by, key, json)


@app.command()
def watch(seconds: Annotated[float, typer.Option(help="Stop after so long (0: never).")] = 0) -> None:
    """Publish answers as soon as they are written into inbox files."""
    from watchbill.cli.watching import watch as stage

    stage(begin.workspace(), seconds)


@app.command()
def history(ticket: Id, json: Json = False) -> None:
    """Show everything that happened to a ticket."""
    from watchbill.cli import show

    opened = begin.workspace()
    show.history(opened.history(ticket), json)


@app.command()
def status(json: Json = False) -> None:
    """How everything stands."""
    from watchbill.cli import show
    from watchbill.stages.report import status as read

    show.status(read(begin.workspace(), begin.now()), json)


@app.command()
def verify(
    since: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(metavar="WHEN", help="A number of days, a date or a time: read older histories' ends only."),
    ] = None,
    json: Json = False,
) -> None:
    """Check every document, chain, decision and merge. Exits with 4 when something is wrong.

    With --since, a history that ended before that moment is not read document by document: its numbers, its last
    document and that its merge is on the integration branch are checked; an edit of an earlier document in it is not
    found. A history with any newer document is checked whole, as are manifests, items, records and the branch.
    """
    from watchbill.cli import show
    from watchbill.stages.verify import moment_of
    from watchbill.stages.verify import verify as stage

    opened, now = begin.workspace(), begin.now()
    begin.use_scratch(opened)
    show.verification(stage(opened, now, moment_of(since, now) if since is not None else None), json)


@app.command()
def archive(
    older_than: Annotated[int, typer.Option(min=0, help="How many days ago a ticket must have ended.")] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be packed; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Pack the histories of tickets that ended long ago. Nothing is lost: they are read as before."""
    from datetime import timedelta

    from watchbill.cli import show
    from watchbill.stages.archive import archive as stage

    opened = begin.workspace()
    if not dry_run:
        begin.settled(opened)
    show.archive(stage(opened, timedelta(days=older_than), begin.now(), dry_run), dry_run, json)


@gate.command("setup")
def gate_setup(
    key: Annotated[Optional[Path], typer.Option(help="An SSH key of yours.")] = None,  # noqa: UP045
    new: Annotated[Optional[Path], typer.Option(help="Make a new key here, with a passphrase.")] = None,  # noqa: UP045
    hardware: Annotated[bool, typer.Option("--hardware", help="With --new: on a hardware key.")] = False,
    name: Annotated[Optional[str], typer.Option("--as", help="The name that you decide under.")] = None,  # noqa: UP045
    unprotected: Annotated[
        bool, typer.Option("--unprotected", help="Take a key without a passphrase; the gate is then only advisory.")
    ] = False,
    accepted: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--accept-unsigned",
            metavar="DECISION",
            help="An unsigned decision that is to count, such as T-0012/0003, after an earlier set-up; repeatable.",
        ),
    ] = None,
) -> None:
    """Have decisions signed: choose your key, say who may sign, switch the gate over."""
    from watchbill.cli.deciding import set_up as stage

    stage(key, new, hardware, name, unprotected, tuple(accepted or ()))


@gate.command("allow")
def gate_allow(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Under which name decisions are signed.")],
    public: Annotated[Path, typer.Argument(metavar="KEY.pub", help="The public key.")],
) -> None:
    """Let somebody else sign decisions."""
    from watchbill.cli.deciding import allow as stage

    stage(name, public)


@gate.command("show")
def gate_show(json: Json = False) -> None:
    """Which gate holds, who may sign, and what it asks for."""
    from watchbill.cli.deciding import show as stage

    stage(json)


@schedule.command("show")
def schedule_show(
    launchd: Annotated[bool, typer.Option("--launchd", help="For macOS.")] = False,
    systemd: Annotated[bool, typer.Option("--systemd", help="For Linux with systemd.")] = False,
    cron: Annotated[bool, typer.Option("--cron", help="For cron.")] = False,
    json: Json = False,
) -> None:
    """Print the jobs that run the team, and write them into launchd/."""
    from watchbill.cli.scheduling import show as stage

    kinds = [name for name, wanted in (("launchd", launchd), ("systemd", systemd), ("cron", cron)) if wanted]
    stage(begin.workspace(), kinds, json)


@app.command()
def pause(note: Note = "") -> None:
    """Stop running sessions before their next request, and every later run."""
    from watchbill.pause import pause as stop

    print("paused" if stop(begin.workspace().layout, note, begin.now()) else "it was paused already")


@app.command()
def resume() -> None:
    """Go on after a pause."""
    from watchbill.pause import resume as go_on

    print("resumed" if go_on(begin.workspace().layout) else "it was not paused")


@app.command()
def demo(
    directory: Annotated[Optional[Path], typer.Argument(metavar="DIR", help="Where to make it.")] = None,  # noqa: UP045
    replay: Annotated[Optional[Path], typer.Option(help="Play this script instead of the demo's own.")] = None,  # noqa: UP045
) -> None:
    """See the whole team at work on a sample project: no key, no network, a scripted model."""
    from watchbill.cli.demonstrating import demo as stage

    stage(directory, replay)


@app.command()
def doctor(json: Json = False) -> None:
    """Explain what this machine and this workspace can do, and what stands in the way."""
    from watchbill.cli.doctor import show as stage

    opened = begin.workspace()
    begin.use_scratch(opened)
    stage(opened, json)
