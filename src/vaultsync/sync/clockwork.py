"""Time that a wrong clock cannot bend: jumps are noticed, and lasting times never run ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaultsync.core.ports import Clock

NAP = 1.0
"""Seconds of suspension from which the machine counts as having been away."""
STEP = 2.0
"""Seconds by which the wall clock must have been set; being slewed, it drifts by less a turn."""


class Clockwork:
    """What the engine may know of time beside the seconds that pass while it runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asleep = clock.asleep()
        self._ahead = self._start = clock.now() - self._elapsed()

    def jumped(self) -> str:
        """What has happened to time since the last call, for people; empty when nothing has.

        After a suspension or a step of the clock, changes may have gone unnoticed, here and there.
        """
        asleep, ahead = self._clock.asleep(), self._clock.now() - self._elapsed()
        slept, stepped = asleep - self._asleep, ahead - self._ahead
        self._asleep, self._ahead = asleep, ahead
        if slept >= NAP:
            return f"the machine was suspended for {slept:.0f} seconds"
        if abs(stepped) >= STEP:
            return f"the clock was set by {stepped:+.0f} seconds"
        return ""

    def lasting(self) -> float:
        """A time to be stored, in seconds since the epoch as the clock had it at the start.

        From then on it counts the seconds that really passed, suspended ones too: setting the
        clock makes nothing older or younger. Times of an earlier run are not comparable to it.
        """
        return self._start + self._elapsed()

    def _elapsed(self) -> float:
        return self._clock.monotonic() + self._clock.asleep()
