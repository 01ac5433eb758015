"""The history: what was done to either side, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from vaultsync.core.model import Event, Verb

_COLUMNS = "at, path, verb, reason, size, sha256, version, kept"


class Events:
    """The events of one database. Writing belongs within a transaction of the `Store`.

    Args:
        db: The connection of the store.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def record(self, event: Event) -> None:
        """Write one event down."""
        self._db.execute(
            f"INSERT INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                event.at,
                event.path,
                event.verb.value,
                event.reason,
                event.size,
                event.sha256,
                event.version,
                event.kept,
            ),
        )

    def count(self, verbs: Iterable[Verb], since: float) -> int:
        """How many events of some verbs there were since a time (seconds since the epoch)."""
        wanted = [verb.value for verb in verbs]
        marks = ", ".join("?" * len(wanted))
        (found,) = self._db.execute(
            f"SELECT count(*) FROM event WHERE verb IN ({marks}) AND at >= ?",  # noqa: S608
            (*wanted, since),
        ).fetchone()
        return int(found)
