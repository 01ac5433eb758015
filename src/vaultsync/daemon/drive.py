"""A drive as the home of a profile's files: there without network, sign-in or mount."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, NotFound, Retry, VaultsyncError
from vaultsync.core.ignore import FILE
from vaultsync.core.model import Mount
from vaultsync.daemon.binding import DATABASE, move_aside, moved_aside, open_store
from vaultsync.daemon.delivery import Delivery
from vaultsync.daemon.marks import FileMarks, shown
from vaultsync.daemon.mounting import Mounting
from vaultsync.daemon.pins import Pins
from vaultsync.daemon.rules import LONGEST, Rules, Seen
from vaultsync.mount.cache.cache import Cache
from vaultsync.mount.drive import SMALL, Drive
from vaultsync.mount.keeping import FEW
from vaultsync.mount.onlookers import Onlookers
from vaultsync.mount.ports import NodeKind
from vaultsync.mount.tree.tree import Tree
from vaultsync.state.drive import DriveStore
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.config import Profile
    from vaultsync.core.ports import Clock
    from vaultsync.core.standing import Shown
    from vaultsync.daemon.home import Watch
    from vaultsync.paths import Places
    from vaultsync.remote.bucket import Bucket
    from vaultsync.sync.engine import Engine

log = logging.getLogger(__name__)

GB = 1_000_000_000
"""Bytes."""


class Reach:
    """The vault as a `mount.ports.Source`, while it can be reached.

    Attributes:
        bucket: The vault; None while it cannot be reached.
    """

    bucket: Bucket | None = None

    def fetch(
        self, path: str, etag: str, version: str | None, offset: int, length: int
    ) -> Iterator[bytes]:
        """See `mount.ports.Source`."""
        bucket = self.bucket
        if bucket is None:
            raise Retry("The vault cannot be reached at the moment.", "See `vaultsync status`.")
        return bucket.fetch(path, etag, version, offset, length)


class DriveFile:
    """The drive's `.vaultsyncignore`; implements `rules.Reader`.

    It is pinned: without a network, too, nothing may go out that is to stay here.

    Attributes:
        drive: Tree, contents and pins; None while they are not open.
    """

    drive: tuple[Tree, Cache, Pins] | None = None

    def __call__(self, seen: Seen | None) -> tuple[Seen | None, str | None]:
        """See `rules.Reader`."""
        if self.drive is None:
            return seen, None
        tree, contents, pins = self.drive
        try:
            node = tree.find(FILE)
        except VaultsyncError as error:
            raise OSError(errno.EIO, error.message) from error
        if node is None:
            return None, "" if seen is not None else None
        now = (node.id, node.change, node.size)
        if now == seen or node.kind is not NodeKind.FILE:
            return seen, None
        if not node.pinned:
            pins.set(node, pinned=True)
        text = contents.read(node, 0, min(node.size, LONGEST)) if node.size else b""
        return now, text.decode(errors="replace")


class NoWatch:
    """The tree tells of every change itself. Implements `home.Watch`."""

    def keep(self) -> None:
        """Nothing is ever due."""

    def renew(self) -> None:
        """The tree knows no rules."""

    def patience(self) -> float:
        """For ever."""
        return float("inf")

    def warnings(self) -> tuple[str, ...]:
        """There are none."""
        return ()

    def stop(self) -> None:
        """Nothing runs."""


class DriveHome:
    """The vault as a drive. Implements `home.Home`, whose comments hold."""

    def __init__(self, profile: Profile, places: Places, clock: Clock) -> None:
        self._profile = profile
        self._places = places
        self._clock = clock
        self._file = places.state_dir / DATABASE
        self._contents = places.cache_dir / "content"
        self._reach = Reach()
        self._ignore = DriveFile()
        self._engine: Engine | None = None
        self._listening = False
        self._opened: ExitStack | None = None
        self._drive: Drive | None = None
        self._cache: Cache | None = None
        self._tree: Tree | None = None
        self._pins: Pins | None = None
        self._mounting: Mounting | None = None
        self._delivery: Delivery | None = None
        self._aside: tuple[str, ...] = ()
        self.rules = Rules(self._ignore, profile.folder.ignore)
        self.whole = SMALL
        self.lazy = True

    def open(self) -> None:
        """See `home.Home`."""
        if self._opened is not None:
            return
        # This makes the database, or moves aside what cannot be used.
        open_store(self._places.state_dir, self._profile.cloud, None, self._contents).close()
        with ExitStack() as stack:
            try:
                self._open(stack)
            except OSError as error:
                raise Blocked(
                    f"The drive cannot be opened: {error.strerror}.",
                    f"Make room on the disk of {self._contents}, or make it writable.",
                ) from error
            self._opened = stack.pop_all()
        self.rules.reload()

    def _open(self, stack: ExitStack) -> None:
        store = stack.enter_context(DriveStore(self._file))
        cache = Cache(store, self._contents, self._reach, self._limit(None))
        stack.callback(cache.close)
        marks = FileMarks(self._file, lambda: self._engine, self.rules.rule)
        stack.callback(marks.close)
        owner = (os.getuid(), os.getgid())
        tree = Tree(store, cache, owner=owner, dirty=self._dirty, marks=marks)
        stack.callback(_close, tree)
        self._delivery = Delivery(tree, marks.row, lambda: self._engine, self.rules)
        if self._profile.drive.fsync == "remote":
            tree.deliver = self._delivery.wait
        tree.glances = Onlookers(self._profile.drive.onlookers)
        if cache.losses:
            log.error("Contents of %d files are gone from %s.", len(cache.losses), self._contents)
        pins = marks.pins = Pins(tree, cache)
        marks.tree = tree
        stack.callback(pins.close)
        device = self._profile.device.name
        drive = Drive(tree, cache, self._places.cache_dir, device, self._clock, self.rules)
        mounting = Mounting(
            self._places.drive_socket,
            self._places.state_dir / "mount.json",
            tree,
            resized=lambda size: setattr(cache, "limit", self._limit(size)),
            ended=lambda: self._dirty("", False),
        )
        drive.keeping.lookup = marks.row
        drive.keeping.missing = self._look_there
        cache.relocate = drive.relocate
        drive.invalidate = mounting.telling(pins.noticed)
        stack.callback(self._forget)
        self._drive, self._cache, self._tree, self._pins = drive, cache, tree, pins
        self._mounting = mounting
        self._ignore.drive = tree, cache, pins
        self._aside = moved_aside(self._file, self._contents)
        stack.callback(mounting.stop)
        if self._listening:
            mounting.start()

    def _forget(self) -> None:
        self._drive = self._cache = self._tree = self._pins = self._mounting = None
        self._delivery = None
        self._ignore.drive = None

    def listen(self) -> None:
        """See `home.Home`."""
        self._listening = True
        if self._mounting is not None:
            self._mounting.start()

    def close(self) -> None:
        """See `home.Home`."""
        stack, self._opened = self._opened, None
        if stack is not None:
            stack.close()

    def store(self) -> Store:
        """See `home.Home`. Opens what `open` has made and found to be this vault's."""
        return Store(self._file)

    def give_up(self) -> None:
        """See `home.Home`."""
        self.close()
        move_aside(self._file, "damaged", self._contents)

    def side(self, stack: ExitStack, store: Store) -> Drive:  # noqa: ARG002
        """See `home.Home`."""
        return self._sure

    def connect(self, stack: ExitStack, engine: Engine, bucket: Bucket) -> None:
        """See `home.Home`."""

        def disconnect() -> None:
            self._reach.bucket = self._engine = None

        self._reach.bucket, self._engine = bucket, engine
        stack.callback(disconnect)
        if self._pins is not None:
            self._pins.wake()

    def watch(self, mark: Callable[[str, bool], None]) -> Watch:
        """See `home.Home`."""
        # What happened while there was no engine is only found by looking.
        mark("", False)
        return NoWatch()

    def keep(self, store: Store) -> None:
        """See `home.Home`. As long as it finds many at once, there may be more."""
        try:
            while self._sure.keep(store.row) >= FEW:
                pass
            if self._delivery is not None:
                self._delivery.turned()
        except OSError as error:
            raise Blocked(
                f"The drive cannot be written: {error.strerror}.", "Make room on the disk."
            ) from error

    def warnings(self) -> tuple[str, ...]:
        """See `home.Home`."""
        cache = self._cache
        lost = len(cache.losses) if cache is not None else 0
        if not lost:
            return self._aside
        files = "1 file" if lost == 1 else f"{lost} files"
        gone = f"What was written to {files} and not sent yet is gone from {self._contents}"
        return (*self._aside, f"{gone}: somebody emptied it, or the disk lost it.")

    def mount(self) -> Mount | None:
        """See `home.Home`."""
        cache, mounting = self._cache, self._mounting
        found = Mount() if mounting is None else mounting.state()
        return found if cache is None else replace(found, cached=cache.used, limit=cache.limit)

    def show(self, path: str) -> Shown | None:
        """See `home.Home`."""
        tree = self._tree
        node = None if tree is None else tree.find(path)
        return None if node is None else shown(node)

    def pin(self, path: str, *, pinned: bool) -> None:
        """See `home.Home`."""
        tree, pins = self._tree, self._pins
        if tree is None or pins is None:
            raise Retry("The drive is not open at the moment.", "See `vaultsync status`.")
        node = tree.find(path.strip("/"))
        if node is None:
            raise NotFound(f"There is no '{path}' in the drive.", "Check the name.")
        pins.set(node, pinned=pinned)

    @property
    def _sure(self) -> Drive:
        if self._drive is None:
            raise Retry("The drive is not open at the moment.", "See `vaultsync status`.")
        return self._drive

    def _limit(self, gigabytes: float | None) -> int:
        return int((self._profile.drive.cache_gb if gigabytes is None else gigabytes) * GB)

    def _look_there(self, path: str) -> None:
        engine = self._engine
        if engine is not None:
            engine.errands.ask(path, there=True)

    def _dirty(self, path: str, writing: bool) -> None:
        engine = self._engine
        if engine is not None:
            engine.mark(path, writing)


def _close(tree: Tree) -> None:
    """Write down what memory alone knows, or leave it: then it is found out at the next start."""
    try:
        tree.close()
    except OSError as error:
        log.warning("The drive could not be written at its end: %s", error.strerror)
