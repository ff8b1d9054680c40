"""One linked worktree: where an agent writes, and from which the engine commits.

Owns staging, committing and merging in it. Everything in the folder is an agent's word, its `.git` file and nested
repositories included: git is told by us where its own folder is, and never finds out from the worktree.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from watchbill.errors import Refused, Stale
from watchbill.tools.git import folders
from watchbill.tools.git.command import (
    Git,
    Output,
    full_id,
    message_bytes,
    printable,
    signature,
    split_names,
    unexpected,
)
from watchbill.tools.git.durability import sync_file_system
from watchbill.tools.git.filters import HOW_TO_INSTALL_A_FILTER, missing_filters

ALWAYS_EXCLUDED = (
    "__pycache__/",
    "*.pyc",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    "node_modules/",
    ".venv/",
    ".coverage",
    ".DS_Store",
    "Thumbs.db",
    "*.egg-info/",
    "*~",
    "*.swp",
    "npm-debug.log*",
    "yarn-error.log*",
    ".nyc_output/",
    ".tox/",
    ".nox/",
    "htmlcov/",
)

_MARKED_FILE_LIMIT = 5_000_000
_READY = "watchbill-ready"
_CLEAN = "watchbill-clean"


@dataclass(frozen=True)
class Worktree:
    """`path` is the folder, `git_dir` its administrative folder inside the repository, which no agent can write.

    Every method may raise Refused or TryLater with git's own last lines.
    """

    path: Path
    git_dir: Path

    @property
    def _git(self) -> Git:
        return Git(self.git_dir, work_tree=self.path, settings=("core.sparseCheckout=false", "index.sparse=false"))

    def head(self) -> str:
        """The id of the commit that is checked out."""
        return self._git.text("rev-parse", "--verify", "HEAD^{commit}")

    def changed(self, excludes: Sequence[str] = ()) -> list[str]:
        """The paths that differ from the commit: edited, new and deleted. What is ignored is not among them."""
        return sorted(printable(name) for name in self._changed(excludes))

    def untracked(self, excludes: Sequence[str] = ()) -> list[str]:
        """The new files that the next commit would take in."""
        return sorted(printable(name) for name in self._new_files(excludes))

    def tracks(self, folder: str) -> bool:
        """Whether the commit that is checked out holds anything below `folder`."""
        return bool(self._git.run("ls-tree", "-r", "--name-only", "-z", "HEAD", "--", f"{folder}/").out)

    def conflict_markers(self) -> list[str]:
        """The changed files that still hold conflict markers."""
        return sorted(printable(name) for name in self._changed(()) if self._holds_markers(name))

    def merging(self) -> str | None:
        """The commit that was merged in with `begin_merge` and is not part of a commit yet, also after a crash."""
        pending = self._git.run("rev-parse", "-q", "--verify", "MERGE_HEAD^{commit}", expected=(0, 1, 128))
        if pending.code != 0:
            return None
        commit = pending.out.decode("ascii").strip()
        return None if self._contains(commit) else commit

    def commit_all(
        self, message: str, when: datetime, excludes: Sequence[str] = (), second_parent: str | None = None
    ) -> str | None:
        """Commit everything in the folder to its branch, and return the new commit; None when nothing changed.

        `when` is aware. `excludes` are patterns as in .gitignore, for new files only. Symbolic links are committed as
        links, the files of nested repositories as files. Submodules stay at their commit. Raises Stale when the branch
        moved meanwhile.
        """
        if when.tzinfo is None:
            raise ValueError("commit_all needs a time with its zone")
        git = self._git
        self._stage(excludes)
        head = self.head()
        tree = git.text("write-tree")
        parents = [head]
        if second_parent is not None and not self._contains(full_id(second_parent)):
            parents.append(second_parent)
        if len(parents) == 1 and tree == git.text("rev-parse", "--verify", "HEAD^{tree}"):
            return None
        commit = git.text(
            "commit-tree",
            *(word for parent in parents for word in ("-p", parent)),
            tree,
            given=message_bytes(message),
            env=signature(int(when.timestamp())),
        )
        self._move_head(commit, head)
        self._forget_merge()
        return commit

    def begin_merge(self, commit: str, excludes: Sequence[str] = ()) -> list[str]:
        """Merge `commit` into the files without committing, and return the paths in conflict, which hold markers.

        Afterwards `commit_all(..., second_parent=commit)` makes the merge commit. Raises Refused while there is
        uncommitted work. Asking again after a crash carries on with the merge that was begun.
        """
        full_id(commit)
        if self.merging() == commit:
            return self.conflict_markers()
        if self._changed(excludes):
            raise Refused(f"{self.path.name} holds uncommitted work.", "Commit it before another commit is merged in.")
        head = self.head()
        branch = self.ready_for()
        self.not_ready()
        merged = self._git.run(
            "merge", "--no-commit", "--no-ff", "--no-autostash", "--no-verify-signatures", "--no-verify", "--no-log",
            "--no-stat", "--quiet", "--strategy=ort", commit,
            expected=range(256),
        )  # fmt: skip
        conflicts = sorted(self._unmerged())
        if merged.code != 0 and not conflicts:
            if self._changed(excludes):
                self.check_out_clean(head)
            self.ready(branch)
            raise Refused(f"{commit[:12]} could not be merged: {merged.last_lines()}", "Merge it by hand.")
        self.ready(branch)
        return [printable(name) for name in conflicts]

    def reset_to(self, commit: str) -> None:
        """Move the branch to `commit` and make the folder exactly that commit, whatever was in it."""
        branch = self.ready_for()
        self.not_ready()
        self._git.run("update-ref", "-m", "watchbill: reset", "HEAD", full_id(commit))
        self.check_out_clean(commit)
        self.ready(branch)

    # What Repository uses to hand a worktree out; others have no need of it.

    def attach(self, branch: str) -> None:
        """Put the worktree on `branch` without touching a file."""
        self._git.run("symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def detach(self, commit: str) -> None:
        """Put the worktree on `commit` and no branch, without touching a file."""
        self._git.run("update-ref", "--no-deref", "HEAD", full_id(commit))

    def ready_for(self) -> str | None:
        """The branch that was checked out here completely, so that what differs now is an agent's work."""
        try:
            told = (self.git_dir / _READY).read_bytes()
        except FileNotFoundError:
            return None
        # A power cut may leave zeros where the name was, or only a part of it.
        is_whole = told.endswith(b"\n") and told.strip() and b"\0" not in told
        return os.fsdecode(told).strip() if is_whole else None

    def ready(self, branch: str | None) -> None:
        """Note that `branch` is checked out completely, after the files are on the disk."""
        if branch is not None:
            sync_file_system(self.path)
            (self.git_dir / _READY).write_text(branch + "\n", "utf-8")

    def not_ready(self) -> None:
        """From here on, until `ready`, the files are half of something and worth nothing."""
        (self.git_dir / _READY).unlink(missing_ok=True)

    def is_sound(self, common_dir: Path) -> bool:
        """Whether git still takes the administrative folder for one of this repository."""
        answer = self._git.run("rev-parse", "--path-format=absolute", "--git-common-dir", expected=range(256))
        return answer.code == 0 and Path(os.fsdecode(answer.out.removesuffix(b"\n"))).resolve() == common_dir

    def drop_locks(self) -> None:
        """Remove what a dead session held. Only its successor, who holds the lock of the session, may ask for it."""
        for lock in self.git_dir.glob("*.lock"):
            lock.unlink(missing_ok=True)

    def forget_index(self) -> None:
        """Take the commit as the index and leave the files alone."""
        self._read_tree("HEAD")

    def restore_missing(self) -> None:
        """Check out the files that are missing, and leave the others alone."""
        self._git.run("checkout-index", "--all", "--quiet", expected=(0, 1, 128))

    def check_out_clean(self, commit: str) -> None:
        """Make the folder exactly `commit`, whatever was in it: no untracked or ignored file stays.

        A file is left as it lies only if nobody can have touched it since the last such checkout: its ctime, which no
        program can set, is older than that, and git finds it as it wrote it. Where anything else could make a
        difference (an index that hides files, other attributes, other settings) every file is written anew.
        """
        files: set[bytes] = set()
        submodules: set[bytes] = set()
        attributes: set[bytes] = set()
        for line in self._git.names("ls-tree", "-r", "-z", "--full-tree", full_id(commit)):
            about, _, name = line.partition(b"\t")
            (submodules if about.startswith(b"160000") else files).add(name)
            if _is_about_attributes(name):
                attributes.add(about.split()[2] + name)
        untouched_since = self._clean_since()
        if untouched_since is None or not self._hides_nothing(attributes):
            untouched_since = None
            (self.git_dir / "index").unlink(missing_ok=True)
        folders.sweep(self.path, files, submodules, untouched_since)
        self._read_tree("-u", commit)
        self._forget_merge()
        self._note_clean()

    def _clean_since(self) -> int | None:
        """When everything here was last checked out clean, in nanoseconds as this file system tells ctimes.

        None when it never was, or when the clock or the repository's settings have changed since.
        """
        try:
            since, _, settings = (self.git_dir / _CLEAN).read_text("ascii").rstrip("\n").partition(" ")
            is_known = settings == self._settings_now() and int(since) <= time.time_ns()
        except (FileNotFoundError, ValueError):
            return None
        return int(since) if is_known else None

    def _note_clean(self) -> None:
        # Not the time of a file elsewhere: file systems differ in how exactly they tell it.
        mark = self.path / ".git"
        os.utime(mark)
        (self.git_dir / _CLEAN).write_text(f"{mark.lstat().st_ctime_ns} {self._settings_now()}\n", "ascii")

    def _settings_now(self) -> str:
        """A hash of what in the repository, beside its commits, decides how a file is checked out."""
        common_dir = self.git_dir.parents[1]
        told = [common_dir / "config", common_dir / "info" / "attributes", self.git_dir / "config.worktree"]
        return hashlib.sha256(b"\0".join(path.read_bytes() for path in told if path.is_file())).hexdigest()

    def _hides_nothing(self, attributes: set[bytes]) -> bool:
        """Whether git looks at every file of the index, and `attributes` (ids and names) are those it was made with."""
        listing = self._git.run("ls-files", "--stage", "-v", "-z", expected=range(256))
        made_with = set()
        for line in split_names(listing.out):
            about, _, name = line.partition(b"\t")
            if not about.startswith(b"H "):
                return False
            if _is_about_attributes(name):
                made_with.add(about.split()[2] + name)
        return listing.code == 0 and made_with == attributes

    def _changed(self, excludes: Sequence[str]) -> set[bytes]:
        differing = self._git.names(
            "diff",
            "--name-only",
            "-z",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=all",
            "HEAD",
        )
        return {*differing, *self._new_files(excludes)}

    def _new_files(self, excludes: Sequence[str]) -> list[bytes]:
        with _patterns([*ALWAYS_EXCLUDED, *excludes]) as patterns:
            command = ("ls-files", "--others", "-z", "--exclude-standard", f"--exclude-from={patterns}")
            listing = self._git.run(*command)
            if "could not open directory" in listing.err:
                folders.make_accessible(self.path)
                listing = self._git.run(*command)
            found = split_names(listing.out)
            # git shows a nested repository as one name with a slash at its end, and would make it a gitlink.
            nested = [name for name in found if name.endswith(b"/")]
            inside = [name for folder in nested for name in folders.files_under(self.path, folder)]
            plain = [name for name in found if not name.endswith(b"/")]
            return plain + self._not_ignored(inside, patterns)

    def _not_ignored(self, names: list[bytes], patterns: Path) -> list[bytes]:
        if not names:
            return []
        git = Git(self.git_dir, work_tree=self.path, settings=(f"core.excludesFile={patterns}",))
        # Each name gets a "./" in front, so that none of them reads as a pattern.
        answer = git.run(
            "check-ignore",
            "--no-index",
            "-z",
            "--stdin",
            given=b"".join(b"./" + name + b"\0" for name in names),
            expected=(0, 1),
        )
        ignored = set(split_names(answer.out))
        return [name for name in names if b"./" + name not in ignored]

    def _stage(self, excludes: Sequence[str]) -> None:
        git = self._git
        touched = {*git.names("diff-files", "--name-only", "-z", "--ignore-submodules=all"), *self._unmerged()}
        there = {name for name in touched if folders.is_file_or_link(self.path, name)}
        # First what is gone: git lists nothing new inside a folder that it still takes for a file.
        self._update_index(touched - there, "--force-remove")
        taken = there.union(self._new_files(excludes))
        self._require_filters(taken)
        self._update_index(taken, "--add", "--replace")

    def _require_filters(self, names: set[bytes]) -> None:
        for filter_name, file in missing_filters(self._git, names).items():
            raise Refused(
                f"{file} goes through the filter {filter_name!r}, which the repository's own configuration does not "
                "have: it would be committed raw.",
                f"{HOW_TO_INSTALL_A_FILTER} Its change lies uncommitted in {self.path}.",
            )

    def _update_index(self, names: set[bytes], *how: str) -> None:
        if not names:
            return
        given = b"\0".join(sorted(names)) + b"\0"
        output = self._feed_index(how, given)
        if output.code != 0 and "Permission denied" in output.err:
            folders.make_accessible(self.path)
            output = self._feed_index(how, given)
        if output.code != 0 or "Ignoring path" in output.err:
            raise Refused(
                f"git does not take everything in {self.path.name}: {output.last_lines()}",
                "Remove or rename what it names; the folder was left as it is.",
            )

    def _feed_index(self, how: tuple[str, ...], given: bytes) -> Output:
        return self._git.run("update-index", *how, "-z", "--stdin", given=given, expected=range(256))

    def _unmerged(self) -> set[bytes]:
        return {line.partition(b"\t")[2] for line in self._git.names("ls-files", "--unmerged", "-z")}

    def _holds_markers(self, name: bytes) -> bool:
        lines = folders.read_plainly(self.path, name, _MARKED_FILE_LIMIT).split(b"\n")
        return all(any(line.startswith(mark) for line in lines) for mark in (b"<<<<<<< ", b">>>>>>> "))

    def _contains(self, commit: str) -> bool:
        return self._git.says_yes("merge-base", "--is-ancestor", commit, "HEAD")

    def _move_head(self, new: str, old: str) -> None:
        moved = self._git.run("update-ref", "-m", "watchbill: commit", "HEAD", new, old, expected=range(256))
        if moved.code == 0:
            return
        if self.head() != old:
            raise Stale(f"The branch of {self.path.name} moved during the commit.", "Read its history again.")
        raise unexpected("update-ref", moved)

    def _forget_merge(self) -> None:
        for name in ("MERGE_HEAD", "MERGE_MSG", "MERGE_MODE", "AUTO_MERGE"):
            (self.git_dir / name).unlink(missing_ok=True)

    def _read_tree(self, *args: str) -> None:
        """`read-tree --reset`, from nothing when the index itself does not survive being read."""
        command = ("read-tree", "--reset", *args)
        if self._git.run(*command, expected=range(256)).code != 0:
            (self.git_dir / "index").unlink(missing_ok=True)
            self._git.run(*command)


def _is_about_attributes(name: bytes) -> bool:
    return name.rpartition(b"/")[2] == b".gitattributes"


@contextlib.contextmanager
def _patterns(lines: Sequence[str]) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="watchbill-git-") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        yield Path(file.name)
