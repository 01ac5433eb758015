"""Time that a wrong clock cannot bend: jumps are noticed, and lasting times never run ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.safety import DAY

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
        self._ahead = self._start = clock.now() - _elapsed(clock)

    def jumped(self) -> str:
        """What has happened to time since the last call, for people; empty when nothing has.

        After a suspension or a step of the clock, changes may have gone unnoticed, here and there.
        """
        asleep, ahead = self._clock.asleep(), self._clock.now() - _elapsed(self._clock)
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
        return self._start + _elapsed(self._clock)


class Steps:
    """By how much the wall clock was set ahead: what counts by it has to reach back further.

    Args:
        clock: The clock.
        known: The last time that is known from before, seconds since the epoch. A clock that was
            behind it and catches up is ahead by no more than what lies after it.
    """

    def __init__(self, clock: Clock, known: float = 0.0) -> None:
        self._clock = clock
        self._known = known
        self._ahead = clock.now() - _elapsed(clock)
        self._steps: list[tuple[float, float]] = []

    def lately(self, span: float) -> float:
        """Seconds by which it was set ahead within a time, at least 0; noticed when asked.

        Args:
            span: Seconds that really passed until now, at most a day.
        """
        now, elapsed = self._clock.now(), _elapsed(self._clock)
        before, self._ahead = elapsed + self._ahead, now - elapsed
        if abs(now - before) >= STEP:
            last = self._known if before < self._known <= now else before
            self._steps = [step for step in self._steps if step[0] > elapsed - DAY]
            self._steps.append((elapsed, now - last))
        return max(0.0, sum(by for at, by in self._steps if at > elapsed - span))


def _elapsed(clock: Clock) -> float:
    return clock.monotonic() + clock.asleep()
