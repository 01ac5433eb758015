"""The state database of a device in memory, which a crash can cut off and a power cut set back."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from vaultsync.state.events import Events
from vaultsync.state.held import HeldRows
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vaultsync.core.model import Row


def _connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


class Database:
    """What is on the disk between two lives of a device.

    Attributes:
        images: The database after the last durable commit, and after each commit since.
    """

    def __init__(self, *, remember: bool) -> None:
        self.remember = remember
        self.images: list[bytes] = []
        self.connection = _connect()
        self.erase()

    def erase(self) -> None:
        """Lose everything."""
        self._restore(_empty())

    def cut(self, keep: int) -> None:
        """Lose commits that were not durable; `keep` of them survive."""
        self._restore(self.images[min(keep, len(self.images) - 1)])

    def committed(self, *, durable: bool) -> None:
        if self.remember:
            image = self.connection.serialize()
            self.images = [image] if durable else [*self.images, image]

    def close(self) -> None:
        self.connection.close()

    def _restore(self, image: bytes) -> None:
        self.connection.close()
        self.connection = _connect()
        self.connection.deserialize(image)
        self.images = [image]


@cache
def _empty() -> bytes:
    connection = _connect()
    store = Store.__new__(Store)
    store._db = connection
    store._prepare(readonly=False)
    image = connection.serialize()
    connection.close()
    return image


class BoundaryStore(Store):
    """The real store, on a database in memory, with a call at each boundary.

    Args:
        database: The disk.
        between: Called with words at each boundary.
        saved: Called with each row that is written.
    """

    def __init__(
        self, database: Database, between: Callable[[str], None], saved: Callable[[Row], None]
    ) -> None:
        self._database = database
        self._between = between
        self._saved = saved
        self._db = database.connection
        self.events = Events(self._db)
        self.held = HeldRows(self._db)
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        self._between("begin")
        with super().transaction(durable=durable):
            yield
            self._between("commit")
        self._database.committed(durable=durable)
        self._between("committed")

    def save(self, rows: Iterable[Row]) -> None:
        rows = list(rows)
        for row in rows:
            self._saved(row)
        super().save(rows)

    def close(self) -> None:
        """The connection belongs to the disk."""
