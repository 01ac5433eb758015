"""The machine's time."""

from __future__ import annotations

import time

GRACE = 5.0
"""Seconds that transfers under way are given to end."""


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow, but not while the machine is suspended."""
        return time.monotonic()

    def asleep(self) -> float:
        """Seconds that the machine has been suspended since it was started."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
