"""Watch: notice an answer as soon as it is written into a file of the inbox.

Owns the waiting for edits: what counts as an edit, when a save is finished, and what is said about a file that
cannot be read. Never reads or publishes an answer itself: `pick_up` does.

The system's reports of edits only wake it up early; what counts is the folder itself, which is looked at regularly.
So an edit on a file system that reports nothing is found as well, only later.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from watchbill.errors import WatchbillError
from watchbill.inbox import unreadable
from watchbill.layout import ITEM_ID, Layout

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers.api import BaseObserver

# Seconds: without a change, after which a save counts as finished; that a file which keeps changing is waited for;
# that a file may stay unreadable before that is said (it may be half-way through a save); between two looks at the
# folder, with and without the system's reports.
QUIET = 0.2
LONGEST_SAVE = 3.0
PATIENCE = 1.0
LOOK = 1.0
POLL = 0.5

_ONLY_READ = ("opened", "closed_no_write")
Stamp = tuple[int, int, int, int]
Seen = dict[str, Stamp]
Say = Callable[[str], None]


def watch(
    layout: Layout,
    pick_up: Callable[[], None],
    say: Say,
    seconds: float = 0,
    stop: threading.Event | None = None,
    patience: float = PATIENCE,
) -> None:
    """Call `pick_up` at once and after every edit of an inbox item, until `stop` is set or `seconds` are over.

    0 seconds is without end. An error of `pick_up` about the disk, or one with a reason, is said and tried again.
    """
    end = time.monotonic() + seconds if seconds > 0 else math.inf
    stopped = stop or threading.Event()
    watcher = _Watcher(layout, pick_up, say, patience)
    with _Bell(layout.inbox, say) as bell:
        while not stopped.is_set() and (left := end - time.monotonic()) > 0:
            watcher.look()
            bell.wait(left)


@dataclass
class _Watcher:
    """What was seen of the folder, and what was said about it."""

    layout: Layout
    pick_up: Callable[[], None]
    say: Say
    patience: float
    seen: Seen | None = None
    suspects: dict[tuple[str, Stamp | None], float] = field(default_factory=dict)
    told: set[tuple[str, Stamp | None]] = field(default_factory=set)
    trouble: str = ""

    def look(self) -> None:
        """Look at the folder once, and do what its changes ask for."""
        try:
            now = _look(self.layout.inbox)
            edited = self.seen is None or bool(now.items() - self.seen.items())
            if edited:
                now = _at_rest(self.layout.inbox, now)
                self.pick_up()
            if edited or self.suspects:
                self._tell_what_is_unreadable(now)
            # What was seen before `pick_up` read it: an edit that comes meanwhile is a change to the next look.
            self.seen = now
            self.trouble = ""
        except FileNotFoundError:
            # Another watch, or a run, filed an item between two looks at it.
            self.seen = None
        except WatchbillError as error:
            self._try_again(error.reason)
        except OSError as error:
            self._try_again(f"the inbox cannot be read: {error.strerror or error}")

    def _try_again(self, why: str) -> None:
        self.seen = None
        if why != self.trouble:
            self.say(f"{why}; this is tried again")
        self.trouble = why

    def _tell_what_is_unreadable(self, now: Seen) -> None:
        found = {(error.path.name, now.get(error.path.name)): error.why for error in unreadable(self.layout)}
        moment = time.monotonic()
        self.suspects = {key: self.suspects.get(key, moment) for key in found if key not in self.told}
        for key, since in list(self.suspects.items()):
            if moment - since >= self.patience:
                self.say(f"{key[0]} cannot be read: {found[key]}. Correct it and save it again.")
                self.told.add(key)
                del self.suspects[key]


def _look(inbox: Path) -> Seen:
    """Every item's file as it stands now; a folder that is missing holds none."""
    seen: Seen = {}
    try:
        with os.scandir(inbox) as entries:
            for entry in entries:
                name, dot, kind = entry.name.rpartition(".")
                if dot and kind == "md" and ITEM_ID.fullmatch(name):
                    found = entry.stat(follow_symlinks=False)
                    seen[entry.name] = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return seen


def _at_rest(inbox: Path, seen: Seen) -> Seen:
    """The folder once nothing in it changes any more: editors save in several steps."""
    for _ in range(round(LONGEST_SAVE / QUIET)):
        time.sleep(QUIET)
        now = _look(inbox)
        if now == seen:
            break
        seen = now
    return seen


class _Bell:
    """Ends a wait early when something happens in a folder, and listens to the new one when that is replaced."""

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._rung = threading.Event()
        self._observer: BaseObserver | None = None
        self._place: tuple[int, int] | None = None
        self._only_polling = False

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_listening()

    def wait(self, seconds: float) -> None:
        """Wait for the next thing to happen, the next regular look, or `seconds`."""
        if not self._only_polling and self._is_deaf():
            self._listen()
        self._rung.wait(min(seconds, POLL if self._observer is None else LOOK))
        self._rung.clear()

    def _is_deaf(self) -> bool:
        if self._observer is None or self._place != _place(self._folder):
            return True
        return not all(emitter.is_alive() for emitter in self._observer.emitters)

    def _listen(self) -> None:
        self._stop_listening()
        self._place = _place(self._folder)
        if self._place is None:
            return
        from watchdog.observers import Observer

        try:
            observer = Observer()
            observer.schedule(_ringer(self._rung), os.path.realpath(self._folder))
            observer.start()
        except FileNotFoundError:
            return
        except (OSError, RuntimeError, SystemError) as error:
            self._only_polling = True
            self._say(f"the system cannot report edits ({error}): the inbox is looked at every {POLL} seconds instead")
            return
        self._observer = observer
        # What was edited while nobody listened.
        self._rung.set()

    def _stop_listening(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=5)
            self._observer = None


def _ringer(rung: threading.Event) -> FileSystemEventHandler:
    from watchdog.events import FileSystemEventHandler

    class Ringer(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if event.event_type not in _ONLY_READ:
                rung.set()

    return Ringer()


def _place(folder: Path) -> tuple[int, int] | None:
    """Which folder has that name now, None when there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
