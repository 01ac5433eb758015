"""What the guards hold: they are asked about each action before it starts."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core import safety
from vaultsync.core.model import Action, Deed, Held, Verb
from vaultsync.core.safety import Guard, Limits, Tally
from vaultsync.sync.clockwork import Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.core.model import Event
    from vaultsync.core.ports import Clock
    from vaultsync.core.safety import Hold
    from vaultsync.state.store import Store
    from vaultsync.sync.recognition import Recognition

log = logging.getLogger(__name__)

DELETIONS = (Guard.DELETIONS_HERE, Guard.DELETIONS_THERE)
COUNTED = (*DELETIONS, Guard.CHANGES)
"""Guards whose pending items follow from the rows."""
_OF_EVENT: dict[Verb | Deed, Guard] = {
    Verb.DELETE_LOCAL: Guard.DELETIONS_HERE,
    Verb.DELETE_REMOTE: Guard.DELETIONS_THERE,
    Verb.PUSH: Guard.CHANGES,
    Verb.CONFLICT: Guard.CONFLICTS,
}
REVIEW = 1.0
"""Seconds at least between two reviews of what is held."""
HINT = "See `vaultsync held list`; then `vaultsync held allow` or `vaultsync held restore`."


class Guards:
    """Holds what would delete or change too much at once. Used by the engine's thread.

    Args:
        store: What is counted, and where it is kept that something is held.
        clock: For the time.
        limits: How much may happen without a person's word.
        recognition: Whether the vault is the one that it was; None: it is.

    Attributes:
        held: What is held now; read from any thread.
        conflicts: Paths of the conflicts that are held; read from any thread.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: Limits | None = None,
        recognition: Recognition | None = None,
    ) -> None:
        self.held: tuple[Held, ...] = ()
        self.conflicts: tuple[str, ...] = ()
        self._store = store
        self._rows = store.held
        self._clock = clock
        self._limits = limits or Limits()
        self._holds = {guard: self._rows.hold(guard) for guard in (*COUNTED, Guard.CONFLICTS)}
        self._counts: dict[Guard, int] = {}
        self._judged: set[Guard] = set()
        self._conflicts: set[str] = set()
        self._begun: deque[float] = deque()
        self._recognition = recognition
        self._free: set[Guard] = set()
        self._wishes: deque[tuple[str, Guard | None]] = deque()
        with store.transaction():
            self._rows.forget_passed(clock.now() - safety.DAY)
        self._letting = any(self._rows.has_let(guard) for guard in self._holds)
        self._review_at = 0.0
        last = store.events.read(limit=1)
        self._steps = Steps(clock, last[0].at if last else 0.0)
        self._publish()

    # Asked by the engine

    def admit(self, action: Action) -> Action | None:
        """The action to start instead of a planned one: mostly itself; None when it is held."""
        path, guard = action.path, safety.guard_of(action)
        if guard is not Guard.CONFLICTS:
            self._drop_conflict(path)
        if guard is None or self._rows.is_let(guard, path):
            return action
        if guard is Guard.CONFLICTS:
            return self._admit_conflict(action)
        if guard in DELETIONS and self._recognition is not None and not self._recognition.trusted:
            return None
        if self._holds[guard] is None or self._clock.monotonic() >= self._review_at:
            self._judge(guard)
        if self._holds[guard] is None or self._rows.lives_on(path):
            return action
        return _inspection(action) if guard is Guard.CHANGES else None

    def noticed(self, path: str) -> None:
        """A path was seen to be different: what was counted counts no more."""
        self._judged.clear()
        self._drop_conflict(path)

    def recorded(self, path: str, event: Event | None) -> None:
        """Take note of a finished step, within its transaction."""
        guard = None if event is None else _OF_EVENT.get(event.verb)
        if event is not None and guard is not None:
            self._rows.passed(guard, path, event.at)
            if guard in DELETIONS:
                self._rows.deleted(path, event.at)
        elif self._holds[Guard.CHANGES] is not None:
            # What looked like a change may have been found to be none.
            self._judged.discard(Guard.CHANGES)

    def listed(self, passes: int) -> None:
        """The whole vault was listed; is it the one that it was?

        Args:
            passes: How often it was.
        """
        if self._recognition is None:
            return
        before = self._recognition.trusted
        if self._recognition.look(passes):
            if self._recognition.trusted and not before:
                self._free.update(DELETIONS)
            self._judged.clear()
            self._publish()

    @property
    def due(self) -> float | None:
        """When what is held has to be looked at again (monotonic seconds), or None."""
        if self._wishes or self._free:
            return 0.0
        unsure = any(self._holds[guard] and guard not in self._judged for guard in COUNTED)
        return self._review_at if unsure else None

    def turn(self) -> Iterator[str]:
        """Do what a person asked for, and see what need not be held any more.

        Yields:
            Paths to plan again.
        """
        while self._wishes:
            yield from self._grant(*self._wishes.popleft())
        began = self._clock.monotonic()
        if began >= self._review_at:
            self._forget_let()
            for guard in COUNTED:
                if self._holds[guard] is not None and guard not in self._judged:
                    self._judge(guard)
            # A walk over very many rows must not become all that is done.
            self._review_at = began + max(REVIEW, 10 * (self._clock.monotonic() - began))
        while self._free:
            yield from self._rows.paths(self._free.pop())

    # Asked from any thread

    def wish(self, what: str, guard: Guard | None) -> None:
        """A person says `allow` or `restore`, to what one guard holds or to all; done in `turn`."""
        self._wishes.append((what, guard))

    # Inside

    def _judge(self, guard: Guard) -> None:
        if guard in self._judged:
            return
        now, before = self._clock.now(), self._holds[guard]
        since = safety.window(guard, before, now - self._steps.lately(safety.span(guard)))

        def verdict() -> Hold | None:
            pending = self._rows.pending(guard)
            self._counts[guard] = pending
            tally = Tally(self._store.totals()[0], self._rows.done(guard, since), pending)
            return safety.judge(guard, tally, before, now, self._limits)

        hold = verdict()
        if hold is not None and guard in DELETIONS:
            spared = self._rows.living_on()
            with self._store.transaction():
                self._rows.find_elsewhere(guard, since)
            hold = verdict()
            if self._rows.living_on() != spared:
                self._free.add(guard)
        self._judged.add(guard)
        self._set(guard, hold)

    def _set(self, guard: Guard, hold: Hold | None) -> None:
        before = self._holds[guard]
        if hold != before:
            with self._store.transaction(durable=True):
                self._rows.set_hold(guard, hold)
            self._holds[guard] = hold
        if hold is not None and before is None:
            log.warning("%s %s", safety.sentence(guard, self._counts[guard]), HINT)
        if hold is None and before is not None:
            log.info("nothing is held any more by the guard of %s", guard)
            if guard is not Guard.CONFLICTS:  # those wait here, not in the rows; none is left
                self._free.add(guard)
        self._publish()

    def _forget_let(self) -> None:
        """A person's word ends with what it was about."""
        if not self._letting:
            return
        with self._store.transaction():
            for guard in self._holds:
                self._rows.forget_let(guard, self._clock.now())
        self._letting = any(self._rows.has_let(guard) for guard in self._holds)

    def _admit_conflict(self, action: Action) -> Action | None:
        now = self._clock.now()
        since = now - safety.MINUTE - self._steps.lately(safety.MINUTE)
        while self._begun and self._begun[0] < since:
            self._begun.popleft()
        before = self._holds[Guard.CONFLICTS]
        recent = self._rows.done(Guard.CONFLICTS, since)
        tally = Tally(0, max(len(self._begun), recent), len(self._conflicts) + 1)
        hold = before or safety.judge(Guard.CONFLICTS, tally, None, now, self._limits)
        if hold is None:
            self._begun.append(now)
            return action
        self._conflicts.add(action.path)
        self._counts[Guard.CONFLICTS] = len(self._conflicts)
        self._set(Guard.CONFLICTS, hold)
        return None

    def _drop_conflict(self, path: str) -> None:
        if path in self._conflicts:
            self._conflicts.remove(path)
            self._counts[Guard.CONFLICTS] = len(self._conflicts)
            if not self._conflicts:
                self._set(Guard.CONFLICTS, None)

    def _grant(self, what: str, only: Guard | None) -> Iterator[str]:
        """Let through, or undo, what is held; both end the hold."""
        for item in self.held:
            guard = Guard(item.guard)
            if only in (None, guard):
                log.info("%s: %d files held by the guard of %s", what, item.count, guard)
                for meant in DELETIONS if guard is Guard.VAULT else (guard,):
                    yield from self._grant_one(what, meant)
                if guard is Guard.VAULT and self._recognition is not None:
                    self._recognition.accept()
        self._judged.clear()
        self._publish()

    def _grant_one(self, what: str, guard: Guard) -> list[str]:
        now = self._clock.now()
        conflicts = sorted(self._conflicts) if guard is Guard.CONFLICTS else []
        paths = conflicts or [*self._rows.paths(guard)]
        with self._store.transaction(durable=True):
            if what == "allow" or guard is Guard.CONFLICTS:
                self._rows.let(guard, now, tuple(conflicts))
            else:
                self._rows.restore(guard)
            if what == "restore" and guard is Guard.CHANGES:
                # Each of them is about to get a conflict copy.
                self._rows.let(Guard.CONFLICTS, now, tuple(paths))
        self._letting = True
        self._holds[guard] = None
        self._conflicts.difference_update(conflicts)
        return paths

    def _publish(self) -> None:
        found = []
        for guard, hold in self._holds.items():
            if hold is not None:
                count = self._counts.get(guard, 0)
                found.append(Held(guard, safety.sentence(guard, count), count, hold.since))
        recognition = self._recognition
        if recognition is not None and recognition.reason:
            count = sum(self._rows.pending(guard) for guard in DELETIONS)
            found.append(Held(Guard.VAULT, recognition.reason, count, recognition.since))
        self.held, self.conflicts = tuple(found), tuple(sorted(self._conflicts))


def _inspection(action: Action) -> Action | None:
    """Find out whether a change is one; None when that is known."""
    local, base, remote = action.row.local, action.row.base, action.row.remote
    if local is None or local.sha256 is not None or base is None or remote is None:
        return None
    if remote.tag == base.remote_tag and remote.sha256 is None:
        # Nothing is to be fetched for this.
        remote = replace(remote, sha256=base.sha256)
    row = replace(action.row, remote=remote)
    return Action(Verb.INSPECT, row, "so much was changed at once: is the content new?")
