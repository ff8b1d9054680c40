"""The one door through which foreign commands run: the model's, and everything that runs code of a worktree.

Owns the protocol, its implementations, and the choice between them. It never decides which command may run,
what a result means, or that a command may run outside: that is the owner's explicit setting.
"""

from __future__ import annotations

from watchbill.tools.sandbox.bubblewrap import Bubblewrap
from watchbill.tools.sandbox.capped import Capped
from watchbill.tools.sandbox.choosing import Attempt, attempt_forbidden_acts, choose
from watchbill.tools.sandbox.contract import MIB, Limits, Result, Sandbox, also_reading
from watchbill.tools.sandbox.landlock import Landlock
from watchbill.tools.sandbox.output import clean_text, cut_middle, without_cut_words
from watchbill.tools.sandbox.readable import interpreter_folders
from watchbill.tools.sandbox.seatbelt import Seatbelt
from watchbill.tools.sandbox.stoppable import Stoppable
from watchbill.tools.sandbox.unconfined import Unconfined

__all__ = [
    "MIB",
    "Attempt",
    "Bubblewrap",
    "Capped",
    "Landlock",
    "Limits",
    "Result",
    "Sandbox",
    "Seatbelt",
    "Stoppable",
    "Unconfined",
    "also_reading",
    "attempt_forbidden_acts",
    "choose",
    "clean_text",
    "cut_middle",
    "interpreter_folders",
    "without_cut_words",
]
