"""What every document has in common: strict, frozen, and named by its schema.

Owns parsing and rendering between bytes and a validated model, and words an invalid document's reasons for its
author. Each kind of document is its own module in `documents/`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer, ValidationError

from watchbill.errors import Damaged
from watchbill.files import front_matter
from watchbill.files.publish import passing_trouble

_SCHEMA = re.compile(r"watchbill/([a-z_]{1,40})/([0-9]{1,6})")


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("the time needs a time zone, for example 2026-11-20T02:00:00Z")
    return moment.astimezone(UTC).replace(microsecond=0)


def stamp(moment: datetime) -> str:
    """A time as every document writes it: 2026-11-20T02:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Moment = Annotated[datetime, AfterValidator(_in_utc), PlainSerializer(stamp, return_type=str)]


class Strict(BaseModel):
    """A part of a document: unknown keys are refused, and nothing changes after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


Meta = dict[str, Any]
Upgrades = Mapping[int, Callable[[Meta], Meta]]
"""By version: how the keys of a document of that version are said in the next."""


class Document(Strict):
    """A document of one kind, kept as Markdown with YAML front matter. `body` is the Markdown.

    `version` is the one that is written. What an older one says is read by `upgrades`, in memory: the file and its hash
    stay what they were.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    upgrades: ClassVar[Upgrades] = {}
    limit: ClassVar[int] = front_matter.MAX_BYTES

    body: str = ""

    @classmethod
    def parse(cls, data: bytes, path: Path) -> Self:
        """Read a document. Raises `Damaged` with `path` and the reasons."""
        try:
            meta, body = front_matter.split(data, cls.limit)
            if "body" in meta:
                raise front_matter.Malformed("the key 'body' is not allowed: the body stands below the front matter")
            meta = upgraded(meta, cls.kind, cls.version, cls.upgrades)
            meta["body"] = body
            return cls.model_validate(meta, by_alias=True, by_name=False)
        except front_matter.Malformed as error:
            raise Damaged(path, str(error)) from error
        except ValidationError as error:
            raise Damaged(path, explain(error)) from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the document at `path`, which must be an ordinary file. Raises `Damaged`."""
        return cls.parse(read_bytes(path, cls.limit), path)

    def render(self) -> bytes:
        """The bytes to publish: keys in the order of the model, empty optional parts left out."""
        meta = self.model_dump(mode="json", by_alias=True, exclude={"body"}, exclude_none=True)
        return front_matter.join(meta, self.body)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """The published schema of the front matter."""
        schema = cls.model_json_schema(by_alias=True)
        schema.get("properties", {}).pop("body", None)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"watchbill/{cls.kind}/1", **schema}


def upgraded(meta: Meta, kind: str, version: int, upgrades: Upgrades) -> Meta:
    """The keys of a document as this version says them. Raises `Malformed` for a version that nobody here knows."""
    match = _SCHEMA.fullmatch(str(meta.get("schema", "")))
    if match is None or match[1] != kind or int(match[2]) == version:
        return meta
    written = int(match[2])
    if written > version:
        raise front_matter.Malformed(
            f"its schema is {match[0]}, which a later Watchbill wrote; this one reads up to version {version}: "
            "update Watchbill"
        )
    for step in range(written, version):
        if step not in upgrades:
            raise front_matter.Malformed(f"its schema is {match[0]}, which nobody reads any more")
        meta = upgrades[step](meta)
    return {**meta, "schema": f"watchbill/{kind}/{version}"}


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The bytes of an ordinary file, one more than `limit` at most. Raises `Damaged` for anything else.

    Raises `TryLater` for trouble that is not the file's own: it must not be set aside for that. The file is opened
    before it is looked at, so that nobody can put another in its place in between; a pipe is not waited for.
    """
    try:
        with passing_trouble(path):
            return _read_plain_file(path, limit)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise Damaged(path, "it is not an ordinary file") from error
        raise Damaged(path, f"it cannot be read ({error.strerror})") from error


def _read_plain_file(path: Path, limit: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Damaged(path, "it is not an ordinary file")
        left = status.st_size + 1 if limit is None else limit + 1
        data = os.read(descriptor, left)
        while len(data) < min(status.st_size, left) and (more := os.read(descriptor, left - len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)


def explain(error: ValidationError) -> str:
    """A validation error as one sentence per problem, at most five."""
    problems = []
    for item in error.errors(include_url=False)[:5]:
        where = ".".join(str(part) for part in item["loc"]) or "the document"
        problems.append(f"{where}: {_in_words(item['type'], item['msg'])}")
    left = error.error_count() - len(problems)
    return "; ".join(problems) + (f"; and {left} more" if left > 0 else "")


def _in_words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "this key is not known"
    if kind == "missing":
        return "this key is missing"
    return message.removeprefix("Value error, ")
