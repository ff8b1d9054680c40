"""The sandbox, tried from inside. Limits come first, so that an attack that gets through does no harm."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbill.errors import Misconfigured, Refused
from watchbill.tools.sandbox import (
    Bubblewrap,
    Limits,
    Result,
    Sandbox,
    Seatbelt,
    Unconfined,
    attempt_forbidden_acts,
    choose,
    clean_text,
    control_groups,
    cut_middle,
    landlock,
)
from watchbill.tools.sandbox import bubblewrap as bubblewrap_module
from watchbill.tools.sandbox.choosing import why_not
from watchbill.tools.sandbox.output import Capture
from watchbill.tools.sandbox.readable import program_folders, readable_folders
from watchbill.tools.sandbox.seatbelt import profile

LIMITS = Limits(seconds=30, output_bytes=20_000, processes=128, file_bytes=1 << 24, scratch_bytes=1 << 24)
VENV = Path(sys.prefix)


@pytest.fixture
def worktree(tmp_path: Path) -> Path:
    folder = tmp_path / "a wörktree, with spaces"
    folder.mkdir()
    return folder


@pytest.fixture
def sandbox() -> Sandbox:
    return Bubblewrap()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("the secret\n")
    return path


def git(*words: str, cwd: Path) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=cwd, env=env, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    git("init", "-q", "-b", "main", cwd=folder)
    (folder / "a.txt").write_text("one\n")
    git("add", "a.txt", cwd=folder)
    git("commit", "-q", "-m", "the first commit", cwd=folder)
    return folder


@pytest.fixture
def git_worktree(repo: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "worktrees" / "T-0001"
    git("worktree", "add", "-q", "-b", "watchbill/T-0001", str(folder), cwd=repo)
    return folder


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return state != "Z"


# What it lets through


def test_a_command_writes_its_worktree_and_its_exit_code_comes_back(sandbox: Sandbox, worktree: Path) -> None:
    result = sandbox.run("pwd; echo out; echo err >&2; echo made > made.txt; exit 3", worktree, LIMITS)
    assert result == Result(3, f"{worktree}\nout\nerr\n", timed_out=False, truncated=False)
    assert (worktree / "made.txt").read_text() == "made\n"


def test_a_command_of_words_goes_to_no_shell(sandbox: Sandbox, worktree: Path) -> None:
    result = sandbox.run(["printf", "%s|", "$HOME", "a b", "; id", "ä"], worktree, LIMITS)
    assert result.output == "$HOME|a b|; id|ä|"


@pytest.mark.parametrize("command", ["no-such-program", ["no-such-program"]])
def test_a_missing_program_is_127(sandbox: Sandbox, worktree: Path, command: str | list[str]) -> None:
    assert sandbox.run(command, worktree, LIMITS).exit_code == 127


def test_a_signal_is_128_and_its_number(sandbox: Sandbox, worktree: Path) -> None:
    for box in (sandbox, Unconfined()):
        assert box.run("kill -9 $$", worktree, LIMITS).exit_code == 137


def test_standard_input_is_empty(sandbox: Sandbox, worktree: Path) -> None:
    assert sandbox.run("cat; echo end", worktree, LIMITS).output == "end\n"


def test_scratch_is_private_and_gone_afterwards(sandbox: Sandbox, worktree: Path) -> None:
    first = sandbox.run('echo x > "$TMPDIR/left" && echo x > "$HOME/left" && echo $HOME', worktree, LIMITS)
    assert (first.exit_code, first.output) == (0, "/tmp/home\n")
    second = sandbox.run("ls -A /tmp /tmp/home", worktree, LIMITS)
    assert "left" not in second.output


def test_a_further_folder_can_be_written_when_named(sandbox: Sandbox, worktree: Path, tmp_path: Path) -> None:
    extra = tmp_path / "extra folder"
    extra.mkdir()
    assert sandbox.run(f"echo x > '{extra}/x'", worktree, LIMITS, write=[extra]).exit_code == 0
    assert (extra / "x").read_text() == "x\n"


def test_a_worktree_behind_a_link_works_by_both_names(sandbox: Sandbox, worktree: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(worktree)
    result = sandbox.run(f"echo x > '{link}/one'; echo x > '{worktree}/two'; pwd", link, LIMITS)
    assert result == Result(0, f"{link}\n", timed_out=False, truncated=False)
    assert {path.name for path in worktree.iterdir()} == {"one", "two"}


def test_given_variables_arrive(sandbox: Sandbox, worktree: Path) -> None:
    result = sandbox.run('echo "$GREETING"', worktree, LIMITS, env={"GREETING": "two words\nand a line"})
    assert result.output == "two words\nand a line\n"


def test_pytest_of_a_virtual_environment_in_read_runs(worktree: Path) -> None:
    (worktree / "test_it.py").write_text("def test_it(tmp_path):\n    assert tmp_path.is_dir()\n")
    result = Bubblewrap([VENV]).run("python -m pytest -q -p no:cacheprovider", worktree, LIMITS)
    assert result.exit_code == 0, result.output
    assert "1 passed" in result.output


def test_a_program_folder_in_read_is_in_the_path(worktree: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "greet").write_text("#!/bin/sh\necho hello\n")
    (tools / "greet").chmod(0o755)
    assert Bubblewrap([tools]).run("greet", worktree, LIMITS).output == "hello\n"


def test_a_missing_read_path_is_skipped(worktree: Path, tmp_path: Path) -> None:
    assert Bubblewrap([tmp_path / "nowhere"]).run("true", worktree, LIMITS).exit_code == 0


def test_every_link_on_the_way_to_an_interpreter_is_readable(tmp_path: Path) -> None:
    real = tmp_path / "cpython-3.11.9"
    (real / "bin").mkdir(parents=True)
    (real / "lib").mkdir()
    (real / "secrets").mkdir()
    (real / "bin" / "python3.11").touch(0o755)
    (tmp_path / "cpython-3.11").symlink_to(real)
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (venv / "bin" / "python").symlink_to(tmp_path / "cpython-3.11" / "bin" / "python3.11")
    found = readable_folders([venv])
    assert {venv, tmp_path / "cpython-3.11" / "lib", real / "bin", real / "lib"} <= set(found)
    assert real / "secrets" not in found
    assert real not in found, "the whole prefix could be somebody's home"
    assert program_folders([venv, real / "lib"]) == [venv / "bin"]


# Writing


def test_nothing_outside_the_worktree_can_be_written(sandbox: Sandbox, worktree: Path, tmp_path: Path) -> None:
    neighbour = tmp_path / "neighbour"
    neighbour.mkdir()
    places = [str(neighbour), str(tmp_path), "/", "/usr", "/etc", "/root", "/var/lib", "/opt"]
    for place in places:
        sandbox.run(f"echo x > '{place}/watchbill-escape'", worktree, LIMITS)
    assert [place for place in places if os.path.exists(f"{place}/watchbill-escape")] == []  # noqa: PTH110


def test_the_root_inside_takes_no_files(sandbox: Sandbox, worktree: Path) -> None:
    result = sandbox.run("for p in / /etc /usr /dev /run; do touch $p/x 2>/dev/null && echo $p; done", worktree, LIMITS)
    assert result.output == ""


def test_a_read_path_stays_as_it_is(worktree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "a").write_text("a")
    result = Bubblewrap([folder]).run(f"cat '{folder}/a'; echo b > '{folder}/a'; rm '{folder}/a'", worktree, LIMITS)
    assert result.output.startswith("a")
    assert (folder / "a").read_text() == "a"


def test_a_link_planted_in_the_worktree_leads_nowhere(sandbox: Sandbox, worktree: Path, secret: Path) -> None:
    (worktree / "link").symlink_to(secret)
    result = sandbox.run("cat link; echo x > link", worktree, LIMITS)
    assert "the secret" not in result.output
    assert secret.read_text() == "the secret\n"


def test_a_read_path_inside_the_worktree_cannot_be_swapped_for_a_link(worktree: Path, secret: Path) -> None:
    (worktree / "deps").symlink_to(secret.parent)
    result = Bubblewrap([worktree / "deps"]).run(f"cat deps/secret; cat '{secret}'", worktree, LIMITS)
    assert "the secret" not in result.output


def test_remounting_and_new_namespaces_are_refused(worktree: Path, sandbox: Sandbox) -> None:
    for attack in ("mount -o remount,rw,bind /usr", "unshare -U true", "unshare -m true", "chroot / true"):
        assert sandbox.run(attack, worktree, LIMITS).exit_code != 0, attack
    status = sandbox.run("grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status", worktree, LIMITS).output
    assert set(re.findall(r"[0-9a-f]{16}", status)) == {"0" * 16}


# Git


def test_git_reads_history_inside(git_worktree: Path, repo: Path) -> None:
    (git_worktree / "a.txt").write_text("two\n")
    box = Bubblewrap(repo_git_dir=repo / ".git")
    result = box.run("git log --oneline && git status --short && git diff", git_worktree, LIMITS)
    assert result.exit_code == 0, result.output
    for piece in ("the first commit", " M a.txt", "+two"):
        assert piece in result.output


def test_git_cannot_be_written_inside(git_worktree: Path, repo: Path) -> None:
    before = (git_worktree / ".git").read_bytes()
    refs = git("for-each-ref", cwd=repo)
    box = Bubblewrap(repo_git_dir=repo / ".git")
    for attack in (
        "echo gitdir: /tmp/evil > .git",
        "rm -f .git",
        "mv .git other",
        "ln -sf /tmp .git",
        f"echo x > '{repo}/.git/hooks/post-checkout'",
        "git config core.fsmonitor /bin/false",
        "git -c user.name=x -c user.email=x@y commit --allow-empty -m x",
        "git update-ref refs/heads/main HEAD~0 --create-reflog && git branch evil",
    ):
        assert box.run(attack, git_worktree, LIMITS).exit_code != 0, attack
    assert (git_worktree / ".git").read_bytes() == before
    assert git("for-each-ref", cwd=repo) == refs
    assert not (repo / ".git" / "hooks" / "post-checkout").exists()


def test_the_git_folder_of_a_plain_clone_is_read_only(repo: Path) -> None:
    result = Bubblewrap().run("echo x > .git/config; echo x > .git/hooks/pre-commit; git log --oneline", repo, LIMITS)
    assert "the first commit" in result.output
    assert not (repo / ".git" / "hooks" / "pre-commit").exists()


def test_passwords_in_the_git_configuration_are_not_shown(git_worktree: Path, repo: Path) -> None:
    git("config", "remote.origin.url", "https://me:hunter2@example.org/x.git", cwd=repo)
    git("config", "http.https://example.org/.extraheader", "Authorization: hunter2", cwd=repo)
    box = Bubblewrap(repo_git_dir=repo / ".git")
    result = box.run(f"cat '{repo}/.git/config'; git config -l; git log --oneline", git_worktree, LIMITS)
    assert "repositoryformatversion" in result.output
    assert "the first commit" in result.output
    assert "hunter2" not in result.output


def test_a_git_entry_that_became_a_link_is_refused(worktree: Path, secret: Path, sandbox: Sandbox) -> None:
    (worktree / ".git").symlink_to(secret)
    with pytest.raises(Refused, match="replaced"):
        sandbox.run("cat .git", worktree, LIMITS)


# Reading, and the environment


def test_the_home_folder_is_unreadable(sandbox: Sandbox, worktree: Path, secret: Path) -> None:
    home = Path.home()
    names = set(os.listdir(home)) if os.path.isdir(home) else set()  # noqa: PTH112, PTH208
    result = sandbox.run(f"ls -A '{home}'; ls -A /home; cat '{secret}'; ls '{secret.parent}'", worktree, LIMITS)
    assert "the secret" not in result.output
    leading_to_the_worktree = set(worktree.parts)
    assert not set(result.output.splitlines()) & names - leading_to_the_worktree


def test_sockets_and_state_of_the_system_are_not_there(sandbox: Sandbox, worktree: Path) -> None:
    result = sandbox.run("ls -A /run; cat /etc/shadow; ls /sys; ls /var", worktree, LIMITS)
    assert "root:" not in result.output
    assert sandbox.run("ls -A /run", worktree, LIMITS).output == ""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> str:
    value = secrets.token_hex(16)
    monkeypatch.setenv("WATCHBILL_TEST_SECRET", value)
    return value


def test_variables_of_the_host_are_invisible(sandbox: Sandbox, worktree: Path, planted: str) -> None:
    for box in (sandbox, Unconfined()):
        assert planted not in box.run("env", worktree, LIMITS).output
    listing = "cat /proc/[0-9]*/environ /proc/1/cmdline | tr '\\0' '\\n'; wc -c < /proc/1/environ"
    result = sandbox.run(listing, worktree, LIMITS)
    assert planted not in result.output
    assert result.output.endswith("\n0\n"), "the first process inside has an environment"


def test_processes_of_the_host_are_invisible(sandbox: Sandbox, worktree: Path) -> None:
    result = sandbox.run("ls -d /proc/[0-9]* | wc -l", worktree, LIMITS)
    assert int(result.output) <= 5


def test_open_files_of_the_engine_are_not_inherited(sandbox: Sandbox, worktree: Path, secret: Path) -> None:
    with secret.open() as file:
        os.set_inheritable(file.fileno(), True)
        for box in (sandbox, Unconfined()):
            result = box.run(["/bin/sh", "-c", "ls -l /proc/self/fd"], worktree, LIMITS)
            assert "secret" not in result.output
            assert len(re.findall(r" \d+ -> ", result.output)) == 4, "0, 1, 2 and the folder that is being listed"


# The network


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


CONNECT = "import socket, sys; s = socket.socket(); s.settimeout(5); s.connect(('127.0.0.1', int(sys.argv[1])))"


def test_a_listener_on_the_host_cannot_be_reached(listener: int, worktree: Path) -> None:
    box = Bubblewrap([VENV])
    assert "refused" in box.run(["python", "-c", CONNECT, str(listener)], worktree, LIMITS).output
    allowed = box.run(["python", "-c", CONNECT, str(listener)], worktree, LIMITS, network=True)
    assert allowed.exit_code == 0, "the owner turned it on"


def test_the_loopback_interface_inside_works_for_tests_of_servers(worktree: Path) -> None:
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    result = Bubblewrap([VENV]).run(["python", "-c", script], worktree, LIMITS)
    assert (result.exit_code, result.output) == (0, "")


def test_an_abstract_socket_of_the_host_cannot_be_reached(worktree: Path) -> None:
    name = f"watchbill-test-{secrets.token_hex(8)}"
    script = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(chr(0) + sys.argv[1])"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0" + name)
        server.listen()
        result = Bubblewrap([VENV]).run(["python", "-c", script, name], worktree, LIMITS)
        assert "refused" in result.output
        assert Unconfined([VENV]).run(["python", "-c", script, name], worktree, LIMITS).exit_code == 0


# Ends


def daemon(marker: Path) -> str:
    """A command that leaves a process behind: away from its session, its parent and its pipes, deaf to SIGTERM.

    It ends only when that process is seen alive. `marker` is created in the worktree and in the arguments.
    """
    deaf = "trap '' TERM HUP; echo $$ > \"$1\"; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done"
    marker.with_name("deaf.sh").write_text(deaf)
    start = f"setsid sh deaf.sh {marker.name} </dev/null >/dev/null 2>&1 &"
    wait = f"while [ ! -s {marker.name} ]; do sleep 0.01; done; kill -TERM $(cat {marker.name}); sleep 0.05"
    return f"{start}\n{wait}; kill -0 $(cat {marker.name})"


def sleepers(mark: str) -> list[int]:
    """The processes of this machine that have `mark` in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        pid = int(path.parent.name)
        if mark in text and pid != os.getpid() and is_alive(pid):
            found.append(pid)
    return found


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
def test_a_daemon_left_behind_dies_with_its_command(make: type[Sandbox], worktree: Path) -> None:
    marker = worktree / f"daemon-{secrets.token_hex(8)}"
    result = make().run(daemon(marker), worktree, LIMITS)
    assert result.exit_code == 0, result.output
    assert marker.exists()
    assert sleepers(marker.name) == []


def test_the_end_of_the_first_process_inside_is_waited_for() -> None:
    status_out, status_in = os.pipe()
    first = subprocess.Popen(["sleep", "0.5"])
    try:
        os.write(status_in, f'{{ "child-pid": {first.pid} }}\n'.encode())
        bubblewrap_module._Status(status_out).wait_until_nothing_runs()
        assert first.poll() == 0
    finally:
        os.close(status_in)
        os.close(status_out)
        first.kill()
        first.wait()


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
def test_the_time_limit_kills_grandchildren_too(make: type[Sandbox], worktree: Path) -> None:
    marker = worktree / f"daemon-{secrets.token_hex(8)}"
    command = f"echo begun; trap '' TERM; {daemon(marker)}\nsleep 60"
    result = make().run(command, worktree, replace(LIMITS, seconds=1))
    assert result == Result(None, "begun\n", timed_out=True, truncated=False)
    assert marker.exists()
    assert sleepers(marker.name) == []


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
def test_a_daemon_that_floods_the_pipe_does_not_hold_its_command(make: type[Sandbox], worktree: Path) -> None:
    command = "setsid sh -c 'while :; do echo flood; done' & echo $! > pid; exit 5"
    result = make().run(command, worktree, LIMITS)
    assert (result.exit_code, result.timed_out) == (5, False)


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
def test_an_interrupt_ends_the_command(make: type[Sandbox], worktree: Path) -> None:
    mark = f"interrupted-{secrets.token_hex(8)}"

    def interrupt() -> None:
        deadline = time.monotonic() + 20
        while not (worktree / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        make().run(["sh", "-c", "touch begun; sleep 60", mark], worktree, LIMITS)
    assert (worktree / "begun").exists()
    assert sleepers(mark) == []


def test_an_interrupt_during_the_start_ends_the_command(worktree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"interrupted-{secrets.token_hex(8)}"
    real = subprocess.Popen

    def start_and_interrupt(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        child = real(*words, **options)
        signal.raise_signal(signal.SIGINT)
        return child

    monkeypatch.setattr("subprocess.Popen", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        Unconfined().run(["sh", "-c", "sleep 60", mark], worktree, LIMITS)
    assert sleepers(mark) == []


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
def test_another_thread_can_stop_the_command(make: type[Sandbox], worktree: Path) -> None:
    mark = f"stopped-{secrets.token_hex(8)}"
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    result = make().run(["sh", "-c", "sleep 60", mark], worktree, LIMITS, stop=stop)
    assert (result.exit_code, result.timed_out) == (None, False)
    assert sleepers(mark) == []


# Limits


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
def test_fifty_megabytes_of_output_are_cut_in_the_middle(make: type[Sandbox], worktree: Path) -> None:
    command = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last"
    result = make().run(command, worktree, LIMITS)
    assert result.exit_code == 0
    assert result.truncated
    assert result.output.startswith("first\n")
    assert result.output.endswith("\nlast\n")
    assert re.search(r"\[\.\.\. 49,980,0\d\d bytes and more were cut here \.\.\.\]", result.output)
    assert len(result.output) < LIMITS.output_bytes + 100


@pytest.mark.parametrize("make", [Bubblewrap, Unconfined])
@pytest.mark.parametrize("has_prlimit", [True, False])
def test_a_file_grows_only_to_its_limit(
    make: type[Sandbox], has_prlimit: bool, worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_prlimit:
        monkeypatch.setattr("shutil.which", lambda *_a, **_k: None)
    box = Bubblewrap(program="/usr/bin/bwrap") if make is Bubblewrap else make()
    box.run("trap '' XFSZ; head -c 3000000 /dev/zero > big", worktree, replace(LIMITS, file_bytes=1_048_576))
    assert (worktree / "big").stat().st_size == 1_048_576


@pytest.fixture
def no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "available", lambda: None)


@pytest.mark.usefixtures("no_groups")
@pytest.mark.parametrize("has_prlimit", [True, False])
def test_processes_memory_and_core_dumps_are_limited(
    has_prlimit: bool, worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_prlimit:
        monkeypatch.setattr("shutil.which", lambda *_a, **_k: None)
    box = Bubblewrap(program="/usr/bin/bwrap")
    limits = replace(LIMITS, processes=77, memory_bytes=1 << 30)
    result = box.run(["bash", "-c", "ulimit -Hu; ulimit -Hc; ulimit -Hd"], worktree, limits)
    assert result.output.split() == ["77", "0", str(1 << 20)]


def test_scratch_fills_up_before_the_machine_does(sandbox: Sandbox, worktree: Path) -> None:
    limits = replace(LIMITS, scratch_bytes=1 << 20)
    result = sandbox.run("head -c 2000000 /dev/zero > /tmp/big", worktree, limits)
    assert "No space left" in result.output


def test_a_sandbox_that_cannot_be_set_up_is_not_a_failed_command(sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="could not be set up"):
        sandbox.run("true", tmp_path / "nowhere", LIMITS)


# Choosing


def test_auto_picks_what_held() -> None:
    box = choose("auto", [], None)
    assert box.name == "bubblewrap"
    assert all(attempt.held for attempt in attempt_forbidden_acts(box))


def test_the_attempts_succeed_where_nothing_is_confined() -> None:
    attempts = attempt_forbidden_acts(Unconfined())
    # What it leaves behind is ended even there.
    assert [attempt.act for attempt in attempts if attempt.held] == ["leave a process behind"]
    assert len(attempts) == 14


def test_the_attempts_are_made_in_a_workspace_that_lies_deep_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "/".join(["deeper and deeper"] * 8)
    deep.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    attempts = attempt_forbidden_acts(Unconfined())
    assert [attempt.act for attempt in attempts if attempt.held] == ["leave a process behind"]
    assert all(attempt.held for attempt in attempt_forbidden_acts(choose("auto", [], None)))


def fake_bwrap(folder: Path, script: str) -> None:
    folder.mkdir()
    (folder / "bwrap").write_text(f"#!/bin/bash\n{script}\n")
    (folder / "bwrap").chmod(0o755)


def test_a_program_that_only_looks_like_a_sandbox_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """[ "$1" = --help ] && exit
status=$4
cd "$(tr '\\0' '\\n' <&$2 | grep -A1 -x -e --chdir | tail -1)"
while [ "$1" != -- ]; do shift; done; shift
"$@"; code=$?
echo "{\\"exit-code\\": $code}" >&$status; exit $code"""
    fake_bwrap(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(Misconfigured) as caught:
        choose("bubblewrap", [], None)
    for act in ("write outside", "read a file", "connect to the network", "a variable", "a socket"):
        assert act in caught.value.reason


def test_a_sandbox_that_lets_nothing_be_tried_is_not_taken_for_a_tight_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_bwrap(tmp_path / "bin", "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(Misconfigured, match="uid map"):
        choose("bubblewrap", [], None)


def test_a_sandbox_in_which_nothing_ran_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_bwrap(tmp_path / "bin", """[ "$1" = --help ] || echo '{"exit-code": 0}' >&$4""")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(Misconfigured, match="Nothing could be tried inside"):
        choose("bubblewrap", [], None)


def test_a_missing_bubblewrap_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(landlock, "version", lambda: 5)
    with pytest.raises(Misconfigured, match="has version 5 of Landlock") as caught:
        choose("auto", [], None)
    assert "apt install bubblewrap" in caught.value.hint


def test_without_bubblewrap_landlock_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose("auto", [], None).name == "landlock"


def test_the_owner_may_choose_none_and_it_is_called_so(worktree: Path) -> None:
    box = choose("none", [], None)
    assert box.name == "none"
    assert box.run("echo $CI; pwd", worktree, LIMITS).output == f"true\n{worktree}\n"


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "/etc/apparmor.d/bwrap"),
        ("kernel/other", "0", "In a container"),
    ],
)
def test_the_kernels_settings_explain_why_it_does_not_start(
    setting: str, value: str, advice: str, tmp_path: Path
) -> None:
    path = tmp_path / setting
    path.parent.mkdir()
    path.write_text(value + "\n")
    assert advice in why_not("bwrap: setting up uid map: Permission denied", tmp_path)


@pytest.mark.parametrize("path", ["/", "/usr/..", "relative"])
def test_the_whole_host_is_no_read_path(path: str) -> None:
    for make in (Bubblewrap, Seatbelt):
        with pytest.raises(Misconfigured):
            make([Path(path)])


def test_an_older_bubblewrap_is_called_without_what_it_lacks(
    tmp_path: Path, worktree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """[ "$1" = --help ] && { /usr/bin/bwrap --help | grep -v -e --disable-userns -e --size; exit; }
exec /usr/bin/bwrap "$@\""""
    fake_bwrap(tmp_path / "bin", script)
    box = Bubblewrap(program=str(tmp_path / "bin" / "bwrap"))
    seen: list[str] = []

    def watch(words: list[str]) -> list[str]:
        seen.extend(words)
        return words

    monkeypatch.setattr(bubblewrap_module, "_without_nul", watch)
    assert box.run("echo works", worktree, LIMITS).output == "works\n"
    assert "--unshare-all" in seen
    assert not {"--disable-userns", "--size"} & set(seen)


# macOS: the profile is text


def test_the_profile_denies_by_default_and_names_what_it_allows() -> None:
    text = profile([Path("/opt/venv")], [Path("/srv/T-1")], [Path("/srv/T-1/.git")], network=False)
    assert text.startswith("(version 1)\n(deny default)\n")
    assert "network" not in text
    assert '(subpath "/Users")' not in text
    assert "(allow default)" not in text
    writable = text.index("(allow file-write*")
    protected = text.index('(deny file-write*\n  (subpath "/srv/T-1/.git"))')
    assert protected > writable, "the later rule wins"
    assert text.count("(") == text.count(")")


def test_the_network_opens_only_when_asked() -> None:
    assert "(allow network-outbound" in profile([], [Path("/w")], [], network=True)


def test_a_path_cannot_add_a_rule_to_the_profile() -> None:
    hostile = Path('/w")) (allow default) (x "\\')
    text = profile([], [hostile], [], network=False)
    assert '(subpath "/w\\")) (allow default) (x \\"\\\\")' in text
    with pytest.raises(Refused):
        profile([], [Path("/w\nx")], [], network=False)


# Output


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain \xc3\xa4\ttab\n", "plain ä\ttab\n"),
        (b"\x1b[31;1mred\x1b[0m \x1b[2J\x1b[?25lend", "red end"),
        (b"\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        (b"\x1bPdcs\x1b\\x\x1b(By\x1bcz", "xyz"),
        (b"\x1b]unfinished\nwhat follows", "]unfinished\nwhat follows"),
        ("\x9b31mC1\x9d0;t\x9cx".encode(), "C1x"),
        (b"bad \xff\xfe bytes \x00\x07\x08\x7f", "bad �� bytes "),
        (b"10%\r100%\r\ndone", "10%\n100%\ndone"),
        (b"\x1b\x00[31mnested", "[31mnested"),
    ],
)
def test_control_sequences_are_stripped(raw: bytes, shown: str) -> None:
    assert clean_text(raw) == shown


@given(st.binary(max_size=300))
def test_no_output_carries_a_control_character(data: bytes) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", clean_text(data))


@given(st.text(max_size=400), st.integers(min_value=0, max_value=300))
def test_cut_text_is_never_longer_than_its_limit(text: str, limit: int) -> None:
    cut = cut_middle(text, limit)
    assert len(cut) <= limit or cut == text
    assert cut == text or len(text) > limit


def test_the_cut_keeps_both_ends_and_says_so() -> None:
    cut = cut_middle("begin" + "x" * 1000 + "end", 200)
    assert cut.startswith("begin")
    assert cut.endswith("end")
    assert "cut here" in cut


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(min_value=0, max_value=200))
def test_a_capture_keeps_the_ends_of_any_stream(chunks: list[bytes], limit: int) -> None:
    capture = Capture(limit)
    for chunk in chunks:
        capture.feed(chunk)
    whole = b"".join(chunks)
    assert capture.truncated == (len(whole) > limit)
    if not capture.truncated:
        assert capture.text() == clean_text(whole)
    else:
        head, tail = limit // 2, limit - limit // 2
        assert capture.text().startswith(clean_text(whole[:head]))
        assert capture.text().endswith(clean_text(whole[len(whole) - tail :]))


def test_a_capture_holds_little_of_a_long_stream() -> None:
    capture = Capture(10_000)
    tracemalloc.start()
    try:
        for _ in range(500):
            capture.feed(os.urandom(65_536))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
