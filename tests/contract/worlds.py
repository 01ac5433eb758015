"""The worlds in which the one suite for sides runs: a side, and a hand that works behind its back.

To add a world, decorate its factory with `@world("name")` in a file `tests/contract/*_worlds.py`;
the suite finds it. The side must leave alone what `ignored` says.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

from vaultsync.core.errors import Stale
from vaultsync.core.lookalikes import folded
from vaultsync.core.model import Entry, Kind
from vaultsync.local.disk import Disk
from vaultsync.local.files import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pytest

    from vaultsync.core.ports import Side
    from vaultsync.local.files import Files, Node

    Factory = Callable[[pytest.FixtureRequest], AbstractContextManager["World"]]

WORLDS: dict[str, Factory] = {}


def world(name: str) -> Callable[[Factory], Factory]:
    """Register a factory of worlds under a name."""

    def register(factory: Factory) -> Factory:
        WORLDS[name] = factory
        return factory

    return register


def ignored(path: str) -> bool:
    """What every world's side leaves alone."""
    return any(part.endswith(".skip") for part in path.split("/"))


class World(Protocol):
    """A side under test, and a foreign writer who does not ask it."""

    local: bool
    """Whether it is the local kind: real directories, a trash, `set_aside`."""

    @property
    def side(self) -> Side:
        """The side; another object after `crash`."""
        ...

    def put_behind(self, path: str, data: bytes) -> None:
        """Write a file as another program would; equal bytes make another version as well."""
        ...

    def remove_behind(self, path: str) -> None:
        """Remove a file as another program would."""
        ...

    def read_behind(self, path: str) -> bytes | None:
        """What another program reads there, or None."""
        ...

    def crash(self) -> None:
        """Forget all that the side holds in memory, as after `kill -9`."""
        ...


class SystemClock:
    """Real time."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def asleep(self) -> float:
        return 0.0


class BytesContent:
    """Content in memory.

    `entry` can be made to lie, for what must be refused.
    """

    def __init__(
        self,
        data: bytes,
        *,
        kind: Kind = Kind.FILE,
        mtime_ns: int | None = 1_600_000_000_123_456_789,
        mode: int | None = 0o640,
        sha256: str | None = None,
    ) -> None:
        self.data = data
        digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
        self.entry = Entry(kind, len(data), "bytes", digest, mtime_ns=mtime_ns, mode=mode)
        self.on_chunk: Callable[[], None] = lambda: None

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def chunks(self) -> Iterator[bytes]:
        for offset in range(0, len(self.data), 1 << 16):
            self.on_chunk()
            yield self.data[offset : offset + (1 << 16)]

    def sha256(self) -> str:
        digest = hashlib.sha256(self.data).hexdigest()
        if digest != self.entry.sha256:
            raise Stale("the content lies")
        return digest

    def md5(self) -> str:
        return hashlib.md5(self.data, usedforsecurity=False).hexdigest()

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class DiskWorld:
    """A folder."""

    local = True

    def __init__(self, root: Path, files: Callable[[], Files] = SystemFiles) -> None:
        self.root = root
        self._files = files
        self._writes = 0
        self.disk = self._start(None)
        self._marker = self.disk.bind()

    @property
    def side(self) -> Side:
        return self.disk

    def put_behind(self, path: str, data: bytes) -> None:
        """Write in place; with an old mtime of its own, so that no tag is racy."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        self._writes += 1
        stamp = 1_500_000_000_000_000_000 + self._writes * 1_000_000_000
        os.utime(file, ns=(stamp, stamp))

    def remove_behind(self, path: str) -> None:
        (self.root / path).unlink()

    def read_behind(self, path: str) -> bytes | None:
        try:
            return (self.root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def crash(self) -> None:
        self.disk = self._start(self._marker)

    def _start(self, marker: str | None) -> Disk:
        return Disk(self.root, "laptop", SystemClock(), ignored, marker, self._files())


class WithoutExchange(SystemFiles):
    """A file system that cannot swap two names (NFS has no flags at all, FAT lacks this one)."""

    def exchange(self, source: int, name: str, target: int, new: str) -> None:
        raise OSError(errno.EINVAL, "no such flag")


class LinksOnly(WithoutExchange):
    """A file system where only a hard link keeps a name from being replaced."""

    def move(self, source: int, name: str, target: int, new: str) -> None:
        raise OSError(errno.EINVAL, "no such flag")


class OldKernel(SystemFiles):
    """A kernel before 5.6, without openat2."""

    def __init__(self) -> None:
        super().__init__()
        self._has_openat2 = False


class Folding(SystemFiles):
    """A file system to which `README`, `Readme` and both ways to write an accent are one name."""

    def stat(self, directory: int, name: str) -> Node:
        return super().stat(directory, self._known(directory, name))

    def enter(self, directory: int, path: str) -> int:
        here = super().enter(directory, "")
        for segment in filter(None, path.split("/")):
            try:
                below = super().enter(here, self._known(here, segment))
            finally:
                self.close(here)
            here = below
        return here

    def open(self, directory: int, name: str) -> int:
        return super().open(directory, self._known(directory, name))

    def create(self, directory: int, name: str) -> int:
        return super().create(directory, self._known(directory, name))

    def readlink(self, directory: int, name: str) -> bytes:
        return super().readlink(directory, self._known(directory, name))

    def unlink(self, directory: int, name: str) -> None:
        super().unlink(directory, self._known(directory, name))

    def mkdir(self, directory: int, name: str, mode: int) -> None:
        super().mkdir(directory, self._known(directory, name), mode)

    def rmdir(self, directory: int, name: str) -> None:
        super().rmdir(directory, self._known(directory, name))

    def move(self, source: int, name: str, target: int, new: str) -> None:
        super().move(source, self._known(source, name), target, self._known(target, new))

    def rename(self, source: int, name: str, target: int, new: str) -> None:
        super().rename(source, self._known(source, name), target, self._known(target, new))

    def exchange(self, source: int, name: str, target: int, new: str) -> None:
        super().exchange(source, self._known(source, name), target, self._known(target, new))

    def link(self, source: int, name: str, target: int, new: str) -> None:
        super().link(source, self._known(source, name), target, self._known(target, new))

    @staticmethod
    def _known(directory: int, name: str) -> str:
        """What a name is called in a directory that may hold it in another form."""
        held = os.listdir(directory)
        if name in held:
            return name
        return next((other for other in held if folded(other) == folded(name)), name)


def _disk(files: Callable[[], Files]) -> Factory:
    @contextmanager
    def factory(request: pytest.FixtureRequest) -> Iterator[World]:
        root: Path = request.getfixturevalue("tmp_path") / "folder"
        root.mkdir()
        yield DiskWorld(root, files)

    return factory


world("disk")(_disk(SystemFiles))
world("disk-without-exchange")(_disk(WithoutExchange))
world("disk-links-only")(_disk(LinksOnly))
world("disk-old-kernel")(_disk(OldKernel))
world("disk-folding")(_disk(Folding))
