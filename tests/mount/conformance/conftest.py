"""A drive for each backend, and a folder in it for each test."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.mount.conformance.calls import Served
from vaultsync.mount.serving import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session", params=BACKENDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The drive, served by a process of its own as it serves programs."""
    made = Served(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture
def top(served: Served, request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty folder in it."""
    with served.guarded():
        made = served.point / hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
        made.mkdir()
        yield made
