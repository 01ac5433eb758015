"""A model of distance: round trips, the server's own time, and how much fits through the wires."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class Latency:
    """How far away the server is. All zero: as fast as it can be.

    Attributes:
        round_trip: Seconds from a request's departure to its answer's arrival.
        service: Seconds that the server takes itself.
        setup: Round trips before the first request of a new connection (TCP, TLS).
        up: Bytes a second that a connection takes; 0 for any number.
        down: Bytes a second that a connection gives.
        total_up: Bytes a second that all connections take together.
        total_down: Bytes a second that all connections give together.
    """

    round_trip: float = 0.0
    service: float = 0.0
    setup: float = 0.0
    up: float = 0.0
    down: float = 0.0
    total_up: float = 0.0
    total_down: float = 0.0

    def before(self, *, first: bool) -> float:
        """Seconds that pass before a request is answered."""
        trips = 1 + self.setup if first else 1
        return self.round_trip * trips + self.service


class Pipe:
    """What one connection's bytes go through in one direction.

    Args:
        latency: Read each time, so that it may change.
        direction: `up` or `down`.
        shared: When the wire that all connections share is free again, by direction.
    """

    def __init__(self, latency: Latency, direction: str, shared: dict[str, float]) -> None:
        self._latency = latency
        self._direction = direction
        self._shared = shared
        self._free = 0.0

    @property
    def slow(self) -> bool:
        """Whether bytes take time at all."""
        own, total = self._rates()
        return own > 0 or total > 0

    def reserve(self, size: int) -> float:
        """Seconds to wait until so many more bytes have gone through."""
        own, total = self._rates()
        if not own and not total:
            return 0.0
        now = time.monotonic()
        until = now
        if own:
            self._free = max(now, self._free) + size / own
            until = self._free
        if total:
            free = max(now, self._shared.get(self._direction, 0.0)) + size / total
            self._shared[self._direction] = free
            until = max(until, free)
        return until - now

    def _rates(self) -> tuple[float, float]:
        latency = self._latency
        if self._direction == "up":
            return latency.up, latency.total_up
        return latency.down, latency.total_down
