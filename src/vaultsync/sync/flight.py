"""What is under way: tasks on the pool, and what they report."""

from __future__ import annotations

import logging
import queue
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from vaultsync.core.errors import VaultsyncError
from vaultsync.core.model import Event, Transfer, Verb
from vaultsync.sync.executor import Executor, Prepared, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.model import Action, Row
    from vaultsync.core.ports import Clock, Side
    from vaultsync.state.store import Journalled

log = logging.getLogger(__name__)

LONG = 8 << 20
"""Bytes of content from which a transfer counts as long: deletions do not wait for it."""


class Pool(Protocol):
    """Runs tasks on other threads (or, in tests, when and in the order the test says)."""

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` some time. It does not raise."""
        ...


class Stage(Enum):
    """What the current step of a task is."""

    PREPARE = auto()
    COMMIT = auto()
    RECOVER = auto()
    LOOK = auto()


@dataclass(slots=True, eq=False)
class Task:
    """One path's work under way: an action, a recovery, or a look after a surprise."""

    path: str
    stage: Stage
    since: float
    row: Row
    op: str = ""
    action: Action | None = None
    prepared: Prepared | None = None
    operation: Journalled | None = None
    snapshot: bool = False

    @property
    def size(self) -> int:
        """Bytes of content to move."""
        if self.action is None or self.action.verb not in (Verb.PUSH, Verb.PULL):
            return 0
        entry = self.row.local if self.action.verb is Verb.PUSH else self.row.remote
        return 0 if entry is None else entry.size


def told(task: Task, result: Result, now: float) -> Event | None:
    """The event that a finished step makes for the history; None when it changed no side."""
    if task.stage is Stage.COMMIT and task.action is not None:
        verb, reason = task.action.verb, task.action.reason
    elif task.stage is Stage.RECOVER and task.operation is not None:
        verb, reason = task.operation.verb, "found to be done, after a crash or a lost answer"
    else:
        return None
    # What a deletion is about is what was there before it.
    about = task.row.base if verb.deletes else result.row.base or task.row.local
    return Event(
        now,
        task.path,
        verb,
        reason,
        None if about is None else about.size,
        None if about is None else about.sha256 or None,
        None if about is None else about.version,
        result.kept,
    )


class NotDone:
    """Report of a recovery: what was journalled did not happen."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a step of a task came to; `task` is None for a probe of the remote side."""

    task: Task | None
    outcome: Prepared | Result | NotDone | Exception | None


class Flight:
    """Starts steps on the pool and collects their reports. Used by the engine's thread."""

    def __init__(
        self, local: Side, remote: Side, pool: Pool, clock: Clock, *, lazy: bool = False
    ) -> None:
        self.tasks: dict[str, Task] = {}
        self.probing = False
        self._remote = remote
        self._executor = Executor(local, remote, lazy=lazy)
        self._pool = pool
        self._clock = clock
        self._inbox: queue.SimpleQueue[Report | None] = queue.SimpleQueue()

    def wake(self) -> None:
        """End a wait in `take`. Called from any thread."""
        self._inbox.put(None)

    def take(self, patience: float) -> list[Report]:
        """All reports so far; waits up to `patience` seconds for the first one."""
        reports: list[Report] = []
        try:
            first = self._inbox.get(timeout=patience) if patience > 0 else self._inbox.get_nowait()
            while True:
                if first is not None:
                    reports.append(first)
                first = self._inbox.get_nowait()
        except queue.Empty:
            return reports

    def start(self, action: Action, op: str, *, snapshot: bool = False) -> None:
        """Begin an action: its invisible part; a push maybe with a snapshot of the file."""
        task = Task(action.path, Stage.PREPARE, self._clock.now(), action.row, op, action)
        task.snapshot = snapshot
        self.tasks[task.path] = task
        self._run(task, lambda: self._executor.prepare(action, op, snapshot=snapshot))

    def commit(self, task: Task) -> None:
        """Make a prepared, journalled action visible."""
        prepared = task.prepared
        if prepared is None:
            raise ValueError("only what was prepared can be committed")
        task.stage = Stage.COMMIT
        self._run(task, lambda: self._executor.commit(prepared))

    def look(self, row: Row) -> None:
        """Look at one path on both sides."""
        task = Task(row.path, Stage.LOOK, self._clock.now(), row)
        self.tasks[task.path] = task
        self._run(task, lambda: self._executor.look(row))

    def recover(self, operation: Journalled, row: Row, task: Task | None = None) -> None:
        """Find out what became of a journalled operation."""
        if task is None:
            task = Task(operation.path, Stage.RECOVER, self._clock.now(), row, operation.op)
            self.tasks[task.path] = task
        task.stage, task.operation = Stage.RECOVER, operation
        self._run(task, lambda: self._executor.recover(operation, row) or NotDone())

    def probe(self) -> None:
        """Ask whether the remote side can be used; at most one probe at a time."""
        if self.probing:
            return
        self.probing = True

        def step() -> None:
            try:
                self._remote.check()
            except Exception as error:  # noqa: BLE001 - reported to the engine
                self._inbox.put(Report(None, error))
            else:
                self._inbox.put(Report(None, None))

        self._pool.submit(step)

    def end(self, task: Task, *, discard: bool) -> None:
        """A task is over; what it holds is released on the pool."""
        self.tasks.pop(task.path, None)
        prepared = task.prepared
        if prepared is None:
            return

        def release() -> None:
            try:
                self._executor.release(prepared, discard=discard)
            except VaultsyncError as error:
                log.debug("leftovers of %s stay for now: %s", task.path, error)

        self._pool.submit(release)

    def short_work(self) -> bool:
        """Whether anything but long transfers is under way."""
        return any(task.size < LONG for task in self.tasks.values())

    def copying(self, path: str) -> str | None:
        """The path whose content is being copied from another one, on the same side; or None."""
        for task in self.tasks.values():
            source = None if task.action is None else task.action.source
            if source is not None and source.path == path:
                return task.path
        return None

    def transfers(self) -> tuple[Transfer, ...]:
        """What is under way, for people."""
        return tuple(
            Transfer(task.action.verb, task.path, task.size, task.since)
            for task in self.tasks.values()
            if task.action is not None
        )

    def _run(self, task: Task, step: Callable[[], Prepared | Result | NotDone]) -> None:
        def run() -> None:
            outcome: Prepared | Result | NotDone | Exception
            try:
                outcome = step()
            except Exception as error:  # noqa: BLE001 - sorted by the engine
                outcome = error
            self._inbox.put(Report(task, outcome))

        self._pool.submit(run)
