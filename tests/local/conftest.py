"""A folder to work in, and fingers in the system's port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import DiskWorld
from tests.local.hooked import Hooked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def hooked() -> Hooked:
    return Hooked()


@pytest.fixture
def folder(tmp_path: Path, hooked: Hooked) -> DiskWorld:
    root = tmp_path / "folder"
    root.mkdir()
    return DiskWorld(root, lambda: hooked.files)
