"""Reading directories: what is there throughout is told once, whatever happens meanwhile.

A reading is of the names that were there when it began, in the order of their nodes' numbers. The
offset to go on after an entry is made of that number, so that it means the same in a later process
of ours, which reads the directory anew.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vaultsync.mount.ports import ROOT, Node
from vaultsync.mount.tree.ground import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator

_SELF = 1
_PARENT = 2
_SHIFT = 16
"""Bits of an offset that tell names of one node apart: there are fewer than LINK_MAX of them."""
_AHEAD = 64
"""How many nodes are brought into memory at once."""


@dataclass(slots=True)
class _Reading:
    """A directory as it was when somebody began to read it.

    Attributes:
        removals: How many names had been removed in the whole tree by then.
        offsets: Of the entries, growing.
        entries: Name and node.
    """

    removals: int = -1
    offsets: list[int] = field(default_factory=list)
    entries: list[tuple[bytes, int]] = field(default_factory=list)


class Listing(Ground):
    """The part of a `ports.FileSystem` that reads directories; its law is there."""

    _readings: dict[int, _Reading | None]

    def opendir(self, node: int) -> int:
        """See `ports.FileSystem`."""
        with self.store.lock:
            self.directory(node)
            handle = self.next_handle()
            self._readings[handle] = None
            return handle

    def releasedir(self, node: int, handle: int) -> None:  # noqa: ARG002 - the contract's
        """See `ports.FileSystem`."""
        with self.store.lock:
            self._readings.pop(handle, None)

    def readdir(
        self, node: int, handle: int, offset: int, *, plus: bool
    ) -> Iterator[tuple[bytes, Node, int]]:
        """See `ports.FileSystem`."""
        with self.store.lock:
            folder = self.directory(node)
            reading = self._readings.get(handle)
            if reading is None or offset == 0:
                reading = self._read(node)
                self._readings[handle] = reading
                self.looked_at(folder)
            up = self.above(node)
            parent = self.node(up[0] if up else ROOT)
        if offset < _SELF:
            yield b".", folder, _SELF
        if offset < _PARENT:
            yield b"..", parent, _PARENT
        yield from self._rest(node, reading, bisect_right(reading.offsets, offset), plus=plus)

    def _read(self, node: int) -> _Reading:
        found = self.rows.children(node)
        found.sort(key=lambda one: (one[1], one[0]))
        reading = _Reading(self._removals, [], found)
        last = rank = 0
        for _, number in found:
            rank = rank + 1 if number == last else 0
            last = number
            reading.offsets.append((number << _SHIFT) + rank)
        return reading

    def _rest(
        self, node: int, reading: _Reading, start: int, *, plus: bool
    ) -> Iterator[tuple[bytes, Node, int]]:
        entries, offsets = reading.entries, reading.offsets
        for index in range(start, len(entries)):
            name, number = entries[index]
            with self.store.lock:
                if (index - start) % _AHEAD == 0:
                    self.fetch([one for _, one in entries[index : index + _AHEAD]])
                if self._removals != reading.removals and self.find_name(node, name) != number:
                    continue
                child = self.node(number)
                if plus:
                    self.refer(child)
            yield name, child, offsets[index]
