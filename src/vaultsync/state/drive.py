"""The drive's tables in the state database.

The drive writes here from its own thread and from those that fetch bytes, while the engine's thread
owns the `Store`. So it has a connection to itself, and one lock for all who use it; the engine's
transactions are short, and the two wait for each other for moments only.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from vaultsync.state.connection import Connection, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType


class DriveStore:
    """The drive's rows, in the database of a `Store`, which has made it.

    Args:
        file: The state database.

    Attributes:
        lock: Held during each transaction; whoever has to see several things at one moment, or to
            change what he has in memory together with the rows, holds it meanwhile.
        db: The connection, to be used with the lock held, by the modules of this room only.

    Whatever uses the connection raises Blocked when the database cannot be read or written just
    now, and Damaged when it is broken.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._depth = 0
        self._named = False
        self.lock = threading.RLock()
        try:
            self.db = sqlite3.connect(
                f"{file.absolute().as_uri()}?mode=rw",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=30,
                cached_statements=256,
                factory=Connection,
            )
        except sqlite3.DatabaseError as error:
            raise translated(file, error) or error from error
        self.db.file = file
        self.db.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; within another one, a part of that. Holds the lock.

        What was committed outlives the process; `sync` makes it outlive a power cut.
        """
        with self.lock:
            if self._depth:
                yield
                return
            try:
                self.db.execute("BEGIN IMMEDIATE")
                self._depth = 1
                try:
                    yield
                finally:
                    self._depth = 0
                self.db.execute("COMMIT")
            except BaseException:
                # A full disk has ended it already.
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    def sync(self) -> None:
        """Return once all that was committed would survive a power cut. The lock is not needed.

        A commit that is not in the log any more was brought into the database by a checkpoint,
        which waits for the disk by itself. So the log is all there is to wait for, and nobody else
        has to wait meanwhile. Raises OSError.
        """
        log = os.open(f"{self._file}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)
        if not self._named:
            folder = os.open(self._file.parent, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._named = True

    def close(self) -> None:
        """Close the connection. Idempotent."""
        with self.lock:
            self.db.close()

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
