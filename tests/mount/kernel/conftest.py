"""Mounts for tests; none is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import Mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def make_mount(tmp_path: Path) -> Iterator[Callable[..., Mounted]]:
    """Call it for a mount that is served; `durable=True` for one that outlives its server."""
    made: list[Mounted] = []

    def make(**options: bool) -> Mounted:
        work = tmp_path / f"work{len(made)}"
        work.mkdir()
        mount = Mounted(tmp_path / f"drive{len(made)}", work, **options)
        made.append(mount)
        mount.start(fresh=True)
        return mount

    yield make
    for mount in made:
        mount.close()


@pytest.fixture
def mount(make_mount: Callable[..., Mounted]) -> Mounted:
    """A mount that is served, in memory."""
    return make_mount()
