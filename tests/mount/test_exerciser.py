"""A file on a drive, after thousands of seeded operations, holds what it must."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mount.exercised import exercise, exercise_cold
from tests.mount.exerciser import Differs, Exerciser
from tests.mount.kernel.mounted import needs_fuse
from tests.mount.live import Mounted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path)
    yield made
    made.close()


@needs_fuse
def test_a_new_file(mounted: Mounted) -> None:
    said = exercise(mounted, 1, 1000)
    assert said.endswith("1000 operations, no difference.")


@needs_fuse
def test_a_file_that_is_sent_and_evicted_again_and_again(mounted: Mounted, tmp_path: Path) -> None:
    said, evicted = exercise_cold(mounted, tmp_path, 2, 1000)
    assert said.endswith("1000 operations, no difference.")
    assert evicted > 10
    assert len(mounted.joint.vault.asked) > evicted


class _Forgetful(Exerciser):
    """Lets a hundredth of its writes be lost."""

    def write(self) -> None:
        if self._dice.random() < 0.01:
            self._put(self._dice.randrange(1000), b"lost")
        else:
            super().write()


def test_the_exerciser_sees_what_is_lost(tmp_path: Path) -> None:
    with pytest.raises(Differs, match="The last ones were"):
        _Forgetful(tmp_path / "file", 1, None, pause=False).run(2000)
