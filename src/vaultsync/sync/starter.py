"""Which planned actions start now, and what stands in the way of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vaultsync.core import moves, names
from vaultsync.core.errors import Blocked, Stale
from vaultsync.core.model import Action, Kind, Verb
from vaultsync.sync.recorder import PATIENT, noted

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.state.store import Store
    from vaultsync.sync.agenda import Agenda
    from vaultsync.sync.backlog import Backlog
    from vaultsync.sync.flight import Flight
    from vaultsync.sync.guard import Guards
    from vaultsync.sync.observe import Observer
    from vaultsync.sync.restless import Restless

BATCH = 500
"""Decisions that only touch the database, per turn."""
HELD_BACK = 30.0
"""Seconds that new files wait at most for the end of a pass that may show where they came from."""
LASTING = 25 * 60.0
"""Seconds, more than a request can be late, after which a file and a folder of one name will not
part by themselves."""


class Starter:
    """Hands out what was planned. Used by the engine's thread.

    Args:
        store: The rows.
        new_op: Makes operation ids.
        flight: What is under way.
        agenda: What was planned.
        backlog: What waits.
        observer: Knows of passes under way.
        guards: May hold an action.
        restless: Files that do not hold still.
        lanes: Actions that run at once.
    """

    def __init__(
        self,
        store: Store,
        new_op: Callable[[], str],
        flight: Flight,
        agenda: Agenda,
        backlog: Backlog,
        observer: Observer,
        guards: Guards,
        restless: Restless,
        lanes: int,
    ) -> None:
        self._store = store
        self._new_op = new_op
        self._flight = flight
        self._agenda = agenda
        self._backlog = backlog
        self._observer = observer
        self._guards = guards
        self._restless = restless
        self._lanes = lanes

    def start(self, may_start: Callable[[], bool]) -> None:
        """Hand out work while there are free lanes; write down what needs no work.

        Args:
            may_start: Whether the sides can be used, and nobody has said to pause.
        """
        found: list[Action] = []
        while may_start() and len(found) < BATCH:
            room = len(self._flight.tasks) < self._lanes
            planned = self._agenda.take() if room else None
            if planned is None:
                break
            action = self._guards.admit(planned) if self._is_free(planned) else None
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
                found.append(action)
            else:
                self._flight.start(action, self._new_op(), snapshot=self._wants_snapshot(action))
        if found:
            with self._store.transaction():
                self._store.save(noted(action) for action in found)

    def _wants_snapshot(self, action: Action) -> bool:
        """Whether a file never holds still, so that a copy of it has to be sent."""
        local = action.row.local
        if action.verb is not Verb.PUSH or local is None or local.kind is not Kind.FILE:
            return False
        return self._restless.wants_snapshot(action.path, local.tag)

    def _waits_for_pass(self, action: Action) -> bool:
        """Whether a new file's old path may still be seen to be gone by a pass under way."""
        remote = action.verb is Verb.PULL
        if not self._observer.searching(HELD_BACK, remote=remote) or not self._store.totals()[0]:
            return False
        self._backlog.held_back.add(action.path)
        return True

    def _borrowing(self, action: Action) -> Action:
        """Let a new file's content come from where the target side holds it already."""
        row, pulling = action.row, action.verb is Verb.PULL
        entry = row.remote if pulling else row.local
        if entry is None or self._backlog.delays.tries(action.path) > 1:
            return action
        vacated = self._store.vacated(entry.size, remote=pulling)
        if vacated and entry.sha256 is not None:
            vacated = self._store.vacated(entry.size, entry.sha256, remote=pulling)
        examined = pulling and self._backlog.examined.get(action.path) == entry.tag
        return moves.borrow(action, vacated, examined=examined)

    def _awaits_marker(self, path: str) -> bool:
        """Whether the folder that keeps on existing here is not yet sure to do so in the vault.

        Its marker has to be there before the last thing in it goes; it may have failed to arrive.
        That folder is the innermost one that is still here, however deep below it the thing was.
        """
        inwards = reversed(names.parents(path))
        kept = next((above for above in inwards if self._store.row(above).local is not None), None)
        if kept is None or kept not in self._backlog:
            return False
        unknown = f"What becomes of the folder {kept} in the vault is not known yet."
        self._backlog.delays.hold(path, "pending", Stale(unknown))
        return True

    def _awaits_copy(self, path: str) -> bool:
        """Whether a file that was moved is just being copied from its old path."""
        copy = self._flight.copying(path)
        if copy is None:
            return False
        self._backlog.wait_behind(copy, path, "pending", Stale(f"It is being copied to {copy}."))
        return True

    def _is_free(self, action: Action) -> bool:
        """Whether an action may start now; if not, what changes that will bring it up again."""
        path = action.path
        if path in self._backlog:
            return False
        if self._store.row(path) != action.row:
            self._backlog.plan(path)
            return False
        if action.verb is Verb.DELETE_REMOTE and self._awaits_marker(path):
            return False
        if action.verb.deletes and self._awaits_copy(path):
            return False
        if action.verb is Verb.PUSH and not self._has_place(action):
            return False
        wait = self._restless.wait(path) if action.verb is Verb.PUSH else 0.0
        if wait:
            why = self._restless.reason(path)
            self._backlog.delays.hold(path, "pending", why, after=wait, look=True)
            return False
        obstacle = self._agenda.obstacle(path) if action.verb is Verb.PULL else None
        if obstacle is not None:
            if self._backlog.delays.waited(path) > LASTING:
                self._part(obstacle)
            what = "A folder" if obstacle.endswith("/") else "A file"
            error = Blocked(f"{what} named {obstacle} is in the way here.", "Rename one of them.")
            passing = self._backlog.delays.tries(path) < PATIENT
            self._backlog.wait_behind(obstacle, path, "pending" if passing else "blocked", error)
        return obstacle is None

    def _has_place(self, action: Action) -> bool:
        """Whether nothing in the vault bears the name of a pushed file, or of a folder above it."""
        path = action.path
        leaving = self._agenda.leaving(path)
        if leaving is None and not path.endswith("/"):
            kept = self._agenda.folder_there(path, self._backlog.is_unsure)
            if kept:
                self._flight.start(_beside_folder(action), self._new_op())
                return False
            leaving = path + "/" if kept is None else None
        if leaving is not None:
            first = Stale(f"{leaving} has to go from the vault first.")
            self._backlog.wait_behind(leaving, path, "pending", first)
        return leaving is None

    def _part(self, obstacle: str) -> None:
        """Set the file aside where the vault has a folder of the same name; the folder keeps it."""
        row = self._agenda.clash(obstacle)
        if row is None or row.path in self._backlog:
            return
        reason = "the vault has a folder of this name; the file is kept beside it"
        self._flight.start(Action(Verb.PART, row, reason), self._new_op())


def _is_file(action: Action) -> bool:
    return not action.path.endswith("/")


def _beside_folder(action: Action) -> Action:
    """What becomes of a push to where the vault has a folder: a conflict, unless none changed."""
    local, base = action.row.local, action.row.base
    if local is not None and base is not None and local.sha256 is None:
        return replace(action, verb=Verb.INSPECT, reason="it may only have been touched")
    reason = "the vault has a folder of this name; the file is kept beside it"
    return replace(action, verb=Verb.CONFLICT, reason=reason)
