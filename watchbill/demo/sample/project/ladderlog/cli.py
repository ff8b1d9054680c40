"""The commands. Each one changes the book or reads it, and answers with the lines to print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ladderlog import catalogue, fees, loans, report
from ladderlog.book import Book, load, save

Options = argparse.Namespace
Command = Callable[[Book, Options, date], list[str]]
COMMANDS: list[tuple[str, str, tuple[tuple[str, dict], ...], Command]] = []


def argument(name: str, **settings: object) -> tuple[str, dict]:
    """One argument of a command, as argparse wants it."""
    return name, settings


def command(name: str, summary: str, *arguments: tuple[str, dict]) -> Callable[[Command], Command]:
    """Offer a function as a command."""

    def offer(run: Command) -> Command:
        COMMANDS.append((name, summary, arguments, run))
        return run

    return offer


@command("add", "put a tool on a shelf", argument("name"), argument("--shelf", default="A1"))
def add(book: Book, options: Options, today: date) -> list[str]:
    tool = catalogue.Tool(catalogue.next_number(book.tools), options.name, options.shelf)
    book.tools.append(tool)
    return [f"{tool.name} is number {tool.number}, on shelf {tool.shelf}."]


@command("lend", "give a tool to a neighbour", argument("number", type=int), argument("neighbour"))
def lend(book: Book, options: Options, today: date) -> list[str]:
    tool = catalogue.by_number(book.tools, options.number)
    loan = loans.lend(book.loans, tool.number, options.neighbour, today)
    return [f"{tool.name} goes to {loan.neighbour} until {loan.due}."]


@command("back", "take a tool home again", argument("number", type=int))
def back(book: Book, options: Options, today: date) -> list[str]:
    tool = catalogue.by_number(book.tools, options.number)
    loan = loans.give_back(book.loans, tool.number, today)
    return [f"{tool.name} is home, on shelf {tool.shelf}. Late fee: {fees.money(fees.late_fee(loan, today))}."]


@command("find", "look for tools by name", argument("text"))
def find(book: Book, options: Options, today: date) -> list[str]:
    found = catalogue.find(book.tools, options.text)
    return [f"{tool.number:>3}  {tool.name} (shelf {tool.shelf})" for tool in found] or ["No tool has that name."]


@command("shelf", "list every tool and where it is")
def shelf(book: Book, options: Options, today: date) -> list[str]:
    return report.shelf_lines(book)


@command("overdue", "list the tools that should be home by now")
def overdue(book: Book, options: Options, today: date) -> list[str]:
    return report.overdue_lines(book, today)


def parser() -> argparse.ArgumentParser:
    """The command line, made of the commands above."""
    whole = argparse.ArgumentParser(prog="ladderlog", description="The lending book of a street's tool shed.")
    whole.add_argument("--book", type=Path, default=Path("shed.json"), help="the file (default: shed.json)")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    for name, summary, arguments, run in COMMANDS:
        one = commands.add_parser(name, help=summary)
        for argument_name, settings in arguments:
            one.add_argument(argument_name, **settings)
        one.set_defaults(run=run)
    return whole


def main(argv: list[str] | None = None, today: date | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 1 if the shed says no."""
    options = parser().parse_args(argv)
    book = load(options.book)
    try:
        lines = options.run(book, options, today or date.today())
    except (catalogue.UnknownTool, loans.NotPossible) as problem:
        print(f"ladderlog: {problem}", file=sys.stderr)
        return 1
    save(book, options.book)
    print("\n".join(lines))
    return 0
