"""A connection to the state database whose errors are the project's, wherever it is used."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Self

from vaultsync.core.errors import Blocked, Fatal, VaultsyncError

if TYPE_CHECKING:
    from pathlib import Path


class Damaged(Fatal):
    """The database file cannot be read. It is safe to move it aside and start with an empty one."""

    code = "state-damaged"


def translated(file: Path, error: sqlite3.DatabaseError) -> VaultsyncError | None:
    """What a fault of SQLite means for who uses the state database; None: an error of our own."""
    if isinstance(error, sqlite3.OperationalError):
        return Blocked(
            f"The state database {file} cannot be used: {error}.",
            "Free some space on its disk, or make it readable and writable.",
        )
    if type(error) is sqlite3.DatabaseError:
        return Damaged(f"The state database {file} is damaged: {error}.")
    return None


class Cursor(sqlite3.Cursor):
    """Raises what `translated` says."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """As sqlite3's."""
        try:
            return super().execute(sql, parameters)
        except sqlite3.DatabaseError as error:
            raise self.connection.fault(error) from error

    def fetchone(self) -> Any:
        """As sqlite3's."""
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise self.connection.fault(error) from error

    def fetchall(self) -> list[Any]:
        """As sqlite3's."""
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise self.connection.fault(error) from error

    def __next__(self) -> Any:
        """As sqlite3's."""
        try:
            return super().__next__()
        except sqlite3.DatabaseError as error:
            raise self.connection.fault(error) from error


class Connection(sqlite3.Connection):
    """One whose `execute` gives cursors of that kind.

    Attributes:
        file: The state database, to be named.
    """

    file: Path

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        """As sqlite3's."""
        return self.cursor(Cursor).execute(sql, parameters)

    def fault(self, error: sqlite3.DatabaseError) -> BaseException:
        """What to raise for an error."""
        return translated(self.file, error) or error
