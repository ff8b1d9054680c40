"""What every store of documents must keep to, said once, and asked of each one that there is.

Another store (an object store, a database) joins `STORES` and passes the same tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bare_workspaces import bare_workspace, built, reviewed
from tests.stories import NOW, a_ticket
from watchbill.errors import Damaged, Stale
from watchbill.files.archive import ArchivedStore
from watchbill.files.publish import TEMPORARY_SUFFIX
from watchbill.files.store import Absent, LocalStore, MemoryStore, Store, is_name
from watchbill.hand_over import hand_over
from watchbill.history import History
from watchbill.rules.next_step import Step

ROOT = Path(__file__).parents[2]
NAME = "T-0012/0001.md"
STORES: dict[str, Callable[[Path], Store]] = {
    "local": LocalStore,
    "archived": lambda path: ArchivedStore(LocalStore(path), path.parent / "archive"),
    "memory": lambda _: MemoryStore(),
}
ODD = ("", "/", "/a.md", "a//b.md", "a/", "..", "../a.md", "a/../b.md", ".", "./a.md", ".a.md", "a/.b.md")
ODDER = ("a\0b", "a\nb", "a b", "a\\b", "é.md", "\u202ea.md", "\ud800.md", "-a.md", "T-1/" + "n" * 201, "c:/a")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path / "kept")


def wins(store: Store, name: str, data: bytes) -> bool:
    try:
        store.publish(name, data)
    except Stale:
        return False
    return True


def test_what_is_published_can_be_read_and_is_listed(store: Store) -> None:
    store.publish(NAME, b"one")
    assert (store.read(NAME), store.list("T-0012")) == (b"one", (NAME,))


def test_what_was_never_published_is_absent_and_says_so(store: Store) -> None:
    store.publish(NAME, b"one")
    with pytest.raises(Absent, match=r"0002\.md: there is no such document"):
        store.read("T-0012/0002.md")
    with pytest.raises(Absent, match="T-0013"):
        store.read("T-0013/0001.md")
    assert (store.list("T-0013"), store.list("T-0012/0001.md")) == ((), ())


def test_a_name_that_is_taken_keeps_its_content(store: Store) -> None:
    store.publish(NAME, b"one")
    with pytest.raises(Stale, match=r"0001\.md was published by somebody else first"):
        store.publish(NAME, b"two")
    with pytest.raises(Stale):
        store.publish(NAME, b"")
    assert (store.read(NAME), store.list("T-0012")) == (b"one", (NAME,))


def test_the_same_content_again_counts_as_published(store: Store) -> None:
    store.publish(NAME, b"one")
    store.publish(NAME, b"one")
    assert (store.read(NAME), store.list("T-0012")) == (b"one", (NAME,))


@pytest.mark.parametrize("data", [b"", b"\0\xff\r\n" * 5, b"0123456789abcdef" * 200_000], ids=["empty", "odd", "large"])
def test_content_comes_back_byte_for_byte(store: Store, data: bytes) -> None:
    store.publish(NAME, data)
    assert store.read(NAME) == data


def test_a_reader_with_a_limit_gets_one_byte_more_and_so_knows(store: Store) -> None:
    store.publish(NAME, b"0123456789")
    assert [store.read(NAME, limit) for limit in (0, 4, 9, 10, 99)] == [b"0", b"01234", *[b"0123456789"] * 3]


def test_names_are_listed_in_order_and_only_those_of_their_folder(store: Store) -> None:
    for name in ("T-2/0010.md", "T-2/0002.md", "T-20/0001.md", "T-2/0001.md", "T-2/more/0001.md", "T-2.1/0001.md"):
        store.publish(name, b"x")
    found = [name for name in store.list("T-2") if name.endswith(".md")]
    assert found == ["T-2/0001.md", "T-2/0002.md", "T-2/0010.md"]
    assert store.list("T-2/more") == ("T-2/more/0001.md",)


@pytest.mark.parametrize("name", (*ODD, *ODDER), ids=ascii)
def test_a_name_that_is_not_the_same_everywhere_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="no document can be called"):
        store.publish(name, b"x")
    with pytest.raises(ValueError, match="no document can be called"):
        store.read(name)
    assert not is_name(name)


@pytest.mark.parametrize("folder", ["", "..", ".", "/", "T-1/..", ".git", "a b", "a\0b"], ids=ascii)
def test_a_folder_that_no_document_can_be_in_is_empty(store: Store, folder: str) -> None:
    store.publish("0001.md", b"beside")
    store.publish("T-1/0001.md", b"inside")
    assert store.list(folder) == ()


def test_of_threads_that_race_for_a_name_one_wins(store: Store) -> None:
    start = threading.Barrier(6)

    def race(me: int) -> int:
        won = 0
        for number in range(15):
            start.wait(timeout=20)
            won += wins(store, f"T-1/{number:04}.md", f"{me} wrote {number}".encode())
        return won

    with ThreadPoolExecutor(6) as racers:
        won = list(racers.map(race, range(6)))
    names = store.list("T-1")
    wrote = [int(store.read(name).split()[0]) for name in names]
    assert sum(won) == len(names) == 15
    assert [wrote.count(me) for me in range(6)] == won


def test_threads_that_publish_the_same_content_all_succeed(store: Store) -> None:
    start = threading.Barrier(6)

    def publish(_: int) -> bool:
        start.wait(timeout=20)
        return wins(store, NAME, b"the same")

    with ThreadPoolExecutor(6) as racers:
        assert all(racers.map(publish, range(6)))


def test_whoever_lists_while_others_publish_sees_whole_documents_only(store: Store) -> None:
    documents = {f"T-1/{number:04}.md": bytes([number]) * 150_000 for number in range(40)}
    ended = threading.Event()
    wrong: list[str] = []

    def watch() -> None:
        while not ended.is_set():
            for name in store.list("T-1")[-3:]:
                if store.read(name) != documents.get(name):
                    wrong.append(name)

    with ThreadPoolExecutor(2) as watchers:
        watching = [watchers.submit(watch) for _ in range(2)]
        for name, data in documents.items():
            store.publish(name, data)
        ended.set()
        for one in watching:
            one.result(timeout=20)
    assert wrong == []
    assert store.list("T-1") == tuple(documents)


def test_two_writers_race_for_a_number_through_the_engine_and_both_are_kept(store: Store, tmp_path: Path) -> None:
    workspace = bare_workspace(tmp_path / "watch", a_ticket())
    workspace.__dict__["histories"] = store
    hand_over(workspace, "T-0001", built(), NOW, lambda _history, _step: True)
    start = threading.Barrier(2)

    def write(sender: str) -> int:
        waited: list[int] = []

        def once(history: History, _step: Step) -> bool:
            waited.append(history.next_seq)
            if len(waited) == 1:
                start.wait(timeout=20)  # both have read the same history
            return True

        return hand_over(workspace, "T-0001", reviewed(sender), NOW, once)[0].seq

    with ThreadPoolExecutor(2) as writers:
        assert sorted(writers.map(write, ("qa", "security"))) == [2, 3]
    history = workspace.history("T-0001")
    assert history.damage == ()
    assert [handoff.parent for handoff in history.handoffs[1:]] == [one.sha for one in history.documents[:2]]
    assert store.list("T-0001") == ("T-0001/0001.md", "T-0001/0002.md", "T-0001/0003.md")
    assert not workspace.layout.handoffs.exists(), "nothing of a history is kept beside the store"


# What only a disk can get wrong.


def test_on_a_disk_temporary_and_hidden_files_are_no_documents(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("T-1/0001.md", b"one")
    for name in (f".0002.md.1-0123abcd{TEMPORARY_SUFFIX}", ".DS_Store", "0003.md~", "née.md"):
        (tmp_path / "T-1" / name).write_bytes(b"half")
    assert store.list("T-1") == ("T-1/0001.md",)


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "pipe"])
def test_on_a_disk_what_is_no_ordinary_file_holds_its_name_and_cannot_be_read(tmp_path: Path, kind: str) -> None:
    store, path = LocalStore(tmp_path / "kept"), tmp_path / "kept" / "T-1" / "0001.md"
    path.parent.mkdir(parents=True)
    (tmp_path / "elsewhere.md").write_bytes(b"one")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / ("elsewhere.md" if kind == "link" else "nowhere"))
    with pytest.raises(Damaged, match="it is not an ordinary file"):
        store.read("T-1/0001.md")
    with pytest.raises(Stale):
        store.publish("T-1/0001.md", b"one")
    assert store.list("T-1") == ("T-1/0001.md",)
    assert not (tmp_path / "nowhere").exists()


RACER = """
import sys
from pathlib import Path
from watchbill.errors import Stale
from watchbill.files.store import LocalStore
store, me, won = LocalStore(Path(sys.argv[1])), sys.argv[2], 0
print("ready", flush=True)
sys.stdin.readline()
for number in range(30):
    try:
        store.publish(f"T-1/{number:04}.md", f"{me} wrote {number}".encode())
        won += 1
    except Stale:
        pass
print(won)
"""


def test_on_a_disk_processes_race_for_names_as_threads_do(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(tmp_path), me],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for me in ("a", "b")
    ]
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [int(racer.communicate(timeout=30)[0]) for racer in racers]
    store = LocalStore(tmp_path)
    wrote = [store.read(name).split()[0] for name in store.list("T-1")]
    assert len(wrote) == 30
    assert [wrote.count(b"a"), wrote.count(b"b")] == won
