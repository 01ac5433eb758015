"""A drive for each test, and the programs that must be there."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.mount.live import Mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path)
    yield made
    made.close()


@pytest.fixture
def program() -> Callable[[str], str]:
    """Where a program is. A test never passes for the want of one: `tools/environment` has them."""

    def found(name: str) -> str:
        where = shutil.which(name)
        assert where is not None, f"{name} is not installed; `tools/environment dev` does it"
        return where

    return found
