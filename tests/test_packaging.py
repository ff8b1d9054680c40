"""What travels in the wheel: with it alone, on another machine, `init` and `demo` find all they need."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "watchbill" / "demo" / "sample"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as a release would build it, but from what is installed: no network, no isolation."""
    folder = tmp_path_factory.mktemp("wheel")
    build = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def travelling(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def files_below(folder: Path) -> set[str]:
    return {
        str(PurePosixPath(path.relative_to(folder)))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_the_template_that_init_copies_travels(travelling: set[str]) -> None:
    for agent in ("build", "qa", "security"):
        assert f"watchbill/template/agents/{agent}.md" in travelling
    assert {"watchbill/template/playbook/PLAYBOOK.md", "watchbill/template/playbook/routing.toml"} <= travelling
    for folder in ("agents", "playbook", "tickets", "manifests", "handoffs", "inbox", "sessions", "launchd"):
        assert f"watchbill/template/{folder}/README.md" in travelling


def test_whatever_the_project_says_is_template_is_there_whole(travelling: set[str]) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included: dict[str, str] = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    expected = set()
    for source, target in included.items():
        path = ROOT / source
        expected |= {f"{target}/{name}" for name in files_below(path)} if path.is_dir() else {target}
    assert expected
    assert expected <= travelling


def test_no_owners_ticket_or_handoff_travels(travelling: set[str]) -> None:
    for folder in ("tickets", "manifests", "handoffs", "inbox", "sessions", "launchd"):
        below = f"watchbill/template/{folder}/"
        assert {name for name in travelling if name.startswith(below)} == {f"{below}README.md"}


def test_the_sample_project_of_the_demo_travels_whole(travelling: set[str]) -> None:
    sample = {f"watchbill/demo/sample/{name}" for name in files_below(SAMPLE)}
    assert sample
    assert sample <= travelling


def test_the_rules_for_secrets_travel_with_their_licence(travelling: set[str]) -> None:
    folder = "watchbill/tools/redaction"
    assert {f"{folder}/{name}" for name in ("gitleaks.toml", "own.toml", "gitleaks.LICENSE")} <= travelling
    assert any(name.endswith(f".dist-info/licenses/{folder}/gitleaks.LICENSE") for name in travelling)


def test_every_module_and_the_mark_of_typing_travel(travelling: set[str]) -> None:
    assert "watchbill/py.typed" in travelling
    assert {f"watchbill/{name}" for name in files_below(ROOT / "watchbill")} <= travelling


def test_nothing_derived_and_no_test_travels(travelling: set[str]) -> None:
    assert [name for name in travelling if "__pycache__" in name or name.endswith(".pyc")] == []
    tops = {name.split("/", 1)[0] for name in travelling}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"watchbill"}


def test_the_wheel_alone_makes_a_workspace(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    repository = tmp_path / "repository"
    bare_git = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
    who = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    for command in (["init", "-q", "-b", "main"], [*who, "commit", "-q", "--allow-empty", "-m", "Start"]):
        repository.mkdir(exist_ok=True)
        subprocess.run(["git", *command], cwd=repository, env=bare_git, timeout=60, check=True)
    made = subprocess.run(
        [sys.executable, "-m", "watchbill", "init", str(tmp_path / "watch"), "--repo", str(repository)],
        cwd=tmp_path,
        env={**bare_git, "PYTHONPATH": str(site), "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    template = site / "watchbill" / "template"
    for name in ("agents/build.md", "playbook/PLAYBOOK.md", "tickets/README.md"):
        assert (tmp_path / "watch" / name).read_bytes() == (template / name).read_bytes()
