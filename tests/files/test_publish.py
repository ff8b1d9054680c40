"""Publish-if-absent, on a real disk and with the real kernel's answers."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.files.straced import injected, traced
from watchbill.errors import Stale, TryLater
from watchbill.files.publish import disk_trouble, make_folder, move, publish, replace, sha256

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_document_is_there_with_its_bytes_and_nothing_besides(tmp_path: Path) -> None:
    publish(tmp_path / "0001.md", b"one")
    assert (tmp_path / "0001.md").read_bytes() == b"one"
    assert names(tmp_path) == ["0001.md"]


def test_a_second_writer_loses_the_name(tmp_path: Path) -> None:
    publish(tmp_path / "0001.md", b"one")
    with pytest.raises(Stale, match=r"0001\.md"):
        publish(tmp_path / "0001.md", b"two")
    assert (tmp_path / "0001.md").read_bytes() == b"one"
    assert names(tmp_path) == ["0001.md"]


def test_the_same_content_twice_is_published_once(tmp_path: Path) -> None:
    publish(tmp_path / "0001.md", b"one")
    before = (tmp_path / "0001.md").stat()
    publish(tmp_path / "0001.md", b"one")
    assert (tmp_path / "0001.md").stat().st_ino == before.st_ino
    assert names(tmp_path) == ["0001.md"]


def test_only_the_owner_can_read_what_is_published(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        publish(tmp_path / "new" / "deep" / "0001.md", b"one")
        replace(tmp_path / "cache.json", b"{}")
    finally:
        os.umask(before)
    modes = [
        tmp_path / "new",
        tmp_path / "new" / "deep",
        tmp_path / "new" / "deep" / "0001.md",
        tmp_path / "cache.json",
    ]
    assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o700, 0o700, 0o600, 0o600]


def test_a_name_that_is_a_symbolic_link_is_taken(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"one")
    (tmp_path / "0001.md").symlink_to("elsewhere")
    (tmp_path / "0002.md").symlink_to("nowhere")
    for name in ("0001.md", "0002.md"):
        with pytest.raises(Stale):
            publish(tmp_path / name, b"one")
    assert (tmp_path / "elsewhere").read_bytes() == b"one"
    assert not (tmp_path / "nowhere").exists()


def test_a_name_that_is_a_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "0001.md").mkdir()
    with pytest.raises(Stale):
        publish(tmp_path / "0001.md", b"one")


def test_a_folder_that_cannot_be_made_is_told_as_trouble_with_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TryLater, match="cannot write"):
        publish(tmp_path / "file" / "0001.md", b"one")
    with pytest.raises(TryLater, match="cannot write"):
        publish(tmp_path / ("n" * 250), b"one")
    assert names(tmp_path) == ["file"]


def test_the_content_is_on_disk_before_the_name_and_the_name_before_success(tmp_path: Path) -> None:
    folder = tmp_path / "handoffs"
    folder.mkdir()
    done = traced("publish(folder / '0001.md', b'the content'); print('published', flush=True)", folder)
    assert done.stdout == "published\n", done.stderr
    calls = [call for call in done.calls if str(folder) in call.about or "published" in call.about]
    calls = calls[next(place for place, call in enumerate(calls) if "O_CREAT" in call.about) :]
    steps = [(call.name, ".0001.md" in call.about) for call in calls if call.name != "open" or "O_CREAT" in call.about]
    assert steps == [
        ("open", True),
        ("write", True),
        ("fsync", True),
        ("link", True),
        ("unlink", True),
        ("fsync", False),
        ("write", False),
    ]
    assert f"<{folder}>" in calls[-2].about, "the folder itself is synced"
    assert "published" in calls[-1].about, "success is told last"
    assert all(flag in calls[0].about for flag in ("O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "0600"))


def test_a_new_folder_is_on_disk_before_what_lies_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "handoffs"
    folder.mkdir()
    done = traced("publish(folder / 'a' / 'b' / '0001.md', b'x')", folder)
    steps = [call.name for call in done.about(folder) if call.name != "open"]
    assert steps == ["mkdir", "fsync", "mkdir", "fsync", "write", "fsync", "link", "unlink", "fsync"], done.stderr


PUBLISH = """
try:
    publish(folder / '0001.md', b'whole')
except TryLater as error:
    print('later:', error.reason, flush=True)
"""


@pytest.mark.parametrize(
    ("call", "number", "error", "is_published"),
    [
        ("open", 1, "EMFILE", False),
        ("write", 1, "ENOSPC", False),
        ("fsync", 1, "EIO", False),
        ("link", 1, "EDQUOT", False),
        ("fsync", 2, "EIO", True),
    ],
)
def test_a_call_that_fails_is_trouble_with_the_disk_and_leaves_nothing_half(
    tmp_path: Path, call: str, number: int, error: str, is_published: bool
) -> None:
    folder = tmp_path / "handoffs"
    folder.mkdir()
    done = injected(PUBLISH, folder, call, number, f"error={error}")
    assert done.stdout.startswith("later: cannot write"), done
    assert names(folder) == (["0001.md"] if is_published else [])
    publish(folder / "0001.md", b"whole")
    assert (folder / "0001.md").read_bytes() == b"whole"


@pytest.mark.parametrize(("call", "is_published"), [("write", False), ("link", False), ("unlink", True)])
def test_a_kill_leaves_the_document_whole_or_absent(tmp_path: Path, call: str, is_published: bool) -> None:
    folder = tmp_path / "handoffs"
    folder.mkdir()
    done = injected(PUBLISH + "print('it lived on')", folder, call, 1, "signal=KILL")
    assert done.stdout == ""
    assert (folder / "0001.md").exists() == is_published
    publish(folder / "0001.md", b"whole")
    assert (folder / "0001.md").read_bytes() == b"whole"


def test_a_temporary_file_that_cannot_be_removed_hides_no_success(tmp_path: Path) -> None:
    folder = tmp_path / "handoffs"
    folder.mkdir()
    done = injected(PUBLISH + "print('on it went')", folder, "unlink", 1, "error=EIO")
    assert done.stdout == "on it went\n"
    assert "left" in done.stderr
    assert len(names(folder)) == 2


def test_two_processes_that_race_for_each_name_share_them_out(tmp_path: Path) -> None:
    program = "\n".join(
        [
            "import sys",
            "from pathlib import Path",
            "from watchbill.errors import Stale",
            "from watchbill.files.publish import publish",
            "folder, me = Path(sys.argv[1]), sys.argv[2]",
            "won = 0",
            "print('ready', flush=True); sys.stdin.readline()",
            "for number in range(60):",
            "    try:",
            "        publish(folder / f'{number:04}.md', f'{me} wrote {number}'.encode())",
            "        won += 1",
            "    except Stale:",
            "        pass",
            "print(won)",
        ]
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), me],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for me in ("a", "b")
    ]
    for racer in racers:
        assert racer.stdout and racer.stdin
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [int(racer.communicate(timeout=30)[0]) for racer in racers]
    assert sum(won) == 60
    assert names(tmp_path) == [f"{number:04}.md" for number in range(60)]
    wrote = [(tmp_path / f"{number:04}.md").read_text().split()[0] for number in range(60)]
    assert [wrote.count("a"), wrote.count("b")] == won


def test_threads_that_make_the_same_folder_all_publish(tmp_path: Path) -> None:
    failed: list[BaseException] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            publish(tmp_path / "a" / "b" / "c" / f"{number}.md", b"x")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(names(tmp_path / "a" / "b" / "c")) == 8


def test_a_derived_file_is_replaced_whole(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        replace(tmp_path / "index.json", content)
        assert (tmp_path / "index.json").read_bytes() == content
    assert names(tmp_path) == ["index.json"]


def test_moving_gives_the_file_its_other_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    move(tmp_path / "a", tmp_path / "there" / "b")
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "there" / "b").read_bytes() == b"one"


def test_moving_never_replaces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")
    with pytest.raises(Stale):
        move(tmp_path / "a", tmp_path / "b")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()) == (b"one", b"two")


def test_moving_onto_a_dangling_link_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").symlink_to("nowhere")
    with pytest.raises(Stale):
        move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_move_that_was_cut_off_ends_when_it_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    move(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["b"]
    move(tmp_path / "a", tmp_path / "b")
    assert names(tmp_path) == ["b"]


def test_moving_what_is_nowhere_is_trouble(tmp_path: Path) -> None:
    with pytest.raises(TryLater):
        move(tmp_path / "a", tmp_path / "b")


def test_a_link_is_moved_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").readlink() == Path("nowhere")
    assert names(tmp_path) == ["b"]


def test_a_folder_can_be_moved_aside_too(tmp_path: Path) -> None:
    (tmp_path / "T-1.md").mkdir()
    (tmp_path / "T-1.md" / "inside").write_bytes(b"x")
    move(tmp_path / "T-1.md", tmp_path / "aside")
    assert (tmp_path / "aside" / "inside").read_bytes() == b"x"
    (tmp_path / "T-1.md").mkdir()
    with pytest.raises(Stale):
        move(tmp_path / "T-1.md", tmp_path / "aside")


def test_a_name_that_cannot_be_read_back_is_trouble_not_a_defect(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="permission was denied"), disk_trouble(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(FileExistsError), disk_trouble(tmp_path / "x"):
        raise FileExistsError(errno.EEXIST, "yes")


def test_making_a_folder_twice_is_fine_and_a_file_in_its_place_is_not(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_name_for_content_is_its_sha256() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
