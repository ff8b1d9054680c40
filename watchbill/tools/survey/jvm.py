"""How the tests of a Maven or Gradle project are run, with what was downloaded before.

Owns the recognition of such projects and their commands. It never starts a build.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from watchbill.tools.survey.found import Found
from watchbill.tools.survey.machine import Machine
from watchbill.tools.survey.place import Place, is_file, is_folder


def maven(place: Place, machine: Machine) -> Found | None:
    """A pom.xml at the top."""
    if not place.has("pom.xml"):
        return None
    java, notes = _java(machine)
    program = machine.program("mvn")
    repository = machine.folder("", ".m2", "repository")
    wrappers = machine.folder("MAVEN_USER_HOME", ".m2")
    read = [
        *java,
        *(_with_settings(machine, program, "conf") if program else ()),
        *([repository] if repository else []),
    ]
    call = machine.call(program, read) if program else "mvn"
    if program is None and place.has("mvnw"):
        call = "sh ./mvnw"
        read += [wrappers / "wrapper"] if wrappers else []
        call = f"MAVEN_USER_HOME={shlex.quote(str(wrappers))} {call}" if wrappers else call
    elif program is None:
        notes.append("mvn is not on PATH: install Maven, and run init again.")
    where = f" -Dmaven.repo.local={shlex.quote(str(repository))}" if repository else ""
    notes.append(
        "Maven works offline with what ~/.m2 holds: run `mvn test` once yourself, so that every plugin is there."
    )
    return Found(
        evidence="pom.xml",
        test=f"{_java_home(java)}{call} -o -q -B{where} test",
        read=machine.readable(read),
        notes=tuple(notes),
    )


def gradle(place: Place, machine: Machine) -> Found | None:
    """A build.gradle or settings.gradle at the top, in Groovy or Kotlin."""
    build = place.first("build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle")
    if not build:
        return None
    java, notes = _java(machine)
    home = machine.folder("GRADLE_USER_HOME", ".gradle")
    unpacked = _unpacked_gradle(place, home) if home else None
    program = unpacked or machine.program("gradle")
    read = [*java, *(machine.prefix(program) if program else ())]
    caches = home / "caches" if home else None
    settings = 'GRADLE_USER_HOME="${TMPDIR:-/tmp}/watchbill-gradle" '
    if caches and machine.readable([caches / "modules-2"]):
        read.append(caches / "modules-2")
        settings += f"GRADLE_RO_DEP_CACHE={shlex.quote(str(caches))} "
    if program is None:
        notes.append("No Gradle was found on this machine: run `./gradlew test` once yourself, and run init again.")
    call = machine.call(program, read) if program else ("sh ./gradlew" if place.has("gradlew") else "gradle")
    notes.append("Gradle works offline with what ~/.gradle holds: run `./gradlew test` once yourself.")
    return Found(
        evidence=build,
        test=f"{_java_home(java)}{settings}{call} test --offline --no-daemon",
        read=machine.readable(read),
        notes=tuple(notes),
    )


def _java(machine: Machine) -> tuple[list[Path], list[str]]:
    """The folder of the Java to use, with its settings, which distributions keep in /etc."""
    home = machine.environ.get("JAVA_HOME", "")
    program = (
        Path(home) / "bin" / "java"
        if Path(home).is_absolute() and is_file(Path(home) / "bin" / "java")
        else machine.program("java")
    )
    if program is None:
        return [], ["java is not on PATH: install a JDK, and run init again."]
    real = Path(os.path.realpath(program))
    if real.name == "java" and real.is_relative_to("/usr/bin"):
        # On macOS, /usr/bin/java only passes on to the chosen one.
        told = machine.ask("/usr/libexec/java_home")
        real = Path(told) / "bin" / "java" if told else real
    return [real.parent.parent, *_settings_outside(real.parent.parent / "conf")], []


def _java_home(java: list[Path]) -> str:
    return f"JAVA_HOME={shlex.quote(str(java[0]))} " if java and java[0] != Path("/usr") else ""


def _with_settings(machine: Machine, program: Path, folder: str) -> list[Path]:
    prefix = Path(os.path.realpath(program)).parent.parent
    return [*machine.prefix(program), *_settings_outside(prefix / folder)]


def _settings_outside(folder: Path) -> list[Path]:
    """The folders to which `folder` or the files in it lead elsewhere."""
    try:
        entries = [folder, *folder.iterdir()]
    except OSError:
        return []
    outside = [Path(os.path.realpath(entry)) for entry in entries if entry.is_symlink()]
    return list(
        dict.fromkeys(path if is_folder(path) or path.parent == Path("/etc") else path.parent for path in outside)
    )


def _unpacked_gradle(place: Place, home: Path) -> Path | None:
    """The Gradle that the project's wrapper has unpacked in the owner's home: the wrapper itself must write there."""
    properties = (place.text("gradle/wrapper/gradle-wrapper.properties") or "").splitlines()
    addresses = [line.rpartition("/")[2] for line in properties if line.startswith("distributionUrl")]
    address = re.fullmatch(r"([\w.-]{1,100})\.zip", addresses[0].strip()) if addresses else None
    if not address:
        return None
    return next(iter(sorted(home.glob(f"wrapper/dists/{address.group(1)}/*/*/bin/gradle"))), None)
