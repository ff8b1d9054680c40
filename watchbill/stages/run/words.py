"""The body of a handoff: what was done, what is open, what should happen next.

Owns the headings under which every handoff tells its story.
"""

from __future__ import annotations

from watchbill.roles.submission import Submission
from watchbill.roles.turns import Ending


def body(submission: Submission) -> str:
    questions = "\n".join(f"- {' '.join(text.split())}" for text in submission.open_questions) or "None."
    return (
        f"## What was done\n\n{submission.summary}\n\n## Open questions\n\n{questions}\n\n"
        f"## What should happen next\n\n{submission.next or 'As routed.'}"
    )


def body_without_handoff(ending: Ending) -> str:
    words = (
        f"\n\nThe model's last words:\n\n> {' '.join(ending.last_words.split())[:2_000]}" if ending.last_words else ""
    )
    return (
        f"## What was done\n\nThe engine wrote this handoff: {ending.reason}.{words}\n\n"
        "## Open questions\n\nNone known.\n\n"
        "## What should happen next\n\nThe next session goes on from the ticket's branch."
    )
