"""A document, or a part of one, as it may be written: every text in it without secrets.

Owns which keys are texts. Ids, hashes, names of actors and everything else by which documents name each other or on
which something is decided stay as they are: redaction never changes a decision or a fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

from watchbill.files.document import Strict
from watchbill.tools.redaction import redact, redact_held

Part = TypeVar("Part", bound=Strict)

# Never changed. What is not named here or below is a text.
STRUCTURE = frozenset(
    {"schema_name", "id", "ticket", "tickets", "seq", "created", "sender", "to", "outcome", "parent", "decision"}
    | {"session", "manifest", "agent", "agent_version", "playbook", "base", "commit", "candidate", "merged", "handoff"}
    | {"fingerprint", "severity", "source", "signature", "read", "tags", "sandbox", "artifacts"}
)
# Names of files, on which rules about protected paths decide: only the very values that the engine holds are replaced.
PATHS = frozenset({"path", "files"})


# Between two texts that are searched together: no rule reads across it.
_BETWEEN = "\n\0\n"


def redacted(part: Part) -> Part:
    """`part` with every text redacted, and cut where it has become longer than its key allows.

    Raises what `redact` raises: then nothing of it is to be written.
    """
    texts = _BETWEEN.join(_strings(part, of_paths=False))
    paths = _BETWEEN.join(_strings(part, of_paths=True))
    # Nearly every document is clean, and one search over all its texts is much cheaper than one for each.
    if redact(texts) == texts and redact_held(paths) == paths:
        return part
    return _changed(part)


def _strings(value: Any, of_paths: bool, name: str = "") -> Iterator[str]:
    if isinstance(value, str):
        if (name in PATHS) == of_paths:
            yield value
    elif isinstance(value, Strict):
        for field in type(value).model_fields:
            if field not in STRUCTURE:
                yield from _strings(getattr(value, field), of_paths, field)
    elif isinstance(value, tuple):
        for item in value:
            yield from _strings(item, of_paths, name)
    else:
        _must_hold_no_text(value, name)


def _must_hold_no_text(value: Any, name: str) -> None:
    """What is of no kind that is known here could hold a secret unseen."""
    if not (value is None or isinstance(value, bool | int | float | datetime)):
        raise TypeError(f"{name}: a {type(value).__name__} in a document cannot be searched for secrets")


def _changed(part: Part) -> Part:
    changes: dict[str, object] = {}
    for name, field in type(part).model_fields.items():
        if name not in STRUCTURE:
            changes[name] = _cut(_redacted(getattr(part, name), name), field.metadata)
    return part.model_copy(update=changes)


def _redacted(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return redact_held(value) if name in PATHS else redact(value)
    if isinstance(value, Strict):
        return _changed(value)
    if isinstance(value, tuple):
        return tuple(_redacted(item, name) for item in value)
    return value


def _cut(value: Any, metadata: list[Any]) -> Any:
    longest = next((rule.max_length for rule in metadata if hasattr(rule, "max_length")), None)
    return value[:longest] if isinstance(value, str) and longest is not None else value
