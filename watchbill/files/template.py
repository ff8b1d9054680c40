"""The template of a workspace: what the project's own top level holds, and what travels in the wheel.

Owns where the template is found and which of its files a new workspace gets. Never writes.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from watchbill.errors import WatchbillError
from watchbill.layout import DATA_FOLDERS

_WHOLE = ("agents", "playbook")


def template_files() -> dict[str, bytes]:
    """The files that a new workspace begins with: name (such as `agents/qa.md`) to content, in the order of names.

    Agents and playbook whole, of every other folder only its README: what lies beside it is some workspace's data.
    """
    top = _top()
    names = [f"{folder}/{name}" for folder in _WHOLE for name in _names(top / folder)]
    names += [f"{folder}/README.md" for folder in DATA_FOLDERS if folder not in _WHOLE]
    return {name: (top / name).read_bytes() for name in sorted(names)}


def _top() -> Traversable:
    """In the wheel a folder of the package; in a checkout of the project the folder around the package."""
    package = files("watchbill")
    for place in (package / "template", package / ".."):
        if (place / "playbook" / "PLAYBOOK.md").is_file():
            return place
    raise WatchbillError("the template of a workspace is missing from this installation", "Install watchbill again.")


def _names(folder: Traversable) -> list[str]:
    return [item.name for item in folder.iterdir() if item.is_file() and not item.name.startswith(".")]
