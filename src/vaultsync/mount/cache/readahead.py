"""How much to fetch for a read: what was asked for, and what is likely to be asked for next."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vaultsync.mount.cache.content import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.mount.cache.content import Content

GRAIN = 128 << 10
"""Bytes; what is fetched for a reader who jumps about starts and stops at multiples of it."""
BLOCK = 1 << 20
"""The same, for a reader who goes on."""
LARGEST = 8 << 20
"""Bytes of a range at most."""
FARTHEST = 128 << 20
"""Bytes fetched in advance at most."""
_STREAMS = 4


class Plan(NamedTuple):
    """What to fetch.

    Attributes:
        grain: Whole pieces of so many bytes for what is missing.
        until: Up to where to fetch in advance.
        piece: Bytes of one range.
    """

    grain: int
    until: int
    piece: int


def plan(state: Content, start: int, stop: int, *, ahead: bool) -> Plan:
    """What to fetch for a reader who wants [start, stop), by how he has read so far.

    Who goes on where he was gets twice in advance of what he has read in a row, so that a file of
    which only the head is looked at costs little, and one that is copied soon comes at full speed:
    16 ranges of up to 8 MiB each.
    """
    if not ahead:
        return Plan(GRAIN, stop, BLOCK)
    run = _run(state.streams, start, stop)
    if run is None:
        # Who begins at the beginning will probably go on.
        return Plan(BLOCK if start == 0 else GRAIN, stop, BLOCK)
    window = min(max(2 * run // BLOCK, 1) * BLOCK, FARTHEST)
    piece = min(max(window // 16 // BLOCK, 1) * BLOCK, LARGEST)
    until = (stop + window) // piece * piece
    return Plan(BLOCK, min(until, state.node.size), piece)


def cut(spans: list[tuple[int, int]], piece: int) -> Iterator[tuple[int, int]]:
    """Yield the spans in parts that stop at multiples of `piece` bytes."""
    for begin, stop in spans:
        start = begin
        while start < stop:
            end = min((start // piece + 1) * piece, stop)
            yield start, end
            start = end


def _run(streams: list[Stream], start: int, stop: int) -> int | None:
    """How far the reader has come in a row; None: he has just begun.

    The kernel sends the requests of one reader a little out of order.
    """
    size = stop - start
    for stream in streams:
        if stream.stop - 4 * size <= start <= stream.stop + 2 * size:
            if stop > stream.stop:
                stream.run += stop - stream.stop
                stream.stop = stop
            streams.remove(stream)
            streams.append(stream)
            return stream.run
    streams.append(Stream(stop, size))
    del streams[:-_STREAMS]
    return None
