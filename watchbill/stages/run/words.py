"""The body of a handoff: what was done, what is open, what should happen next.

Owns the headings under which every handoff tells its story.
"""

from __future__ import annotations

from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending
from watchbill.tools.redaction import redact


def body(submission: Submission) -> str:
    questions = "\n".join(f"- {' '.join(text.split())}" for text in submission.open_questions) or "None."
    return (
        f"## What was done\n\n{submission.summary}\n\n## Open questions\n\n{questions}\n\n"
        f"## What should happen next\n\n{submission.next or 'As routed.'}"
    )


def body_without_handoff(ending: Ending) -> str:
    # Redacted before it is cut: a half of a key has no shape by which it could be known.
    said = redact(" ".join(ending.last_words.split()))[:2_000]
    words = f"\n\nThe model's last words:\n\n> {said}" if said else ""
    return (
        f"## What was done\n\nThe engine wrote this handoff: {ending.reason}.{words}\n\n"
        "## Open questions\n\nNone known.\n\n"
        "## What should happen next\n\nThe next session goes on from the ticket's branch."
    )
