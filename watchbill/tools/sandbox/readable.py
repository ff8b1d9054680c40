"""Which folders of the host a command may read, and which of them belong in its PATH.

Owns the resolution of the owner's `[sandbox] read` paths: virtual environments and their interpreters, links,
folders of programs. It opens nothing and decides nothing about writing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from watchbill.errors import Misconfigured

# What an interpreter needs of its installation. Its whole prefix could be a home folder.
_INSTALLATION = ("bin", "lib", "lib64", "include", "share")
_MAX_LINKS = 40


def check_read_paths(paths: Iterable[Path]) -> None:
    """Raises Misconfigured for a path that would open the whole host or that is not absolute."""
    for path in paths:
        if not path.is_absolute():
            raise Misconfigured(f"[sandbox] read has the relative path {path}.", "Give it as an absolute path.")
        if Path(os.path.realpath(path)) == Path("/"):
            raise Misconfigured(
                "[sandbox] read names the root of the file system, which would show every secret of this machine.",
                "Name the folders that the tests need, for example a virtual environment.",
            )


def spellings(path: Path) -> tuple[Path, ...]:
    """`path` as given and, when a link stands in between, as it really is: both must work inside."""
    given = Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would follow the links)
    real = Path(os.path.realpath(path))
    return (given,) if given == real else (given, real)


def readable_folders(paths: Iterable[Path]) -> list[Path]:
    """The existing ones of `paths`, each in all its spellings, with the interpreters of virtual environments."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.exists():
            for folder in [*spellings(path), *_interpreters(path)]:
                found[folder] = None
    return list(found)


def program_folders(paths: Sequence[Path]) -> list[Path]:
    """For each of `paths` that has programs, the folder that they are in: its `bin`, or itself."""
    folders = [path / "bin" if (path / "bin").is_dir() else path for path in paths]
    return [folder for folder in folders if _holds_programs(folder)]


def interpreter_folders() -> list[Path]:
    """The folders that hold this interpreter, the virtual environment around it included."""
    prefixes = dict.fromkeys([Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable)).parent])
    return [prefix for prefix in prefixes if prefix != Path("/")]


def _holds_programs(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.is_file() and os.access(entry.path, os.X_OK) for entry in entries)
    except OSError:
        return False


def _interpreters(path: Path) -> list[Path]:
    """What a virtual environment borrows: at each link from its `bin/python`, the installation around it."""
    if not (path / "pyvenv.cfg").is_file():
        return []
    needed: dict[Path, None] = {}
    for program in _links_from(path / "bin" / "python"):
        prefix = program.parent.parent
        if prefix in spellings(path) or prefix == Path("/"):
            continue
        for folder in (prefix / name for name in _INSTALLATION):
            if folder.exists():
                needed.update(dict.fromkeys(spellings(folder)))
    return list(needed)


def _links_from(path: Path) -> list[Path]:
    """`path`, what it links to, and so on to the end; also the end with linked folders resolved."""
    chain = [path]
    for _ in range(_MAX_LINKS):
        if not chain[-1].is_symlink():
            break
        chain.append(Path(os.path.normpath(chain[-1].parent / os.readlink(chain[-1]))))  # noqa: PTH115
    real = Path(os.path.realpath(path))
    return chain if real in chain else [*chain, real]
