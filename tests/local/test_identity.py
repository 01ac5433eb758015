"""When a file counts as unchanged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.model import Entry, Kind
from vaultsync.local.files import Node, SystemFiles
from vaultsync.local.identity import FINEST_NS, Grain, Match, compare, measure_grain, tag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND


def node(mtime_ns: int, ctime_ns: int = 5, size: int = 3, mode: int = 0o100644) -> Node:
    return Node(mode, 7, 1, size, mtime_ns, ctime_ns)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "probed").mkdir()
    descriptor = os.open(tmp_path / "probed", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("age_ns", "racy"),
    [(0, True), (FINEST_NS, True), (FINEST_NS + 1, False), (-SECOND, True), (-3 * SECOND, False)],
)
def test_young_is_racy(age_ns: int, racy: bool) -> None:
    assert tag(node(NOW - age_ns), Grain(), NOW).endswith("~") == racy


def test_age_is_told_by_the_clock_of_the_file_system() -> None:
    grain = Grain(skew_ns=10 * SECOND)
    assert tag(node(NOW + 10 * SECOND), grain, NOW).endswith("~")
    assert not tag(node(NOW), grain, NOW).endswith("~")


def test_compare() -> None:
    entry = Entry(Kind.FILE, 3, tag(node(1), Grain(), NOW))
    assert compare(entry, node(1)) is Match.YES
    assert compare(entry, node(2)) is Match.NO
    assert compare(entry, node(1, size=4)) is Match.NO
    assert compare(entry, node(1, ctime_ns=6)) is Match.NO
    assert compare(entry, node(1, ctime_ns=6), moved=True) is Match.YES
    assert compare(entry, node(1, mode=0o040755)) is Match.NO
    assert compare(entry, node(1, mode=0o120777)) is Match.NO
    racy = Entry(Kind.FILE, 3, tag(node(NOW), Grain(), NOW))
    assert compare(racy, node(NOW)) is Match.DOUBT


class Coarse(SystemFiles):
    """A file system that keeps times in steps, on a machine whose clock differs from ours."""

    def __init__(self, step: int, skew: int = 0) -> None:
        super().__init__()
        self.step, self.skew = step, skew

    def fstat(self, descriptor: int) -> Node:
        found = super().fstat(descriptor)
        return found._replace(mtime_ns=(found.mtime_ns + self.skew) // self.step * self.step)


@pytest.mark.parametrize(
    ("step", "width"),
    [
        (1, FINEST_NS),
        (1_000, FINEST_NS),
        (10_000_000, FINEST_NS),
        (SECOND, SECOND),
        (2 * SECOND, 2 * SECOND),
    ],
)
def test_width_is_measured(directory: int, step: int, width: int) -> None:
    grain = measure_grain(Coarse(step), directory, "probe")
    assert grain.width_ns == width
    assert os.listdir(directory) == []


def test_skew_is_measured(directory: int) -> None:
    grain = measure_grain(Coarse(1, 60 * SECOND), directory, "probe")
    assert abs(grain.skew_ns - 60 * SECOND) < 5 * SECOND
    assert measure_grain(SystemFiles(), directory, "probe").skew_ns == 0
