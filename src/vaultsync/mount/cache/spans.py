"""Sets of bytes of a file, as spans [start, stop) that are apart from one another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Spans:
    """Bytes of a file, kept sorted; spans that touch become one.

    Args:
        spans: What is in it at first.
    """

    __slots__ = ("_starts", "_stops")

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in spans:
            self.add(start, stop)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the spans in order."""
        return iter(list(zip(self._starts, self._stops, strict=True)))

    def __bool__(self) -> bool:
        """Tell whether there is any byte in it."""
        return bool(self._starts)

    def add(self, start: int, stop: int) -> tuple[list[int], tuple[int, int]]:
        """Put bytes in; returns the starts of the spans that went into the new one, and that one.

        Args:
            start: The first byte.
            stop: The byte after the last, greater than `start`.
        """
        low = bisect_left(self._stops, start)
        high = bisect_right(self._starts, stop)
        absorbed = self._starts[low:high]
        if absorbed:
            start = min(start, absorbed[0])
            stop = max(stop, self._stops[high - 1])
        self._starts[low:high] = [start]
        self._stops[low:high] = [stop]
        return absorbed, (start, stop)

    def covers(self, start: int, stop: int) -> bool:
        """Tell whether all bytes of [start, stop) are in it; none are always."""
        if start >= stop:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and self._stops[at] >= stop

    def gaps(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The spans of [start, stop) that are not in it, in order."""
        found: list[tuple[int, int]] = []
        at = bisect_right(self._stops, start)
        while start < stop and at < len(self._starts):
            if self._starts[at] >= stop:
                break
            if self._starts[at] > start:
                found.append((start, self._starts[at]))
            start = max(start, self._stops[at])
            at += 1
        if start < stop:
            found.append((start, stop))
        return found
