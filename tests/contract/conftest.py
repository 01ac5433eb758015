"""Runs the suite in every registered world."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import WORLDS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

for found in sorted(Path(__file__).parent.glob("*_worlds.py")):
    import_module(f"tests.contract.{found.stem}")


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with WORLDS[request.param](request) as running:
        yield running


@pytest.fixture
def local_world(world: World) -> World:
    if not world.local:
        pytest.skip("only the local side can be asked")
    return world
