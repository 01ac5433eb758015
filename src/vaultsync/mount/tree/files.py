"""Operations on the bytes of files."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

from vaultsync.mount.ports import Caller, Node, NodeKind, Use, WouldBlock
from vaultsync.mount.tree.change import Change
from vaultsync.mount.tree.memory import fail
from vaultsync.mount.tree.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_MAX = 2**63 - 1
KEEP_SIZE = 1
PUNCH_HOLE = 2
ZERO_RANGE = 16
SEEK_DATA = 3
SEEK_HOLE = 4
_MODES = (
    0,
    KEEP_SIZE,
    PUNCH_HOLE | KEEP_SIZE,
    ZERO_RANGE,
    ZERO_RANGE | KEEP_SIZE,
)
_PIECE = 1 << 20
"""Bytes copied at once."""
_TRIES = 5
_CAPABILITY = b"security.capability"


class Files(Naming):
    """The part of a `ports.FileSystem` that is about content; its law is there."""

    # Opening and closing

    def create(
        self, caller: Caller, parent: int, name: bytes, mode: int, flags: int
    ) -> tuple[Node, int]:
        """See `ports.FileSystem`."""
        writes = bool(flags & os.O_ACCMODE)
        while True:
            with self.store.lock:
                self.directory(parent)
                number = self.find_name(parent, name)
            if not number:
                with suppress(FileExistsError):
                    return self._create(caller, parent, name, mode, writes=writes)
                continue
            if flags & os.O_EXCL:
                raise fail(errno.EEXIST)
            handle, _ = self.open(number, flags, wait=True, kill=caller.uid != 0)
            with Change(self):
                self.remember(caller, number)
                return self.refer(self.node(number)), handle

    def _create(
        self, caller: Caller, parent: int, name: bytes, mode: int, *, writes: bool
    ) -> tuple[Node, int]:
        with Change(self) as change:
            handle = self.next_handle()
            node = self.make(change, caller, parent, name, NodeKind.FILE, mode, opening=writes)
            change.then(partial(self.keep_open, handle, node, writes=writes))
            change.then(partial(self.refer, node))
        return node, handle

    def open(self, node: int, flags: int, *, wait: bool, kill: bool = True) -> tuple[int, bool]:
        """See `ports.FileSystem`.

        Pages may always be kept: what replaces content in the vault's name makes a new node.
        """
        del wait  # emptying needs nothing that is not here
        writes = bool(flags & os.O_ACCMODE)
        told: list[tuple[str, bool]] = []
        with self.store.lock:
            opened = self.file(node)
            emptied = bool(flags & os.O_TRUNC)
            if emptied:
                self._resize(opened, 0, kill=kill)
            handle = self.opened(opened, writes=writes)
            if emptied:
                told = self.stream(opened)
        self.announce(told)
        return handle, True

    def file(self, number: int) -> Node:
        """The node of a file. ENOENT, EISDIR, and EINVAL for another thing."""
        node = self.node(number)
        if node.kind is not NodeKind.FILE:
            raise fail(errno.EISDIR if node.kind is NodeKind.DIR else errno.EINVAL)
        return node

    def flush(self, node: int, handle: int) -> None:  # noqa: ARG002 - the contract's
        """See `ports.FileSystem`."""
        with self.store.lock:
            self.settle(self.node(node))

    def release(self, node: int, handle: int) -> None:  # noqa: ARG002 - the contract's
        """See `ports.FileSystem`."""
        with self.store.lock:
            told = self.closed(handle)
        self.announce(told)

    def fsync(self, node: int, handle: int, *, data_only: bool) -> None:  # noqa: ARG002
        """See `ports.FileSystem`. A directory's node is fine too."""
        with self.store.lock:
            synced = self.node(node)
            self.settle(synced)
        if synced.kind is NodeKind.FILE:
            self.contents.sync(synced)
        self.store.sync()
        if synced.kind is NodeKind.FILE:
            self.deliver(synced)

    # Reading and writing

    def read(
        self, node: int, handle: int, offset: int, size: int, *, wait: bool, pid: int = 0
    ) -> bytes:
        """See `ports.FileSystem`."""
        with self.store.lock:
            wanted = self.file(node)
            self.adopt(handle, wanted)
            if offset >= wanted.size or size <= 0:
                return b""
            if not wait and not self.contents.usable(wanted, offset, size):
                raise WouldBlock
            self.looked_at(wanted)
        ahead = wanted.here == 2 or self._reads_on(handle, pid)
        return self.contents.read(wanted, offset, size, ahead=ahead)

    def _reads_on(self, number: int, pid: int) -> bool:
        """Whether a handle's reader may want what follows; it is asked once who that is."""
        handle = self._handles.get(number)
        if handle is None:
            return True
        if handle.glances is None:
            handle.glances = self.glances(pid)
        return not handle.glances

    def lend(self, node: int, handle: int, offset: int, size: int, use: Use) -> bool:
        """See `ports.FileSystem`."""
        with self.store.lock:
            wanted = self.file(node)
            self.adopt(handle, wanted)
            if not (0 <= offset < wanted.size and self.contents.usable(wanted, offset, size)):
                return False
            self.looked_at(wanted)
        return self.contents.lend(wanted, offset, size, use)

    def write(
        self,
        node: int,
        handle: int,
        offset: int,
        data: memoryview,
        *,
        wait: bool,
        kill: bool = True,
    ) -> int:
        """See `ports.FileSystem`."""
        size = data.nbytes
        if offset < 0:
            raise fail(errno.EINVAL)
        if offset + size > SIZE_MAX:
            raise fail(errno.EFBIG)
        with self._whole(node, wait=wait, over=offset) as written:
            self.adopt(handle, written, writes=True)
            if not size:
                return 0
            self._soil(written, kill=kill)
            self.noted(written, offset, offset + size)
            try:
                done = self.contents.write(written, offset, data)
            except OSError:
                self._failed(written, offset + size)
                raise
            sparse = offset > written.size or written.holes
            self._changed(written, max(written.size, offset + done))
            if sparse:
                self.weigh(written)
            told = self.stream(written)
        if told:
            self.announce(told)
        return done

    @contextmanager
    def _whole(self, number: int, *, wait: bool, over: int = SIZE_MAX) -> Iterator[Node]:
        """The node of a file all of whose content is here, with the lock held.

        Args:
            number: The node.
            wait: As in `ports.FileSystem`.
            over: From where on bytes of it are to be replaced. That they are not what is in the
                vault any more survives a power cut then, before any of them is replaced: some of
                the new ones may survive it too.
        """
        noted = False
        opened: Node | None = None
        try:
            for _ in range(_TRIES):
                with self.store.lock:
                    node = self.file(number)
                    entire = self._entire(node)
                    if entire and (noted or node.dirty or over >= node.size):
                        yield node
                        return
                    if not wait:
                        raise WouldBlock
                    if opened is None:
                        self.contents.opened(node)  # what is here may go again before we look
                        opened = node
                    if entire:
                        self._soil(node, kill=False)
                if entire:
                    self.store.sync()
                    noted = True
                else:
                    self.contents.hydrate(node)
        finally:
            if opened is not None:
                with self.store.lock:
                    self.contents.closed(opened)
        raise fail(errno.EIO)

    def _entire(self, node: Node) -> bool:
        """Whether all is here, after a look at the file: what `here` says may be believed then."""
        self.contents.usable(node, 0, node.size)
        return node.here == 2

    def _soil(self, node: Node, *, kill: bool) -> None:
        """Commit that content is going to differ from its origin, before it does."""
        kill = kill and self._privileged(node)
        if node.dirty and node.sha256 is None and not kill and node.id not in self._displaced:
            return
        with Change(self) as change:
            change.touch(node)
            self.rescue(change, node)
            node.dirty = True
            node.sha256 = None
            node.change += 1
            if kill:
                self._strip(node)

    def _privileged(self, node: Node) -> bool:
        if self._stripped(node) != node.mode:
            return True
        if node.id in self._bare:
            return False
        names = self.rows.attributes(node.id)
        if not names:
            self.bare(node)
        return _CAPABILITY in names

    def _strip(self, node: Node) -> None:
        """Take setuid, setgid and file capabilities away, within a change that touches it."""
        node.mode = self._stripped(node)
        if node.id not in self._bare:
            self.rows.remove_attribute(node.id, _CAPABILITY)

    @staticmethod
    def _stripped(node: Node) -> int:
        """The mode without setuid, and without a setgid that means a group."""
        drop = stat.S_ISUID
        if node.mode & stat.S_IXGRP:
            drop |= stat.S_ISGID
        return node.mode & ~drop

    def _changed(self, node: Node, size: int) -> None:
        """Note in memory that content was written."""
        node.size = size
        node.change += 1
        node.mtime = node.ctime = time.time_ns()
        self.unsettled[node.id] = node

    def _failed(self, node: Node, end: int) -> None:
        """A write has failed: some of it may have happened, but nothing behind the end."""
        self._changed(node, node.size)
        if end > node.size:
            with suppress(OSError):
                self.contents.truncate(node, node.size)

    # Sizes

    def resize(self, number: int, size: int, *, wait: bool, kill: bool) -> None:
        """Make a file that long, waiting for its content where some of it stays.

        Takes the lock itself.
        """
        with self.store.lock:
            node = self.file(number)
            if size in (0, node.size):
                self._resize(node, size, kill=kill)
                return
        with self._whole(number, wait=wait) as node:
            self._resize(node, size, kill=kill)

    def _resize(self, node: Node, size: int, *, kill: bool) -> None:
        """Cut or fill up content that is all here, or of which nothing stays."""
        if size == node.size:
            with Change(self) as change:
                change.touch(node)
                node.change += 1
                node.mtime = node.ctime = change.now
                if kill:
                    self._strip(node)
            return
        sparse = size > node.size or node.holes
        self.noted(node, min(size, node.size), max(size, node.size))
        if not self._entire(node):
            with Change(self) as change:
                # What is not all here becomes dirty together with being empty: before, it had
                # nothing of its own to be dirty with.
                change.touch(node)
                self.contents.truncate(node, size)
                self._sized(change, node, size, kill=kill)
        elif size > node.size:
            self._soil(node, kill=kill)
            try:
                self.contents.truncate(node, size)
                with Change(self) as change:
                    self._sized(change, node, size, kill=kill)
            except OSError:
                with suppress(OSError):
                    self.contents.truncate(node, node.size)
                raise
        else:
            self._cut(node, size, kill=kill)
        if sparse:
            self.weigh(node)

    def _cut(self, node: Node, size: int, *, kill: bool) -> None:
        """Make content that is all here shorter: not before the row says so, it may be refused."""
        self._soil(node, kill=kill)
        if size and self.contents.measure(node.id) is None:
            raise OSError(errno.EIO, "the content is lost")
        with Change(self) as change:
            self._sized(change, node, size, kill=kill)
        self.contents.truncate(node, size)
        self.contents.settled(node)

    def _sized(self, change: Change, node: Node, size: int, *, kill: bool) -> None:
        """Note another size, within a change."""
        change.touch(node)
        self.rescue(change, node)
        node.size = size
        node.dirty = True
        node.sha256 = None
        node.change += 1
        node.mtime = node.ctime = time.time_ns()
        if kill:
            self._strip(node)

    def fallocate(
        self,
        node: int,
        handle: int,
        mode: int,
        offset: int,
        length: int,
        *,
        wait: bool,
        kill: bool = True,
    ) -> None:
        """See `ports.FileSystem`."""
        if offset < 0 or length <= 0:
            raise fail(errno.EINVAL)
        if mode not in _MODES:
            raise fail(errno.EOPNOTSUPP)
        if offset + length > SIZE_MAX:
            raise fail(errno.EFBIG)
        told: list[tuple[str, bool]] = []
        with self._whole(node, wait=wait, over=offset) as wanted:
            self.adopt(handle, wanted, writes=True)
            self._soil(wanted, kill=kill)
            self.noted(wanted, offset, offset + length)
            try:
                self.contents.allocate(wanted, mode, offset, length)
            except OSError:
                self._failed(wanted, offset + length)
                raise
            size = wanted.size if mode & KEEP_SIZE else max(wanted.size, offset + length)
            self._changed(wanted, size)
            self.weigh(wanted)
            self.settle(wanted)
            told = self.stream(wanted)
        self.announce(told)

    def lseek(self, node: int, handle: int, offset: int, whence: int) -> int:
        """See `ports.FileSystem`."""
        if whence not in (SEEK_DATA, SEEK_HOLE):
            raise fail(errno.EINVAL)
        with self.store.lock:
            looked = self.file(node)
            self.adopt(handle, looked)
            if not 0 <= offset < looked.size:
                raise fail(errno.ENXIO)
            if not self._entire(looked):
                return offset if whence == SEEK_DATA else looked.size
            try:
                found = self.contents.seek(looked, offset, whence)
            except OSError as error:
                if error.errno == errno.ENXIO and whence == SEEK_HOLE:
                    return offset  # the cache file is shorter: a hole up to the end
                raise
            if found >= looked.size and whence == SEEK_DATA:
                raise fail(errno.ENXIO)
            return min(found, looked.size)

    def copy_file_range(
        self,
        source: int,
        offset: int,
        target: int,
        target_offset: int,
        length: int,
        *,
        wait: bool,
        kill: bool = True,
    ) -> int:
        """See `ports.FileSystem`. Over 1 MiB needs `wait`; within a file ranges may not overlap."""
        if offset < 0 or target_offset < 0 or length < 0:
            raise fail(errno.EINVAL)
        if not wait and length > _PIECE:
            raise WouldBlock
        with self.store.lock:
            length = min(length, max(0, self.file(source).size - offset))
            self.file(target)
        if source == target and offset < target_offset + length and target_offset < offset + length:
            raise fail(errno.EINVAL)
        done = 0
        while done < length:
            piece = min(_PIECE, length - done)
            try:
                data = self.read(source, 0, offset + done, piece, wait=wait)
                if not data:
                    break
                done += self.write(
                    target, 0, target_offset + done, memoryview(data), wait=wait, kill=kill
                )
            except OSError:
                if not done:
                    raise
                break
        with self.store.lock:
            self.settle(self.node(target))
        return done
