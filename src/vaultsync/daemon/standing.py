"""Tells how paths stand: what the engine, the guards, the rules and this machine say of each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from vaultsync.core.errors import NotFound
from vaultsync.core.model import Row, State, Waiting
from vaultsync.core.names import is_control
from vaultsync.core.standing import Circumstances, Condition, Standing, stand
from vaultsync.daemon import holding

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.errors import VaultsyncError
    from vaultsync.core.standing import Shown
    from vaultsync.state.store import Store
    from vaultsync.sync.engine import Engine


class Standings:
    """Answers for as long as one question takes.

    Args:
        store: The rows.
        engine: What is under way and waits; None while there is no engine.
        rule: The rule by which a path is ignored, or None.
        trouble: Why there is no engine.
    """

    def __init__(
        self,
        store: Store,
        engine: Engine | None,
        rule: Callable[[str], str | None],
        trouble: VaultsyncError | None = None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._rule = rule
        self._halt = _halt(engine, trouble)
        status = None if engine is None else engine.status
        moving = () if status is None else status.transfers
        self._moving = {transfer.path: transfer.verb for transfer in moving}
        self._waiting = {item.path: item for item in (() if engine is None else engine.waiting)}

    def file(self, path: str, shown: Shown | None) -> Standing:
        """How a file stands."""
        return self._of(self._store.row(path), shown)

    def tell(self, path: str, show: Callable[[str], Shown | None]) -> Standing:
        """How a file stands, or of a folder how many files below it stand how.

        Args:
            path: Which; the empty path is the whole.
            show: Gives what this machine has at a path.

        Raises:
            NotFound: Neither side has anything there, as far as is known.
        """
        path = path.strip("/")
        shown = show(path)
        row = self._store.row(path)
        if not path or (shown is not None and shown.directory) or self._is_folder(row):
            return self._folder(path, show)
        found = self._of(row, shown)
        if shown is None and row == Row(path) and path not in self._waiting:
            raise NotFound(f"Nothing is known of '{path}'.", "Check the name.")
        return found

    def _folder(self, path: str, show: Callable[[str], Shown | None]) -> Standing:
        around = Circumstances(rule=self._rule(path + "/") if path else None)
        if around.rule is not None or is_control(path):
            return stand(Row(path), None, around)
        counts: Counter[Condition] = Counter()
        waiting = {one for one in self._waiting if not path or one.startswith(path + "/")}
        for row in self._store.rows(path, after=path):
            waiting.discard(row.path)
            if not row.path.endswith("/"):
                counts[self._of(row, show(row.path)).condition or Condition.PENDING] += 1
        # What can be seen but not synced has no row.
        counts.update(
            self._of(Row(one), None).condition or Condition.ERROR
            for one in waiting
            if not one.endswith("/")
        )
        return Standing(path, None, counts={str(word): counts[word] for word in sorted(counts)})

    def _is_folder(self, row: Row) -> bool:
        if row != Row(row.path):
            return False
        inside = next(self._store.rows(row.path, after=row.path), None)
        return inside is not None

    def _of(self, row: Row, shown: Shown | None) -> Standing:
        path = row.path
        waiting = self._waiting.get(path)
        if self._engine is not None and self._engine.guards.held:
            guards = self._engine.guards
            waiting = holding.held_back(guards.held, guards.conflicts, self._store, path) or waiting
        around = Circumstances(self._rule(path), self._moving.get(path), waiting, self._halt)
        return stand(row, shown, around)


def _halt(engine: Engine | None, trouble: VaultsyncError | None) -> Waiting | None:
    """What everything waits for, or None."""
    if engine is None:
        if trouble is None:
            return Waiting("", "pending", "The daemon is still starting.", "Ask again in a moment.")
        return Waiting("", "pending", trouble.message, trouble.hint)
    if engine.trouble is not None:
        error = engine.trouble[0]
        return Waiting("", "pending", error.message, error.hint, engine.tries_again)
    if engine.status.state is State.PAUSED:
        return Waiting("", "pending", "Syncing is paused.", "Go on with `vaultsync resume`.")
    return None
