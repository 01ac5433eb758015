"""The history: what was done to either side, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vaultsync.core.model import Deed, Event, Verb
from vaultsync.core.names import original_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_COLUMNS = "at, path, verb, reason, size, sha256, version, kept"
_DEEDS = frozenset(Deed)
MOST = 1_000_000
"""Events that are kept at most."""
CHUNK = 1000
"""Events that are dropped at once at most: a transaction of a few milliseconds."""


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

    def read(
        self, path: str = "", *, before: int = 0, since: float = 0, limit: int = CHUNK
    ) -> list[Event]:
        """Events, newest first; see `core.ports.Past.events`."""
        where: list[str] = ["at >= ?"]
        values: list[Any] = [since]
        if before:
            where.append("id < ?")
            values.append(before)
        plain = path.removesuffix("/")
        if plain:
            concerns, paths = _concerning(plain)
            where.append(concerns)
            values += paths
        return self._select(" AND ".join(where), (*values, limit), "DESC")

    def after(self, event: int, limit: int) -> list[Event]:
        """Events with a greater number, oldest first."""
        return self._select("id > ?", (event, limit), "ASC")

    def prune(self, before: float, most: int = MOST) -> bool:
        """Drop the oldest events; call within a transaction, again while it returns True.

        Args:
            before: Drop what was done before that, seconds since the epoch.
            most: Drop what is more than so many.

        Returns:
            Whether there may be more to drop.
        """
        dropped = self._db.execute(
            "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT ?)"
            " AND (at < ? OR id <= (SELECT max(id) FROM event) - ?)",
            (CHUNK, before, most),
        ).rowcount
        return dropped == CHUNK

    def _select(self, where: str, values: tuple[Any, ...], order: str) -> list[Event]:
        found = self._db.execute(
            f"SELECT {_COLUMNS}, id FROM event WHERE {where} ORDER BY id {order} LIMIT ?",  # noqa: S608
            values,
        )
        return [_event(row) for row in found]

    def count(self, verbs: Iterable[Verb], since: float) -> int:
        """How many events of some verbs there were since a time (seconds since the epoch)."""
        wanted = [verb.value for verb in verbs]
        marks = ", ".join("?" * len(wanted))
        (found,) = self._db.execute(
            f"SELECT count(*) FROM event WHERE verb IN ({marks}) AND at >= ?",  # noqa: S608
            (*wanted, since),
        ).fetchone()
        return int(found)


def _concerning(path: str) -> tuple[str, list[Any]]:
    """The condition for a file, or a folder and all below it; for a copy, also how it was made."""
    condition = "path = ? OR path >= ? AND path < ?"
    values: list[Any] = [path, path + "/", path + "0"]
    original = original_name(path)
    if original != path:
        condition += " OR path = ? AND kept = ?"
        values += [original, path]
    return f"({condition})", values


def _event(row: Any) -> Event:
    at, path, verb, *more = row
    return Event(at, path, Deed(verb) if verb in _DEEDS else Verb(verb), *more)
