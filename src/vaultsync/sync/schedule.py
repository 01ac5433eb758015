"""When to look where: paths marked dirty, paths that wait after a fault, sides out of reach."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vaultsync.core.model import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.errors import VaultsyncError
    from vaultsync.core.model import State
    from vaultsync.core.ports import Clock

log = logging.getLogger(__name__)

QUIET = 0.2
"""Seconds a path must have been quiet before it is looked at."""
LONGEST_QUIET = 2.0
"""Seconds after which a path that is never quiet is looked at all the same."""
MANY = 1000
"""Dirty paths above which one look at everything is cheaper than a look at each."""

FIRST_RETRY = 0.5
"""Seconds before the first retry of an item."""
LAST_RETRY = 300.0
"""Seconds that the wait between two tries never exceeds."""


def backoff(tries: int, *, last: float = LAST_RETRY) -> float:
    """Seconds to wait after the given number of failed tries (1 or more), doubling each time."""
    return min(FIRST_RETRY * float(1 << min(tries - 1, 20)), last)


class Dirty:
    """Paths to look at, each once it is quiet. Marked from any thread, taken by the engine."""

    def __init__(self, now: Callable[[], float], wake: Callable[[], None]) -> None:
        self._now = now
        self._wake = wake
        self._lock = threading.Lock()
        self._marks: dict[str, tuple[float, float]] = {}

    def mark(self, path: str) -> None:
        """Mark a path (and all below it) as in need of a look; the empty path: everything."""
        now = self._now()
        with self._lock:
            first = not self._marks
            since, _ = self._marks.get(path, (now, now))
            self._marks[path] = (since, min(now + QUIET, since + LONGEST_QUIET))
        if first:
            self._wake()

    def take(self) -> list[str]:
        """Remove and return the paths that are due, none of them below another one."""
        now = self._now()
        with self._lock:
            due = sorted(path for path, (_, at) in self._marks.items() if at <= now)
            for path in due:
                del self._marks[path]
        if not due:
            return []
        if len(due) > MANY or due[0] == "":
            return [""]
        taken: list[str] = []
        for path in sorted(due, key=lambda path: path + "/"):
            if not taken or not (path + "/").startswith(taken[-1] + "/"):
                taken.append(path)
        return taken

    def next(self) -> float | None:
        """When the next path is due (monotonic seconds), or None."""
        with self._lock:
            return min((at for _, at in self._marks.values()), default=None)


@dataclass(frozen=True, slots=True)
class Delay:
    """A path that waits for its next try.

    Attributes:
        waiting: What to tell a person.
        due: When to try again, in monotonic seconds.
        look: Whether both sides are looked at first.
    """

    waiting: Waiting
    due: float
    look: bool


class Delays:
    """Paths that wait, and how often each was tried in vain."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[str, Delay] = {}
        self._tries: dict[str, int] = {}

    def hold(
        self,
        path: str,
        code: str,
        error: VaultsyncError,
        *,
        after: float = 0.0,
        look: bool = False,
        patient: int = 0,
    ) -> None:
        """Let a path wait, the longer the more often it was tried.

        Args:
            path: Which.
            code: As in `Waiting.code`.
            error: Why.
            after: Seconds to wait at least.
            look: Whether to look at both sides before planning it again.
            patient: Tries to count in addition, for faults that rarely pass quickly.
        """
        tries = self._tries[path] = self._tries.get(path, 0) + 1
        wait = max(backoff(tries + patient), after)
        self._held[path] = Delay(
            Waiting(path, code, error.message, error.hint, self._clock.now() + wait),
            self._clock.monotonic() + wait,
            look,
        )

    def take(self) -> list[tuple[str, Delay]]:
        """Remove and return the paths whose time has come."""
        now = self._clock.monotonic()
        due = [(path, delay) for path, delay in self._held.items() if delay.due <= now]
        for path, _ in due:
            del self._held[path]
        return due

    def hurry(self) -> None:
        """Let everything be tried again now."""
        now = self._clock.monotonic()
        self._held = {path: replace(delay, due=now) for path, delay in self._held.items()}

    def release(self, path: str) -> None:
        """A blocked path has changed: it need not wait any longer."""
        delay = self._held.get(path)
        if delay is not None and delay.waiting.code == "blocked":
            del self._held[path]

    def tries(self, path: str) -> int:
        """How often a path was tried in vain since it last succeeded."""
        return self._tries.get(path, 0)

    def succeeded(self, path: str) -> None:
        """Forget a path and its tries."""
        self._held.pop(path, None)
        self._tries.pop(path, None)

    def next(self) -> float | None:
        """When the first is due (monotonic seconds), or None."""
        return min((delay.due for delay in self._held.values()), default=None)

    def waiting(self) -> list[Waiting]:
        """What waits, in path order."""
        return [self._held[path].waiting for path in sorted(self._held)]

    def __contains__(self, path: str) -> bool:
        """Whether a path waits."""
        return path in self._held

    def __len__(self) -> int:
        """How many wait."""
        return len(self._held)


class Gate:
    """Whether a whole side can be used at all; if not, why, and when to try again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.state: State | None = None
        self.error: VaultsyncError | None = None
        self.due = 0.0
        self.tries = 0

    @property
    def open(self) -> bool:
        """Whether the side can be used, as far as is known."""
        return self.state is None

    def close(self, state: State, error: VaultsyncError, *, last: float) -> None:
        """Close it after an error; try again later, after `last` seconds at most."""
        if self.state is not state:
            log.warning("%s: %s %s", state, error.message, error.hint)
        self.tries += 1
        self.state, self.error = state, error
        self.due = self._clock.monotonic() + backoff(self.tries, last=last)

    def reopen(self) -> None:
        """It works again."""
        if self.state is not None:
            log.info("no longer %s", self.state)
        self.state, self.error, self.tries = None, None, 0
