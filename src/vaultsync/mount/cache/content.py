"""What is remembered of one file's content while it is in use, and of one range on its way."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaultsync.mount.cache.spans import Spans
    from vaultsync.mount.ports import Node

KEPT = 4
"""Ranges that could not be stored are remembered for the next reader: so many of a file."""


@dataclass(slots=True)
class Stream:
    """Somebody who reads on from where he was.

    Attributes:
        stop: Where he got to.
        run: Bytes that he has read in a row.
    """

    stop: int
    run: int


@dataclass(slots=True, eq=False)
class Flight:
    """A range of content on its way; fields but `moved` change with the drive's lock held.

    Attributes:
        state: Of which content.
        epoch: The content's epoch; the bytes are of no use in another one.
        start: The first byte.
        stop: The byte after the last.
        stored: Whether it goes into the file; otherwise into `data`.
        model: Content of the drive that holds the same, to be copied from; its epoch then.
        urgent: Whether somebody waits for it.
        begun: A thread has taken it.
        landed: Set in the end.
        error: Why it failed.
        data: The bytes, when there was no room to store them.
        moved: When the last bytes came, on the monotonic clock.
    """

    state: Content
    epoch: int
    start: int
    stop: int
    stored: bool = True
    urgent: bool = True
    model: tuple[Content, int] | None = None
    begun: bool = False
    landed: threading.Event = field(default_factory=threading.Event)
    error: OSError | None = None
    data: bytes | None = None
    moved: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class Content:
    """One file's content; fields change with the drive's lock held.

    Attributes:
        node: The inode, as it was last given.
        epoch: Grows when the content is cut, dropped or replaced.
        spans: What is here of content that is partly here; None: not read from the rows yet.
        flights: Ranges on their way, stored or not.
        spare: Ranges that came last and could not be stored.
        streams: Who reads on.
        users: How many have it open.
        touched: It was written to since it was last known to be what the origin names.
        started: Bytes of this epoch were written into the file.
        seal: The checking of the whole, under way.
        failed: Until when, on the monotonic clock, it cannot be read: its digest was wrong.
    """

    node: Node
    epoch: int = 0
    spans: Spans | None = None
    flights: list[Flight] = field(default_factory=list)
    spare: deque[Flight] = field(default_factory=lambda: deque(maxlen=KEPT))
    streams: list[Stream] = field(default_factory=list)
    users: int = 0
    touched: bool = False
    started: bool = False
    seal: Flight | None = None
    failed: float = 0.0

    def idle(self) -> bool:
        """Whether nothing would be lost by forgetting this."""
        return not (self.flights or self.users or self.seal)

    def touch(self) -> None:
        """It is written to: who copies it must not take it for the same, once it is clean again."""
        if not self.touched:
            self.touched = True
            self.epoch += 1

    def renew(self) -> None:
        """Begin a new epoch: what is on its way is of no use."""
        self.epoch += 1
        self.spans = None
        self.flights = []
        self.started = False
        self.spare.clear()
        self.seal = None
        self.failed = 0.0
