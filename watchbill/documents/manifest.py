"""A work manifest: which tickets one session of one agent works, in what order, with what budget of turns.

Owns the format of `manifests/*.json`. A manifest is generated, never edited; an agent cannot write one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, ValidationError

from watchbill import strict_json
from watchbill.documents.types import GitId, ManifestId, TicketId
from watchbill.errors import Damaged
from watchbill.files.document import Moment, Strict, Upgrades, explain, read_bytes, upgraded
from watchbill.files.front_matter import Malformed
from watchbill.layout import MANIFEST_ID

MAX_BYTES = 64 * 1_048_576
Agent = Literal["build", "qa", "security"]


class Entry(Strict):
    """One ticket to work: why it is here, how many turns it may take, and which handoffs to read first."""

    ticket: TicketId
    order: int = Field(ge=1)
    reason: str
    turns: int = Field(ge=1)
    read: tuple[str, ...] = ()
    approval: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A ticket that this session leaves alone, and why. There may be very many, so it is as small as can be."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    ticket: str
    reason: str


class Manifest(Strict):
    """The work of one session. Every open ticket stands in `entries` or in `skipped`."""

    version: ClassVar[int] = 1
    upgrades: ClassVar[Upgrades] = {}

    schema_name: Literal["watchbill/manifest/1"] = Field("watchbill/manifest/1", alias="schema")
    id: ManifestId
    agent: Agent
    created: Moment
    base: GitId | None
    playbook: str
    agent_version: str
    soft_turns: int = Field(ge=1)
    hard_turns: int = Field(ge=1)
    entries: tuple[Entry, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read the manifest at `path`. Raises `Damaged`, also when a file named as a manifest holds another one."""
        data = read_bytes(path, MAX_BYTES)
        try:
            manifest = cls.model_validate_json(data, by_alias=True, by_name=False)
            strict_json.check(data)
        except ValidationError as error:
            manifest = cls._of_another_version(data, path, error)
        except ValueError as error:
            raise Damaged(path, str(error)) from error
        if MANIFEST_ID.fullmatch(path.stem) and manifest.id != path.stem:
            raise Damaged(path, f"it says that it is {manifest.id}")
        return manifest

    @classmethod
    def _of_another_version(cls, data: bytes, path: Path, error: ValidationError) -> Manifest:
        """A manifest that an older version wrote. Raises `Damaged`, with `error` when its version is not the reason."""
        try:
            meta = strict_json.read(data)
            found = upgraded(meta, "manifest", cls.version, cls.upgrades) if isinstance(meta, dict) else meta
            if found is meta:
                raise Damaged(path, explain(error)) from error
            return cls.model_validate(found, by_alias=True, by_name=False)
        except ValidationError as still:
            raise Damaged(path, explain(still)) from still
        except ValueError as reason:
            why = str(reason) if isinstance(reason, Malformed) else explain(error)
            raise Damaged(path, why) from reason

    def render(self) -> bytes:
        """The bytes to publish."""
        return self.model_dump_json(by_alias=True, indent=1).encode() + b"\n"

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The published schema."""
        schema = cls.model_json_schema(by_alias=True)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "watchbill/manifest/1", **schema}
