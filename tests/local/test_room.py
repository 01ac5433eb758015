"""What arrives never takes the last of the disk's space."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.contract.worlds import BytesContent, DiskWorld, SystemClock
from tests.local.seeing import hidden, shown
from vaultsync.core.errors import Blocked
from vaultsync.core.model import Kind
from vaultsync.local.disk import Disk
from vaultsync.local.files import SystemFiles
from vaultsync.local.room import Room, kept_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.local.files import Files

MIB = 1 << 20
GIB = 1 << 30


class Disks(SystemFiles):
    """A disk whose fullness the test decides."""

    total = 100 * GIB
    free = 100 * GIB

    def space(self, directory: int) -> tuple[int, int]:
        return self.total, self.free


@pytest.mark.parametrize(
    ("total", "kept"),
    [
        (8 * MIB, 8 * MIB // 20),
        (4 * GIB, 4 * GIB // 20),
        (16 * GIB, 512 * MIB),
        (50 * GIB, 512 * MIB),
        (200 * GIB, 2 * GIB),
    ],
)
def test_how_much_is_kept_free(total: int, kept: int) -> None:
    assert kept_free(total) == kept


@pytest.fixture
def disks() -> Disks:
    return Disks()


@pytest.fixture
def world(tmp_path: Path, disks: Disks) -> DiskWorld:
    root = tmp_path / "folder"
    root.mkdir()
    return DiskWorld(root, lambda: disks)


def test_what_fits_but_for_the_reserve_is_refused_and_nothing_staged(
    world: DiskWorld, disks: Disks
) -> None:
    disks.free = GIB + 1000
    world.disk.stage("fits", BytesContent(b"x" * 1000), "one")
    with pytest.raises(Blocked, match=r"'too much': too little space .* 1,024 MiB are kept") as no:
        world.disk.stage("too much", BytesContent(b"x" * 1001), "two")
    assert "Free some space" in no.value.hint
    assert hidden(world.root, "staging") == [b"x" * 1000]
    disks.free += 1
    world.disk.stage("too much", BytesContent(b"x" * 1001), "two")


def test_a_link_takes_no_space_that_is_not_there_either(world: DiskWorld, disks: Disks) -> None:
    disks.free = GIB
    with pytest.raises(Blocked, match="too little space"):
        world.disk.stage("link", BytesContent(b"target", kind=Kind.LINK), "one")
    assert hidden(world.root, "staging") == []


def test_a_disk_that_does_not_know_its_size_is_used(world: DiskWorld, disks: Disks) -> None:
    disks.total = disks.free = 0
    world.disk.stage("f", BytesContent(b"x"), "one")


def test_files_that_arrive_at_once_share_what_is_left(disks: Disks) -> None:
    room = Room(disks)
    disks.free = GIB + 1000
    with room.taken(0, 600, "one") as written:
        with pytest.raises(Blocked), room.taken(0, 600, "two"):
            pass
        written(300)
        disks.free -= 300  # what is written, the disk counts itself
        with room.taken(0, 400, "two"):
            pass
        with pytest.raises(Blocked), room.taken(0, 401, "two"):
            pass
    disks.free += 300
    with room.taken(0, 1000, "three"):
        pass


def test_more_bytes_than_announced_claim_nothing_twice(disks: Disks) -> None:
    room = Room(disks)
    disks.free = GIB + 10
    with room.taken(0, 10, "one") as written:
        written(25)
    with room.taken(0, 10, "two"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
class TestSmallDisk:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Path]:
        place = tmp_path / "small"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], check=True)
        yield place
        subprocess.run(["umount", "--lazy", str(place)], check=True)

    def disk(self, place: Path, **options: Any) -> Disk:
        clock, files = SystemClock(), cast("Files", SystemFiles())
        marker = Disk(place, "laptop", clock, lambda _: False, None, files).bind()
        return Disk(place, "laptop", clock, lambda _: False, marker, files, **options)

    @pytest.mark.parametrize(
        ("options", "allowed"),
        [({}, False), ({"kept_free": lambda _: 0}, True)],
        ids=["by rule", "to the last byte"],
    )
    def test_the_last_twentieth_stays_free(
        self, place: Path, options: dict[str, Callable[[int], int]], allowed: bool
    ) -> None:
        disk = self.disk(place, **options)
        content = BytesContent(b"\1" * int(7.7 * MIB))
        if allowed:
            disk.commit(disk.stage("f", content, "one"), None)
            return
        with pytest.raises(Blocked, match="too little space"):
            disk.stage("f", content, "one")
        assert hidden(place, "staging") == []
        disk.commit(disk.stage("other", BytesContent(b"\1" * (4 * MIB)), "two"), None)
        assert shown(place) == {"other": b"\1" * (4 * MIB)}
