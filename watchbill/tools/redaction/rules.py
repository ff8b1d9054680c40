"""The rules by which a secret is known from its shape: gitleaks', and our own beside them.

Owns the reading of the two rule files and what a rule says of a text: keyword, expression, group, entropy, allowlist.
A rule is compiled when one of its keywords first turns up. Paths and commits in allowlists are not used: what is
searched here has neither.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import re2  # type: ignore[import-untyped]

from watchbill.errors import Misconfigured

FOLDER = Path(__file__).parent
FILES = ("own.toml", "gitleaks.toml")
# What older rules, which name no group, take along before and after the secret.
_AROUND = b" \t\r\n'\"`;|"


@dataclass(frozen=True)
class Rule:
    """One rule. `group` is the part of a match that is the secret, 0 for the whole."""

    id: str
    regex: str
    keywords: tuple[str, ...]
    group: int = 0
    entropy: float = 0.0
    allowed: tuple[str, ...] = ()
    stopwords: tuple[str, ...] = ()

    @cached_property
    def compiled(self) -> Any:
        return re2.compile(self.regex, quiet())

    @cached_property
    def _allowed(self) -> tuple[Any, ...]:
        return tuple(re2.compile(regex, quiet()) for regex in self.allowed)

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Where the secrets stand that this rule sees in `data`."""
        for match in self.compiled.finditer(data):
            start, end = match.span(self.group)
            start, end = _bare(data, start, end) if self.group == 0 else (start, end)
            if end > start and self._is_secret(data[start:end]):
                yield start, end

    def _is_secret(self, secret: bytes) -> bool:
        if self.entropy and entropy_of(secret) < self.entropy:
            return False
        if any(allowed.search(secret) for allowed in self._allowed):
            return False
        lowered = secret.decode("utf-8", "replace").lower()
        return not any(word in lowered for word in self.stopwords)


class Rules:
    """All rules, and the one pass over a text that says which of them to ask."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.all = rules
        self._by_keyword: dict[str, list[Rule]] = {}
        for rule in rules:
            for keyword in rule.keywords:
                self._by_keyword.setdefault(keyword, []).append(rule)
        self._keywords = list(self._by_keyword)
        options = quiet()
        options.case_sensitive = False
        self._filter = re2.Set.SearchSet(options)
        for keyword in self._keywords:
            self._filter.Add(re2.escape(keyword))
        self._filter.Compile()

    def called_for(self, data: bytes) -> list[Rule]:
        """The rules of which a keyword stands in `data`, each once, in their order."""
        hits = {self._keywords[number] for number in self._filter.Match(data) or ()}
        wanted = {rule.id for keyword in hits for rule in self._by_keyword[keyword]}
        return [rule for rule in self.all if rule.id in wanted]


@lru_cache(maxsize=1)
def load() -> Rules:
    """The rules of both files; of two with one name the first counts. Raises `Misconfigured`."""
    return Rules(read(FOLDER))


def read(folder: Path) -> tuple[Rule, ...]:
    """The rules in the files of `folder`. Raises `Misconfigured`."""
    found: dict[str, Rule] = {}
    harmless: tuple[str, ...] = ()
    for name in FILES:
        try:
            tables = tomllib.loads((folder / name).read_text("utf-8"))
            harmless += tuple(tables.get("allowlist", {}).get("regexes", ()))
            for table in tables["rules"]:
                rule = rule_of(table, harmless)
                found.setdefault(rule.id, rule)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "Install Watchbill again: it writes nothing that was not searched for secrets."
            raise Misconfigured(f"the rules for secrets cannot be read: {folder / name}: {error}", hint) from error
    return tuple(found.values())


def rule_of(table: dict[str, Any], harmless: tuple[str, ...] = ()) -> Rule:
    """A rule from its table; `harmless` are expressions for what a rule that guesses (by entropy) takes for a secret
    and is none. Raises `KeyError`, `TypeError` or `ValueError` when it is no rule."""
    allowlist = table.get("allowlist", {})
    keywords = tuple(word.lower() for word in table.get("keywords", ()))
    entropy = float(table.get("entropy", 0))
    if not keywords:
        raise ValueError(f"the rule {table['id']} has no keyword, and would never be asked")
    return Rule(
        id=str(table["id"]),
        regex=str(table["regex"]),
        keywords=keywords,
        group=int(table.get("secretGroup", 0)),
        entropy=entropy,
        allowed=(*allowlist.get("regexes", ()), *(harmless if entropy else ())),
        stopwords=tuple(word.lower() for word in allowlist.get("stopwords", ())),
    )


def entropy_of(data: bytes) -> float:
    """Shannon's entropy in bits for a character."""
    counts = Counter(data)
    return -sum(count / len(data) * math.log2(count / len(data)) for count in counts.values())


def quiet() -> Any:
    """Options under which a mistake is raised, not printed, and a long expression has room."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return options


def _bare(data: bytes, start: int, end: int) -> tuple[int, int]:
    while start < end and data[start] in _AROUND:
        start += 1
    while end > start and data[end - 1] in _AROUND:
        end -= 1
    return start, end
