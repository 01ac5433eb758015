"""The suite's worlds on a disk in memory."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.contract.worlds import SystemClock, World, ignored, world
from tests.memfs.files import MemoryFiles
from tests.memfs.hands import Hands
from tests.memfs.tree import Tree
from vaultsync.local.disk import Disk

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    import pytest

    from vaultsync.core.ports import Side
    from vaultsync.local.files import Files

ROOT = "home/folder"


class TwinWorld:
    """A folder in memory, whose power can be cut.

    Args:
        ordered: Whether its file system keeps the order of changes.
    """

    local = True

    def __init__(self, *, ordered: bool = False) -> None:
        self.files = MemoryFiles(Tree(time.time_ns, ordered=ordered))
        self.hands = Hands(self.files.tree, ROOT)
        self._writes = 0
        self.disk = self._start(None)
        self._marker = self.disk.bind()
        self.settle()

    @property
    def side(self) -> Side:
        return self.disk

    def put_behind(self, path: str, data: bytes) -> None:
        self.hands.mkdirs(path.rpartition("/")[0])
        self.hands.write(path, data)
        self._writes += 1
        self.hands.utime(path, 1_500_000_000_000_000_000 + self._writes * 1_000_000_000)

    def remove_behind(self, path: str) -> None:
        self.hands.remove(path)

    def read_behind(self, path: str) -> bytes | None:
        try:
            return self.hands.read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def crash(self) -> None:
        self.files.kill()
        self.files = MemoryFiles(self.files.tree)
        self.disk = self._start(self._marker)

    def settle(self) -> None:
        """The kernel has written everything by now."""
        self.files.tree.journal.sync_all(self.files.tree.inodes())

    def cut_power(self, chance: random.Random) -> None:
        self.files = self.files.crash(chance)
        self.hands = Hands(self.files.tree, ROOT)
        self.disk = self._start(self._marker)

    def use(self, files: Files) -> None:
        """Give the disk another port, one with a finger in it."""
        self.disk = self._start(self._marker, files)

    def shown(self) -> dict[str, bytes]:
        """The files that a person sees."""
        return {
            path: inode.data
            for path, inode in sorted(self.hands.walk(), key=lambda item: item[0])
            if inode.is_file and not path.startswith(".vaultsync")
        }

    def hidden(self, place: str) -> list[bytes]:
        """Contents of the files in `.vaultsync/<place>`."""
        found = self.hands.walk(f".vaultsync/{place}")
        return sorted(inode.data for _, inode in found if inode.is_file)

    def _start(self, marker: str | None, files: Files | None = None) -> Disk:
        root = Path("/", ROOT)
        return Disk(root, "laptop", SystemClock(), ignored, marker, files or self.files)


@world("twin")
@contextmanager
def _twin(request: pytest.FixtureRequest) -> Iterator[World]:
    running = TwinWorld()
    yield running
    assert running.files.open_descriptors == 0
