"""The text of a new `watchbill.toml`: every key, its value, and a comment that says what it does.

Owns the comments. The keys, their order and their defaults are the model's in `documents/settings`; a key without a
comment here is a mistake that a test finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel

from watchbill.documents.settings import Settings
from watchbill.files.document import stamp

HEAD = """\
# The settings of this Watchbill workspace, made on {when}.
# Relative paths are relative to this folder. No secret ever stands here: the API key comes from the environment
# (ANTHROPIC_API_KEY), from the file that [model] key_file names, or from the keychain ([model] key_keyring).
"""

COMMENTS = {
    "project.name": "What the project is called in briefs and on pages.",
    "project.repo": "The git repository that is worked on. Its checkout and your own branches are never touched.",
    "project.base": "The branch that work starts from. It is only read.",
    "project.integration": "Where approved work is merged. You bring it to your base branch when you like it.",
    "model.primary": "The model that is asked first.",
    "model.fallbacks": "Who is asked, in this order, when that one is overloaded or unknown.",
    "model.max_tokens": "The longest single answer, in tokens.",
    "model.timeout_seconds": "How long one answer may take.",
    "model.key_file": 'A file with the API key that only you can read (chmod 600); "" for the environment alone.',
    "model.key_keyring": 'The keychain entry with the key, as "SERVICE/USER"; "" for none. Needs watchbill[keyring].',
    "model.prices": "What a model costs, in US dollars for a million tokens. Without a price no cost is shown.",
    "agents.build": "Writes the change.",
    "agents.qa": "Judges the change against the ticket, with the checks below.",
    "agents.security": "Judges what the change could do to its users.",
    "agents.*.schedule": "When it runs: minute, hour, day, month, weekday (cron).",
    "agents.*.soft_turns": "After so many requests to the model a session is told to wrap up.",
    "agents.*.hard_turns": "A session makes not one request more than this.",
    "agents.*.turns_per_ticket": "The share of one ticket in a session.",
    "plan": "The planner writes the manifests: which tickets the next sessions work on.",
    "plan.schedule": "When it runs: a little before the build session, and again before the reviews.",
    "merge": "Brings what passed every review to the integration branch.",
    "merge.schedule": "When it runs; best after the reviews.",
    "checks": "How the project's own tests are run. They run inside the sandbox, on the base and on the candidate.",
    "checks.setup": 'A shell line that makes a fresh checkout ready for the tests; "" for none.',
    "checks.test": "A shell line that runs the tests. {junit} in it is replaced by the path where JUnit XML is wanted.",
    "checks.timeout_seconds": "A run of either that takes longer is stopped, and counts as failed.",
    "gate": "How your decisions are proven.",
    "gate.require": '"folder": an edit of the inbox file counts, which is as safe as the sandbox. "signature": only '
    "what\n# you signed counts; `watchbill gate setup` sets it up and writes this line.",
    "gate.signers": "The folder with allowed_signers, revoked_keys and the other lists. No agent may write there.",
    "gate.repository": "The id under which decisions are signed; `watchbill gate setup` makes it. Never change it.",
    "gate.key": "Where your private key lies, which signs. Another person names theirs with --key.",
    "gate.unprotected_key": "true if your key has no passphrase: then the gate is called advisory on every page.",
    "gate.valid_hours": "So long after signing may a decision be published.",
    "gate.approvals": "How many people must agree before an approval or a dismissal counts.",
    "gate.approvals_for": 'For which questions: severities and paths, such as ["critical", "src/auth/**"]; [] for all.',
    "gate.protected": "Paths that a human is always asked about before a merge. A name without / counts in every "
    "folder.",
    "gate.escalate_after_days": "A question that nobody answers for so long reaches the next of escalate_to. 0: never.",
    "gate.escalate_to": "Whom, in this order, by the names in allowed_signers.",
    "sandbox": "Where every command of a model and every check runs: it can write its worktree and nothing else.",
    "sandbox.mode": '"auto" takes what holds on this machine: "bubblewrap" or else "landlock" (Linux), "seatbelt" '
    '(macOS).\n# "none" runs unconfined, at your own risk, and is stamped on every record.',
    "sandbox.read": "Folders that commands may read besides the system's own, for instance a virtual environment. "
    "Absolute paths.",
    "sandbox.network": 'Which of your own commands may use the network: "setup", "test", both, or none.',
    "sandbox.memory_mb": "How much memory one command and all that it starts may use, in MiB.",
    "sandbox.processes": "How many processes and threads it may have at once.",
    "sandbox.file_mb": "How large a file it may write.",
    "sandbox.scratch_mb": "How much its private /tmp holds, which is in memory.",
    "sandbox.disk_mb": "How much it may write to the disk in all. It is ended a moment after it went beyond.",
    "limits.max_attempts": "After so many attempts without success a ticket goes to the inbox.",
    "limits.max_waiting": "With so many items in the inbox no new work starts.",
}

EXAMPLES = {
    "model.prices": """\
# [model.prices."NAME OF THE MODEL"]
# input = 0.0
# output = 0.0
# cache_read = 0.0
# cache_write = 0.0
""",
}


def settings_text(settings: Settings, when: datetime) -> str:
    """The whole file. Read back, it gives `settings`."""
    return "\n".join([HEAD.format(when=stamp(when)), *_tables(settings, "")])


def comment_of(key: str) -> str | None:
    """The comment of a key or table, such as `checks.test`; None when it has none."""
    parts = key.split(".")
    general = ".".join([parts[0], "*", *parts[2:]]) if len(parts) == 3 else key
    return COMMENTS.get(key, COMMENTS.get(general))


def toml_value(value: object) -> str:
    """A value as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    raise TypeError(f"{type(value).__name__} has no spelling in TOML")


def _tables(model: BaseModel, name: str) -> Iterator[str]:
    """The table of a model with its plain keys, then those of its models."""
    values = {key: getattr(model, key) for key in type(model).model_fields}
    plain = {key: value for key, value in values.items() if not isinstance(value, BaseModel | dict)}
    if plain:
        lines = [_comment(name), f"[{name}]", *(_line(name, key, value) for key, value in plain.items())]
        yield "\n".join(line for line in lines if line) + "\n"
    for key, value in values.items():
        inner = f"{name}.{key}" if name else key
        if isinstance(value, BaseModel):
            yield from _tables(value, inner)
        elif isinstance(value, dict):
            yield from _free_tables(value, inner)


def _free_tables(values: dict[str, BaseModel], name: str) -> Iterator[str]:
    """Tables whose names are the owner's. With none of them, an example to copy."""
    if not values:
        yield f"{_comment(name)}\n{EXAMPLES[name]}"
    for key, model in values.items():
        keys = "\n".join(f"{field} = {toml_value(getattr(model, field))}" for field in type(model).model_fields)
        yield f"[{name}.{_quoted(key)}]\n{keys}\n"


def _line(table: str, key: str, value: object) -> str:
    return f"{_comment(f'{table}.{key}')}\n{key} = {toml_value(value)}"


def _comment(key: str) -> str:
    text = comment_of(key)
    return f"# {text}" if text else ""


def _quoted(text: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(letter, _visible(letter)) for letter in text) + '"'


def _visible(letter: str) -> str:
    """A character as it is, or by its number where TOML or an editor would not show it."""
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"
