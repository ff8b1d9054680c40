"""Rust, Go, Java, C and others: what a sandbox must read of them, and nothing more."""

from __future__ import annotations

from tests.tools.survey.looking import Workshop, written


def test_rust_reads_the_toolchain_behind_rustup(workshop: Workshop) -> None:
    toolchain = written(workshop.home / ".rustup/toolchains/stable", {"bin/cargo": ""})
    rustup = workshop.install("rustup", workshop.home / ".cargo/bin/rustup", str(toolchain / "bin/cargo"))
    (rustup.parent / "cargo").symlink_to("rustup")
    workshop.install("cargo", rustup.parent / "cargo")

    found = workshop.look({"Cargo.toml": "[package]\nname='thing'\n"})

    assert (found.test, found.read, found.name) == ("cargo test --offline", (toolchain,), "thing")


def test_rust_asks_for_the_toolchain_that_the_project_names(workshop: Workshop) -> None:
    rustup = workshop.install("rustup", workshop.home / ".cargo/bin/rustup")
    workshop.install("cargo", rustup)

    found = workshop.look({"Cargo.toml": "[package]\n", "rust-toolchain.toml": "[toolchain]\nchannel='1.70'\n"})

    assert [str(rustup), "which", "--toolchain", "1.70", "cargo"] in [list(words) for words in workshop.asked]
    assert any("Rust 1.70, which is not installed" in note for note in found.notes)


def test_rust_with_crates_reads_what_was_downloaded_and_no_credentials(workshop: Workshop) -> None:
    cargo = written(
        workshop.home / ".cargo",
        {"credentials.toml": "secret", "registry/index/x": "", "registry/cache/r/a-1.0.0.crate": ""},
    )
    lock = (
        '[[package]]\nname="a"\nversion="1.0.0"\nsource="registry+https://x"\n'
        '[[package]]\nname="b"\nversion="2.0.0"\nsource="registry+https://x"\n'
    )

    found = workshop.look({"Cargo.toml": "[package]\n[dependencies]\na='1'\n", "Cargo.lock": lock})

    assert found.read == (cargo / "registry/index", cargo / "registry/cache")
    assert found.test.endswith("cargo test --offline")
    assert 'export CARGO_HOME="${TMPDIR:-/tmp}/watchbill-cargo"' in found.test
    assert any("1 of 2 crates" in note and "cargo fetch" in note for note in found.notes)


def test_rust_with_crates_in_the_repository_needs_no_others(workshop: Workshop) -> None:
    written(workshop.home / ".cargo/registry/cache", {})
    vendored = '[source.crates-io]\nreplace-with="vendored"\n[source.vendored]\ndirectory="vendor"\n'

    found = workshop.look({"Cargo.toml": "[dependencies]\na='1'\n", ".cargo/config.toml": vendored})

    assert found.test == "cargo test --offline"


def test_a_rust_workspace_is_tested_whole(workshop: Workshop) -> None:
    found = workshop.look({"Cargo.toml": "[package]\nname='x'\n[workspace]\nmembers=['a']\n"})

    assert found.test == "cargo test --offline --workspace"


def test_go_reads_its_root_and_the_modules_it_needs(workshop: Workshop) -> None:
    root = written(workshop.home / "sdk/go1.22", {"bin/go": ""})
    cache = written(workshop.home / "go/pkg/mod", {})
    workshop.install("go", root / "bin/go", f"{root}\n{cache}")

    plain = workshop.look({"go.mod": "module a/b\n"})
    needing = workshop.look({"go.mod": "module a/b\n\nrequire x/y v1.0.0\n"})

    assert plain.read == (root,)
    assert needing.read == (root, cache)
    assert f"GOMODCACHE={cache} go test ./..." in needing.test


def test_gotestsum_is_used_only_where_it_is_installed(workshop: Workshop) -> None:
    root = written(workshop.home / "sdk/go1.22", {"bin/go": ""})
    workshop.install("go", root / "bin/go", f"{root}\n/nowhere")
    workshop.install("gotestsum", workshop.home / "go/bin/gotestsum")

    found = workshop.look({"go.mod": "module a/b\n"})

    assert found.test.endswith("gotestsum --junitfile {junit} ./...")
    assert "{junit}" in found.test


def test_maven_reads_its_repository_and_the_chosen_java(workshop: Workshop) -> None:
    java = written(workshop.home / "jdk-21", {"bin/java": ""})
    settings = written(workshop.home.parent / "etc/maven", {"settings.xml": ""})
    maven = written(workshop.home / "maven-3.9", {"bin/mvn": ""})
    (maven / "conf").symlink_to(settings)
    repository = written(workshop.home / ".m2/repository", {})
    workshop.environ["JAVA_HOME"] = str(java)
    workshop.install("mvn", maven / "bin/mvn")

    found = workshop.look({"pom.xml": "<project/>"})

    assert found.read == (java, maven, settings, repository)
    assert found.test == f"JAVA_HOME={java} mvn -o -q -B -Dmaven.repo.local={repository} test"


def test_gradle_is_the_one_that_the_wrapper_unpacked(workshop: Workshop) -> None:
    gradle = workshop.home / ".gradle/wrapper/dists/gradle-8.5-bin/abc/gradle-8.5"
    written(gradle, {"bin/gradle": ""})
    written(workshop.home / ".gradle/caches/modules-2", {})
    address = "distributionUrl=https\\://services.gradle.org/distributions/gradle-8.5-bin.zip\n"

    found = workshop.look({"build.gradle.kts": "", "gradle/wrapper/gradle-wrapper.properties": address})

    assert gradle in found.read
    assert f"GRADLE_RO_DEP_CACHE={workshop.home / '.gradle/caches'} gradle test --offline --no-daemon" in found.test


def test_cmake_builds_outside_of_the_checkout_and_needs_tests(workshop: Workshop) -> None:
    assert workshop.look({"CMakeLists.txt": "project(x)\n"}).test == ""
    workshop.install("ctest", "/usr/bin/env", "ctest version 3.25.1")

    found = workshop.look({"tests/CMakeLists.txt": "add_test(NAME a COMMAND a)\n"})

    assert found.test.endswith("--output-junit {junit}")
    assert '-B "${TMPDIR:-/tmp}"/watchbill-build' in found.test


def test_an_old_ctest_writes_no_junit(workshop: Workshop) -> None:
    workshop.install("ctest", "/usr/bin/env", "ctest version 3.18.4")

    assert "{junit}" not in workshop.look({"CMakeLists.txt": "enable_testing()\n"}).test


def test_php_copies_what_composer_installed(workshop: Workshop) -> None:
    composer = '{"name": "me/thing", "require-dev": {"phpunit/phpunit": "^11"}}'

    found = workshop.look({"composer.json": composer, "vendor/bin/phpunit": ""})

    assert found.test == "php vendor/bin/phpunit --log-junit {junit}"
    assert found.read == (workshop.repo / "vendor",)
    assert found.setup.endswith(" vendor")
    assert found.name == "thing"


def test_ruby_uses_the_gems_in_the_repository_and_its_junit_formatter(workshop: Workshop) -> None:
    found = workshop.look(
        {
            "Gemfile": "",
            "Gemfile.lock": "  rspec_junit_formatter (0.6)\n",
            "spec/a_spec.rb": "",
            "vendor/bundle/ruby/x": "",
        }
    )

    assert found.test.endswith("bundle exec rspec --format progress --format RspecJunitFormatter --out {junit}")
    assert found.read == (workshop.repo / "vendor/bundle",)


def test_a_program_in_a_crowded_folder_does_not_open_what_lies_beside_it(workshop: Workshop) -> None:
    written(workshop.home / ".local/share/keyrings", {"login": "secret"})
    program = workshop.install("just", workshop.home / ".local/bin/just")

    found = workshop.look({"justfile": "test:\n  true\n"})

    assert found.read == (program.parent,)
