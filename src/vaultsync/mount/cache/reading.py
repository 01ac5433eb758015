"""Reading content, and waiting for it.

Who changes content holds the drive's lock, who reads it does not: a reader takes a descriptor and
the content's epoch with the lock, reads without, and reads again when the epoch is another one
then. Content that is all here is read without the lock altogether.
"""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vaultsync.mount.cache.files import read_fully

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.mount.cache.content import Content, Flight
    from vaultsync.mount.cache.files import Files, Handle
    from vaultsync.mount.cache.hydration import Hydration
    from vaultsync.mount.cache.sealing import Sealing
    from vaultsync.mount.cache.shelf import Shelf
    from vaultsync.mount.ports import Node, Use
    from vaultsync.state.drive import DriveStore

_TRIES = 16
_FREE_TRIES = 3


class Reader:
    """Reads content that is here, or has it fetched.

    Args:
        store: The drive's lock.
        files: The cache folder.
        shelf: Where the content is.
        hydration: Fetches ranges.
        sealing: Checks the whole.
    """

    def __init__(
        self,
        store: DriveStore,
        files: Files,
        shelf: Shelf,
        hydration: Hydration,
        sealing: Sealing,
    ) -> None:
        self._store = store
        self._files = files
        self._shelf = shelf
        self._hydration = hydration
        self._sealing = sealing

    def read(self, node: Node, offset: int, size: int, *, ahead: bool) -> bytes:
        """As `ports.Contents.read`."""
        with self._kept(node):
            return self._read(node, offset, size, ahead=ahead)

    def _read(self, node: Node, offset: int, size: int, *, ahead: bool) -> bytes:
        mine: list[Flight] = []
        for attempt in range(_TRIES):
            with self._store.lock:
                stop = min(offset + size, node.size)
                if stop <= offset:
                    return b""
                state = self._shelf.state(node)
                epoch = state.epoch
                # One read is one step of a reader, however often it looks.
                first = ahead and not attempt
                handle, flights = self._look(state, offset, stop, mine, ahead=first)
                if not flights and attempt >= _FREE_TRIES:
                    # Somebody changes it all the time: he has to wait.
                    return self._gather(handle, offset, stop, mine, exact=True)
            for flight in flights:
                self._hydration.wait(flight)
            mine += flights
            if not flights:
                data = self._gather(handle, offset, stop, mine)
                if len(data) == stop - offset and state.epoch == epoch:
                    return data
        raise OSError(errno.EIO, "the content keeps changing")

    def hydrate(self, node: Node) -> None:
        """As `ports.Contents.hydrate`."""
        with self._kept(node):
            while True:
                with self._store.lock:
                    state = self._shelf.state(node)
                    if self._shelf.whole(state):
                        return
                    self._readable(state)
                    flights = self._hydration.want_all(state)
                    wait_for = flights[0] if flights else self._sealing.begin(state, fetched=True)
                self._hydration.wait(wait_for)

    def quickly(self, node: Node, offset: int, size: int) -> bytes | None:
        """Read content that is all here without the lock; None when that cannot be done."""
        data = b""

        def use(descriptor: int, start: int, length: int) -> bool:
            nonlocal data
            data = read_fully(descriptor, start, length)
            return len(data) == length

        return data if self.lend(node, offset, size, use) else None

    def lend(self, node: Node, offset: int, size: int, use: Use) -> bool:
        """As `ports.Contents.lend`."""
        state = self._shelf.states.get(node.id)
        if state is None or (state.touched and not node.dirty):
            return False
        # In this order: what takes content away says so in `here` first, then in the epoch, and
        # touches the file last. So all is here for as long as the epoch is this one.
        epoch = state.epoch
        if node.here != 2:
            return False
        handle = self._files.taken(node.id)
        if handle is None:
            return False
        try:
            stop = min(offset + size, node.size)
            whole = stop > offset and use(handle.descriptor, offset, stop - offset)
        finally:
            self._files.give(handle)
        return whole and state.epoch == epoch

    @contextmanager
    def _kept(self, node: Node) -> Iterator[None]:
        """What comes for somebody must not go before he has it, to make room for the rest."""
        with self._store.lock:
            state = self._shelf.state(node)
            state.users += 1
        try:
            yield
        finally:
            with self._store.lock:
                state.users -= 1

    def _look(
        self, state: Content, start: int, stop: int, mine: list[Flight], *, ahead: bool
    ) -> tuple[Handle | None, list[Flight]]:
        """With the lock: what to wait for, or else the file to read from, if one is needed."""
        if self._shelf.whole(state):
            mine.clear()
            return self._shelf.all_of(state), []
        self._readable(state)
        kept = [one for one in (*mine, *state.spare) if one.data and one.epoch == state.epoch]
        mine[:] = sorted(kept, key=lambda one: one.start)
        flights = self._hydration.want(state, start, stop, mine, ahead=ahead)
        if flights or not self._hydration.spans(state):
            return None, flights
        return self._files.take(state.node.id), []

    def _gather(
        self,
        handle: Handle | None,
        start: int,
        stop: int,
        mine: list[Flight],
        *,
        exact: bool = False,
    ) -> bytes:
        """From the file, except what could not be stored and is in memory; gives the file back."""
        pieces: list[bytes] = []
        at = start
        try:
            for one in mine:
                if one.data is None or one.stop <= at or one.start >= stop:
                    continue
                if at < one.start and handle is not None:
                    pieces.append(read_fully(handle.descriptor, at, one.start - at))
                at = max(at, one.start)
                pieces.append(one.data[at - one.start : stop - one.start])
                at = min(one.stop, stop)
            if at < stop and handle is not None:
                pieces.append(read_fully(handle.descriptor, at, stop - at))
        finally:
            if handle is not None:
                self._files.give(handle)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if exact and len(data) != stop - start:
            raise OSError(errno.EIO, "the file is too short")
        return data

    def _readable(self, state: Content) -> None:
        if state.failed > time.monotonic():
            raise OSError(errno.EIO, "the content was damaged")
        if state.node.o_etag is None:
            raise OSError(errno.EIO, "this content is nowhere")
