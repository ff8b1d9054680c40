"""The very values that the engine holds: its keys, and what in its environment looks secret.

Owns which variables count, which values are too common to be replaced, and the spellings under which a value is known
again: as it is, in JSON, percent-encoded, in base64. Never writes a value anywhere.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

# Neither a shorter value nor a shorter text holds anything that is looked for.
SHORTEST = 8
LONGEST = 65_536
SHORTEST_LINE = 16

_WORDS = "KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASS|PASSPHRASE|PWD|CREDENTIALS?|CREDS?|AUTH|COOKIES?|SESSION|DSN"
_SECRET_NAME = re.compile(rf"(?:^|[^A-Z])(?:[A-Z0-9]*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)|{_WORDS})(?:[^A-Z]|$)")
# Of these names many hold no secret: a word without a digit is left alone.
_WEAK_NAME = re.compile(r"SESSION|AUTH|PASS$|PWD")
_PLAIN_WORDS = re.compile(r"[A-Za-z]+(?:[-_ :.][A-Za-z]+)*")
_NUMBER = re.compile(r"[-+]?[\d.,:_ -]+")
_CREDENTIALS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://([^\s/?#@:'\"]{0,1000})(?::([^\s/?#@'\"]{0,4000}))?@")
_COMMON = frozenset(
    {"password", "passw0rd", "changeme", "postgres", "postgresql", "username", "localhost", "redacted", "disabled"}
    | {"anonymous", "undefined", "required", "optional", "insecure", "unlimited", "development", "production"}
)


@dataclass(frozen=True)
class Held:
    """One value, by the name that is shown in its place."""

    name: str
    value: str = field(repr=False)

    def spellings(self) -> tuple[str, ...]:
        """Every spelling but base64, the longest first."""
        lines = [line.strip() for line in self.value.splitlines()]
        whole = [self.value, *(line for line in lines if len(line) >= SHORTEST_LINE)]
        found = {form for text in whole for form in _spelt(text) if len(form) >= SHORTEST}
        return tuple(sorted(found, key=lambda form: (-len(form), form)))

    def in_base64(self) -> tuple[str, ...]:
        """What every base64 of a text with the value in it contains: one for each way in which three bytes fall."""
        data = self.value.encode("utf-8", "surrogateescape")
        found = {core for offset in range(3) for core in _cores(data, offset) if len(core) >= SHORTEST}
        return tuple(sorted(found, key=lambda core: (-len(core), core)))


def held_in(environment: Mapping[str, str], given: Mapping[str, str]) -> tuple[Held, ...]:
    """What is held: `given` by name, the variables that look secret, and the credentials in URLs of any variable."""
    found: dict[str, str] = {}
    for name, value in sorted(environment.items()):
        if looks_secret(name, value):
            _add(found, name, value)
        for credential in credentials_in(value):
            _add(found, name, credential)
    for name, value in sorted(given.items()):
        _add(found, name, value)
    return tuple(Held(name, value) for value, name in found.items())


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable of the environment holds a secret, by its name and by what its value is not."""
    upper = name.upper()
    if not _SECRET_NAME.search(upper):
        return False
    if _WEAK_NAME.search(upper) and _PLAIN_WORDS.fullmatch(value):
        return False
    return not (_NUMBER.fullmatch(value) or os.path.lexists(value))


def credentials_in(text: str) -> Iterator[str]:
    """The passwords in the URLs of a text, and what stands there for the user without one if it is long."""
    if "://" not in text:
        return
    for user, password in _CREDENTIALS.findall(text):
        if password:
            yield password
        elif len(user) >= SHORTEST_LINE:
            yield user


def _add(found: dict[str, str], name: str, value: str) -> None:
    whole = value.strip()
    if SHORTEST <= len(whole) <= LONGEST and whole.lower() not in _COMMON:
        found.setdefault(whole, name)


def _spelt(text: str) -> Iterator[str]:
    data = text.encode("utf-8", "surrogateescape")
    percent = (quote(data, safe=""), quote(data), quote_plus(data))
    yield from (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from percent
    yield from (re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in percent)


def _cores(data: bytes, offset: int) -> Iterator[str]:
    """The letters that depend on nothing but `data` when it begins `offset` bytes into a group of three."""
    padded = b"\0" * offset + data
    first = -(-offset * 8 // 6)
    last = len(padded) * 8 // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(padded).decode()[first:last]
