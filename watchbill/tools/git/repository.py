"""The owner's repository: its commits, its branches, and the worktrees that are made beside it.

Owns which commit a branch names, and the folders that agents get. It never touches the owner's checkout or index, and
moves only the branch it is told to, from the commit it is told to.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from watchbill.errors import Refused, Stale, TryLater
from watchbill.tools.git import folders, spares
from watchbill.tools.git.command import (
    FULL_ID,
    Git,
    clean_room,
    environment,
    full_id,
    printable,
    split_names,
    unexpected,
)
from watchbill.tools.git.durability import sync_file_system
from watchbill.tools.git.filters import missing_filters
from watchbill.tools.git.merging import build_candidate
from watchbill.tools.git.opening import locate
from watchbill.tools.git.values import Candidate, Commit, DiffStat, cut_in_the_middle, trailers_of
from watchbill.tools.git.worktree import Worktree

if TYPE_CHECKING:
    import git as gitpython

_NOWHERE = "0" * 40
_DEAD_LOCK_SECONDS = 300


@dataclass(frozen=True)
class Repository:
    """`root` is the top of the owner's checkout, `common_dir` the folder with the objects and branches.

    Every method may raise Refused or TryLater with git's own last lines.
    """

    root: Path
    common_dir: Path
    own_git_dir: Path
    shared: str = ""

    @classmethod
    def open(cls, path: Path) -> Repository:
        """The repository whose checkout is at `path`, or around it. Raises Misconfigured when it cannot be worked with.

        Refused repositories: none there, bare, shallow, partial, empty, with SHA-256 ids or reference tables.
        """
        found = locate(path)
        return cls(found.root, found.common_dir, found.git_dir, found.shared)

    # Reading

    def head_of(self, branch: str) -> str | None:
        """The commit at which the local branch stands, None when there is no such branch."""
        return self.commit_id(f"refs/heads/{branch}")

    def current_branch(self) -> str | None:
        """The branch that the owner has checked out, None when the checkout is at a bare commit."""
        answer = self._own.run("symbolic-ref", "--quiet", "--short", "HEAD", expected=(0, 1))
        return os.fsdecode(answer.out).strip() or None

    def remote_urls(self) -> str:
        """The addresses of all remotes, a line each, with whatever stands in them."""
        answer = self._own.run("config", "--get-regexp", r"^remote\..*\.(url|pushurl)$", expected=(0, 1))
        return os.fsdecode(answer.out)

    def commit_id(self, rev: str) -> str | None:
        """The commit that `rev` (an id, a branch, a tag) names in the owner's checkout, None when it names none."""
        if not rev or rev.startswith("-") or "\0" in rev:
            return None
        answer = self._own.run("rev-parse", "--quiet", "--verify", f"{rev}^{{commit}}", expected=(0, 1, 128))
        return answer.out.decode("ascii").strip() if answer.code == 0 else None

    def branches(self) -> list[str]:
        """The names of the local branches, sorted."""
        return self._git.text("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").splitlines()

    def is_dirty(self) -> bool:
        """Whether the owner's checkout has staged or unstaged changes. Files that git does not know do not count."""
        return bool(
            self._own.text("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty", "--no-renames")
        )

    def missing_filters(self) -> dict[str, str]:
        """The filters that attributes of the owner's checkout ask for and no setting of the repository has: each with
        one of its files. Settings of the owner's own (global ones) are not seen here."""
        return missing_filters(self._own, self._own.names("ls-files", "-z"))

    def checked_out_at(self, branch: str) -> Path | None:
        """The checkout, of the owner or of ours, that is on `branch`. One whose folder is gone does not count."""
        for fields in self._worktrees():
            if fields.get("branch") == f"refs/heads/{branch}" and Path(fields["worktree"]).is_dir():
                return Path(fields["worktree"])
        return None

    def is_ancestor(self, a: str, b: str) -> bool:
        """Whether `b` contains `a` (a commit contains itself)."""
        return self._git.says_yes("merge-base", "--is-ancestor", full_id(a), full_id(b))

    def merge_base(self, a: str, b: str) -> str | None:
        """The newest commit that both contain, or None when they share no history."""
        found = self._git.run("merge-base", full_id(a), full_id(b), expected=(0, 1))
        return found.out.decode("ascii").strip() or None

    def commit(self, id: str) -> Commit:
        """The commit with that id. Raises Refused when there is none."""
        full_id(id)
        with self._objects() as objects:
            return self._read_commit(objects, id)

    def commits_between(self, old_exclusive: str, new: str, first_parent: bool = False) -> list[Commit]:
        """The commits that `new` contains and `old_exclusive` does not, parents before children."""
        following = ("--first-parent",) if first_parent else ()
        span = (full_id(new), f"^{full_id(old_exclusive)}")
        ids = self._git.text("rev-list", "--reverse", "--topo-order", *following, *span).split()
        with self._objects() as objects:
            return [self._read_commit(objects, id) for id in ids]

    def read_file(self, commit: str, path: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a file of that commit; None when it has no regular file of that name."""
        full_id(commit)
        with self._objects() as objects:
            try:
                item = objects.commit(commit).tree / path
            except (KeyError, ValueError):
                return None
            if item.type != "blob" or item.mode not in (0o100644, 0o100755):
                return None
            content: bytes = item.data_stream.read(limit)
            return content

    def links(self, commit: str, paths: Sequence[str]) -> dict[str, str]:
        """Those of `paths` that are symbolic links in `commit`, and where each points."""
        found: dict[str, str] = {}
        for start in range(0, len(paths), 200):
            listed = self._git.run("ls-tree", "-r", "-z", full_id(commit), "--", *paths[start : start + 200]).out
            for line in listed.split(b"\0"):
                head, _, name = line.partition(b"\t")
                mode, _, blob = head.partition(b" ")
                if mode == b"120000":
                    target = self._git.run("cat-file", "blob", blob.split()[-1].decode("ascii")).out
                    found[printable(name)] = printable(target)
        return found

    def diff(self, a: str, b: str, limit: int = 60_000) -> str:
        """What `b` changed since `a`, in at most `limit` characters, cut in the middle.

        Made in a clean room: neither settings nor attributes can hide a change as "binary".
        """
        with self._room() as git, tempfile.TemporaryFile() as file:
            git.run(
                "-c", "core.bigFileThreshold=16m", "diff-tree", "-r", "-p", "--find-renames", "--no-ext-diff",
                "--no-textconv", "--no-color", full_id(a), full_id(b),
                into=file,
            )  # fmt: skip
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            front = file.read(limit * 2)
            file.seek(max(file.tell(), size - limit * 2))
            left_out = file.tell() - len(front)
            text = (front + file.read()).decode("utf-8", "replace")
        return cut_in_the_middle(text, limit, left_out)

    def diff_stat(self, a: str, b: str) -> DiffStat:
        """Which files `b` changed since `a`, and by how many lines."""
        files: list[str] = []
        insertions = deletions = 0
        with self._room() as git:
            for line in git.names("diff-tree", "-r", "-z", "--numstat", "--no-renames", full_id(a), full_id(b)):
                added, removed, name = line.split(b"\t", 2)
                files.append(printable(name))
                insertions += int(added) if added.isdigit() else 0
                deletions += int(removed) if removed.isdigit() else 0
        return DiffStat(tuple(files), insertions, deletions)

    def missing(self, ids: Iterable[str], contained_in: Sequence[str] = ()) -> set[str]:
        """Those of `ids` that name no commit here or, with `contained_in`, that none of those commits contains.

        However many they are, git is called at most twice.
        """
        asked = set(ids)
        wanted = sorted({id for id in asked if FULL_ID.fullmatch(id)})
        given = "".join(f"{id}\n" for id in wanted).encode()
        answer = self._git.text("cat-file", "--batch-check=%(objectname) %(objecttype)", given=given)
        known = {id for id, _, kind in (line.partition(" ") for line in answer.splitlines()) if kind == "commit"}
        if contained_in and known:
            span = [*sorted(known), *(f"^{full_id(id)}" for id in contained_in)]
            outside = self._git.text("rev-list", "--stdin", given="".join(f"{id}\n" for id in span).encode())
            known -= set(outside.split())
        return asked - known

    # Merging and branches

    def candidate(self, head: str, commit: str, message: str) -> Candidate:
        """The merge of `commit` into `head`, as it would land: the same ids for the same three inputs, anywhere."""
        return build_candidate(self.common_dir / "objects", self.shared, head, commit, message)

    def create_branch(self, name: str, start: str) -> None:
        """Make the branch `name` at commit `start`. Raises Stale when it is there already."""
        self._require_branch_name(name)
        self._swap(name, full_id(start), _NOWHERE)

    def move_branch(self, name: str, new: str, old: str) -> None:
        """Move the branch from `old` to `new`, or raise Stale when it is not at `old`.

        Raises Refused when it is checked out somewhere: that checkout would no longer fit its branch.
        """
        self._require_branch_name(name)
        place = self.checked_out_at(name)
        if place is not None:
            raise Refused(
                f"The branch {name} is checked out at {place}, so it cannot be moved.",
                f"Check out another branch there: git -C '{place}' switch --detach",
            )
        self._swap(name, full_id(new), full_id(old))

    def make_durable(self) -> None:
        """Wait until every object and branch is on the disk, before a document names one. Raises TryLater."""
        sync_file_system(self.common_dir)
        objects = self.common_dir / "objects"
        try:
            elsewhere = objects.stat().st_dev != self.common_dir.stat().st_dev
        except OSError as error:
            raise TryLater(f"{objects} cannot be read: {error.strerror}.") from error
        if elsewhere:
            sync_file_system(objects)

    # Worktrees

    def worktree(self, path: Path, branch: str, start: str, keep_uncommitted: bool = True) -> Worktree:
        """A worktree at `path` on `branch`, which is made at commit `start` when there is none.

        What an earlier session left there is settled: its locks are removed, a damaged worktree is registered anew,
        and its uncommitted work stays in the files unless `keep_uncommitted` is False. Only one session at a time may
        ask for one path. Raises Refused when the branch is checked out elsewhere.
        """
        path = self._place(path)
        self._require_branch_name(branch)
        elsewhere = self.checked_out_at(branch)
        if elsewhere is not None and elsewhere.resolve() != path:
            raise Refused(f"The branch {branch} is checked out at {elsewhere}.", "Free it there first.")
        self._dead_lock_removed(branch, age_seconds=0)
        if self.head_of(branch) is None:
            self.create_branch(branch, start)
        tip = self.head_of(branch) or start
        was_used = path.is_dir() and any(path.iterdir()) and not self._was_cut_off(path)
        known = self._sound_admin(path) or self._spare_for(path)
        tree = Worktree(path, known or self._register(path, tip))
        owner = tree.ready_for()
        if keep_uncommitted and owner == branch:
            tree.attach(branch)
            tree.forget_index()
            return tree
        if keep_uncommitted and owner is not None and tree.changed():
            raise Refused(f"{path} holds uncommitted work of {owner}.", f"Remove the folder to start {branch} in it.")
        tree.not_ready()
        tree.attach(branch)
        if keep_uncommitted and was_used and known is None:
            # Its registration was lost, so nobody knows whether it was complete: a missing file is not taken for a
            # deleted one.
            tree.forget_index()
            tree.restore_missing()
        else:
            tree.check_out_clean(tip)
        tree.ready(branch)
        return tree

    def detached_worktree(self, path: Path, commit: str) -> Worktree:
        """Exactly `commit` at `path`, on no branch, whatever was there before."""
        path = self._place(path)
        full_id(commit)
        tree = Worktree(path, self._sound_admin(path) or self._spare_for(path) or self._register(path, commit))
        tree.not_ready()
        tree.detach(commit)
        tree.check_out_clean(commit)
        return tree

    def put_by(self, path: Path) -> None:
        """The worktree at `path` is done with: keep it, under another name, for whoever needs one next.

        Nothing in it is kept for anybody, so its work must be committed. What cannot be kept is removed.
        """
        path = self._place(path)
        admin = self._sound_admin(path)
        if admin is not None:
            tree = Worktree(path, admin)
            tree.not_ready()
            tree.detach(tree.head())
            if spares.put_by(path, admin):
                return
        self.remove_worktree(path)

    def remove_worktree(self, path: Path) -> None:
        """Remove the folder and its registration. What is gone already is fine; the branch stays."""
        path = self._place(path)
        folders.erase(path)
        admin = self._admin_of(path)
        if admin is not None:
            folders.erase(admin)

    # How

    @property
    def _git(self) -> Git:
        return Git(self.common_dir)

    @property
    def _own(self) -> Git:
        return Git(self.own_git_dir, work_tree=self.root)

    def _room(self) -> AbstractContextManager[Git]:
        return clean_room(self.common_dir / "objects", self.shared)

    @contextmanager
    def _objects(self) -> Iterator[gitpython.Repo]:
        """The objects, through GitPython, with the same environment as every other call of git."""
        import git as gitpython

        try:
            opened = gitpython.Repo(self.common_dir)
        except (OSError, gitpython.exc.InvalidGitRepositoryError) as error:
            raise TryLater(f"{self.common_dir} cannot be read: {error}.", "Look at the disk.") from error
        with opened as repo:
            places = {"GIT_DIR": str(self.common_dir), "GIT_OBJECT_DIRECTORY": str(self.common_dir / "objects")}
            repo.git.update_environment(**environment(), **places)
            yield repo

    def _read_commit(self, objects: gitpython.Repo, id: str) -> Commit:
        try:
            found = objects.commit(id)
            message = found.message if isinstance(found.message, str) else found.message.decode("utf-8", "replace")
        except ValueError as error:
            raise Refused(f"There is no commit {id} here.", "It may have been removed by hand.") from error
        committed: datetime = found.committed_datetime
        return Commit(
            id=found.hexsha,
            tree=found.tree.hexsha,
            parents=tuple(parent.hexsha for parent in found.parents),
            subject=message.lstrip("\n").partition("\n")[0],
            message=message,
            trailers=trailers_of(message),
            committed=committed,
            author=f"{found.author.name or ''} <{found.author.email or ''}>",
        )

    def _worktrees(self) -> Iterator[dict[str, str]]:
        self._mend_registrations()
        for record in self._git.run("worktree", "list", "--porcelain", "-z").out.split(b"\0\0"):
            lines = (os.fsdecode(line).partition(" ") for line in split_names(record))
            fields = {key: value for key, _, value in lines}
            if "worktree" in fields:
                yield fields

    def _mend_registrations(self) -> None:
        """Write again what a power cut emptied: one such file and git lists, makes and finds no worktree at all."""
        for admin in (self.common_dir / "worktrees").glob("*/"):
            file = admin / "commondir"
            if file.exists() and file.stat().st_size == 0:
                file.write_text("../..\n")

    def _require_branch_name(self, name: str) -> None:
        if not self._git.says_yes("check-ref-format", f"refs/heads/{name}") or name.startswith("-"):
            raise Refused(f"{name!r} cannot be the name of a branch.", "Choose another name.")

    def _lock_of(self, branch: str) -> Path:
        return self.common_dir / "refs" / "heads" / f"{branch}.lock"

    def _swap(self, name: str, new: str, old: str) -> None:
        command = ("update-ref", "-m", "watchbill", f"refs/heads/{name}", new, old)
        moved = self._git.run(*command, expected=range(256))
        if moved.code != 0 and self._dead_lock_removed(name):
            moved = self._git.run(*command, expected=range(256))
        if moved.code == 0:
            return
        now = self.head_of(name)
        if (now or _NOWHERE) != old:
            stands = f"stands at {now[:12]}" if now else "does not exist"
            raise Stale(f"The branch {name} {stands}, not where it was expected.", "Read it again and decide anew.")
        raise unexpected("update-ref", moved)

    def _dead_lock_removed(self, branch: str, age_seconds: float = _DEAD_LOCK_SECONDS) -> bool:
        """Remove the lock of a git that died while it moved the branch. A living one holds it for milliseconds."""
        lock = self._lock_of(branch)
        try:
            if time.time() - lock.stat().st_mtime < age_seconds:
                return False
            lock.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _place(self, path: Path) -> Path:
        """Where a worktree may be: never the owner's checkout or the repository itself, or a folder around them."""
        place = path.parent.resolve() / path.name
        for taken in (self.root, self.common_dir, self.own_git_dir):
            if place == taken or place in taken.parents:
                raise Refused(f"{place} is a folder of the owner's.", "Worktrees need a folder of their own.")
        if self.common_dir in place.parents:
            raise Refused(f"{place} is inside the repository's own folder.", "Worktrees need a folder of their own.")
        if place.is_symlink():
            folders.erase(place)
        return place

    def _admin_of(self, path: Path) -> Path | None:
        """The administrative folder of the worktree at `path`. The repository says so, not the worktree."""
        for entry in sorted((self.common_dir / "worktrees").glob("*/gitdir")):
            try:
                named = Path(os.fsdecode(entry.read_bytes().rstrip(b"\n")))
            except FileNotFoundError:
                continue
            if Path(os.path.normpath(entry.parent / named)) == path / ".git":
                return entry.parent
        return None

    def _was_cut_off(self, path: Path) -> bool:
        """Whether a worktree was being made at `path` when the machine died: its files may be empty or half there."""
        for admin in sorted((self.common_dir / "worktrees").glob("*/")):
            try:
                named = os.fsdecode((admin / "gitdir").read_bytes().strip())
            except FileNotFoundError:
                named = ""
            is_ours = named in (str(path / ".git"), f"{path}.new/.git") or (
                not named.strip("\0") and admin.name.startswith(f"{path.name}.new")
            )
            if is_ours and Worktree(path, admin).ready_for() is None:
                return True
        return False

    def _sound_admin(self, path: Path) -> Path | None:
        """The same, ready for use: without dead locks, and with the worktree's `.git` file as it should be."""
        admin = self._admin_of(path)
        if admin is None:
            return None
        tree = Worktree(path, admin)
        tree.drop_locks()
        if not path.is_dir() or not tree.is_sound(self.common_dir):
            folders.erase(admin)
            return None
        _point(path / ".git", admin)
        return admin

    def _spare_for(self, path: Path) -> Path | None:
        """The administrative folder of a spare worktree that now lies at `path`; None where files lie already."""
        if path.is_dir() and any(path.iterdir()):
            return None
        if not path.is_dir():
            folders.erase(path)
        if spares.take(path, self._admin_of) is None:
            return None
        admin = self._sound_admin(path)
        if admin is not None:
            Worktree(path, admin).not_ready()
        return admin

    def _register(self, path: Path, commit: str) -> Path:
        """Make git know a worktree at `path`, with whatever lies there, and return its administrative folder."""
        if not path.is_dir():
            folders.erase(path)
        folders.make_private(path)
        nursery = path.with_name(f"{path.name}.new")
        self.remove_worktree(nursery)
        self._mend_registrations()
        self._git.run("worktree", "add", "--force", "--detach", "--no-checkout", "--quiet", "--", nursery, commit)
        admin = self._admin_of(nursery)
        if admin is None:
            raise Refused(f"git made no worktree for {path}.", "Look at `git worktree list`.")
        _point(path / ".git", admin)
        spares.register_at(admin, path)
        folders.erase(nursery)
        return admin


def _point(file: Path, admin: Path) -> None:
    """Make the worktree's `.git` a plain file that names its administrative folder."""
    wanted = b"gitdir: " + os.fsencode(admin) + b"\n"
    if file.is_file() and not file.is_symlink() and file.read_bytes() == wanted:
        return
    folders.erase(file)
    with file.open("xb") as writing:
        writing.write(wanted)
