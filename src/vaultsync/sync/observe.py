"""When to look at which side, and what a look means: the engine's eyes."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.errors import Blocked, Retry, Stale
from vaultsync.core.lookalikes import Lookalikes
from vaultsync.core.model import MARKER, Absence, Row, Waiting
from vaultsync.sync.clockwork import Clockwork
from vaultsync.sync.schedule import Dirty
from vaultsync.sync.sweep import Sweep, here

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.ports import Clock, Side
    from vaultsync.state.store import Store
    from vaultsync.sync.settings import Settings

log = logging.getLogger(__name__)

LOOKS = 200
"""Local paths that are looked at in one turn: the two ends of a move are known together."""
INTENT_LIFETIME = 20 * 60.0
"""Seconds after which a request of ours cannot arrive any more: its signature has expired."""


class Observer:
    """Keeps the stored observations of both sides true. Used by the engine's thread.

    Attributes:
        dirty: Local paths that may have changed; marked from any thread.
        observed: Counts finished passes over the whole remote side.
        lookalikes: What the last whole local pass found of names that look alike, on either side.
        scanned_at: When the last whole local pass ended, seconds since the epoch.
        polled_at: When the last whole remote pass ended.
    """

    def __init__(
        self,
        store: Store,
        local: Side,
        remote: Side,
        clock: Clock,
        settings: Settings,
        ignored: Callable[[str], bool],
        changed: Callable[[str], None],
        wake: Callable[[], None],
        busy: Callable[[str], bool],
    ) -> None:
        self.dirty = Dirty(clock.monotonic, wake)
        self.observed = 0
        self.scanned_at: float | None = None
        self.polled_at: float | None = None
        self._store = store
        self._local = local
        self._remote = remote
        self._clock = clock
        self._settings = settings
        self._ignored = ignored
        self._changed = changed
        self._busy = busy
        self._count = 0
        self._recent: dict[str, int] = {}
        self.lookalikes = Lookalikes()
        self._names = Lookalikes()
        self._here: Sweep | None = None
        self._there: Sweep | None = None
        self._since = {False: 0.0, True: 0.0}
        self._overdue = 0.0
        self._queue: deque[str] = deque()
        self._clockwork = Clockwork(clock)
        self._missed: set[str] = set()
        self._next_scan = self._next_poll = clock.monotonic()
        self._confirm_here: float | None = clock.monotonic()
        self._confirm_there = True
        self._unseen: dict[bool, dict[str, Waiting]] = {False: {}, True: {}}
        self._tickets = 0
        self._begun = [0, 0]
        self._finished = [0, 0]

    # Asked by the engine

    def request(self) -> int:
        """Look at everything on both sides soon; returns the ticket that `served` will reach."""
        self._tickets += 1
        self._next_scan = self._next_poll = self._clock.monotonic()
        return self._tickets

    def lasting(self) -> float:
        """The time to store with what must be kept for a while (see `Clockwork.lasting`)."""
        return self._clockwork.lasting()

    def notice_jumps(self) -> bool:
        """Look at everything if time has jumped; whether it has."""
        jump = self._clockwork.jumped()
        if jump:
            log.info("%s: both sides are looked at anew", jump)
            self.request()
        return bool(jump)

    def poll_now(self) -> None:
        """List the vault in the next turn."""
        self._next_poll = self._clock.monotonic()

    @property
    def served(self) -> int:
        """The last ticket for which both whole passes began after it was drawn, and ended."""
        return min(self._finished)

    def committed(self, path: str) -> None:
        """We changed a path: passes that began before know nothing of it (rule R4)."""
        self._count += 1
        self._recent[path] = self._count
        if path in self._missed:
            self._missed.remove(path)
            self.dirty.mark(path.rstrip("/"))

    def look_at(self, path: str) -> None:
        """Look at a local path (and below it) in the next turn."""
        self._queue.append(path.rstrip("/"))

    @property
    def idle(self) -> bool:
        """Whether no look is due that could bring news about what is already suspected."""
        return not (
            self._queue
            or self._confirm_there
            or self._confirm_here is not None
            or self.dirty.next() is not None
            or (self._here is not None and not self._here.whole)
            or (self._there is not None and not self._there.whole)
        )

    def searching(self, seconds: float, *, remote: bool | None = None) -> bool:
        """Whether a pass is under way that may yet show the other end of a move.

        Args:
            seconds: How old such a pass may be at most.
            remote: Over which side; None for any.
        """
        sides = (False, True) if remote is None else (remote,)
        now = self._clock.monotonic()
        for side in sides:
            sweep = self._there if side else self._here
            if sweep is not None and now - self._since[side] < seconds:
                return True
            if not side and self._queue:
                return True
        return False

    def due(self, *, here: bool, there: bool) -> float | None:
        """When the next look is due (monotonic seconds): 0 for now, None for never.

        Args:
            here: Whether the local side can be used.
            there: Whether the remote side can be used.
        """
        times: list[float | None] = []
        if here:
            if self._here is not None or self._queue:
                return 0.0
            times += [self._next_scan, self.dirty.next(), self._confirm_here]
        if there:
            if self._there is not None:
                return 0.0
            times += [0.0 if self._confirm_there else self._next_poll]
        return min((time for time in times if time is not None), default=None)

    def unseen(self) -> list[Waiting]:
        """Things that can be seen but not synced, in path order."""
        found = {**self._unseen[True], **self._unseen[False]}
        return [found[path] for path in sorted(found)]

    # Turns

    def turn_here(self) -> None:
        """Advance the local looks by one slice. Raises what the local side raises."""
        now = self._clock.monotonic()
        self._queue.extend(self.dirty.take())
        if self._next_scan <= now:
            self._queue.clear()
            self._queue.append("")
        looked = False
        for _ in range(LOOKS):
            if self._here is None and self._queue:
                self._start_here(self._queue[0])
                self._queue.popleft()
            if self._here is None:
                break
            looked = True
            sweep, self._here = self._here, None
            try:
                self._here = self._advance(sweep)
            except BaseException:
                self._queue.append(sweep.at)
                raise
            if self._here is not None:
                break
        if not looked and self._confirm_here is not None and self._confirm_here <= now:
            self._confirm_absences()
        self._trim()

    def turn_there(self) -> None:
        """Advance the remote looks by one slice. Raises what the remote side raises."""
        if self._there is None:
            if self._confirm_there:
                self._start_confirmation()
            if self._there is None and self._next_poll <= self._clock.monotonic():
                self._begun[1] = self._tickets
                self._overdue = self.lasting() - INTENT_LIFETIME
                self._since[True] = self._clock.monotonic()
                self._there = Sweep(self._remote, self._store, self._count, remote=True)
        if self._there is not None:
            sweep, self._there = self._there, None
            self._there = self._advance(sweep)
        self._trim()

    def _trim(self) -> None:
        """With no pass under way, nobody needs to know what was committed when."""
        if self._here is None and self._there is None:
            self._recent.clear()

    def _start_here(self, at: str) -> None:
        self._local.check()
        if not at:
            self._begun[0] = self._tickets
            # An hour from its start at the latest; moved on again when it ends.
            self._next_scan = self._clock.monotonic() + self._settings.rescan_after()
        self._names = Lookalikes()
        met = None if at else self._names.show
        self._here = Sweep(self._local, self._store, self._count, remote=False, at=at, met=met)
        self._since[False] = self._clock.monotonic()

    def _start_confirmation(self) -> None:
        """List again the keys that were missing once: from the first to the last of them."""
        rows = self._store.unsure(remote=True)
        if not rows:
            self._confirm_there = False
            return
        self._there = Sweep(
            self._remote,
            self._store,
            self._count,
            remote=True,
            after=rows[0].path[:-1],
            until=rows[-1].path,
        )

    def _advance(self, sweep: Sweep) -> Sweep | None:
        """Merge one slice into the store; None when the pass has come to its end."""

        def skip(path: str) -> bool:
            busy, recent = self._busy(path), self._is_recent(path, sweep)
            if not sweep.remote:
                # What was to be found out by this look has to be found out by a later one.
                if busy:
                    self._missed.add(path)
                elif recent:
                    self.dirty.mark(path.rstrip("/"))
            return busy or recent

        changes = sweep.advance(skip, self._ignored)
        if changes:
            with self._store.transaction():
                self._store.save(new for _, new in changes)
        for old, new in changes:
            self._changed(new.path)
            self._news(old, new, remote=sweep.remote)
        if not sweep.done:
            return sweep
        self._end(sweep)
        return None

    def _news(self, old: Row, new: Row, *, remote: bool) -> None:
        """What else must be looked at because of a change."""
        if remote:
            self._confirm_there |= new.remote is None and new.remote_absence is Absence.ONCE
            appeared = (old.remote is None) != (new.remote is None)
        else:
            if new.local is None and new.local_absence is Absence.ONCE:
                self._confirm_here = self._clock.monotonic() + self._settings.delete_quiet
            appeared = (old.local is None) != (new.local is None)
        if appeared:
            directory = names.parent(new.path)
            if directory:
                self._changed(directory)

    def _end(self, sweep: Sweep) -> None:
        now = self._clock.monotonic()
        unseen = {
            path: Waiting(path, "blocked", item.reason, item.hint)
            for path, item in sweep.unseen.items()
        }
        known = self._unseen[sweep.remote]
        if sweep.whole:
            known.clear()
        else:
            for path in [path for path in known if _within(path, sweep)]:
                del known[path]
        known.update(unseen)
        if sweep.remote and sweep.whole:
            self._finished[1] = self._begun[1]
            # What lists a large vault for as long as it may rest must leave time for other work.
            rest = max(self._settings.poll_seconds, now - self._since[True])
            self._next_poll = now if self._begun[1] < self._tickets else now + rest
            self.observed += 1
            self._forget_intents(sweep)
            self.polled_at = self._clock.now()
        elif not sweep.remote:
            if sweep.whole:
                self._finished[0] = self._begun[0]
                if self._begun[0] < self._tickets:
                    self._next_scan = now
                self.scanned_at = self._clock.now()
                self.lookalikes = self._names
            elif sweep.at:
                self.look_above(sweep.at)

    def _is_recent(self, path: str, sweep: Sweep) -> bool:
        """Whether we changed a path after a pass began (rule R4)."""
        return self._recent.get(path, 0) > sweep.began

    def _forget_intents(self, sweep: Sweep) -> None:
        """Drop intents that could not arrive any more when a pass over the vault began.

        Not where it told nothing, and not where it showed a version of which nobody knows yet
        whether it is the one that was intended.
        """
        done = [
            row.path
            for row in self._store.overdue(self._overdue)
            if not (self._busy(row.path) or self._is_recent(row.path, sweep) or _is_new(row))
        ]
        if done:
            with self._store.transaction():
                for path in done:
                    self._store.forget_intents(path, self._overdue)
        for path in done:
            self._changed(path)

    def look_above(self, path: str) -> None:
        """A change of a local path changes what the directories above it look like."""
        try:
            for directory in reversed(names.parents(path)):
                if self._busy(directory) or self._ignored(directory):
                    continue
                row = self._store.row(directory)
                new = here(row, self._local.look(directory))
                if new is row:
                    return
                with self._store.transaction():
                    self._store.save([new])
                self._changed(directory)
                self._news(row, new, remote=False)
        except (Retry, Blocked, Stale) as error:
            log.debug("cannot look above %s: %s", path, error)

    def _confirm_absences(self) -> None:
        """Look a second time at local paths that were absent once."""
        self._local.check()
        rows = self._store.unsure(remote=False)
        if not rows:
            self._confirm_here = None
            return
        news = []
        for row in rows:
            if self._busy(row.path):
                continue
            try:
                entry = self._local.look(row.path)
            except (Retry, Blocked, Stale):
                continue
            news.append((row, here(row, entry)))
        with self._store.transaction():
            self._store.save(new for _, new in news)
        for row, new in news:
            self._changed(row.path)
            self._news(row, new, remote=False)
        if not news:
            # Each of them is in flight or cannot be looked at just now.
            self._confirm_here = self._clock.monotonic() + self._settings.delete_quiet + 1.0


def _is_new(row: Row) -> bool:
    """Whether a listing has shown what no look and no decision has taken account of yet."""
    if row.remote is None:
        return False
    if row.path.endswith("/"):
        return row.base is None and row.remote.tag == MARKER
    return row.remote.sha256 is None


def _within(path: str, sweep: Sweep) -> bool:
    """Whether a partial local pass covered a path."""
    return bool(sweep.at) and (path == sweep.at or path.startswith(sweep.at + "/"))
