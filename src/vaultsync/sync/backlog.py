"""What cannot go on just now: paths that wait for their time, an answer, or another path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.sync.agenda import Changed
from vaultsync.sync.schedule import Delays

if TYPE_CHECKING:
    from vaultsync.core.errors import VaultsyncError
    from vaultsync.core.model import Row
    from vaultsync.core.ports import Clock
    from vaultsync.state.store import Journalled, Store
    from vaultsync.sync.agenda import Agenda
    from vaultsync.sync.flight import Flight, Task
    from vaultsync.sync.observe import Observer

EXAMINED = 10_000
"""Remote versions that are remembered to have told no digest."""


class Backlog:
    """The paths that wait. Used by the engine's thread.

    Args:
        store: The rows.
        clock: For the times.
        flight: What is under way.
        agenda: Where a path is planned again.

    Attributes:
        delays: Paths that wait for their next try.
        unanswered: Operations of which it is not known whether they were carried out, by path.
        held_back: New files that wait for the end of a pass.
        examined: Tags of remote versions that told no digest when they were asked, by path.
    """

    def __init__(self, store: Store, clock: Clock, flight: Flight, agenda: Agenda) -> None:
        self.delays = Delays(clock)
        self.unanswered: dict[str, Journalled] = {}
        self.held_back = Changed(everything=False)
        self.examined: dict[str, str] = {}
        self._store = store
        self._flight = flight
        self._agenda = agenda
        self._behind: dict[str, set[str]] = {}

    def __contains__(self, path: str) -> bool:
        """Whether a path is under way or waits, so that nothing else may start for it."""
        return self.is_unsure(path) or path in self.delays

    def is_unsure(self, path: str) -> bool:
        """Whether something is under way that may change what is known of a path."""
        return path in self._flight.tasks or path in self.unanswered

    def plan(self, path: str) -> None:
        """Let a path be planned (again)."""
        self._agenda.changed.add(path)

    def wait_behind(self, other: str, path: str, code: str, error: VaultsyncError) -> None:
        """Let a path wait until another one has changed, or its next try.

        Args:
            other: What has to go.
            path: What waits.
            code: As in `Waiting.code`.
            error: Why.
        """
        self.delays.hold(path, code, error)
        self._behind.setdefault(other, set()).add(path)

    def noticed(self, path: str) -> None:
        """A path was observed to be different: what blocked it, or waits for it, may go on."""
        self.plan(path)
        self.delays.release(path)
        self._clear_way(path)

    def end(self, task: Task, observer: Observer, *, discard: bool) -> None:
        """A task is over; its path is planned anew, and so is what waits behind it."""
        self._flight.end(task, discard=discard)
        observer.committed(task.path)
        self.plan(task.path)
        self._clear_way(task.path)

    def examine(self, row: Row) -> None:
        """Remember that asking for a remote version has told all that it could."""
        if row.remote is not None:
            if len(self.examined) >= EXAMINED:
                self.examined.clear()
            self.examined[row.path] = row.remote.tag

    def let_go(self) -> None:
        """Plan again what waited for the end of a pass."""
        self._agenda.changed.take_over(self.held_back)

    def retry(self) -> None:
        """Let paths whose time has come be looked at, asked after, or planned again."""
        for path, delay in self.delays.take():
            if path in self._flight.tasks:
                if path in self.unanswered:
                    self.delays.again(path, delay)
                continue
            operation = self.unanswered.pop(path, None)
            if operation is not None:
                self._flight.recover(operation, self._store.row(path))
            elif delay.look:
                self._flight.look(self._store.row(path))
            else:
                self.plan(path)

    def _clear_way(self, path: str) -> None:
        """What waits behind a path is planned again when that path has changed."""
        for waiting in self._behind.pop(path, ()):
            if waiting not in self.unanswered and self.delays.free(waiting):
                self.plan(waiting)
