"""Paths that somebody waits for: they are looked at at once, and not held up by pauses."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vaultsync.state.store import Store
    from vaultsync.sync.backlog import Backlog
    from vaultsync.sync.flight import Flight
    from vaultsync.sync.observe import Observer
    from vaultsync.sync.restless import Restless


class Errands:
    """Takes them from any thread, and does them on the engine's.

    Args:
        store: The rows.
        flight: Looks at both sides.
        backlog: What waits.
        observer: Looks at the local side.
        restless: What is not sent that often.
    """

    def __init__(
        self,
        store: Store,
        flight: Flight,
        backlog: Backlog,
        observer: Observer,
        restless: Restless,
    ) -> None:
        self._store = store
        self._flight = flight
        self._backlog = backlog
        self._observer = observer
        self._restless = restless
        self._lock = threading.Lock()
        self._asked: dict[str, bool] = {}

    def ask(self, path: str, *, there: bool) -> None:
        """Have a file looked at in the next turn, or when what is under way for it has ended.

        Args:
            path: Which.
            there: Whether to look into the vault as well, with one request.
        """
        self._note(path, there=there)
        self._flight.wake()

    def run(self) -> None:
        """Do what was asked for so far, and can be done now. By the engine's thread."""
        if not self._asked:
            return
        with self._lock:
            asked, self._asked = self._asked, {}
        for path, there in asked.items():
            self._backlog.delays.hurry(path)
            if self._backlog.is_unsure(path):
                self._note(path, there=there)  # its end makes another turn
                continue
            self._restless.excuse(path)
            if there:
                self._flight.look(self._store.row(path))
            else:
                self._observer.look_at(path)

    def _note(self, path: str, *, there: bool) -> None:
        with self._lock:
            self._asked[path] = there or self._asked.get(path, False)
