"""Which programs this machine has, where they live, and what of them a sandbox must be able to read.

Owns the asking of installed tools (`node`, `python3`, `go`: where are you?) and the rule which folders may be opened to
a sandbox. It never runs a program that lies in the repository, and never opens a whole home folder.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from watchbill.tools.survey.place import is_file, is_folder

Which = Callable[[str], str | None]
Ask = Callable[[Sequence[str]], str | None]

_SECONDS = 15
# Every sandbox shows these, and has their programs in PATH.
_SYSTEM = tuple(Path(folder) for folder in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/System", "/nix/store"))
_SYSTEM_PROGRAMS = tuple(Path(folder) for folder in ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"))
# Prefixes of package managers whose packages are linked to each other through the prefix itself.
_SHARED_PREFIXES = tuple(Path(folder) for folder in ("/opt/homebrew", "/home/linuxbrew/.linuxbrew"))


def ask_program(words: Sequence[str]) -> str | None:
    """What an installed program says on stdout; None when it fails or takes too long.

    It is run at the top of the file system: the folder that a program runs in may configure it.
    """
    try:
        done = subprocess.run(
            list(words), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


class Machine:
    """The programs of this machine, seen from the repository `root`. `home` is the owner's home folder."""

    def __init__(self, root: Path, which: Which, ask: Ask, environ: Mapping[str, str], home: Path) -> None:
        self.environ = environ
        self.home = home
        self._root = root
        self._which = which
        self._ask = ask

    def program(self, name: str) -> Path | None:
        """Where `name` is installed; None for one that lies in the repository, which nobody has vouched for."""
        found = self._which(name)
        if not found or not Path(found).is_absolute():
            return None
        path = Path(found)
        root = Path(os.path.realpath(self._root))
        is_of_the_repository = path.is_relative_to(self._root) or Path(os.path.realpath(path)).is_relative_to(root)
        return None if is_of_the_repository else path

    def ask(self, *words: str | Path) -> str | None:
        return self._ask([str(word) for word in words])

    def folder(self, variable: str, *below_home: str) -> Path | None:
        """The folder that an environment variable names, or else the usual one below the home folder."""
        named = self.environ.get(variable, "")
        path = Path(named) if Path(named).is_absolute() else self.home.joinpath(*below_home)
        return path if is_folder(path) else None

    def prefix(self, program: Path) -> tuple[Path, ...]:
        """The installation that `program` belongs to, nothing for a part of the system."""
        real = Path(os.path.realpath(program))
        for shared in _SHARED_PREFIXES:
            if real.is_relative_to(shared):
                return self.readable([shared])
        folder = real.parent.parent if real.parent.name == "bin" else real.parent
        # Such as ~/.local/bin or ~/bin: the programs may be shown, what else lies beside them may not.
        return self.readable([folder]) or self.readable([real.parent])

    def readable(self, paths: Iterable[Path]) -> tuple[Path, ...]:
        """Those of `paths` that exist, that no sandbox shows anyway, and that hold nothing of the owner's."""
        kept: list[Path] = []
        for path in paths:
            if (
                path.is_absolute()
                and (is_folder(path) or is_file(path))
                and not _is_system(path)
                and not self._is_private(path)
            ):
                kept.append(path)
        return without_nested(kept)

    def call(self, program: Path, read: Iterable[Path]) -> str:
        """The word to call `program` with in a sandbox that may read `read`: its name where PATH has it."""
        folders = {*_SYSTEM_PROGRAMS, *(path / "bin" for path in read), *read}
        return program.name if program.parent in folders else shlex.quote(str(program))

    def _is_private(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))
        home = Path(os.path.realpath(self.home))
        below = real.relative_to(home).parts if real.is_relative_to(home) else None
        # ~/.local and ~/.config hold keys and tokens, their `share/TOOL` and `bin` do not.
        return home.is_relative_to(real) or (below is not None and _is_a_trove(below))


def _is_a_trove(below_home: tuple[str, ...]) -> bool:
    closed = {".ssh", ".gnupg", ".aws", ".kube", ".docker", ".config", ".password-store", ".netrc"}
    crowded = {(".local",), (".local", "share"), (".local", "lib"), (".cache",), ("Library",), (".cargo",), (".m2",)}
    return below_home[0] in closed or below_home in crowded


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _SYSTEM)


def without_nested(paths: Iterable[Path]) -> tuple[Path, ...]:
    """`paths` in their order, each once, without those that lie below another."""
    every = list(dict.fromkeys(paths))
    return tuple(path for path in every if not any(other in path.parents for other in every))
