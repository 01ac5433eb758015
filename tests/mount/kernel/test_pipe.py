"""Answers by splice(2), with a file in the place of /dev/fuse."""

from __future__ import annotations

import errno
import os
import random
from struct import pack
from typing import TYPE_CHECKING

import pytest

from vaultsync.mount.kernel import holder
from vaultsync.mount.kernel.pipe import LEAST, Pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.mount.ports import Use

CONTENT = random.Random(1).randbytes(1 << 20)
LONGEST = holder._MAX_READ


class Place:
    """A pipe that ends in a file, and a file to lend."""

    def __init__(self, folder: Path) -> None:
        self._told = folder / "told"
        self.fd = os.open(self._told, os.O_RDWR | os.O_CREAT)
        (folder / "content").write_bytes(CONTENT)
        self.content = os.open(folder / "content", os.O_RDONLY)
        self.pipe = Pipe(self.fd)

    def lend(self, offset: int, length: int, *, right: bool = True) -> Callable[[Use], bool]:
        return lambda use: use(self.content, offset, length) and right

    def told(self) -> bytes:
        """What was said, which is forgotten."""
        said = self._told.read_bytes()
        os.ftruncate(self.fd, 0)
        os.lseek(self.fd, 0, os.SEEK_SET)
        return said


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.pipe.close()
    os.close(place.fd)
    os.close(place.content)


@pytest.mark.parametrize("offset", [0, 4096, 5000])
@pytest.mark.parametrize("length", [1, LEAST, LONGEST])
def test_an_answer_is_a_header_and_the_bytes(place: Place, offset: int, length: int) -> None:
    assert place.pipe.answer(7, place.lend(offset, length))
    header = pack("<IiQ", 16 + length, 0, 7)
    assert place.told() == header + CONTENT[offset : offset + length]


def test_the_longest_read_fits_wherever_it_begins(place: Place) -> None:
    assert place.pipe.fits(0, LONGEST)
    assert place.pipe.fits(4095, LONGEST)
    assert not place.pipe.fits(0, 1 << 20)
    assert not place.pipe.fits(0, LEAST - 1)


def test_what_does_not_fit_is_not_answered(place: Place) -> None:
    assert not place.pipe.answer(8, place.lend(0, 1 << 20))
    assert place.told() == b""


def test_nothing_is_said_of_what_is_not_right(place: Place) -> None:
    assert not place.pipe.answer(2, place.lend(0, LEAST, right=False))
    assert not place.pipe.answer(4, place.lend(len(CONTENT) - LEAST, LEAST + 1))
    assert not place.pipe.answer(6, lambda _: False)
    assert place.told() == b""
    assert place.pipe.answer(8, place.lend(0, LEAST))
    assert place.told() == pack("<IiQ", 16 + LEAST, 0, 8) + CONTENT[:LEAST]


def test_what_fails_leaves_nothing_in_the_pipe(place: Place) -> None:
    def fail(use: Use) -> bool:
        assert use(place.content, 0, LEAST)
        raise OSError(errno.ESTALE, "")

    with pytest.raises(OSError, match="116"):
        place.pipe.answer(2, fail)
    assert place.pipe.answer(4, place.lend(0, 1))
    assert place.told() == pack("<IiQ", 17, 0, 4) + CONTENT[:1]


def test_what_cannot_be_spliced_is_read(place: Place, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    assert not place.pipe.answer(2, lambda use: use(folder, 0, LEAST))
    os.close(folder)
    assert place.told() == b""
