"""JavaScript projects: the runner, the package manager, and the dependencies that a fresh checkout lacks."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.tools.survey.looking import Workshop, written


def package(test: str = "", **more: object) -> str:
    return json.dumps({"name": "@scope/thing", **({"scripts": {"test": test}} if test else {}), **more})


def with_node(workshop: Workshop, version: str = "v20.11.0") -> None:
    workshop.install("node", "/usr/bin/env", version)
    workshop.install("npm", "/usr/bin/true")


REPORTERS = (
    "--test-reporter=spec --test-reporter-destination=stdout --test-reporter=junit --test-reporter-destination={junit}"
)


@pytest.mark.parametrize(
    ("script", "test"),
    [
        ("node --test", f"node --test {REPORTERS}"),
        ("node --import tsx --test 'test/*.ts'", f"node --import tsx --test {REPORTERS} 'test/*.ts'"),
        ("node --test --test-reporter=tap", "npm test"),
        ("node --test-only x.js", "npm test"),
        ("node test.js", "npm test"),
        (
            "vitest --coverage",
            "node_modules/.bin/vitest run --coverage --reporter=default --reporter=junit --outputFile.junit={junit}",
        ),
        ("vitest run", "node_modules/.bin/vitest run --reporter=default --reporter=junit --outputFile.junit={junit}"),
        ("mocha -r x test", "node_modules/.bin/mocha -r x test --reporter xunit --reporter-option output={junit}"),
        ("xo && mocha", "npm test"),
        ("mocha $(ls)", "npm test"),
        ("jest", "npm test"),
        ("npm run unit", "npm test"),
        ("mocha\nrm -rf x", "npm test"),
        ("mocha {junit}", "npm test"),
        ("mocha \x1b[31m", "npm test"),
    ],
)
def test_the_runner_writes_junit_where_it_can(workshop: Workshop, script: str, test: str) -> None:
    with_node(workshop)

    found = workshop.look({"package.json": package(script)})

    assert found.test == test
    assert found.name == "thing"


def test_an_old_node_has_no_junit_reporter(workshop: Workshop) -> None:
    with_node(workshop, "v18.19.0")

    assert workshop.look({"package.json": package("node --test")}).test == "npm test"


def test_a_script_that_passes_on_is_followed(workshop: Workshop) -> None:
    with_node(workshop)
    scripts = {"test": "npm run unit", "unit": "node --test"}

    assert REPORTERS in workshop.look({"package.json": json.dumps({"scripts": scripts})}).test


def test_scripts_before_and_after_the_tests_are_kept(workshop: Workshop) -> None:
    with_node(workshop)
    scripts = {"pretest": "tsc", "test": "node --test"}

    assert workshop.look({"package.json": json.dumps({"scripts": scripts})}).test == "npm test"


def test_jest_writes_junit_when_its_reporter_is_installed(workshop: Workshop) -> None:
    with_node(workshop)

    found = workshop.look({"package.json": package("jest"), "node_modules/jest-junit/package.json": "{}"})

    assert found.test.startswith("JEST_JUNIT_OUTPUT_FILE={junit} node_modules/.bin/jest --ci ")


@pytest.mark.parametrize("content", [package(), package('echo "Error: no test specified" && exit 1')])
def test_npms_placeholder_is_no_test(workshop: Workshop, content: str) -> None:
    assert workshop.look({"package.json": content}).test == ""


def test_a_package_without_a_script_is_known_by_its_runner(workshop: Workshop) -> None:
    with_node(workshop)

    assert "vitest run" in workshop.look({"package.json": package(devDependencies={"vitest": "1"})}).test


@pytest.mark.parametrize(
    ("lock", "manager", "test"),
    [
        ("pnpm-lock.yaml", "pnpm", "pnpm test"),
        ("yarn.lock", "yarn", "yarn test"),
        ("bun.lock", "bun", "bun run test"),
        ("package-lock.json", "npm", "npm test"),
    ],
)
def test_the_lock_file_names_the_package_manager(workshop: Workshop, lock: str, manager: str, test: str) -> None:
    with_node(workshop)
    workshop.install(manager, "/usr/bin/true")

    assert workshop.look({"package.json": package("ava"), lock: ""}).test == test


def test_a_package_manager_that_would_have_to_be_downloaded_is_replaced(workshop: Workshop, tmp_path: Path) -> None:
    with_node(workshop)
    workshop.install("pnpm", tmp_path / "corepack" / "dist" / "pnpm.js")

    found = workshop.look({"package.json": package("ava"), "pnpm-lock.yaml": ""})

    assert found.test == "npm test"
    assert any("corepack" in note for note in found.notes)


def test_installed_dependencies_are_copied_into_a_fresh_checkout(workshop: Workshop, tmp_path: Path) -> None:
    with_node(workshop)
    files = {
        "package.json": package("ava", devDependencies={"ava": "1"}, workspaces=["packages/*"]),
        "node_modules/ava/index.js": "1",
        "packages/a b/package.json": "{}",
        "packages/a b/node_modules/x/index.js": "2",
    }
    written(workshop.repo, files)
    (workshop.repo / "node_modules" / "a").symlink_to("../packages/a b")

    found = workshop.look({})
    checkout = written(tmp_path / "checkout", {"packages/a b/package.json": "{}"})
    for _ in range(2):
        subprocess.run(["/bin/sh", "-c", found.setup], cwd=checkout, check=True, timeout=60)

    assert (checkout / "node_modules/ava/index.js").read_text() == "1"
    assert (checkout / "packages/a b/node_modules/x/index.js").read_text() == "2"
    assert (checkout / "node_modules/a").resolve() == (checkout / "packages/a b").resolve()
    assert not (checkout / "node_modules/node_modules").exists()
    assert set(found.read) == {workshop.repo / "node_modules", workshop.repo / "packages/a b/node_modules"}


def test_a_link_called_node_modules_opens_nothing(workshop: Workshop) -> None:
    with_node(workshop)
    written(workshop.home / ".ssh", {"id_ed25519": "secret"})
    written(workshop.repo, {"package.json": package("ava", dependencies={"x": "1"})})
    (workshop.repo / "node_modules").symlink_to(workshop.home / ".ssh")

    found = workshop.look({})

    assert found.read == ()
    assert found.setup.startswith("npm install")


@pytest.mark.parametrize(("lock", "setup"), [("package-lock.json", "npm ci"), ("x", "npm install --no-package-lock")])
def test_dependencies_that_are_not_installed_need_the_network(workshop: Workshop, lock: str, setup: str) -> None:
    with_node(workshop)

    found = workshop.look({"package.json": package("ava", devDependencies={"ava": "1"}), lock: "{}"})

    assert found.setup == setup
    assert any('network = ["setup"]' in note for note in found.notes)


def test_a_node_behind_a_version_manager_is_read_where_it_really_is(workshop: Workshop) -> None:
    real = written(workshop.home / ".nvm/versions/node/v22.1.0", {"bin/node": "", "bin/npm": ""})
    workshop.install("node", workshop.home / ".shims" / "node", str(real / "bin/node"))
    workshop.install("npm", real / "bin/npm")

    assert workshop.look({"package.json": package("ava")}).read == (real,)
