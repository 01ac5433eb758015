"""Devices on one vault in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock, MemorySide
from tests.sync.device import Device

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def vault(clock: FakeClock) -> MemorySide:
    return MemorySide(clock, remote=True)


@pytest.fixture
def device(vault: MemorySide, tmp_path: Path) -> Iterator[Device]:
    device = Device(vault, tmp_path)
    yield device
    device.close()


@pytest.fixture
def other(vault: MemorySide, tmp_path: Path) -> Iterator[Device]:
    device = Device(vault, tmp_path, seed=1, name="desktop")
    yield device
    device.close()
