"""The arena, one for each test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.kit import Arena


@pytest.fixture(scope="session")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    made = Arena(tmp_path_factory.mktemp("crash"))
    yield made
    made.resident.close()
