"""Multipart uploads under way, in a table of the state database.

The remote side's own: it writes here from the threads that upload, while the engine's thread owns
the `Store`. So it has a connection to itself; the two wait for each other for moments only.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from vaultsync.core.errors import Blocked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType


class Uploads:
    """A `remote.unfinished.UploadLedger` in the database of a `Store`, which has made it.

    A record that a power cut takes leaves an upload that the bucket's own rules end; so nothing
    here waits for the disk.

    Args:
        file: The state database.

    Raises Blocked when the database cannot be read or written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        with self._used():
            self._db = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=30,
            )
            self._db.execute("PRAGMA synchronous = NORMAL")

    def remember(self, path: str, record: str, since: float) -> None:
        """Keep a record, instead of the one there was; `since` in seconds since the epoch."""
        with self._used():
            self._db.execute(
                "INSERT OR REPLACE INTO upload (path, record, since) VALUES (?, ?, ?)",
                (path, record, since),
            )

    def recall(self, path: str) -> str | None:
        """The record of a path, if there is one."""
        with self._used():
            row = self._db.execute("SELECT record FROM upload WHERE path = ?", (path,)).fetchone()
        return None if row is None else str(row[0])

    def forget(self, path: str, record: str) -> None:
        """Drop this very record; another one of the same path stays."""
        with self._used():
            self._db.execute("DELETE FROM upload WHERE path = ? AND record = ?", (path, record))

    def all(self) -> list[tuple[str, str]]:
        """All paths and their records, in path order."""
        with self._used():
            return self._db.execute("SELECT path, record FROM upload ORDER BY path").fetchall()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @contextmanager
    def _used(self) -> Iterator[None]:
        """One thread at a time; errors translated."""
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise Blocked(
                    f"The state database {self._file} cannot be used: {error}.",
                    "Free some space on its disk, or make it writable.",
                ) from error
