"""How the tests of a Ruby, PHP or Elixir project are run.

Owns the recognition of such projects and their commands. It never installs anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from watchbill.tools.survey.dependencies import carried, carry, to_install
from watchbill.tools.survey.found import Found
from watchbill.tools.survey.machine import Machine, without_nested
from watchbill.tools.survey.place import Place, inside, printable, table


def ruby(place: Place, machine: Machine) -> Found | None:
    """A Gemfile or Rakefile, with specs or tests."""
    if not (place.first("Gemfile", "Rakefile", ".rspec") or place.matching("*.gemspec")):
        return None
    if place.matching("*_spec.rb"):
        reporter = " --format progress --format RspecJunitFormatter --out {junit}"
        runner = f"rspec{reporter if 'rspec_junit_formatter' in (place.text('Gemfile.lock') or '') else ''}"
    elif place.matching("*_test.rb", "test_*.rb"):
        runner = "rails test" if place.has("bin/rails") else "rake test"
    else:
        return None
    bundled = place.has("Gemfile")
    program = machine.program("ruby")
    notes = [] if program else ["ruby is not on PATH: install it, and run init again."]
    told = machine.ask(program, "-e", "puts RbConfig.ruby, Gem.path") if program else None
    folders = [Path(line) for line in (told or "").splitlines() if line.startswith("/")]
    read = [*(machine.prefix(folders[0]) if folders else ()), *machine.readable(folders[1:])]
    if bundled and place.folder("vendor/bundle"):
        gems = place.root / "vendor" / "bundle"
        prefix = f"BUNDLE_PATH={shlex.quote(str(gems))} BUNDLE_FROZEN=true "
        read.append(gems)
    else:
        prefix = "BUNDLE_FROZEN=true " if bundled and place.has("Gemfile.lock") else ""
        notes += (
            ["The gems that Gemfile names must be installed: run `bundle install` once yourself."] if bundled else []
        )
    return Found(
        evidence="Gemfile" if bundled else "Rakefile",
        test=f"{prefix}{'bundle exec ' if bundled else ''}{runner}",
        read=without_nested(read),
        notes=tuple(notes),
    )


def php(place: Place, machine: Machine) -> Found | None:
    """A composer.json or phpunit.xml, with PHPUnit, Pest, or a script `test`."""
    composer = place.json("composer.json")
    needs = {*table(composer, "require"), *table(composer, "require-dev")}
    configured = place.first("phpunit.xml", "phpunit.xml.dist", "phpunit.dist.xml")
    program = machine.program("php")
    if "pestphp/pest" in needs:
        test = "php vendor/bin/pest --log-junit {junit}"
    elif "phpunit/phpunit" in needs:
        test = "php vendor/bin/phpunit --log-junit {junit}"
    elif "symfony/phpunit-bridge" in needs and configured:
        test = "php vendor/bin/simple-phpunit --log-junit {junit}"
    elif inside(composer, "scripts", "test"):
        test = "composer run-script test"
    elif configured:
        test = "phpunit --log-junit {junit}"
    else:
        return None
    setup, read, notes = _vendored(place, "vendor", "composer install") if needs else ("", (), [])
    if program is None:
        notes = [*notes, "php is not on PATH: install it, and run init again."]
    name = composer.get("name")
    return Found(
        evidence=configured or "composer.json",
        test=test,
        setup=setup,
        read=(*(machine.prefix(program) if program else ()), *read),
        notes=tuple(notes),
        name=name.rpartition("/")[2] if isinstance(name, str) else "",
    )


def elixir(place: Place, machine: Machine) -> Found | None:
    """A mix.exs at the top."""
    text = place.text("mix.exs")
    if text is None:
        return None
    program = machine.program("mix")
    setup, read, notes = _vendored(place, "deps", "mix deps.get") if place.has("mix.lock") else ("", (), [])
    home = machine.folder("MIX_HOME", ".mix")
    prefix = ""
    if home and machine.readable([home]):
        prefix, read = f"MIX_HOME={shlex.quote(str(home))} ", (*read, home)
    if program is None:
        notes = [*notes, "mix is not on PATH: install Elixir, and run init again."]
    return Found(
        evidence="mix.exs",
        test=f"HEX_OFFLINE=1 {prefix}mix test",
        setup=setup,
        read=(*(machine.prefix(program) if program else ()), *read),
        notes=tuple(notes),
    )


def perl(place: Place, machine: Machine) -> Found | None:
    """A Makefile.PL, Build.PL or cpanfile, with tests in t/."""
    marker = place.first("Makefile.PL", "Build.PL", "cpanfile", "dist.ini")
    tests = place.matching("t/*.t")
    if not (marker and tests):
        return None
    program = machine.program("prove")
    return Found(
        evidence=f"{marker} and {printable(str(tests[0]))}",
        test="prove -lr t",
        read=machine.prefix(program) if program else (),
        notes=() if program else ("prove is not on PATH: install Perl, and run init again.",),
    )


def _vendored(place: Place, folder: str, install: str) -> tuple[str, tuple[Path, ...], Sequence[str]]:
    if place.folder(folder):
        return carry(place, [folder]), (place.root / folder,), [carried(folder, install)]
    return install, (), [to_install(folder, install)]
