"""What steps came to: written down, with all that follows from it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.errors import Blocked, Fatal, Retry, SignIn, Stale, VaultsyncError
from vaultsync.core.model import FULL, IMPLIED, MARKER, Absence, Action, Base, Entry, Kind, Verb
from vaultsync.core.plan import agreed, decide
from vaultsync.state.store import Journalled
from vaultsync.sync.executor import Prepared, Result, recovered_push
from vaultsync.sync.flight import NotDone, Report, Stage, Task, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vaultsync.core.model import Row
    from vaultsync.core.ports import Clock
    from vaultsync.state.store import Store
    from vaultsync.sync.backlog import Backlog
    from vaultsync.sync.flight import Flight
    from vaultsync.sync.guard import Guards
    from vaultsync.sync.observe import Observer
    from vaultsync.sync.restless import Restless
    from vaultsync.sync.schedule import Gate

log = logging.getLogger(__name__)

Outcome = NotDone | Exception | None

PATIENT = 5
"""Tries that a fault counts for which only a person can put right."""


class Recorder:
    """Takes the reports of the pool. Used by the engine's thread.

    Args:
        store: Where rows, journal and history are.
        clock: For the times in the history.
        new_op: Makes operation ids.
        flight: What is under way.
        backlog: What waits.
        observer: Is told what was changed by us.
        guards: Are told what was deleted and changed.
        restless: Files that do not hold still.
        root: Whether the local side can be used.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        new_op: Callable[[], str],
        flight: Flight,
        backlog: Backlog,
        observer: Observer,
        guards: Guards,
        restless: Restless,
        root: Gate,
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_op = new_op
        self._flight = flight
        self._backlog = backlog
        self._observer = observer
        self._guards = guards
        self._restless = restless
        self._root = root
        # What the database took nothing of: it happened, and has to be written down all the same.
        self._left: list[Report] = []

    def record(self, reports: Iterable[Report]) -> None:
        """Write down what steps came to, and start what follows.

        One transaction for all reports; what it journals may become visible afterwards.

        Raises:
            Blocked, Fatal: The database cannot be written; nothing of it was. What steps came to
                is kept for the next call.
        """
        prepared: list[Task] = []
        results: list[tuple[Task, Result]] = []
        failed: list[tuple[Task, Outcome]] = []
        left, self._left = self._left, []
        for report in (*left, *reports):
            task, outcome = report.task, report.outcome
            if task is None:
                continue
            if isinstance(outcome, Prepared):
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
                self._unrecorded(prepared, error)
                self._left = [Report(*each) for each in (*results, *failed)]
                raise
        for task in prepared:
            self._flight.commit(task)
        for task, result in results:
            self._settled(task, result)
        self._sort(failed)

    def _sort(self, failed: list[tuple[Task, Outcome]]) -> None:
        """Let follow what does from failures; those that cannot be written down are kept."""
        for number, (task, fault) in enumerate(failed):
            try:
                self._failed(task, fault)
            except VaultsyncError:
                self._left = [Report(*each) for each in failed[number:]]
                raise

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
        elif action.verb is Verb.DELETE_LOCAL:
            task.operation = self._journal_removal(task.op, action.row)
        elif action.verb is Verb.CONFLICT:
            self._store.save([replace(action.row, base=None)])
        elif action.verb is Verb.PUSH:
            folder = Base(Kind.DIR, 0, "", "", MARKER, ops=(task.op,))
            made = Journalled(task.path, task.op, action.verb, "", folder)
            self._store.intend(made, self._observer.lasting())
        elif action.verb is Verb.PULL:
            task.operation = self._journal_folder(task.path, task.op)
        if action.verb is Verb.PULL:
            for directory in names.parents(task.path):
                if self._store.row(directory).local is None:
                    self._journal_folder(directory, task.op)

    def _journal_removal(self, op: str, row: Row) -> Journalled:
        """Note that we are about to remove what is here: it is not to pass for a person's doing."""
        if row.base is None or row.local is None:
            raise ValueError("only what both sides had is removed here")
        base = replace(row.base, local_tag=row.local.tag, mtime_ns=row.local.mtime_ns)
        removal = Journalled(row.path, op, Verb.DELETE_LOCAL, "", base)
        self._store.finish(row.path)
        self._store.begin(removal)
        return removal

    def _journal_folder(self, path: str, op: str) -> Journalled:
        """Note that a folder of the vault is about to be made here, alone or for what is in it."""
        made = Journalled(path, op, Verb.PULL, "", Base(Kind.DIR, 0, "", "", MARKER))
        self._store.finish(path)
        self._store.begin(made)
        return made

    def _finish(self, task: Task) -> None:
        """Take what a task has journalled out of the journal. Runs within a transaction."""
        if task.operation is None:
            return
        self._store.finish(task.path)
        if task.operation.verb is not Verb.PULL:
            return
        tasks = self._flight.tasks.values()
        others = [other.path for other in tasks if other is not task and other.operation]
        for directory in names.parents(task.path):
            common = self._store.row(directory).base is not None
            if common or not any(other.startswith(directory) for other in others):
                self._store.finish(directory)

    def _settle(self, task: Task, result: Result) -> None:
        """Write what a step came to. Runs within a transaction."""
        row = result.row
        if task.stage is not Stage.COMMIT:
            row = self._recognised(row)
        if task.stage is Stage.PREPARE and row.base is None:
            met = decide(row)
            if met is not None and met.verb is Verb.ADOPT:
                row = noted(met)
        if task.stage is Stage.LOOK and row.remote is not None and self._is_settled(row):
            row = replace(row, moved_from=None)
        self._store.save([row])
        event = told(task, result, self._clock.now())
        if event is not None:
            self._store.events.record(event)
        self._guards.recorded(task.path, event)
        if task.stage is Stage.COMMIT and task.path.endswith("/"):
            self._store.forget_intent(task.path)
        if row.remote is not None:
            self._imply_above(row)
        self._finish(task)

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
            self._backlog.plan(directory)

    def _settled(self, task: Task, result: Result) -> None:
        """What follows from a recorded step."""
        path, action = task.path, task.action
        self._backlog.end(task, self._observer, discard=False)
        if (task.row.local is None) != (result.row.local is None):
            # A folder above may have been emptied, and a deletion that waits must know before.
            self._observer.look_above(path)
        if task.stage is Stage.LOOK:
            self._guards.noticed(path)
            return
        self._backlog.delays.succeeded(path)
        if action is None or task.stage is Stage.PREPARE:
            if action is not None and action.verb is Verb.INSPECT and result.row.local is None:
                self._backlog.examine(result.row)
            return
        log.info("%s %s: %s", action.verb, path, action.reason)
        if result.kept is not None:
            log.warning("both versions of %s are kept, the one from here as %s", path, result.kept)
            self._observer.look_at(result.kept)
        if action.verb is Verb.PART:
            self._observer.poll_now()
        elif action.verb is Verb.PUSH and result.row.local is not None and path[-1] != "/":
            self._restless.sent(path, result.row.local.tag, snapshot=task.snapshot)
            if task.snapshot:
                self._observer.dirty.mark(path)
        elif action.verb is Verb.DELETE_REMOTE:
            if above := names.parent(path):
                self._backlog.plan(above)
            self.look_at_moved(path)

    def look_at_moved(self, source: str | None = None) -> None:
        """Look whether what was moved here by a copy in the vault is there (rule R6)."""
        for row in self._store.moved(source):
            if row.path not in self._backlog and self._is_settled(row):
                self._flight.look(row)

    def _is_settled(self, row: Row) -> bool:
        """Whether the path that a row was moved from has no deletion in the vault before it."""
        if row.moved_from is None:
            return True
        source = self._store.row(row.moved_from)
        return source.local is not None or source.base is None

    def _unrecorded(self, prepared: list[Task], error: VaultsyncError) -> None:
        """The database took nothing: what was only prepared is dropped."""
        for task in prepared:
            task.operation = None
            self._backlog.end(task, self._observer, discard=True)
            self._backlog.delays.hold(task.path, "blocked", error)

    def _failed(self, task: Task, outcome: object) -> None:
        """Sort an error by what is to be done about it."""
        path = task.path
        if isinstance(outcome, NotDone):
            self._not_done(task)
            return
        error = outcome if isinstance(outcome, VaultsyncError) else unexpected(path, outcome)
        local, verb = task.row.local, None if task.action is None else task.action.verb
        if isinstance(error, Stale) and verb is Verb.PUSH and local is not None:
            error = self._restless.failed(path, local.tag, error, snapshot=task.snapshot)
        unknown = isinstance(error, Retry) and error.unknown_outcome
        if isinstance(error, Stale) and task.operation is not None:
            # A refusal may answer the second delivery of a request whose first one was carried out.
            unknown = task.operation.verb.writes_remote
        if task.stage is Stage.RECOVER or (task.stage is Stage.COMMIT and unknown):
            self._ask_again(task, error)
            return
        if task.operation is not None:
            with self._store.transaction():
                self._finish(task)
        self._backlog.end(task, self._observer, discard=True)
        if isinstance(error, Stale):
            log.debug("%s was not as expected: %s", path, error)
            source = task.action.source if task.action is not None else None
            if source is not None and source.path not in self._backlog:
                self._flight.look(self._store.row(source.path))
            self._backlog.delays.hold(path, "pending", error, look=True)
        elif isinstance(error, Retry):
            self._backlog.delays.hold(path, "retry", error, after=error.after or 0.0, look=True)
            self._flight.probe()
        elif isinstance(error, SignIn | Fatal):
            self._backlog.delays.hold(path, "pending", error)
            self._flight.probe()
            self._root.due = 0.0
        else:
            log.warning("%s waits: %s", path, error)
            self._backlog.delays.hold(path, "blocked", error, look=True, patient=PATIENT)

    def _ask_again(self, task: Task, error: VaultsyncError) -> None:
        """A request may or may not have been carried out: ask later what became of it."""
        path, operation, action = task.path, task.operation, task.action
        log.info("what became of a request for %s is not known: %s", path, error)
        if action is not None and action.verb is Verb.DELETE_REMOTE and action.row.base is not None:
            with self._store.transaction(durable=True):
                self.intend_deletion(path, action.row.base)
        self._flight.end(task, discard=False)
        self._observer.committed(path)
        self._backlog.delays.hold(path, "retry", error, look=operation is None)
        if operation is not None:
            self._backlog.unanswered[path] = operation
        self._flight.probe()

    def intend_deletion(self, path: str, base: Base) -> None:
        """Remember a deletion as long as it can still arrive. Runs within a transaction."""
        unknown = Journalled(path, self._new_op(), Verb.DELETE_REMOTE, "", base)
        self._store.intend(unknown, self._observer.lasting())

    def _not_done(self, task: Task) -> None:
        """A journalled operation did not happen, as far as can be seen; a PUT may still arrive."""
        operation = task.operation
        with self._store.transaction(durable=True):
            self._finish(task)
            if operation is not None and operation.verb.writes_remote:
                self._store.intend(operation, self._observer.lasting())
        self._backlog.end(task, self._observer, discard=False)
        self._flight.look(self._store.row(task.path))


def noted(action: Action) -> Row:
    """The row after a decision that touches no side."""
    row = action.row
    if action.verb is Verb.FORGET:
        return replace(row, base=None, local_gone=False)
    gone = row.local_gone and bool(row.intents)
    return replace(row, base=agreed(row), local_gone=gone)


def unexpected(path: str, error: object) -> Blocked:
    """A fault of this program: one item waits, the others go on."""
    trace = error if isinstance(error, BaseException) else None
    log.error("unexpected error at %r", path, exc_info=trace)
    return Blocked(
        f"Something unexpected happened ({type(error).__name__}).",
        "It will be tried again; the log of the daemon has the details.",
    )
