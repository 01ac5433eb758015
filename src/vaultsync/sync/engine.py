"""The engine: one thread that observes, plans, starts actions, and records what they came to.

`Engine.turn` is one round of the loop and never waits longer than asked. What to do about a path is
decided by `core.plan` alone; the engine adds when to look, what runs at once, and what follows from
an error.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core import moves, names
from vaultsync.core.errors import Blocked, Fatal, Retry, SignIn, Stale, VaultsyncError
from vaultsync.core.model import (
    FULL,
    IMPLIED,
    MARKER,
    Absence,
    Action,
    Base,
    Entry,
    Kind,
    State,
    Status,
    Verb,
    Waiting,
)
from vaultsync.core.plan import agreed, decide
from vaultsync.state.store import Damaged, Journalled
from vaultsync.sync.agenda import Agenda, Changed
from vaultsync.sync.executor import Prepared, Result, recovered_push
from vaultsync.sync.flight import Flight, NotDone, Report, Stage, Task, told
from vaultsync.sync.guard import Guards
from vaultsync.sync.observe import Observer
from vaultsync.sync.recognition import Recognition
from vaultsync.sync.restless import Restless
from vaultsync.sync.schedule import Delays, Gate
from vaultsync.sync.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vaultsync.core.model import Row
    from vaultsync.core.ports import Clock, Side, VaultMark
    from vaultsync.core.safety import Guard
    from vaultsync.state.store import Store
    from vaultsync.sync.flight import Pool

log = logging.getLogger(__name__)

BATCH = 500
"""Decisions that only touch the database, per turn."""
PROBE = 60.0
"""Seconds at most between two tries to use a side that could not be used."""
PROBE_SIGN_IN = 2.0
"""Seconds at most between two looks whether somebody has signed in again."""
HELD_BACK = 30.0
"""Seconds that new files wait at most for the end of a pass that may show where they came from."""
EXAMINED = 10_000
"""Remote versions that are remembered to have told no digest."""
PATIENT = 5
"""Tries that a fault counts for which only a person can put right."""
LASTING = 25 * 60.0
"""Seconds, more than a request can be late, after which a file and a folder of one name will not
part by themselves."""


class Engine:
    """Keeps a local and a remote side the same.

    One thread calls `turn`. `mark`, `request_sync`, `pause` and `resume` may be called from any
    thread; `status`, `waiting`, `served`, `at_rest` and `trouble` (why nothing can go on, and how
    often it was tried) are what the last turn published.
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
        self._new_op = new_op
        self._flight = Flight(local, remote, pool, clock)
        self._agenda = Agenda(store, self._flight.short_work)
        self._delays = Delays(clock)
        seen = None if mark is None else Recognition(store, clock, mark, new_op)
        self.guards = Guards(store, clock, self.settings.limits, seen)
        self._observer = Observer(
            store,
            local,
            remote,
            clock,
            self.settings,
            ignored,
            changed=self._noticed,
            wake=self._flight.wake,
            busy=lambda path: path in self._flight.tasks,
        )
        self._restless = Restless(clock.monotonic)
        self._root = Gate(clock)
        self._cloud = Gate(clock)
        self._unanswered: dict[str, Journalled] = {}
        self._examined: dict[str, str] = {}
        self._held_back = Changed(everything=False)
        self._behind: dict[str, set[str]] = {}
        self._paused = False
        self.status = Status(State.STARTING)
        self.waiting: tuple[Waiting, ...] = ()
        self.served = 0
        self.lookalikes = self._observer.lookalikes
        self.at_rest = False
        self.trouble: tuple[VaultsyncError, int] | None = None
        with store.transaction():
            store.renew_intents(self._observer.lasting())
            for row in store.deleting():
                if row.base is not None:
                    self._intend_deletion(row.path, row.base)
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
            self._record(reports)
            self._observe()
            self._retry()
            for path in self.guards.turn():
                self._agenda.changed.add(path)
            self._start()
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
            due += [self._delays.next(), self.guards.due]
            room = len(self._flight.tasks) < self.settings.lanes
            if room and self._agenda.ready:
                return 0.0
        return max(0.0, min((at for at in due if at is not None), default=now + PROBE) - now)

    def _may_start(self) -> bool:
        return self._root.open and self._cloud.open and not self._paused

    # Recording

    def _record(self, reports: Iterable[Report]) -> None:
        """One transaction for all reports; what it journals may become visible afterwards."""
        prepared: list[Task] = []
        results: list[tuple[Task, Result]] = []
        failed: list[tuple[Task, object]] = []
        for report in reports:
            task, outcome = report.task, report.outcome
            if task is None:
                self._probed(outcome)
            elif isinstance(outcome, Prepared):
                task.prepared = outcome
                prepared.append(task)
            elif isinstance(outcome, Result):
                results.append((task, outcome))
            else:
                failed.append((task, outcome))
        if prepared or results:
            try:
                with self._store.transaction(durable=bool(prepared)):
                    for task in prepared:
                        self._journal(task)
                    for task, result in results:
                        self._settle(task, result)
            except VaultsyncError as error:
                self._unrecorded(prepared, [task for task, _ in results], error)
                raise
        for task in prepared:
            self._flight.commit(task)
        for task, result in results:
            self._settled(task, result)
        for task, fault in failed:
            self._failed(task, fault)

    def _journal(self, task: Task) -> None:
        """Note what is about to become visible. Runs within a transaction."""
        if task.prepared is None:
            raise ValueError("only what was prepared is journalled")
        action = task.prepared.action
        task.operation = task.prepared.journalled()
        if task.operation is not None:
            self._store.begin(task.operation)
        elif action.verb is Verb.DELETE_REMOTE:
            self._store.save([replace(action.row, local_gone=True)])
        elif action.verb is Verb.CONFLICT:
            self._store.save([replace(action.row, base=None)])
        elif action.verb is Verb.PUSH:
            folder = Base(Kind.DIR, 0, "", "", MARKER, ops=(task.op,))
            made = Journalled(task.path, task.op, action.verb, "", folder)
            self._store.intend(made, self._observer.lasting())

    def _settle(self, task: Task, result: Result) -> None:
        """Write what a step came to. Runs within a transaction."""
        row = result.row
        if task.stage is not Stage.COMMIT:
            row = self._recognised(row)
        if task.stage is Stage.PREPARE and row.base is None:
            met = decide(row)
            if met is not None and met.verb is Verb.ADOPT:
                row = _noted(met)
        if task.stage is Stage.LOOK and row.remote is not None and self._is_settled(row):
            row = replace(row, moved_from=None)
        self._store.save([row])
        if task.operation is not None:
            self._store.finish(task.path)
        event = told(task, result, self._clock.now())
        if event is not None:
            self._store.events.record(event)
        self.guards.recorded(task.path, event)
        if task.stage is Stage.COMMIT and task.path.endswith("/"):
            self._store.forget_intent(task.path)
        if row.remote is not None:
            self._imply_above(row)

    def _recognised(self, row: Row) -> Row:
        """The row, with a write of ours of unknown outcome for its base if it was carried out.

        Not with one that its base is built upon: base never goes back to what it was before.
        """
        remote, base = row.remote, row.base
        if not row.intents or remote is None or (base and base.remote_tag == remote.tag):
            return row
        for op in remote.ops:
            if base is not None and base.ops[:1] == (op,):
                break
            intended = self._store.intended(op, row.path) if op in row.intents else None
            if intended is not None:
                return recovered_push(row, op, intended, remote)
        return row

    def _imply_above(self, row: Row) -> None:
        """What is in the vault makes all directories above it exist there.

        What is on both sides makes them common: seen to be gone later, they were deleted.
        """
        common = row.base is not None and row.local is not None
        for directory in reversed(names.parents(row.path)):
            old = new = self._store.row(directory)
            if new.remote is None:
                implied = Entry(Kind.DIR, 0, IMPLIED)
                new = replace(new, remote=implied, remote_absence=Absence.PRESENT)
            if common and new.base is None:
                here = new.local or Entry(Kind.DIR, 0, FULL)
                new = replace(new, local=here, local_absence=Absence.PRESENT)
                new = replace(new, base=agreed(new))
            if new is old:
                return
            self._store.save([new])
            self._observer.committed(directory)
            self._agenda.changed.add(directory)

    def _settled(self, task: Task, result: Result) -> None:
        """What follows from a recorded step."""
        path, action = task.path, task.action
        self._end(task, discard=False)
        if task.stage is Stage.LOOK:
            self.guards.noticed(path)
            return
        self._delays.succeeded(path)
        if action is None or task.stage is Stage.PREPARE:
            if action is not None and action.verb is Verb.INSPECT and result.row.local is None:
                self._examine(result.row)
            return
        log.info("%s %s: %s", action.verb, path, action.reason)
        if result.kept is not None:
            log.warning("both versions of %s are kept, the one from here as %s", path, result.kept)
            self._observer.look_at(result.kept)
        if action.verb is Verb.PART:
            self._observer.poll_now()
        elif action.verb in (Verb.PULL, Verb.DELETE_LOCAL, Verb.CONFLICT):
            self._observer.look_above(path)
        elif action.verb is Verb.PUSH and result.row.local is not None and path[-1] != "/":
            self._restless.sent(path, result.row.local.tag, snapshot=task.snapshot)
            if task.snapshot:
                self._observer.dirty.mark(path)
        elif action.verb is Verb.DELETE_REMOTE:
            if above := names.parent(path):
                self._agenda.changed.add(above)
            self._look_at_moved(path)

    def _examine(self, row: Row) -> None:
        """Remember that asking for a remote version has told all that it could."""
        if row.remote is not None:
            if len(self._examined) >= EXAMINED:
                self._examined.clear()
            self._examined[row.path] = row.remote.tag

    def _look_at_moved(self, source: str | None = None) -> None:
        """Look whether what was moved here by a copy in the vault is there (rule R6)."""
        for row in self._store.moved(source):
            busy = row.path in self._flight.tasks or row.path in self._delays
            if not busy and self._is_settled(row):
                self._flight.look(row)

    def _is_settled(self, row: Row) -> bool:
        """Whether the path that a row was moved from has no deletion in the vault before it."""
        if row.moved_from is None:
            return True
        source = self._store.row(row.moved_from)
        return source.local is not None or source.base is None

    def _unrecorded(self, prepared: list[Task], done: list[Task], error: VaultsyncError) -> None:
        """The database took nothing: what was prepared is dropped, what was done is seen anew."""
        for task in prepared:
            task.operation = None
            self._end(task, discard=True)
            self._delays.hold(task.path, "blocked", error)
        for task in done:
            self._end(task, discard=False)
            self._delays.hold(task.path, "blocked", error, look=True)

    def _noticed(self, path: str) -> None:
        """A path was observed to be different: what blocked it may have gone."""
        self._agenda.changed.add(path)
        self._delays.release(path)
        self._clear_way(path)
        self.guards.noticed(path)

    def _clear_way(self, path: str) -> None:
        """What waits behind a path is planned again when that path has changed."""
        for waiting in self._behind.pop(path, ()):
            if waiting not in self._unanswered and self._delays.free(waiting):
                self._agenda.changed.add(waiting)

    def _end(self, task: Task, *, discard: bool) -> None:
        self._flight.end(task, discard=discard)
        self._observer.committed(task.path)
        self._agenda.changed.add(task.path)
        self._clear_way(task.path)

    # Errors

    def _failed(self, task: Task, outcome: object) -> None:
        """Sort an error by what is to be done about it."""
        path = task.path
        if isinstance(outcome, NotDone):
            self._not_done(task)
            return
        error = outcome if isinstance(outcome, VaultsyncError) else _unexpected(path, outcome)
        local, verb = task.row.local, None if task.action is None else task.action.verb
        if isinstance(error, Stale) and verb is Verb.PUSH and local is not None:
            error = self._restless.failed(path, local.tag, error, snapshot=task.snapshot)
        unknown = isinstance(error, Retry) and error.unknown_outcome
        if isinstance(error, Stale) and task.operation is not None:
            # A refusal may answer the second delivery of a request whose first one was carried out.
            unknown = task.operation.verb is Verb.PUSH
        if task.stage is Stage.RECOVER or (task.stage is Stage.COMMIT and unknown):
            self._ask_again(task, error)
            return
        if task.operation is not None:
            with self._store.transaction():
                self._store.finish(path)
        self._end(task, discard=True)
        if isinstance(error, Stale):
            log.debug("%s was not as expected: %s", path, error)
            source = task.action.source if task.action is not None else None
            if source is not None and source.path not in self._flight.tasks:
                self._flight.look(self._store.row(source.path))
            self._delays.hold(path, "pending", error, look=True)
        elif isinstance(error, Retry):
            self._delays.hold(path, "retry", error, after=error.after or 0.0, look=True)
            self._flight.probe()
        elif isinstance(error, SignIn | Fatal):
            self._delays.hold(path, "pending", error)
            self._flight.probe()
            self._root.due = 0.0
        else:
            log.warning("%s waits: %s", path, error)
            self._delays.hold(path, "blocked", error, look=True, patient=PATIENT)

    def _ask_again(self, task: Task, error: VaultsyncError) -> None:
        """A request may or may not have been carried out: ask later what became of it."""
        path, operation, action = task.path, task.operation, task.action
        log.info("what became of a request for %s is not known: %s", path, error)
        if action is not None and action.verb is Verb.DELETE_REMOTE and action.row.base is not None:
            with self._store.transaction(durable=True):
                self._intend_deletion(path, action.row.base)
        self._flight.end(task, discard=False)
        self._observer.committed(path)
        self._delays.hold(path, "retry", error, look=operation is None)
        if operation is not None:
            self._unanswered[path] = operation
        self._flight.probe()

    def _intend_deletion(self, path: str, base: Base) -> None:
        """Remember a deletion as long as it can still arrive. Runs within a transaction."""
        unknown = Journalled(path, self._new_op(), Verb.DELETE_REMOTE, "", base)
        self._store.intend(unknown, self._observer.lasting())

    def _not_done(self, task: Task) -> None:
        """A journalled operation did not happen, as far as can be seen; a PUT may still arrive."""
        operation = task.operation
        with self._store.transaction(durable=True):
            self._store.finish(task.path)
            if operation is not None and operation.verb is Verb.PUSH:
                self._store.intend(operation, self._observer.lasting())
        self._end(task, discard=False)
        self._flight.look(self._store.row(task.path))

    # Gates

    def _probed(self, outcome: object) -> None:
        """The remote side was asked whether it can be used."""
        self._flight.probing = False
        if outcome is None:
            if not self._cloud.open:
                self._cloud.reopen()
                self._delays.hurry()
                self._observer.poll_now()
        else:
            error = outcome if isinstance(outcome, VaultsyncError) else _unexpected("", outcome)
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
        self._let_go()
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
            self._look_at_moved()

    def _let_go(self) -> None:
        """Plan again what waited for the end of a pass."""
        if self._held_back and not self._observer.searching(HELD_BACK):
            self._agenda.changed.take_over(self._held_back)

    def _retry(self) -> None:
        """Let paths whose time has come be looked at, asked after, or planned again."""
        if not self._may_start():
            return
        for path, delay in self._delays.take():
            if path in self._flight.tasks:
                continue
            operation = self._unanswered.pop(path, None)
            if operation is not None:
                self._flight.recover(operation, self._store.row(path))
            elif delay.look:
                self._flight.look(self._store.row(path))
            else:
                self._agenda.changed.add(path)

    # Planning and starting

    def _start(self) -> None:
        """Hand out work while there are free lanes; write down what needs no work."""
        noted: list[Action] = []
        while self._may_start() and len(noted) < BATCH:
            room = len(self._flight.tasks) < self.settings.lanes
            planned = self._agenda.take() if room else None
            if planned is None:
                break
            action = self.guards.admit(planned) if self._is_free(planned) else None
            if action is None:
                continue
            if moves.is_new(action):
                if self._waits_for_pass(action):
                    continue
                action = self._borrowing(action)
            if action.verb is Verb.ADOPT and action.row.base is None and _is_file(action):
                # Rule R7: what was seen in the vault may be older than the file here.
                action = replace(action, verb=Verb.INSPECT)
            if action.verb in (Verb.ADOPT, Verb.FORGET):
                noted.append(action)
            else:
                self._flight.start(action, self._new_op(), snapshot=self._wants_snapshot(action))
        if noted:
            with self._store.transaction():
                self._store.save(_noted(action) for action in noted)

    def _wants_snapshot(self, action: Action) -> bool:
        local = action.row.local
        if action.verb is not Verb.PUSH or local is None or local.kind is not Kind.FILE:
            return False
        return self._restless.wants_snapshot(action.path, local.tag)

    def _waits_for_pass(self, action: Action) -> bool:
        """Whether a new file's old path may still be seen to be gone by a pass under way."""
        remote = action.verb is Verb.PULL
        if not self._observer.searching(HELD_BACK, remote=remote) or not self._store.totals()[0]:
            return False
        self._held_back.add(action.path)
        return True

    def _borrowing(self, action: Action) -> Action:
        """Let a new file's content come from where the target side holds it already."""
        row, pulling = action.row, action.verb is Verb.PULL
        entry = row.remote if pulling else row.local
        if entry is None or self._delays.tries(action.path) > 1:
            return action
        vacated = self._store.vacated(entry.size, remote=pulling)
        if vacated and entry.sha256 is not None:
            vacated = self._store.vacated(entry.size, entry.sha256, remote=pulling)
        examined = pulling and self._examined.get(action.path) == entry.tag
        return moves.borrow(action, vacated, examined=examined)

    def _awaits_marker(self, path: str) -> bool:
        """Whether the folder that keeps on existing here is not yet sure to do so in the vault.

        Its marker has to be there before the last thing in it goes; it may have failed to arrive.
        """
        above = names.parent(path)
        tried = above in self._flight.tasks or above in self._delays or above in self._unanswered
        if not above or not tried or self._store.row(above).local is None:
            return False
        unknown = f"What becomes of the folder {above} in the vault is not known yet."
        self._delays.hold(path, "pending", Stale(unknown))
        return True

    def _is_free(self, action: Action) -> bool:
        """Whether an action may start now; if not, what changes that will bring it up again."""
        path = action.path
        if path in self._flight.tasks or path in self._delays or path in self._unanswered:
            return False
        if self._store.row(path) != action.row:
            self._agenda.changed.add(path)
            return False
        if action.verb is Verb.DELETE_REMOTE and self._awaits_marker(path):
            return False
        if action.verb is Verb.PUSH and not self._has_place(action):
            return False
        wait = self._restless.wait(path) if action.verb is Verb.PUSH else 0.0
        if wait:
            why = self._restless.reason(path)
            self._delays.hold(path, "pending", why, after=wait, look=True)
            return False
        obstacle = self._agenda.obstacle(path) if action.verb is Verb.PULL else None
        if obstacle is not None:
            if self._delays.waited(path) > LASTING:
                self._part(obstacle)
            what = "A folder" if obstacle.endswith("/") else "A file"
            error = Blocked(f"{what} named {obstacle} is in the way here.", "Rename one of them.")
            passing = self._delays.tries(path) < PATIENT
            self._delays.hold(path, "pending" if passing else "blocked", error)
            self._behind.setdefault(obstacle, set()).add(path)
        return obstacle is None

    def _has_place(self, action: Action) -> bool:
        """Whether nothing in the vault bears the name of a pushed file, or of a folder above it."""
        path = action.path
        leaving = self._agenda.leaving(path)
        if leaving is None and not path.endswith("/"):
            kept = self._agenda.folder_there(path, self._is_unsure)
            if kept:
                self._flight.start(_beside_folder(action), self._new_op())
                return False
            leaving = path + "/" if kept is None else None
        if leaving is not None:
            self._delays.hold(path, "pending", Stale(f"{leaving} has to go from the vault first."))
            self._behind.setdefault(leaving, set()).add(path)
        return leaving is None

    def _part(self, obstacle: str) -> None:
        """Set the file aside where the vault has a folder of the same name; the folder keeps it."""
        row = self._agenda.clash(obstacle)
        if row is None or row.path in self._delays or self._is_unsure(row.path):
            return
        reason = "the vault has a folder of this name; the file is kept beside it"
        self._flight.start(Action(Verb.PART, row, reason), self._new_op())

    def _is_unsure(self, path: str) -> bool:
        """Whether something is under way that may change what is known of a path."""
        return path in self._flight.tasks or path in self._unanswered

    # Publishing

    def _publish(self) -> None:
        observer, gate = self._observer, self._cloud if self._root.open else self._root
        waiting = (*self._delays.waiting(), *observer.unseen())
        blocked = sum(1 for item in waiting if item.code == "blocked")
        under_way = len(self._flight.tasks) + len(self._agenda.changed) + len(self._delays)
        busy = bool(self._flight.tasks or self._agenda or self._held_back)
        resting = not busy and observer.idle and len(self._delays) <= blocked
        resting = resting and self.guards.due is None
        state = gate.state or (State.IDLE if resting else State.SYNCING)
        if self._paused and gate.open:
            state = State.PAUSED
        files, size = self._store.totals()
        self.waiting = waiting
        self.served = observer.served
        self.lookalikes = observer.lookalikes
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


def _is_file(action: Action) -> bool:
    return not action.path.endswith("/")


def _noted(action: Action) -> Row:
    """The row after a decision that touches no side."""
    row = action.row
    if action.verb is Verb.FORGET:
        return replace(row, base=None, local_gone=False)
    gone = row.local_gone and bool(row.intents)
    return replace(row, base=agreed(row), local_gone=gone)


def _beside_folder(action: Action) -> Action:
    """What becomes of a push to where the vault has a folder: a conflict, unless none changed."""
    local, base = action.row.local, action.row.base
    if local is not None and base is not None and local.sha256 is None:
        return replace(action, verb=Verb.INSPECT, reason="it may only have been touched")
    reason = "the vault has a folder of this name; the file is kept beside it"
    return replace(action, verb=Verb.CONFLICT, reason=reason)


def _unexpected(path: str, error: object) -> Blocked:
    """A fault of this program: one item waits, the others go on."""
    trace = error if isinstance(error, BaseException) else None
    log.error("unexpected error at %r", path, exc_info=trace)
    return Blocked(
        f"Something unexpected happened ({type(error).__name__}).",
        "It will be tried again; the log of the daemon has the details.",
    )
