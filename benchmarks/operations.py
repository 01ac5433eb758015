"""Operations that are measured again and again: what the server spends on each, and what passes.

Each takes a rival that was mounted a moment ago, so that the kernel knows nothing of it yet, and
the files that `drive` has put into the vault before.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.rivals import Rival

BLOCK = 1 << 20
SOME = 64 << 10
LITTLE = 4096


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    Attributes:
        files: Files that are made, looked up, opened.
        entries: Entries of the directory that is listed.
        large: Bytes of the file that is read from the cache.
        cold: Bytes of the file that is read from afar.
        reads: Random reads of what is cached.
        cold_reads: Random reads from afar.
    """

    files: int = 500
    entries: int = 2000
    large: int = 128 << 20
    cold: int = 64 << 20
    reads: int = 2000
    cold_reads: int = 30


SMALLEST = Sizes(20, 20, 4 << 20, 2 << 20, 20, 3)


@dataclass(frozen=True)
class Spent:
    """What something took.

    Attributes:
        cpu: Seconds of the processor, of who serves.
        wall: Seconds that passed.
        count: How many operations, or bytes.
    """

    cpu: float
    wall: float
    count: int


def _measured(rival: Rival, count: int, work: Callable[[], object]) -> Spent:
    cpu, began = rival.cpu(), time.monotonic()
    work()
    wall = time.monotonic() - began
    return Spent(rival.cpu() - cpu, wall, count)


def local(rival: Rival, sizes: Sizes, mark: str) -> Iterator[tuple[str, Spent]]:
    """Yield what does not need the network: (name of the row, what it took).

    Args:
        rival: Who; all of `list`, `look`, `open` and `large` is on this machine.
        sizes: How much.
        mark: A name that was not used before.
    """
    yield "lookup", _lookup(rival, sizes)
    yield "list", _list(rival, sizes)
    yield "open", _open(rival, sizes)
    yield "sequential", _sequential(rival, rival.point / "large.bin", sizes.large)
    yield "random", _random(rival, rival.point / "large.bin", sizes.large, SOME, sizes.reads)
    yield "create", _create(rival, sizes, mark)


def far(rival: Rival, sizes: Sizes, mark: str) -> Iterator[tuple[str, Spent]]:
    """Yield what is read from afar: the files `cold-<mark>` and `here-and-there-<mark>`."""
    yield "cold sequential", _sequential(rival, rival.point / f"cold-{mark}", sizes.cold)
    path = rival.point / f"here-and-there-{mark}"
    yield "cold random", _random(rival, path, sizes.cold, LITTLE, sizes.cold_reads)


def _create(rival: Rival, sizes: Sizes, mark: str) -> Spent:
    folder = rival.point / f"made-{mark}"
    folder.mkdir()
    names = [f"{folder}/{number:05d}" for number in range(sizes.files)]
    data = bytes(LITTLE)

    def work() -> None:
        for name in names:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(file, data)
            os.close(file)

    return _measured(rival, sizes.files, work)


def _lookup(rival: Rival, sizes: Sizes) -> Spent:
    first, *names = [f"{rival.point}/look/00000/{number:05d}" for number in range(sizes.files)]
    os.stat(first)  # what lies above is known then

    def work() -> None:
        for name in names:
            os.stat(name)

    return _measured(rival, len(names), work)


def _list(rival: Rival, sizes: Sizes) -> Spent:
    folder = f"{rival.point}/list/00000"
    os.stat(f"{folder}/00000")

    def work() -> None:
        subprocess.run(["ls", "-l", folder], stdout=subprocess.DEVNULL, check=True)

    return _measured(rival, sizes.entries, work)


def _open(rival: Rival, sizes: Sizes) -> Spent:
    names = [f"{rival.point}/open/00000/{number:05d}" for number in range(sizes.files)]
    for name in names:
        os.stat(name)

    def work() -> None:
        for name in names:
            file = os.open(name, os.O_RDONLY)
            if len(os.read(file, 2 * LITTLE)) != LITTLE:
                raise OSError(f"{name} is not whole")
            os.close(file)

    return _measured(rival, len(names), work)


def _sequential(rival: Rival, path: Path, size: int) -> Spent:
    buffer = bytearray(BLOCK)

    def work() -> None:
        file = os.open(path, os.O_RDONLY)
        done = 0
        while got := os.readv(file, [buffer]):
            done += got
        os.close(file)
        if done != size:
            raise OSError(f"{path} is not whole")

    return _measured(rival, size, work)


def _random(rival: Rival, path: Path, size: int, piece: int, reads: int) -> Spent:
    chance = random.Random(7)
    offsets = [chance.randrange(size // piece) * piece for _ in range(reads)]
    buffer = bytearray(piece)

    def work() -> None:
        file = os.open(path, os.O_RDONLY)
        # Else the kernel has these pages from the reading before, or reads ahead in vain.
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)
        for offset in offsets:
            if os.preadv(file, [buffer], offset) != piece:
                raise OSError(f"{path} is not whole")
        os.close(file)

    return _measured(rival, reads, work)
