"""TOML files that a person edits: read strictly, and explained by line.

Owns the words for a mistake in such a file: the line it stands on, and the nearest known key to a misspelt one.
Never knows what the keys mean.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from watchbill.errors import Misconfigured
from watchbill.files.publish import passing_trouble

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]

MAX_BYTES = 262_144

_KEY = r"""(?:"[^"]*"|'[^']*'|[\w\-]+)"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[{{1,2}}\s*({_DOTTED})\s*\]{{1,2}}\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w\-]+))\s*\.?""")


def load(path: Path, model: type[Model]) -> Model:
    """Read and validate the file at `path`. Raises `Misconfigured` naming the file, the line and the mend."""
    try:
        with passing_trouble(path):
            data = path.read_bytes()
    except FileNotFoundError:
        raise Misconfigured(f"{path} is missing", "Make a workspace with: watchbill init DIR --repo PATH") from None
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    return parse(data, path, model)


def parse(data: bytes, path: Path, model: type[Model]) -> Model:
    """As `load`, from bytes."""
    if len(data) > MAX_BYTES:
        raise Misconfigured(f"{path} is {len(data):,} bytes long; at most {MAX_BYTES:,} are read")
    try:
        text = data.decode("utf-8-sig")
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path} is not UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{path}: {error}", "Correct that line and run the command again.") from error
    try:
        return model.model_validate(values, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Misconfigured(_explain(error, path, text, model), "Correct it and run the command again.") from error


def line_of(text: str, location: Location) -> int | None:
    """The line (from 1) on which a key of a TOML text stands, or its table's, or None."""
    names = [str(part) for part in location if not isinstance(part, int)]
    table: list[str] = []
    best: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header:
            table = _parts(header[1])
            if table == names[: len(table)]:
                best = number
            continue
        assignment = _ASSIGNMENT.match(line)
        if assignment and len(names) > len(table) and names[: len(table)] == table:
            key = [*table, *_parts(assignment[1])]
            shared = min(len(key), len(names))
            if key[:shared] == names[:shared]:
                return number
    return best


def _parts(dotted: str) -> list[str]:
    return [double or single or bare for double, single, bare in _PART.findall(dotted)]


def _explain(error: ValidationError, path: Path, text: str, model: type[BaseModel]) -> str:
    problems = []
    for item in error.errors(include_url=False)[:3]:
        location = tuple(item["loc"])
        line = line_of(text, location)
        where = f"{path}, line {line}" if line else str(path)
        problems.append(f"{where}: {_in_words(item['type'], item['msg'], location, model)}")
    return "; ".join(problems)


def _in_words(kind: str, message: str, location: Location, model: type[BaseModel]) -> str:
    dotted = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]!r}?" if near else f"; known here are {', '.join(known)}" if known else ""
        return f"the key {dotted!r} is not known{meant}"
    if kind == "missing":
        return f"the key {dotted!r} is missing"
    return f"{dotted}: {message.removeprefix('Value error, ')}"


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    current: Any = model
    for part in location:
        is_model = isinstance(current, type) and issubclass(current, BaseModel)
        field = current.model_fields.get(str(part)) if is_model else None
        if field is None:
            # Inside a table with free keys, such as [agents.X]: the model of its values.
            continue
        current = _model_in(field.annotation)
    if not (isinstance(current, type) and issubclass(current, BaseModel)):
        return []
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
