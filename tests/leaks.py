"""Secrets for tests: made up, in the shapes of real ones, put together here so that no file holds one.

Owns the samples and how a test looks for them in whatever was written or sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

OWN_KEY = "sk-an" + "t-api03-" + "Qm7vT2xK9pLw4RzB8nYd"
TOKEN = "zq81HHuw" + "x92LkPvB37"
AWS = "AKI" + "AQYLPMN5HHHFPZAM2"
GITHUB = "gh" + "p_" + "R7t2Kq9ZxW4mVb1NcY8sLd3Fh6JgPaQ0uEiX"
URL_PASSWORD = "v3ry-Hidden-pw"
KEY_LINE = "MIIEowIBAAKCAQEAu1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gun"
_BEGIN, _END = (f"-----{word} RSA PRIV" + "ATE KEY-----" for word in ("BEGIN", "END"))
PRIVATE_KEY = "\n".join([_BEGIN, KEY_LINE, KEY_LINE[::-1], _END])

# What a model says or prints, and what of it must be found nowhere.
SAID: Mapping[str, str] = {
    "the engine's own key": OWN_KEY,
    "its base64": base64.b64encode(f"me:{OWN_KEY}".encode()).decode(),
    "a variable of the engine": TOKEN,
    "an AWS key": AWS,
    "a GitHub token": GITHUB,
    "a password in a URL": f"postgres://app:{URL_PASSWORD}@db.example.org/app",
    "a private key": PRIVATE_KEY,
}
HIDDEN = (OWN_KEY, SAID["its base64"], TOKEN, AWS, GITHUB, URL_PASSWORD, KEY_LINE, KEY_LINE[::-1])
ALL = "\n".join(f"{name}: {value}" for name, value in SAID.items())


def leaks_in(text: str) -> list[str]:
    """The secrets that stand in `text`, also where JSON or base64 of the whole has spelt them."""
    return [secret for secret in HIDDEN if secret in text or json.dumps(secret)[1:-1] in text]


def leaks_below(folder: Path, leave_out: Iterable[Path] = ()) -> list[str]:
    """Every secret in every file below `folder`, but for what lies in the folders that are left out."""
    out = tuple(leave_out)
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(place) for place in out):
            text = path.read_bytes().decode("utf-8", "replace")
            found += [f"{path.relative_to(folder)}: {secret}" for secret in leaks_in(text)]
    return found
