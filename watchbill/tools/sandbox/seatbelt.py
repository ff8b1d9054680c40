"""The macOS sandbox: `sandbox-exec` with a generated profile that denies whatever it does not name.

Owns the profile and the call. The profile is a pure function of paths; later rules win over earlier ones. There
are no private name spaces here: scratch is a real folder, removed afterwards, and processes that leave their
process group are confined but not found again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from watchbill.errors import Misconfigured, Refused
from watchbill.tools.sandbox.child import as_words, environment, limited, run_child
from watchbill.tools.sandbox.contract import NO_VARIABLES, Limits, Result
from watchbill.tools.sandbox.readable import check_read_paths, program_folders, readable_folders, spellings

PROGRAM = "/usr/bin/sandbox-exec"

_SYSTEM_READ = (
    "/bin", "/sbin", "/usr", "/System", "/Library/Apple", "/Library/Developer", "/Library/Frameworks",
    "/Library/Preferences/Logging", "/private/etc/localtime", "/private/etc/ssl", "/private/etc/protocols",
    "/private/etc/services", "/private/var/db/dyld", "/private/var/db/timezone", "/private/var/select",
    "/opt/homebrew", "/Applications/Xcode.app",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/dtracehelper")
_SERVICES = (
    "com.apple.system.logger", "com.apple.system.notification_center", "com.apple.system.opendirectoryd.libinfo",
    "com.apple.system.opendirectoryd.membership", "com.apple.trustd.agent",
)  # fmt: skip
_NETWORK_SERVICES = ("com.apple.SystemConfiguration.configd", "com.apple.dnssd.service")


def profile(read: Iterable[Path], write: Iterable[Path], read_only: Iterable[Path], *, network: bool) -> str:
    """The sandbox profile as text: `read` and the system readable, `write` writable, `read_only` not, even inside.

    Paths are used as given: the kernel compares resolved ones. Raises Refused for a path that cannot be quoted.
    """
    reading = [*(_folder(Path(name)) for name in _SYSTEM_READ), *map(_folder, read)]
    writing = [_folder(path) for path in write]
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-exec* process-fork)",
        "(allow signal process-info* (target same-sandbox))",
        "(allow sysctl-read)",
        "(allow ipc-posix-sem)",
        "(allow file-read-metadata)",
        '(allow file-read* (literal "/"))',
        _rule("allow file-read* file-map-executable", [*reading, *writing]),
        _rule("allow file-read* file-write-data file-ioctl", [_literal(Path(name)) for name in _DEVICES]),
        _rule("allow mach-lookup", [_service(name) for name in _SERVICES]),
        _rule("allow file-write*", writing),
    ]
    protected = [_folder(path) for path in read_only]
    if protected:
        lines.append(_rule("deny file-write*", protected))
    if network:
        lines.append("(allow network-outbound network-inbound network-bind system-socket)")
        lines.append(_rule("allow mach-lookup", [_service(name) for name in _NETWORK_SERVICES]))
        lines.append('(allow file-read* (literal "/private/etc/hosts") (literal "/private/etc/resolv.conf"))')
    return "\n".join(lines) + "\n"


def _rule(what: str, filters: Sequence[str]) -> str:
    return "\n  ".join([f"({what}", *filters]) + ")"


def _folder(path: Path) -> str:
    return f"(subpath {_quoted(path)})"


def _literal(path: Path) -> str:
    return f"(literal {_quoted(path)})"


def _service(name: str) -> str:
    return f'(global-name "{name}")'


def _quoted(path: Path) -> str:
    text = str(path)
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise Refused(f"The path {text!r} contains control characters and cannot be named in a sandbox profile.")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Seatbelt:
    """Runs commands under `sandbox-exec`. The arguments are those of Bubblewrap."""

    name = "seatbelt"

    def __init__(self, read: Sequence[Path] = (), repo_git_dir: Path | None = None, program: str = PROGRAM) -> None:
        check_read_paths(read)
        self._read = tuple(read)
        self._repo_git_dir = repo_git_dir
        self._program = program

    def also_reading(self, folders: Sequence[Path]) -> Seatbelt:
        """The same sandbox with more folders to read."""
        return Seatbelt([*self._read, *folders], self._repo_git_dir, self._program)

    def run(
        self,
        command: Sequence[str] | str,
        worktree: Path,
        limits: Limits,
        *,
        network: bool = False,
        write: Sequence[Path] = (),
        env: Mapping[str, str] = NO_VARIABLES,
        stop: threading.Event | None = None,
    ) -> Result:
        """See Sandbox."""
        if not Path(self._program).exists():
            raise Misconfigured(f"{self._program} is missing; it comes with macOS only.")
        if (worktree / ".git").is_symlink():
            raise Refused(f"{worktree / '.git'} is a link. Somebody may have replaced it.", "Remove the worktree.")
        scratch = Path(os.path.realpath(tempfile.mkdtemp(prefix="watchbill-scratch-")))
        try:
            (scratch / "home").mkdir()
            git_dirs = [] if self._repo_git_dir is None else [self._repo_git_dir]
            rules = profile(
                _all_spellings([*readable_folders(self._read), *git_dirs]),
                _all_spellings([worktree, scratch, *write]),
                _all_spellings([worktree / ".git", *git_dirs]),
                network=network,
            )
            return run_child(
                [self._program, "-p", rules, *limited(as_words(command), limits, None)],
                env=environment(program_folders(self._read), str(scratch / "home"), str(scratch), env),
                cwd=worktree,
                limits=limits,
                disk=[worktree, scratch, *write],
                stop=stop,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _all_spellings(paths: Iterable[Path]) -> list[Path]:
    return list(dict.fromkeys(spelling for path in paths for spelling in spellings(path)))
