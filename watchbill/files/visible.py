"""Text without anything that hides or that a terminal obeys.

Owns what of a foreign text is shown as itself: letters, marks, spaces, tabs and newlines. Every control character,
bidirectional override, zero-width or tag character is shown as its number, such as <U+202E>.
"""

from __future__ import annotations

import re
import unicodedata

_SUSPECTS = re.compile(r"[^\t\n -~]")
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(text: str) -> str:
    """`text` with what is hidden in it made visible; line ends become newlines."""
    return _SUSPECTS.sub(_shown, text.replace("\r\n", "\n"))


def hidden_in(text: str) -> frozenset[str]:
    """How `visible` shows what is hidden in `text`: <U+200B> and the like, each once."""
    letters = set(_SUSPECTS.findall(text.replace("\r\n", "\n")))
    return frozenset(shown for letter in letters if (shown := visible(letter)) != letter)


def _shown(match: re.Match[str]) -> str:
    letter = match[0]
    return f"<U+{ord(letter):04X}>" if unicodedata.category(letter) in _HIDDEN else letter
