"""How the tests of a Rust project are run, with crates that were downloaded before.

Owns the recognition of such a project and a command that leaves the owner's Cargo folder read-only. It never builds.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from watchbill.tools.survey.found import Found
from watchbill.tools.survey.machine import Machine
from watchbill.tools.survey.place import Place, inside, printable, table

# Cargo must write into its folder (locks, unpacked crates); what was downloaded is linked into one of its own.
_CARGO_HOME = 'export CARGO_HOME="${TMPDIR:-/tmp}/watchbill-cargo"'


def rust(place: Place, machine: Machine) -> Found | None:
    """A Cargo.toml at the top."""
    if not place.has("Cargo.toml"):
        return None
    manifest = place.toml("Cargo.toml")
    everything = " --workspace" if inside(manifest, "package") and inside(manifest, "workspace", "members") else ""
    toolchain, notes = _toolchain(place, machine)
    prefix, read = _crates(place, machine, manifest)
    notes += _not_downloaded(place, machine) if read else []
    name = inside(manifest, "package", "name")
    return Found(
        evidence="Cargo.toml",
        test=f"{prefix}cargo test --offline{everything}",
        read=(*toolchain, *read),
        notes=tuple(notes),
        name=name if isinstance(name, str) else "",
    )


def _toolchain(place: Place, machine: Machine) -> tuple[tuple[Path, ...], list[str]]:
    """The folder of the compiler itself: rustup's shims need a home folder that they can write."""
    cargo = machine.program("cargo")
    if cargo is None:
        return (), ["cargo is not on PATH: install Rust, and run init again."]
    rustup = machine.program("rustup")
    if rustup is None or "rustup" not in Path(os.path.realpath(cargo)).name:
        return machine.prefix(cargo), []
    wanted = _wanted_toolchain(place)
    chosen = machine.ask(rustup, "which", "--toolchain", wanted, "cargo") if wanted else None
    notes = [f"The project asks for Rust {printable(wanted)}, which is not installed."] if wanted and not chosen else []
    found = chosen or machine.ask(rustup, "which", "cargo")
    return (machine.prefix(Path(found)), notes) if found else (machine.prefix(cargo), notes)


def _wanted_toolchain(place: Place) -> str:
    channel = inside(place.toml("rust-toolchain.toml"), "toolchain", "channel")
    if not isinstance(channel, str):
        lines = (place.text("rust-toolchain") or "").strip().splitlines()
        channel = lines[0] if len(lines) == 1 else ""
    return channel if re.fullmatch(r"[\w.-]+", channel) and not channel.startswith("-") else ""


def _crates(place: Place, machine: Machine, manifest: Mapping[str, object]) -> tuple[str, tuple[Path, ...]]:
    """What must stand before the command so that it finds the downloaded crates, and the folders it then reads."""
    home = machine.folder("CARGO_HOME", ".cargo")
    if home is None or _is_vendored(place) or not _needs_crates(place, manifest):
        return "", ()
    folders = [home / name for name in ("registry/index", "registry/cache", "git/db")]
    folders = [folder for folder in folders if machine.readable([folder])]
    if not folders:
        return "", ()
    links = [
        f'ln -sfn {shlex.quote(str(folder))} "$CARGO_HOME"/{folder.relative_to(home).as_posix()}' for folder in folders
    ]
    steps = [_CARGO_HOME, 'mkdir -p "$CARGO_HOME/registry" "$CARGO_HOME/git"', *links]
    return " && ".join(steps) + " && ", tuple(folders)


def _is_vendored(place: Place) -> bool:
    settings = place.first(".cargo/config.toml", ".cargo/config")
    return bool(settings) and any("replace-with" in table(source) for source in _sources(place, settings))


def _sources(place: Place, settings: str) -> list[object]:
    return list(table(place.toml(settings), "source").values())


def _needs_crates(place: Place, manifest: Mapping[str, object]) -> bool:
    if any("source" in table(package) for package in _locked(place)):
        return True
    kinds = [table(manifest, kind) for kind in ("dependencies", "dev-dependencies", "build-dependencies", "target")]
    shared = table(manifest, "workspace", "dependencies")
    asked = [dependency for kind in [*kinds, shared] for dependency in kind.values()]
    return any("path" not in table(dependency) for dependency in asked)


def _locked(place: Place) -> list[object]:
    packages = place.toml("Cargo.lock").get("package")
    return packages if isinstance(packages, list) else []


def _not_downloaded(place: Place, machine: Machine) -> list[str]:
    home = machine.folder("CARGO_HOME", ".cargo")
    there = {path.name for path in home.glob("registry/cache/*/*.crate")} if home else set()
    wanted = [
        f"{table(package).get('name')}-{table(package).get('version')}.crate"
        for package in _locked(place)
        if str(table(package).get("source", "")).startswith(("registry+", "sparse+"))
    ]
    missing = [crate for crate in wanted if crate not in there]
    if not missing:
        return []
    return [f"{len(missing)} of {len(wanted)} crates in Cargo.lock are not downloaded yet: run `cargo fetch` once."]
