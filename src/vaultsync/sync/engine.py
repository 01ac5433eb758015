"""The engine: one thread that observes, plans, starts actions, and records what they came to.

`Engine.turn` is one round of the loop and never waits longer than asked. What to do about a path is
decided by `core.plan` alone; the engine adds when to look, what runs at once, and what follows from
an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Fatal, Retry, SignIn, VaultsyncError
from vaultsync.core.model import State, Status, Waiting
from vaultsync.state.connection import Damaged
from vaultsync.sync.agenda import Agenda
from vaultsync.sync.backlog import Backlog
from vaultsync.sync.errands import Errands
from vaultsync.sync.flight import Flight
from vaultsync.sync.guard import Guards
from vaultsync.sync.observe import Observer
from vaultsync.sync.recognition import Recognition
from vaultsync.sync.recorder import Recorder, unexpected
from vaultsync.sync.restless import Restless
from vaultsync.sync.schedule import Gate
from vaultsync.sync.settings import Settings
from vaultsync.sync.starter import HELD_BACK, Starter

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.ports import Clock, Side, VaultMark
    from vaultsync.core.safety import Guard
    from vaultsync.state.store import Store
    from vaultsync.sync.flight import Pool

PROBE = 60.0
"""Seconds at most between two tries to use a side that could not be used."""
PROBE_SIGN_IN = 2.0
"""Seconds at most between two looks whether somebody has signed in again."""


class Engine:
    """Keeps a local and a remote side the same.

    One thread calls `turn`. `errands.ask`, `mark`, `request_sync`, `pause` and `resume` may be
    called from any thread; `status`, `waiting`, `served`, `at_rest`, `trouble` (why nothing can go
    on, and how often it was tried) and `tries_again` (when it is tried next, seconds since the
    epoch) are what the last turn published.
    """

    def __init__(
        self,
        store: Store,
        local: Side,
        remote: Side,
        pool: Pool,
        clock: Clock,
        new_op: Callable[[], str],
        ignored: Callable[[str], bool],
        settings: Settings | None = None,
        mark: VaultMark | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._store = store
        self._clock = clock
        self._flight = flight = Flight(local, remote, pool, clock, lazy=self.settings.lazy)
        self._agenda = agenda = Agenda(store, self._deletions_wait)
        self._backlog = backlog = Backlog(store, clock, flight, agenda)
        seen = None if mark is None else Recognition(store, clock, mark, new_op)
        self.guards = guards = Guards(store, clock, self.settings.limits, seen)
        self._observer = observer = Observer(
            store,
            local,
            remote,
            clock,
            self.settings,
            ignored,
            changed=self._noticed,
            wake=flight.wake,
            busy=lambda path: path in flight.tasks,
        )
        self._root = root = Gate(clock)
        self._cloud = Gate(clock)
        restless = Restless(clock.monotonic)
        self._recorder = Recorder(
            store, clock, new_op, flight, backlog, observer, guards, restless, root
        )
        self._starter = Starter(
            store,
            new_op,
            flight,
            agenda,
            backlog,
            observer,
            guards,
            restless,
            self.settings.lanes,
        )
        self.errands = Errands(store, flight, backlog, observer, restless)
        self._paused = False
        self.status = Status(State.STARTING)
        self.waiting: tuple[Waiting, ...] = ()
        self.served = 0
        self.lookalikes = self._observer.lookalikes
        self.at_rest = False
        self.trouble: tuple[VaultsyncError, int] | None = None
        self.tries_again: float | None = None
        with store.transaction():
            store.renew_intents(self._observer.lasting())
            for row in store.deleting():
                if row.base is not None:
                    self._recorder.intend_deletion(row.path, row.base)
        for operation in store.journal():
            self._flight.recover(operation, store.row(operation.path))

    # Asked from any thread

    def mark(self, path: str, writing: bool = False) -> None:
        """Something may have happened at or below a local path; the empty path: anywhere.

        Args:
            path: Without a trailing `/`.
            writing: Whether somebody still has that file open and writes to it.
        """
        self._observer.dirty.mark(path, writing=writing)

    def request_sync(self) -> int:
        """Look at everything on both sides; returns a ticket that `served` reaches afterwards."""
        ticket = self._observer.request()
        self._root.due = self._cloud.due = self._clock.monotonic()
        self._flight.wake()
        return ticket

    def pause(self) -> None:
        """Start nothing new; what is under way is finished."""
        self._paused = True
        self._flight.wake()

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._flight.wake()

    def decide(self, what: str, guard: Guard | None) -> None:
        """A person says `allow` or `restore` to what a guard (None: any) holds now."""
        self.guards.wish(what, guard)
        self._flight.wake()

    def wake(self) -> None:
        """End the wait of the current turn."""
        self._flight.wake()

    # The loop

    def turn(self, patience: float) -> None:
        """One round: take reports, record them, look where it is due, plan, start.

        Args:
            patience: Seconds to wait at most for something to do.

        Raises:
            Damaged: The state database is broken; nothing else escapes.
        """
        reports = self._flight.take(min(patience, self._idle_seconds()))
        try:
            for report in reports:
                if report.task is None:
                    self._probed(report.outcome)
            self._recorder.record(reports)
            if self._may_start():
                self.errands.run()
            self._observe()
            if self._may_start():
                self._backlog.retry()
            for path in self.guards.turn():
                self._backlog.plan(path)
            self._starter.start(self._may_start)
        except Damaged:
            raise
        except (Blocked, Fatal) as error:
            # Without a writable journal, nothing may go on.
            self._root.close(State.STOPPED, error, last=PROBE)
        self._publish()

    def _idle_seconds(self) -> float:
        """Seconds until something is due that no report announces."""
        now = self._clock.monotonic()
        due: list[float | None] = [
            self._observer.due(here=self._root.open, there=self._root.open and self._cloud.open)
        ]
        if not self._root.open:
            due.append(self._root.due)
        elif not self._cloud.open:
            due.append(None if self._flight.probing else self._cloud.due)
        if self._may_start():
            if self._backlog.held_back and not self._observer.searching(HELD_BACK):
                # What waited for a pass goes on before the next one begins, or it waits for ever.
                return 0.0
            due += [self._backlog.delays.next(), self.guards.due]
            room = len(self._flight.tasks) < self.settings.lanes
            if room and self._agenda.ready:
                return 0.0
        return max(0.0, min((at for at in due if at is not None), default=now + PROBE) - now)

    def _may_start(self) -> bool:
        return self._root.open and self._cloud.open and not self._paused

    def _deletions_wait(self) -> bool:
        """Whether content may yet have to be copied from where it is to be deleted."""
        return self._flight.short_work() or bool(self._backlog.held_back)

    def _noticed(self, path: str) -> None:
        """A path was observed to be different."""
        self._backlog.noticed(path)
        self.guards.noticed(path)

    # Gates

    def _probed(self, outcome: object) -> None:
        """The remote side was asked whether it can be used."""
        self._flight.probing = False
        if outcome is None:
            if not self._cloud.open:
                self._cloud.reopen()
                self._backlog.delays.hurry()
                self._observer.poll_now()
        else:
            error = outcome if isinstance(outcome, VaultsyncError) else unexpected("", outcome)
            self._shut(error)

    def _shut(self, error: VaultsyncError) -> None:
        """The remote side cannot be used for now."""
        if isinstance(error, SignIn):
            self._cloud.close(State.SIGN_IN_NEEDED, error, last=PROBE_SIGN_IN)
        elif isinstance(error, Retry):
            locked = error.code == "keyring-locked"
            state = State.WAITING_FOR_KEYRING if locked else State.OFFLINE
            self._cloud.close(state, error, last=PROBE)
        else:
            self._cloud.close(State.STOPPED, error, last=PROBE)

    # Observing

    def _observe(self) -> None:
        now = self._clock.monotonic()
        if self._observer.notice_jumps():
            self._root.due = self._cloud.due = now
        if self._root.open or self._root.due <= now:
            try:
                self._observer.turn_here()
                self._root.reopen()
            except Damaged:
                raise
            except VaultsyncError as error:
                self._root.close(State.STOPPED, error, last=PROBE_SIGN_IN)
        if not self._root.open:
            return
        if self._backlog.held_back and not self._observer.searching(HELD_BACK):
            self._backlog.let_go()
        if not self._cloud.open:
            if self._cloud.due <= now:
                self._flight.probe()
            return
        passes = self._observer.observed
        try:
            self._observer.turn_there()
            self.guards.listed(self._observer.observed)
        except Damaged:
            raise
        except VaultsyncError as error:
            self._shut(error)
        if self._observer.observed != passes and self._may_start():
            self._recorder.look_at_moved()

    # Publishing

    def _publish(self) -> None:
        observer, gate = self._observer, self._cloud if self._root.open else self._root
        backlog = self._backlog
        waiting = (*backlog.delays.waiting(), *observer.unseen())
        blocked = sum(1 for item in waiting if item.code == "blocked")
        under_way = len(self._flight.tasks) + len(self._agenda.changed) + len(backlog.delays)
        busy = bool(self._flight.tasks or self._agenda or backlog.held_back or backlog.unanswered)
        resting = not busy and observer.idle and len(backlog.delays) <= blocked
        resting = resting and self.guards.due is None
        state = gate.state or (State.IDLE if resting else State.SYNCING)
        if self._paused and gate.open:
            state = State.PAUSED
        files, size = self._store.totals()
        self.waiting = waiting
        self.served = observer.served
        self.lookalikes = observer.lookalikes
        wait = max(0.0, gate.due - self._clock.monotonic())
        self.tries_again = None if gate.open else self._clock.now() + wait
        self.trouble = None if gate.error is None else (gate.error, gate.tries)
        self.at_rest = resting and gate.open and not self._paused
        self.status = Status(
            state=state,
            reason=gate.error.message if gate.error is not None else "",
            hint=gate.error.hint if gate.error is not None else "",
            files=files,
            bytes=size,
            pending=under_way,
            blocked=blocked,
            held=sum(item.count for item in self.guards.held),
            transfers=self._flight.transfers(),
            observed=observer.observed,
            scanned_at=observer.scanned_at,
            polled_at=observer.polled_at,
        )
