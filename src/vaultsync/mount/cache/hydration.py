"""Fetching content that is not here: which ranges, when, and what becomes of their bytes.

What the rows claim must be true after a crash of the process at any point, and after a power cut:

- An extent is recorded after its bytes were written. The process may die then; the kernel has them.
- A power cut may take bytes that were written but not synced. Syncing each range would cost more
  than it is worth, so extents are claims for this boot of the machine only: `cache` drops content
  that is partly here when it starts in another one. It is clean and can be fetched again.
- `here` becomes 2 after fdatasync(2) of the whole (`sealing`), for one sync per file. The file's
  mtime is then set to a number that names the version (`files.stamp`). Any write changes it: a
  clean node whose file lacks its stamp was written to by somebody who did not live to say so, or
  is of a version that the rows have forgotten: it is dropped when it is next opened, and fetched.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from vaultsync.core.errors import Retry, Stale, VaultsyncError
from vaultsync.mount.cache.content import Flight
from vaultsync.mount.cache.files import write_fully
from vaultsync.mount.cache.readahead import BLOCK, GRAIN, LARGEST, cut, plan
from vaultsync.mount.cache.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vaultsync.mount.cache.content import Content
    from vaultsync.mount.cache.eviction import Room
    from vaultsync.mount.cache.files import Files, Handle
    from vaultsync.mount.cache.pool import Pool
    from vaultsync.mount.cache.sealing import Sealing
    from vaultsync.mount.ports import Node, Source
    from vaultsync.state.drive import DriveStore
    from vaultsync.state.extents import ExtentStore

AHEAD = 16
"""Ranges of one file that are on their way at once, at most."""
_COPIED = 64 << 20
"""Bytes copied within the drive at once."""
CALM = 5.0
"""Seconds after a failure in which no long patience is had with the network."""
_log = logging.getLogger(__name__)


class Hydration:
    """Brings ranges of versions into the cache's files.

    Args:
        store: The drive's rows, and the lock.
        rows: Those that say what is here.
        files: The cache folder.
        room: What may be stored.
        pool: The threads that fetch.
        source: The vault.
        patience: Seconds that a passing fault is borne before a read fails.
        sealing: What comes after the last range.

    Attributes:
        relocate: Asked, without the lock, for a new origin of content that is not at its old one
            any more; whether there is one.
    """

    def __init__(
        self,
        store: DriveStore,
        rows: ExtentStore,
        files: Files,
        room: Room,
        pool: Pool,
        source: Source,
        patience: float,
        sealing: Sealing,
    ) -> None:
        self._store = store
        self._rows = rows
        self._files = files
        self._room = room
        self._pool = pool
        self._source = source
        self._patience = patience
        self._sealing = sealing
        self.relocate: Callable[[Node], bool] = lambda _: False
        self._closing = threading.Event()
        self._failed = -CALM
        self._moved = 0.0

    def close(self) -> None:
        """Give up what is being waited for."""
        self._closing.set()

    def spans(self, state: Content) -> Spans:
        """What is here of it. With the lock."""
        if state.spans is None:
            state.spans = Spans(self._rows.spans(state.node.id))
        return state.spans

    def want(
        self, state: Content, start: int, stop: int, mine: list[Flight], *, ahead: bool
    ) -> list[Flight]:
        """Have those bytes fetched, and perhaps what follows; with the lock.

        Args:
            state: The content.
            start: The first byte.
            stop: The byte after the last.
            mine: Ranges that the reader has in memory.
            ahead: Whether to fetch in advance.

        Returns:
            What is to be waited for; nothing when all is here.
        """
        here = self.spans(state)
        needed = _without(here.gaps(start, stop), mine)
        chosen = plan(state, start, stop, ahead=ahead)
        if needed:
            low = min(gap[0] for gap in needed) // chosen.grain * chosen.grain
            high = max(gap[1] for gap in needed)
            high = min(-(-high // chosen.grain) * chosen.grain, state.node.size)
            self._launch(state, needed, (low, high), chosen.piece)
        if chosen.until > stop and len(state.flights) < AHEAD:
            self._ahead(state, stop, chosen.until, chosen.piece)
        flights = self._wanted(state, needed)
        if needed and not flights:
            # Never zeros: what is neither here nor on its way cannot be read.
            raise OSError(errno.EIO, "bytes are missing")
        return flights

    def want_all(self, state: Content) -> list[Flight]:
        """Have more of what is missing fetched, however full the cache is. With the lock.

        Returns what is on its way; nothing when all is here.
        """
        missing = _without(self.spans(state).gaps(0, state.node.size), state.flights)
        total = sum(stop - start for start, stop in missing)
        piece = min(max(BLOCK, total // AHEAD // BLOCK * BLOCK), LARGEST)
        for start, stop in cut(missing, piece):
            if len(state.flights) >= AHEAD:
                break
            if not self._room.promise(stop - start, above=True):
                if not state.flights:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                break
            self._send(state, start, stop, stored=True, urgent=False)
        # What is not stored is of no use here; it is fetched again.
        return list(state.flights)

    def fill(self, state: Content, data: bytes) -> None:
        """Keep all bytes of content of which nothing is here or on its way. With the lock.

        That they are safely on the disk is waited for when somebody writes to the content.
        """
        if state.flights or state.started or not self._room.promise(len(data)):
            return
        flight = Flight(state, state.epoch, 0, len(data))
        try:
            handle = self._target(state)
            try:
                write_fully(handle.descriptor, 0, data)
                self._record(flight, handle, seal=False)
            finally:
                self._files.give(handle)
        finally:
            self._room.keep(len(data))

    def copy(self, state: Content, model: Content) -> None:
        """Begin to copy content that is all here to other content. With the lock."""
        size = state.node.size
        if state.flights or state.started or not self._room.promise(size):
            return
        flight = Flight(state, state.epoch, 0, size, model=(model, model.epoch))
        state.flights.append(flight)
        self._submit(flight, partial(self._fly, flight))

    def wait(self, flight: Flight) -> None:
        """Until it has landed. OSError when it failed, or does not move any more."""
        while not flight.landed.wait(1.0):
            # What has not begun waits for the others, for as long as they get on.
            moved = flight.moved if flight.begun else max(flight.moved, self._moved)
            if self._closing.is_set() or time.monotonic() - moved > 3 * self._patience:
                raise OSError(errno.EIO, "the vault does not answer")
        if flight.error is not None:
            raise OSError(flight.error.errno, flight.error.strerror)

    # Planning, with the lock

    def _launch(
        self, state: Content, needed: list[tuple[int, int]], area: tuple[int, int], piece: int
    ) -> None:
        """Send for what is missing in the area; for no more than is needed if it is not to stay."""
        missing = _without(self.spans(state).gaps(*area), state.flights)
        parts = list(cut(missing, piece))
        if self._room.promise(*(stop - start for start, stop in parts)):
            for start, stop in parts:
                self._send(state, start, stop, stored=True, urgent=True)
            return
        low = needed[0][0] // GRAIN * GRAIN
        high = min(-(-needed[-1][1] // GRAIN) * GRAIN, state.node.size)
        missing = _without(_without(self.spans(state).gaps(low, high), state.flights), state.spare)
        for start, stop in cut(missing, BLOCK):
            self._send(state, start, stop, stored=False, urgent=True)

    def _ahead(self, state: Content, start: int, until: int, piece: int) -> None:
        missing = _without(self.spans(state).gaps(start, until), state.flights)
        for low, high in cut(missing, piece):
            if len(state.flights) >= AHEAD or not self._room.promise(high - low):
                return
            self._send(state, low, high, stored=True, urgent=False)

    def _wanted(self, state: Content, needed: list[tuple[int, int]]) -> list[Flight]:
        found: list[Flight] = []
        for flight in state.flights:
            if any(flight.start < stop and start < flight.stop for start, stop in needed):
                found.append(flight)
                if not (flight.urgent or flight.begun):
                    # It goes to the front; the place further back finds it taken.
                    flight.urgent = True
                    self._submit(flight, partial(self._fly, flight))
        return found

    def _send(self, state: Content, start: int, stop: int, *, stored: bool, urgent: bool) -> None:
        flight = Flight(state, state.epoch, start, stop, stored, urgent)
        state.flights.append(flight)
        self._submit(flight, partial(self._fly, flight))

    def _submit(self, flight: Flight, work: Callable[[], None]) -> None:
        if not self._pool.submit(work, urgent=flight.urgent):
            flight.error = OSError(errno.EIO, "the drive is being closed")
            flight.landed.set()

    # Fetching, on a thread of the pool

    def _fly(self, flight: Flight) -> None:
        with self._store.lock:
            if flight.begun:
                return
            flight.begun = True
            flight.moved = time.monotonic()
        try:
            if self._current(flight):
                self._fetch(flight)
        except OSError as error:
            flight.error = error
        except VaultsyncError as error:
            _log.warning("Bytes of a file could not be had: %s", error)
            flight.error = OSError(errno.EIO, error.message)
        except Exception as error:  # noqa: BLE001 - whoever waits has to be told of anything
            _log.warning("Bytes of a file could not be had: %s", error, exc_info=True)
            flight.error = OSError(errno.EIO, type(error).__name__)
        finally:
            with self._store.lock:
                if flight.stored:
                    self._room.keep(flight.stop - flight.start)
                if flight in flight.state.flights:
                    flight.state.flights.remove(flight)
            flight.landed.set()

    def _current(self, flight: Flight) -> bool:
        return flight.epoch == flight.state.epoch and not self._closing.is_set()

    def _fetch(self, flight: Flight) -> None:
        if not flight.stored:
            pieces: list[bytes] = []
            if self._transfer(flight, lambda _, piece: pieces.append(piece)):
                with self._store.lock:
                    flight.data = b"".join(pieces)
                    if self._current(flight):
                        flight.state.spare.append(flight)
            return
        with self._store.lock:
            if not self._current(flight):
                return
            handle = self._target(flight.state)
        try:
            write = partial(write_fully, handle.descriptor)
            if self._duplicate(flight, handle) or self._transfer(flight, write):
                self._record(flight, handle)
        finally:
            self._files.give(handle)

    def _target(self, state: Content) -> Handle:
        """The file to write into: a new one when nothing of this content is here yet."""
        fresh = not self.spans(state) and not state.started
        state.started = True
        if fresh:
            return self._files.make(state.node.id, state.node.size)
        return self._files.take(state.node.id)

    def _duplicate(self, flight: Flight, handle: Handle) -> bool:
        """Copy the range from where the drive has it; False: it has to be fetched."""
        if flight.model is None:
            return False
        model, epoch = flight.model
        try:
            source = self._files.take(model.node.id)
        except OSError:
            return False
        try:
            at = flight.start
            while at < flight.stop and self._current(flight):
                step = min(_COPIED, flight.stop - at)
                count = os.copy_file_range(source.descriptor, handle.descriptor, step, at, at)
                if not count:
                    return False
                at += count
                flight.moved = self._moved = time.monotonic()
            with self._store.lock:
                node = model.node
                same = model.epoch == epoch and not (model.touched or node.dirty)
                return same and node.here == 2 and at == flight.stop
        except OSError:
            return False
        finally:
            self._files.give(source)

    def _transfer(self, flight: Flight, put: Callable[[int, bytes], object]) -> bool:
        """Fetch the range; passing faults are borne for a while. False: it is not wanted any more.

        A vault that could not be reached a moment ago is not waited for that long again.
        """
        node = flight.state.node
        with self._store.lock:
            origin = _origin(node)
        begun = time.monotonic()
        relocated = False
        patience = self._patience
        if begun - self._failed < CALM:
            patience /= 10
        at, pause = flight.start, self._patience / 50
        while True:
            try:
                for piece in self._source.fetch(*origin, at, flight.stop - at):
                    if not self._current(flight):
                        return False
                    if len(piece) > flight.stop - at:
                        raise OSError(errno.EIO, "more bytes came than were asked for")
                    put(at, piece)
                    at += len(piece)
                    flight.moved = self._moved = begun = time.monotonic()
                if at == flight.stop:
                    return True
                fault = Retry("Fewer bytes came than were asked for.")
            except Stale:
                if relocated or not self.relocate(node):
                    raise
                relocated = True
                with self._store.lock:
                    origin = _origin(node)
                continue
            except Retry as error:
                fault = error
            pause = max(pause, fault.after or 0.0)
            flight.moved = time.monotonic()
            if flight.moved - begun + pause > patience:
                self._failed = flight.moved
                raise fault
            if self._closing.wait(pause) or not self._current(flight):
                return False
            pause *= 2

    def _record(self, flight: Flight, handle: Handle, *, seal: bool = True) -> None:
        state = flight.state
        with self._store.lock:
            if not self._current(flight):
                return
            try:
                with self._store.transaction():
                    absorbed, span = self.spans(state).add(flight.start, flight.stop)
                    self._rows.partly(state.node.id, absorbed, span)
            except BaseException:
                state.spans = None
                raise
            state.node.here = 1
            self._files.count(handle)
            if seal and self.spans(state).covers(0, state.node.size):
                self._sealing.begin(state, fetched=True)


def _origin(node: Node) -> tuple[str, str, str | None]:
    if node.o_path is None or node.o_etag is None:
        raise OSError(errno.EIO, "this content is nowhere")
    return node.o_path, node.o_etag, node.o_version


def _without(gaps: list[tuple[int, int]], taken: Iterable[Flight]) -> list[tuple[int, int]]:
    """The gaps, less the ranges that are taken care of."""
    covered = Spans((flight.start, flight.stop) for flight in taken)
    if not covered:
        return gaps
    return [part for gap in gaps for part in covered.gaps(*gap)]
