"""The routing table: where a finding goes, and who must agree before a merge.

Owns the format of `playbook/routing.toml`. The engine obeys it; changing routing is changing that file.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from watchbill.files.document import Strict

MODELS = ("build", "qa", "security")
Destination = Literal["human", "build", "note"]


class BySeverity(Strict):
    """A destination for each severity."""

    critical: Destination = "human"
    high: Destination = "human"
    medium: Destination = "build"
    low: Destination = "build"
    info: Destination = "note"


class Exceptions(Strict):
    """What one source does differently; what is left out follows `[severity]`."""

    critical: Destination | None = None
    high: Destination | None = None
    medium: Destination | None = None
    low: Destination | None = None
    info: Destination | None = None


class BreaksBuild(Strict):
    """Rules whose findings break the build, and where those go."""

    rules: tuple[str, ...] = ("setup-failed", "checks-did-not-run")
    to: Destination = "human"


class Confidence(Strict):
    """An answer less sure than this is a question for a human."""

    ask_below: float = Field(0.5, ge=0, le=1)


class Degraded(Strict):
    """Whether a pass that no model looked at may merge without a human."""

    may_merge: bool = False


class MergeRule(Strict):
    """Who must pass the very commit that is merged."""

    require: tuple[Literal["qa", "security"], ...] = Field(("qa", "security"), min_length=1)


class Routing(Strict):
    """The whole table."""

    schema_name: Literal["watchbill/routing/1"] = Field("watchbill/routing/1", alias="schema")
    severity: BySeverity = BySeverity()
    source: dict[str, Exceptions] = Field(default_factory=dict)
    rules: dict[str, Destination] = Field(default_factory=dict)
    breaks_build: BreaksBuild = BreaksBuild()
    confidence: Confidence = Confidence()
    degraded: Degraded = Degraded()
    merge: MergeRule = MergeRule()

    def destination(self, severity: str, source: str, rule: str, breaks_build: bool) -> Destination:
        """Where one finding goes: what breaks the build first, then the rule's own, the source's, the severity's."""
        is_named_by_the_engine = source not in MODELS  # a rule that a model names is only its words
        if breaks_build or (is_named_by_the_engine and rule in self.breaks_build.rules):
            return self.breaks_build.to
        if is_named_by_the_engine and rule in self.rules:
            return self.rules[rule]
        by_source: Destination | None = getattr(self.source.get(source, Exceptions()), severity, None)
        by_severity: Destination = getattr(self.severity, severity, "human")
        return by_source or by_severity
