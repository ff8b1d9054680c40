"""The options that a project's settings pass to pytest, and the plugins which they need.

Owns the finding of pytest's settings and of what must be left out when a plugin is not installed: pytest refuses to
start at an option it does not know. It never changes the project's files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from watchbill.tools.survey.interpreters import Interpreter
from watchbill.tools.survey.place import Place, inside, words

_MAX_OPTIONS = 10_000
# The start of an option, and the distribution that brings it.
_PLUGINS: Mapping[str, str] = {
    "--cov": "pytest-cov",
    "--no-cov": "pytest-cov",
    "-n": "pytest-xdist",
    "--numprocesses": "pytest-xdist",
    "--dist": "pytest-xdist",
    "--timeout": "pytest-timeout",
    "--benchmark": "pytest-benchmark",
    "--asyncio": "pytest-asyncio",
    "--reruns": "pytest-rerunfailures",
    "--ds": "pytest-django",
    "--dc": "pytest-django",
    "--reuse-db": "pytest-django",
    "--create-db": "pytest-django",
    "--nomigrations": "pytest-django",
    "--no-migrations": "pytest-django",
    "--html": "pytest-html",
    "--disable-socket": "pytest-socket",
    "--allow-hosts": "pytest-socket",
    "--allow-unix-socket": "pytest-socket",
    "--random-order": "pytest-random-order",
    "--randomly": "pytest-randomly",
    "--mypy": "pytest-mypy",
    "--flake8": "pytest-flake8",
    "--black": "pytest-black",
    "--ruff": "pytest-ruff",
    "--isort": "pytest-isort",
    "--pylint": "pytest-pylint",
    "--codspeed": "pytest-codspeed",
    "--snapshot": "syrupy",
    "--inline-snapshot": "inline-snapshot",
    "--typeguard": "typeguard",
    "--doctest-plus": "pytest-doctestplus",
    "--doctest-rst": "pytest-doctestplus",
    "--nbval": "nbval",
    "--picked": "pytest-picked",
    "--testmon": "pytest-testmon",
    "--sugar": "pytest-sugar",
    "--record-mode": "pytest-recording",
    "--block-network": "pytest-recording",
    "--hypothesis": "hypothesis",
}


def pytest_settings(place: Place) -> tuple[str, Mapping[str, object]] | None:
    """The file that configures pytest, and its keys: the first in the order in which pytest looks."""
    for name in ("pytest.ini", ".pytest.ini"):
        if place.has(name):
            return name, place.ini(name).get("pytest", {})
    pyproject = inside(place.toml("pyproject.toml"), "tool", "pytest")
    if isinstance(pyproject, Mapping):
        options = inside(pyproject, "ini_options")
        return "pyproject.toml", options if isinstance(options, Mapping) else pyproject
    for name, section in (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        if section in place.ini(name):
            return name, place.ini(name)[section]
    return None


def without_missing_plugins(options: object, interpreter: Interpreter) -> tuple[str | None, list[str]]:
    """What to give pytest as its `addopts` instead of `options`, None for no change; and the plugins that lack."""
    given = _split(options)
    kept: list[str] = []
    missing: list[str] = []
    drops_a_value = False
    for word in given:
        plugin = _plugin_of(word)
        if plugin and not _has(interpreter, plugin):
            missing.append(plugin)
            drops_a_value = "=" not in word and not re.fullmatch(r"-n.+", word)
        elif not (drops_a_value and not word.startswith("-")):
            kept.append(word)
            drops_a_value = False
        else:
            drops_a_value = False
    return (shlex.join(kept) if missing else None), sorted(set(missing))


def _split(options: object) -> list[str]:
    if isinstance(options, list):
        return words(options)
    try:
        return shlex.split(options) if isinstance(options, str) and len(options) <= _MAX_OPTIONS else []
    except ValueError:
        return []


def _plugin_of(word: str) -> str | None:
    if re.fullmatch(r"-n(=?\w+)?", word):
        return "pytest-xdist"
    option = word.split("=")[0]
    return next(
        (
            plugin
            for start, plugin in _PLUGINS.items()
            if start != "-n" and (option == start or option.startswith(f"{start}-"))
        ),
        None,
    )


def _has(interpreter: Interpreter, plugin: str) -> bool:
    return plugin in interpreter.distributions
