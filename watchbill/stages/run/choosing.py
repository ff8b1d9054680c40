"""Which manifest a session works: the newest unused, the one that was named, or one that was cut off.

Owns that choice. Never makes a manifest.
"""

from __future__ import annotations

from pathlib import Path

from watchbill.documents.manifest import Manifest
from watchbill.errors import Damaged, Misconfigured
from watchbill.files import journal
from watchbill.layout import MANIFEST_ID
from watchbill.overview import overview_of
from watchbill.session_records import is_used, only_died
from watchbill.workspace import Workspace


def choose_manifest(workspace: Workspace, agent: str, wanted: str | None) -> Manifest | None:
    """The manifest to work: the one that was named, or the newest if no session has ended with it yet."""
    if wanted is not None:
        return _named_manifest(workspace, agent, wanted)
    numbers = [
        int(match[2])
        for path in workspace.layout.manifests.glob(f"{agent}-*.json")
        if (match := MANIFEST_ID.fullmatch(path.stem))
    ]
    if not numbers:
        return None
    name = f"{agent}-{max(numbers):04}"
    if is_used(workspace.layout, name):
        return None
    return Manifest.load(workspace.layout.manifest(name))


def cut_off(workspace: Workspace, agent: str) -> tuple[Manifest, int] | None:
    """The manifest whose session died with work left, and the requests that were made under it."""
    manifest = choose_manifest(workspace, agent, None)
    if manifest is None or not only_died(workspace.layout, manifest.id) or not work_left(workspace, manifest):
        return None
    lines = journal.read(workspace.layout.journal(manifest.id))
    if not any(line.get("event") == "open" for line in lines):
        return None
    return manifest, sum(1 for line in lines if line.get("event") in ("turn", "retry"))


def _named_manifest(workspace: Workspace, agent: str, wanted: str) -> Manifest:
    path = Path(wanted)
    path = path if path.suffix == ".json" else workspace.layout.manifest(wanted)
    how = "Manifests are made by: watchbill plan. See manifests/ for what there is."
    if not path.is_file():
        raise Misconfigured(f"there is no manifest {wanted}", how)
    try:
        manifest = Manifest.load(path)
    except (OSError, Damaged) as error:
        raise Misconfigured(f"the manifest {wanted} cannot be read: {error}", how) from error
    if manifest.agent != agent:
        raise Misconfigured(f"{manifest.id} is a manifest for {manifest.agent}, not for {agent}", how)
    if path.resolve() != workspace.layout.manifest(manifest.id).resolve():
        raise Misconfigured(f"{path} is not a manifest of this workspace", how)
    if is_used(workspace.layout, manifest.id):
        raise Misconfigured(f"{manifest.id} was used already", "Make a new one with: watchbill plan")
    return manifest


def work_left(workspace: Workspace, manifest: Manifest) -> bool:
    cards = overview_of(workspace).cards if manifest.entries else {}
    return any(manifest.agent in cards[entry.ticket].to for entry in manifest.entries if entry.ticket in cards)
