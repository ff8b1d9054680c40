"""Python projects: which interpreter, which sources, which options."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.survey.looking import Workshop, written
from watchbill.tools.survey import survey

TEST = "def test_one():\n    assert True\n"


def environment(folder: Path, *packages: str, base: Path | None = None) -> Path:
    """A virtual environment as it lies on disk, with `packages` installed."""
    site = folder / "lib" / "python3.11" / "site-packages"
    for package in packages:
        (site / package).mkdir(parents=True)
        (site / f"{package}-1.0.dist-info").mkdir()
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "bin" / "python").symlink_to(base / "bin" / "python3" if base else "/usr/bin/env")
    return folder


def installation(prefix: Path) -> Path:
    """A Python installation, as far as its folders tell."""
    written(prefix, {"bin/python3": "", "lib/python3.11/os.py": ""})
    return prefix


def test_the_found_command_tests_the_checkout_it_is_run_in(workshop: Workshop, tmp_path: Path) -> None:
    found = workshop.look(
        {
            "pyproject.toml": "[project]\nname = 'thing'\n[tool.pytest.ini_options]\naddopts = '-q --cov=thing -n 4'\n",
            "src/thing/__init__.py": "WHERE = 'the owner'\n",
            "tests/test_thing.py": "import thing\ndef test_where():\n    assert thing.WHERE == 'the worktree'\n",
        }
    )
    worktree = tmp_path / "work tree"
    shutil.copytree(workshop.repo, worktree)
    (worktree / "src/thing/__init__.py").write_text("WHERE = 'the worktree'\n")
    junit = tmp_path / "junit.xml"

    line = found.test.replace("{junit}", str(junit))
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=worktree,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert 'tests="1"' in junit.read_text()
    assert found.name == "thing"


def test_the_projects_own_environment_goes_first_and_is_read_not_run(workshop: Workshop) -> None:
    base = installation(workshop.home / "python" / "3.11")
    own = environment(written(workshop.repo, {}) / ".venv", "pytest", base=base)

    found = workshop.look({"tests/test_a.py": TEST})

    assert f"'{own / 'bin' / 'python'}' -m pytest --junitxml={{junit}}" in found.test
    assert found.read == (own, base)
    assert workshop.asked == []


def test_an_environment_without_pytest_is_passed_over(workshop: Workshop) -> None:
    environment(written(workshop.repo, {}) / ".venv", "flask")

    found = workshop.look({"tests/test_a.py": TEST})

    assert sys.executable in found.test
    assert Path(sys.prefix) in found.read or sys.prefix.startswith("/usr")


def test_the_environment_that_has_the_dependencies_is_preferred(workshop: Workshop, tmp_path: Path) -> None:
    environment(written(workshop.repo, {}) / ".venv", "pytest")
    fuller = environment(tmp_path / "fuller", "pytest", "some_library")
    workshop.environ["VIRTUAL_ENV"] = str(fuller)

    found = workshop.look({"tests/test_a.py": TEST, "requirements.txt": "Some.Library>=2\nother; sys_platform=='x'\n"})

    assert str(fuller / "bin" / "python") in found.test
    assert not any("asks for" in note for note in found.notes)


def test_missing_dependencies_are_named(workshop: Workshop) -> None:
    found = workshop.look(
        {"pyproject.toml": "[project]\nname='x'\ndependencies=['no-such-thing>=1']\n", "tests/test_a.py": TEST}
    )

    assert any("asks for no-such-thing" in note and ".venv" in note for note in found.notes)


@pytest.mark.parametrize("target", ["home", "home/.ssh", "elsewhere"])
def test_an_environment_in_the_repository_cannot_open_a_private_folder(workshop: Workshop, target: str) -> None:
    secret = workshop.home.parent / target
    written(secret, {"bin/python3": "", "id_ed25519": "secret"})
    environment(written(workshop.repo, {}) / ".venv", "pytest", base=secret)

    found = workshop.look({"tests/test_a.py": TEST})

    assert secret not in found.read
    assert workshop.home not in found.read
    assert str(workshop.repo / ".venv") not in found.test


def test_a_home_folder_is_never_opened_even_if_python_is_installed_in_it(workshop: Workshop) -> None:
    installation(workshop.home)
    own = environment(written(workshop.repo, {}) / ".venv", "pytest", base=workshop.home)

    assert workshop.look({"tests/test_a.py": TEST}).read == (own,)


def test_a_python_that_lies_in_the_repository_is_not_started(workshop: Workshop) -> None:
    written(workshop.repo, {})
    planted = workshop.install("python3", workshop.repo / "tools" / "python3")

    workshop.look({"tests/test_a.py": TEST})

    assert str(planted) not in [words[0] for words in workshop.asked]


def test_a_link_on_path_into_the_repository_is_not_started(workshop: Workshop, tmp_path: Path) -> None:
    written(workshop.repo, {"tools/python3": "#!/bin/sh\n"})
    link = tmp_path / "python3"
    link.symlink_to(workshop.repo / "tools" / "python3")
    workshop.install("python3", link)

    workshop.look({"tests/test_a.py": TEST})

    assert str(link) not in [words[0] for words in workshop.asked]


@pytest.mark.parametrize("target", ["python", "/" + "x/" * 1000, "/" + "x" * 300 + "/bin/python"])
def test_an_environment_whose_python_leads_nowhere_is_passed_over(workshop: Workshop, target: str) -> None:
    own = environment(written(workshop.repo, {}) / ".venv", "pytest")
    (own / "bin" / "python").unlink()
    (own / "bin" / "python").symlink_to(target)
    workshop.environ.update({"VIRTUAL_ENV": "/" + "x" * 5000, "JAVA_HOME": "/" + "x" * 5000, "CARGO_HOME": "/\0"})

    found = workshop.look({"tests/test_a.py": TEST, "pom.xml": "", "Cargo.toml": "[dependencies]\na='1'\n"})

    assert str(own) not in found.test


def test_a_link_in_the_repository_is_not_started(workshop: Workshop) -> None:
    written(workshop.repo, {})
    (workshop.repo / "python3").symlink_to(sys.executable)
    workshop.install("python3", workshop.repo / "python3")

    workshop.look({"tests/test_a.py": TEST})

    assert workshop.asked == []


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({"thing/__init__.py": ""}, 'PYTHONPATH="$PWD" '),
        ({"thing.py": ""}, 'PYTHONPATH="$PWD" '),
        ({"src/thing.py": ""}, 'PYTHONPATH="$PWD"/src '),
        ({"setup.cfg": "[options.packages.find]\nwhere = source\n", "source/a/b.py": ""}, 'PYTHONPATH="$PWD"/source '),
        ({"setup.cfg": "[options.packages.find]\nwhere = ../..\n"}, ""),
        ({"setup.py": "", "conftest.py": ""}, ""),
    ],
)
def test_the_sources_come_before_what_is_installed(workshop: Workshop, files: dict[str, str], path: str) -> None:
    found = workshop.look({**files, "tests/test_a.py": TEST})

    assert found.test.startswith(path)
    assert ("PYTHONPATH" in found.test) == bool(path)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ("--cov --cov-report term -ra", "-ra"),
        ("-n auto --strict-markers", "--strict-markers"),
        ("-n4 --dist loadfile tests", "tests"),
        ("--timeout=10 -k 'a b'", "-k 'a b'"),
    ],
)
def test_options_of_plugins_that_are_missing_are_left_out(workshop: Workshop, options: str, kept: str) -> None:
    environment(written(workshop.repo, {}) / ".venv", "pytest")

    found = workshop.look({"pytest.ini": f"[pytest]\naddopts = {options}\n", "tests/test_a.py": TEST})

    assert found.test.count(" -o ") == 1
    assert kept.replace("'", "'\"'\"'") in found.test.partition(" -o ")[2]
    assert "--cov" not in found.test
    assert any("pytest-" in note and "addopts" in note for note in found.notes)


def test_options_of_plugins_that_are_there_are_kept(workshop: Workshop) -> None:
    environment(written(workshop.repo, {}) / ".venv", "pytest", "pytest_cov")

    found = workshop.look({"tox.ini": "[pytest]\naddopts = --cov=x\n", "tests/test_a.py": TEST})

    assert " -o " not in found.test


def test_a_version_file_that_the_build_writes_is_stood_in_for(workshop: Workshop) -> None:
    found = workshop.look(
        {
            "pyproject.toml": "[project]\nname='x'\n[tool.hatch.build.hooks.vcs]\nversion-file='src/x/_version.py'\n",
            "src/x/__init__.py": "from ._version import version\n",
            "tests/test_a.py": "import x\ndef test_version():\n    assert x.version\n",
        }
    )

    subprocess.run(["/bin/sh", "-c", found.setup], cwd=workshop.repo, check=True, timeout=60)

    assert "version = __version__" in (workshop.repo / "src/x/_version.py").read_text()


def test_a_version_file_outside_of_the_repository_is_not_written(workshop: Workshop) -> None:
    found = workshop.look({"pyproject.toml": "[tool.setuptools_scm]\nwrite_to='../x.py'\n", "tests/test_a.py": TEST})

    assert found.setup == ""


def test_django_uses_its_own_runner_unless_pytest_knows_it(workshop: Workshop) -> None:
    environment(written(workshop.repo, {}) / ".venv", "pytest", "django", "pytest_django")
    manage = {"manage.py": "import django\n", "app/tests.py": ""}

    assert workshop.look(manage).test.endswith(" manage.py test --noinput")
    assert " -m pytest " in workshop.look({**manage, "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = a\n"}).test


def test_python_with_compiled_rust_leaves_the_tests_to_cargo(workshop: Workshop) -> None:
    found = workshop.look(
        {"pyproject.toml": "[build-system]\nbuild-backend='maturin'\n", "Cargo.toml": "[package]\nname='x'\n",
         "tests/test_a.py": TEST}
    )  # fmt: skip

    assert found.test.endswith("cargo test --offline")


def test_a_stray_test_in_another_languages_project_is_not_a_python_project(workshop: Workshop) -> None:
    found = workshop.look({"go.mod": "module x\n", "tools/gen/test_gen.py": TEST})

    assert found.test.endswith("go test ./...")
    assert not any("pytest" in note for note in found.notes)


def test_nothing_in_the_repository_is_changed(workshop: Workshop) -> None:
    files = {"pyproject.toml": "[project]\nname='x'\n", "tests/test_a.py": TEST, "package.json": "{}"}
    workshop.look(files)

    assert sorted(
        os.path.relpath(path, workshop.repo) for path in workshop.repo.rglob("*") if path.is_file()
    ) == sorted(files)


def test_an_installed_python_is_asked_where_it_is(workshop: Workshop) -> None:
    written(workshop.repo, {"tests/test_a.py": TEST, "json.py": "raise SystemExit('the repository ran')"})

    found = survey(
        workshop.repo,
        "main",
        ["main"],
        lambda name: sys.executable if name == "python3" else None,
        environ={},
        home=workshop.home,
    )

    assert sys.executable in found.test
    assert any("python3 on PATH" in note for note in found.notes)
