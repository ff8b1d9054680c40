"""A redactor that cannot run lets nothing through."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.redaction.broken import damaged_rules
from watchbill.errors import Misconfigured, TryLater
from watchbill.tools.redaction import redact
from watchbill.tools.redaction.redactor import Redactor

WITHOUT_RE2 = """
import sys
sys.modules["re2"] = None
from watchbill.errors import Misconfigured
from watchbill.tools.redaction import redact
try:
    redact("a text that is long enough")
except Misconfigured as error:
    print(error.reason, error.hint)
"""


def test_damaged_rules_are_the_owners_to_mend_and_are_read_again_when_mended(tmp_path: Path) -> None:
    with damaged_rules(tmp_path), pytest.raises(Misconfigured, match="rules for secrets cannot be read"):
        redact("a text that is long enough")
    assert redact("a text that is long enough") == "a text that is long enough"


def test_without_google_re2_nothing_is_let_through() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_RE2], capture_output=True, text=True, timeout=60, check=True)
    assert "secrets cannot be recognised" in done.stdout
    assert "it needs google-re2" in done.stdout


def test_a_search_that_fails_is_tried_later_and_shows_nothing_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Redactor, text: str) -> str:
        raise MemoryError(text)

    monkeypatch.setattr(Redactor, "text", fail)
    with pytest.raises(TryLater, match="could not be searched for secrets") as caught:
        redact("a hidden text of some length")
    assert "hidden" not in caught.value.reason + caught.value.hint
