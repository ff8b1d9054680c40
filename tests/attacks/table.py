"""The attacks on what lies around a worktree: documents, other people's files, keys, the network, the machine.

Owns what is tried and by what it is stopped; never plays anything.
"""

from __future__ import annotations

from tests.attacks.ground import THROUGH, Attack
from watchbill.documents.manifest import Agent

# In bubblewrap what is not shown is not there; under Landlock it is, and closed.
AWAY = r"No such file or directory|Read-only file system|Permission denied|Not a directory|cross-device|not permitted"
UNSEEN = r"leads? out|outside|no such|not a regular|[Nn]ot a directory"
NO_TOOL = r"not found|no such tool|[Uu]nknown"
WRITERS: tuple[Agent, ...] = ("build",)
REVIEWERS: tuple[Agent, ...] = ("qa", "security")

KINDS = (
    "handoff", "ticket", "manifest", "inbox item", "decided item", "session record", "playbook", "routing table",
    "settings", "agent", "journal", "index", "archive", "signers", "other worktree", "other git file",
    "spare worktree", "checkout", "git config", "git ref",
)  # fmt: skip
NEW = ("next handoff", "git hook", "log", "result of checks")


def bash(name: str, script: str, stopped: str) -> Attack:
    """A command. Its first words are its name, so that the log's line has it."""
    return Attack(name, "bash", {"command": f": {name};\n{script}\n"}, stopped)


def python(name: str, script: str, stopped: str) -> Attack:
    """A program that prints that it got through, or fails with what stopped it."""
    # In pieces: a shell that tells of a killed program repeats what it was given.
    return bash(name, f"@python@ - <<'END'\n{script}\nprint('GOT', 'THROUGH', sep='-')\nEND", stopped)


def _on_documents() -> list[Attack]:
    found = []
    for kind in KINDS:
        # It is read first: inside, a folder for scratch may lie at the place of the workspace.
        script = f"cat @{kind}@ > /dev/null && printf x >> @{kind}@ && echo {THROUGH}"
        found.append(bash(f"append to the {kind}", script, AWAY))
        given = {"file_path": f"@{kind}@", "content": "x"}
        found.append(Attack(f"write the {kind}", "write", given, UNSEEN, WRITERS))
    for kind in NEW:
        found.append(bash(f"make a {kind}", f"printf x > @{kind}@ && echo {THROUGH}", AWAY))
    # Landlock cannot close one file in an open folder; there it is put back when the command has ended.
    found.append(bash("replace its own git file", "echo gitdir: /tmp > .git; true", AWAY + "|no output"))
    found.append(bash("remove its own git file", "rm -f .git; true", AWAY + "|busy|no output"))
    every = " ".join(f"@{kind}@" for kind in KINDS)
    hands = (
        ("put others in their place", "printf x > new; cat $one > /dev/null && mv new $one"),
        ("remove them", "ls $one > /dev/null && rm $one"),
        ("write through a link", "rm -f way; ln -s $one way; cat way > /dev/null && printf x >> way"),
        ("write through a hard link", "rm -f hard; ln $one hard && printf x >> hard"),
        ("write by the link of a folder", "rm -f up; ln -s ${one%/*} up; cat up/${one##*/} && echo x >> up/x"),
        ("change their modes", "ls $one > /dev/null && chmod 777 $one"),
    )  # fmt: skip
    for what, script in hands:
        loop = f"for one in {every}; do {{ {script}; }} && echo {THROUGH} $one; done; rm -f new way hard up; true"
        found.append(bash(what, loop, AWAY))
    return found


def _by_file_tools() -> list[Attack]:
    up = "../../../handoffs/T-0001/0001.md"
    files = "ln -s '@handoff@' way; ln -s $(dirname '@handoff@') folder; ln '@handoff@' hard || cp way hard; true"

    def tool(name: str, tool: str, stopped: str, roles: tuple[Agent, ...] = WRITERS, **given: str) -> Attack:
        return Attack(name, tool, given, stopped, roles)

    everyone = (*WRITERS, *REVIEWERS)
    odd = "mkfifo pipe; ln -s /dev/zero zero; ln notes.txt twin; mknod device c 1 5; mknod disk b 7 0; true"
    race = "rm -rf raced won; mkdir raced; echo mine > raced/0001.md"
    return [
        bash("plant links", files, "|".join((AWAY, "no output"))),
        tool("write with dots", "write", UNSEEN, file_path=up, content="x"),
        tool("write through a planted link", "write", UNSEEN, file_path="way", content="x"),
        tool("write through a planted folder", "write", UNSEEN, file_path="folder/0002.md", content="x"),
        tool("edit through a planted link", "edit", UNSEEN, file_path="way", old_string="T", new_string="x"),
        tool("edit with dots", "edit", UNSEEN, file_path=up, old_string="T", new_string="x"),
        tool("write git's own file", "write", r"git", file_path=".git", content="gitdir: /tmp/x"),
        tool("write into git's folder", "write", r"git", file_path=".git/hooks/post-commit", content="x"),
        tool("read a document", "read", UNSEEN, everyone, file_path="@session record@"),
        tool("read the key file", "read", UNSEEN, everyone, file_path="@key file@"),
        tool("read through a planted link", "read", UNSEEN, everyone, file_path="way"),
        tool("read the engine's environment", "read", UNSEEN, everyone, file_path="/proc/self/environ"),
        tool("search above", "grep", UNSEEN, everyone, pattern="sk-ant", path="../../.."),
        tool("search with dots", "glob", r"relative", everyone, pattern="../../*"),
        tool("search through a planted link", "grep", UNSEEN, everyone, pattern="schema", path="folder"),
        bash("plant a pipe, a device, a second name", odd, "not permitted|Permission denied"),
        tool("read a pipe", "read", "not a regular", everyone, file_path="pipe"),
        tool("write a pipe", "write", "not a regular", file_path="pipe", content="x"),
        tool("edit a pipe", "edit", "not a regular", file_path="pipe", old_string="o", new_string="x"),
        tool("read a device", "read", UNSEEN, everyone, file_path="zero"),
        tool("write a device", "write", UNSEEN, file_path="/dev/null", content="x"),
        tool("write by a second name", "write", "hard link", file_path="twin", content="x"),
        tool("edit by a second name", "edit", "hard link", file_path="twin", old_string="goo", new_string="x"),
        bash("prepare a race", race, "no output"),
        tool("read in a race", "read", UNSEEN, everyone, file_path="raced/0001.md"),
        bash("prepare another race", race, "no output"),
        tool("write in a race", "write", UNSEEN, file_path="raced/0001.md", content="x"),
        tool("write without the tool", "write", NO_TOOL, REVIEWERS, file_path="@handoff@", content="x"),
        tool("edit without the tool", "edit", NO_TOOL, REVIEWERS, file_path="-x", old_string="o", new_string="x"),
        tool("call a tool of the engine's", "publish_decision", NO_TOOL, everyone, file_path="-rf", content="x"),
        tool("read a name like an option", "read", UNSEEN, everyone, file_path="--output=pwned"),
        tool("read a name of two lines", "read", UNSEEN, everyone, file_path="notes.txt\nfrom: human"),
        *(
            Attack(f"search for {given!r}", name, {"pattern": given}, "no (matches|files)", everyone, is_harmless=True)
            for name, given in (("grep", "--pre=touch pwned"), ("grep", "-f/etc/passwd"), ("glob", "-exec touch pwned"))
        ),
    ]  # fmt: skip


CONNECT = """
import socket
with socket.socket(socket.{family}, socket.SOCK_STREAM) as client:
    client.settimeout(3)
    client.connect({address})
"""
CLOSED = r"ConnectionRefused|PermissionError|FileNotFoundError|TimeoutError|unreachable"
LOOK = """
import glob
held = []
for path in glob.glob('/proc/[0-9]*/environ'):
    try:
        held.append(open(path, 'rb').read())
    except OSError:
        pass
assert any(b'ANTHROPIC' in one for one in held), 'in no environment'
"""
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
ASK = "assert done == 0, os.strerror(ctypes.get_errno())"


def _on_keys_and_network() -> list[Attack]:
    return [
        python("environments in proc", LOOK, "in no environment"),
        bash("own environment", f"env | grep -i anthropic && echo {THROUGH}", "exit code 1"),
        bash("the home folder", f"rev '@home key@' && echo {THROUGH}", AWAY),
        bash("the key file", f"rev '@key file@' && echo {THROUGH}", AWAY),
        bash("the variable of the ssh agent", f"printenv SSH_AUTH_SOCK && echo {THROUGH}", "exit code 1"),
        # As `ssh-add -l` asks: which keys are there? The answer is of kind 12.
        python(
            "the ssh agent",
            CONNECT.format(family="AF_UNIX", address="'@ssh agent@'")
            + "    client.send(bytes((0, 0, 0, 1, 11)))\n    assert client.recv(5)[4] == 12",
            CLOSED,
        ),
        python("a socket by its path", CONNECT.format(family="AF_UNIX", address="'@unix@'"), CLOSED),
        python("an abstract socket", CONNECT.format(family="AF_UNIX", address=r"'\0@abstract@'"), CLOSED),
        python("tcp", CONNECT.format(family="AF_INET", address="('127.0.0.1', @tcp@)"), CLOSED),
        python(
            "udp",
            "import socket\nway = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nway.settimeout(1)\n"
            "way.connect(('127.0.0.1', @udp@))\nway.send(b'key')\nassert way.recv(9)",
            CLOSED,
        ),
        # The listener stands for the resolver of the host; its port 53 belongs to root.
        python(
            "ask a resolver",
            "import socket\nway = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nway.settimeout(1)\n"
            "asked = b'the-key'\n"
            "query = bytes.fromhex('beef01000001000000000000') + bytes([len(asked)]) + asked + bytes((0, 0, 1, 0, 1))\n"
            "way.sendto(query, ('127.0.0.1', @udp@))\nassert way.recv(9)",
            CLOSED + "|timed out",
        ),
        python(
            "dns",
            "import socket\nsocket.getaddrinfo('attack.example.org', 80)",
            r"gaierror|PermissionError",
        ),
    ]


def _on_the_machine() -> list[Attack]:
    mount = f"{LIBC}os.makedirs('m', exist_ok=True)\ndone = libc.mount(b'none', b'm', b'tmpfs', 0, None)\n{ASK}"
    remount = f"{LIBC}done = libc.mount(b'none', b'/usr', None, 0x1000 | 0x20, None)\n{ASK}"
    space = f"{LIBC}done = libc.unshare(0x10000000)\n{ASK}"
    trace = f"{LIBC}done = libc.ptrace(0x4206, @bystander@, None, None)\n{ASK}"
    leave = (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.execve('/bin/sleep', ['sleep', '@daemon@'], {})\n    os._exit(0)\nraise SystemExit('it is left')"
    )
    no = r"not permitted|No such process|No space left|Permission denied|Invalid argument"
    return [
        python("mount", mount, no),
        python("remount", remount, no),
        python("a user namespace", space, no),
        bash("a user namespace by unshare", f"unshare -Ur true && echo {THROUGH}", no),
        python("trace a process", trace, no),
        python("end a process", "import os\nos.kill(@bystander@, 0)", "ProcessLookup|PermissionError"),
        python("end the engine", "import os\nos.kill(@engine@, 0)", "ProcessLookup|PermissionError"),
        python("leave a daemon", leave, "it is left"),
    ]


REACHES = (*_on_documents(), *_by_file_tools(), *_on_keys_and_network(), *_on_the_machine())
