"""When to look where: paths marked dirty, paths that wait after a fault, sides out of reach."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vaultsync.core.model import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vaultsync.core.errors import VaultsyncError
    from vaultsync.core.model import State
    from vaultsync.core.ports import Clock

log = logging.getLogger(__name__)

QUIET = 0.2
"""Seconds a path must have been quiet before it is looked at."""
QUIET_WRITING = 1.0
"""The same for a file that somebody has open and writes to."""
LONGEST_QUIET = 2.0
"""Seconds after which a path that is never quiet is looked at all the same."""
CROWD = 200
"""Dirty paths in one directory above which one look at the directory is cheaper."""
MANY = 2000
"""Dirty paths in all above which one look at the directory common to all of them is."""
QUIET_CROWD = 1.0
"""Seconds a crowd must have been quiet: looking at it costs more than looking at one path."""
LONGEST_CROWD = 10.0
"""Seconds after which a crowd that is never quiet is looked at all the same."""

FIRST_RETRY = 0.5
"""Seconds before the first retry of an item."""
LAST_RETRY = 300.0
"""Seconds that the wait between two tries never exceeds."""


def backoff(tries: int, *, last: float = LAST_RETRY) -> float:
    """Seconds to wait after the given number of failed tries (1 or more), doubling each time."""
    return min(FIRST_RETRY * float(1 << min(tries - 1, 20)), last)


@dataclass(slots=True)
class _Mark:
    """When a dirty path is due.

    Attributes:
        due: Monotonic seconds.
        latest: `due` is never moved beyond this, however restless the path is.
        crowd: Whether it stands for many paths.
    """

    due: float
    latest: float
    crowd: bool = False


class Dirty:
    """Paths to look at, each once it is quiet. Marked from any thread, taken by the engine.

    A look at a path covers all that is below it, so a mark below another one adds nothing but a
    little more patience, and many marks beside one another become one of their directory: however
    many files change, at most `MANY` marks are held, and each path is covered by a later look.
    """

    def __init__(self, now: Callable[[], float], wake: Callable[[], None]) -> None:
        self._now = now
        self._wake = wake
        self._lock = threading.Lock()
        self._marks: dict[str, _Mark] = {}
        self._inside: Counter[str] = Counter()
        self._told = math.inf

    def mark(self, path: str, *, writing: bool = False) -> None:
        """Mark a path (and all below it) as in need of a look; the empty path: everything.

        Args:
            path: Without a trailing `/`.
            writing: Whether somebody still has the file open, so that more is to be expected.
        """
        now = self._now()
        with self._lock:
            covering = next((above for above in _upwards(path) if above in self._marks), None)
            if covering is not None:
                due = self._postpone(self._marks[covering], now, writing=writing)
            else:
                quiet = QUIET_WRITING if writing else QUIET
                due = self._put(path, _Mark(now + quiet, now + LONGEST_QUIET))
                self._gather(path, now)
            sooner = due < self._told
            self._told = min(due, self._told)
        if sooner:
            self._wake()

    def take(self) -> list[str]:
        """Remove and return the paths that are due, none of them below another one."""
        now = self._now()
        with self._lock:
            due = [path for path, mark in self._marks.items() if mark.due <= now]
            for path in due:
                self._drop(path)
        taken: list[str] = []
        for path in sorted(due, key=lambda path: path + "/"):
            if path == "":
                return [""]
            if not taken or not (path + "/").startswith(taken[-1] + "/"):
                taken.append(path)
        return taken

    def next(self) -> float | None:
        """When the next path is due (monotonic seconds), or None."""
        with self._lock:
            soonest = min((mark.due for mark in self._marks.values()), default=None)
            self._told = math.inf if soonest is None else soonest
            return soonest

    def __len__(self) -> int:
        """How many marks there are."""
        with self._lock:
            return len(self._marks)

    def _postpone(self, mark: _Mark, now: float, *, writing: bool) -> float:
        quiet = QUIET_CROWD if mark.crowd else QUIET_WRITING if writing else QUIET
        # A close after writing makes a file due sooner; what else is marked there is not hurried.
        mark.due = min(now + quiet, mark.latest)
        return mark.due

    def _put(self, path: str, mark: _Mark) -> float:
        self._marks[path] = mark
        self._inside[_above(path)] += 1
        return mark.due

    def _drop(self, path: str) -> None:
        del self._marks[path]
        above = _above(path)
        self._inside[above] -= 1
        if not self._inside[above]:
            del self._inside[above]

    def _gather(self, path: str, now: float) -> None:
        """Let one mark stand for many, if there are too many."""
        above = _above(path)
        if self._inside[above] > CROWD and path:
            common = above
        elif len(self._marks) > MANY:
            common = _common(self._marks)
        else:
            return
        below = [other for other in self._marks if not common or other.startswith(common + "/")]
        latest = min(self._marks[other].latest for other in below)
        for other in below:
            self._drop(other)
        self._put(
            common,
            _Mark(now + QUIET_CROWD, latest + LONGEST_CROWD - LONGEST_QUIET, crowd=True),
        )


def _upwards(path: str) -> Iterator[str]:
    """A path, the directories above it from the inside out, and the root."""
    while path:
        yield path
        path = _above(path)
    yield ""


def _above(path: str) -> str:
    """The directory that holds a path, without a trailing `/`; empty for the root."""
    return path.rpartition("/")[0]


def _common(paths: Iterable[str]) -> str:
    """The innermost directory that holds all paths."""
    segments = [_above(path).split("/") for path in paths]
    low, high = min(segments), max(segments)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(low, high, strict=False))
    return "/".join(one for one, _ in same)


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
        self._since: dict[str, float] = {}

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
        self._since.setdefault(path, self._clock.monotonic())
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

    def again(self, path: str, delay: Delay) -> None:
        """Let a path that was just taken wait a moment longer."""
        self._held[path] = replace(delay, due=self._clock.monotonic() + FIRST_RETRY)

    def hurry(self, path: str | None = None) -> None:
        """Let a path (None: everything) be tried again now."""
        now = self._clock.monotonic()
        for one, delay in self._held.items():
            if path in (None, one):
                self._held[one] = replace(delay, due=now)

    def release(self, path: str) -> None:
        """A path has changed: if it was blocked, it need not wait any longer."""
        self._since.pop(path, None)
        delay = self._held.get(path)
        if delay is not None and delay.waiting.code == "blocked":
            del self._held[path]

    def free(self, path: str) -> bool:
        """What stood in a path's way has changed: it need not wait for its time.

        Returns:
            Whether it waited for nothing else.
        """
        delay = self._held.get(path)
        if delay is None or delay.look:
            return False
        del self._held[path]
        return True

    def waited(self, path: str) -> float:
        """Seconds since a path was first tried in vain."""
        return self._clock.monotonic() - self._since.get(path, self._clock.monotonic())

    def tries(self, path: str) -> int:
        """How often a path was tried in vain since it last succeeded."""
        return self._tries.get(path, 0)

    def succeeded(self, path: str) -> None:
        """Forget a path and its tries."""
        self._held.pop(path, None)
        self._tries.pop(path, None)
        self._since.pop(path, None)

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
