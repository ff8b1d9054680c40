"""What would land: the merge commit of two commits, made from the objects alone.

Owns the candidate. The same two commits and the same message give the same id in every clone, for every user, in every
time zone. It never reads a work tree, a setting or a reference, and never moves a branch.
"""

from __future__ import annotations

from pathlib import Path

from watchbill.tools.git.command import (
    Git,
    clean_room,
    full_id,
    message_bytes,
    printable,
    signature,
    split_names,
    unexpected,
)
from watchbill.tools.git.values import Candidate, cut_in_the_middle

CONFLICT_TEXT_LIMIT = 20_000
_FILE_LIMIT = 2_000_000
_LINES_AROUND = 3


def build_candidate(object_dir: Path, shared: str, head: str, commit: str, message: str) -> Candidate:
    """The commit that merges `commit` into `head`, or the conflicts. Raises Refused when git cannot merge them at all.

    The files `.gitattributes` of `head` are obeyed (so `merge=union` works), and nobody else's.
    """
    full_id(head)
    full_id(commit)
    with clean_room(object_dir, shared) as git:
        merging = _with_attributes_of(git, head)
        # -z and the ids themselves as labels: neither a file name nor a branch name can change the form of the answer.
        merged = merging.run("merge-tree", "--write-tree", "-z", "--messages", head, commit, expected=(0, 1))
        if merged.code == 1 and not merged.out:
            raise unexpected("merge-tree", merged)
        tree, conflicts, said = _read_merge(merged.out)
        if merged.code == 1:
            text = "\n".join(said) + _conflicting_lines(git, tree, conflicts)
            names = tuple(printable(name) for name in conflicts)
            return Candidate(None, None, names, cut_in_the_middle(text, CONFLICT_TEXT_LIMIT))
        when = max(
            map(int, git.text("rev-list", "--no-walk", "--no-commit-header", "--format=%ct", head, commit).split())
        )
        made = git.text(
            "commit-tree", "-p", head, "-p", commit, tree, given=message_bytes(message), env=signature(when)
        )
        return Candidate(made, tree, (), "\n".join(said))


def _with_attributes_of(git: Git, commit: str) -> Git:
    """The same room with the commit's `.gitattributes` in its work tree, where git looks for them."""
    top = git.git_dir / "files"
    for line in git.names("ls-tree", "-r", "-z", "--full-tree", commit):
        about, _, name = line.partition(b"\t")
        mode, _, blob = about.decode("ascii").split(" ")
        parts = name.split(b"/")
        if parts[-1] != b".gitattributes" or not mode.startswith("100") or {b"..", b".", b""} & set(parts):
            continue
        place = top.joinpath(*(part.decode("utf-8", "surrogateescape") for part in parts))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(git.run("cat-file", "blob", blob).out)
    return Git(git.git_dir, work_tree=top, object_dir=git.object_dir)


def _read_merge(data: bytes) -> tuple[str, list[bytes], list[str]]:
    """The tree, the conflicted paths and the messages of `merge-tree -z`."""
    head, _, rest = data.partition(b"\0")
    tree = head.decode("ascii", "replace").strip()
    entries, _, messages = rest.partition(b"\0\0") if not rest.startswith(b"\0") else (b"", b"", rest[1:])
    conflicts = sorted({entry.partition(b"\t")[2] for entry in split_names(entries)})
    fields = messages.split(b"\0")
    said: list[str] = []
    position = 0
    # Each message is: how many paths, the paths, a short type, the text.
    while position < len(fields) and fields[position].isdigit():
        position += int(fields[position]) + 2
        if position < len(fields):
            said.append(printable(fields[position]).rstrip("\n"))
        position += 1
    return full_id(tree), conflicts, said


def _conflicting_lines(git: Git, tree: str, conflicts: list[bytes]) -> str:
    """The lines between the conflict markers, and a few around them, of every conflicted file."""
    found: list[str] = []
    length = 0
    for name in conflicts:
        content = _content(git, tree, name)
        hunks = _hunks(content.decode("utf-8", "backslashreplace").splitlines())
        if hunks:
            found.append(f"\n\n--- {printable(name)}\n" + "\n…\n".join(hunks))
            length += len(found[-1])
        if length > CONFLICT_TEXT_LIMIT:
            break
    return "".join(found)


def _content(git: Git, tree: str, name: bytes) -> bytes:
    wanted = tree.encode("ascii") + b":" + name
    size = git.run("cat-file", "-s", wanted, expected=(0, 128))
    if size.code != 0 or int(size.out) > _FILE_LIMIT:
        return b""
    blob = git.run("cat-file", "blob", wanted, expected=(0, 128))
    return blob.out if blob.code == 0 else b""


def _hunks(lines: list[str]) -> list[str]:
    hunks: list[str] = []
    start: int | None = None
    for number, line in enumerate(lines):
        if line.startswith("<<<<<<< ") and start is None:
            start = number
        elif line.startswith(">>>>>>> ") and start is not None:
            hunks.append("\n".join(lines[max(0, start - _LINES_AROUND) : number + 1 + _LINES_AROUND]))
            start = None
    return hunks
