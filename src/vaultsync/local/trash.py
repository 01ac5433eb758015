"""Where local versions go instead of being deleted: `.vaultsync/trash/<day>/<path>`.

A shelf (the day, or the day and more when the place is taken) repeats the folder's own structure,
so that the rest of a path below its shelf is the path the version had.
"""

from __future__ import annotations

import errno
import secrets
import threading
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from vaultsync.core.names import parents
from vaultsync.local.folder import TRASH, Folder, Place
from vaultsync.local.ledger import Ledger, Note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.core.ports import Clock

_TAKEN = frozenset({errno.EEXIST, errno.ENOTDIR, errno.ELOOP})


class Trash:
    """The trash of one folder.

    Args:
        folder: The root.
        clock: For the shelf's day, in local time.

    Attributes:
        ledger: How each item was when it came.
        making: Held while directories of the trash are made and filled, or removed.
    """

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self.ledger = Ledger(folder)
        self.making = threading.Lock()

    @contextmanager
    def take(self, source: int, name: str, path: str, sha256: str = "") -> Iterator[Place]:
        """Move a name into the trash in one step, and hold the place open to look at it there.

        Args:
            source: Open descriptor of the directory that holds it.
            name: Its name there.
            path: Where it belongs, for the shelf's structure.
            sha256: Its hex digest as far as the caller knows; what is written down of it.

        Raises:
            OSError: When it cannot be moved; nothing changed then.
        """
        files = self._folder.files
        with self._folder.control(TRASH) as trash:
            shelf, directory, target = self._move(trash, source, name, path)
            note = None
            try:
                # As it is before anybody looks at it: what is written from here on shows later.
                with suppress(OSError):
                    node = files.stat(directory, target)
                    now = self._clock.now()
                    note = Note(path, node.ino, node.size, node.mtime_ns, sha256, now)
                yield Place(f"{shelf}/{path}", directory, target)
            finally:
                files.close(directory)
        if note is not None:
            self.ledger.write(shelf, note)

    def _move(self, trash: int, source: int, name: str, path: str) -> tuple[str, int, str]:
        """Move a name to the first shelf that has room for it: shelf, open directory, name."""
        files = self._folder.files
        target = path.rpartition("/")[2]
        with self.making:
            for shelf in self._shelves():
                try:
                    directory = self._make(trash, f"{shelf}/{path}")
                except OSError as fault:
                    if fault.errno in _TAKEN:
                        continue
                    raise
                try:
                    if self._folder.abilities.noreplace:
                        files.move(source, name, directory, target)
                    else:  # the only shelf then is a new one, where nothing can be replaced
                        files.rename(source, name, directory, target)
                except FileExistsError:
                    files.close(directory)
                    continue
                except BaseException:
                    files.close(directory)
                    raise
                return shelf, directory, target
        raise FileExistsError(errno.EEXIST, "every shelf is taken", path)

    def _shelves(self) -> Iterator[str]:
        """Names to try; the last one is new for certain."""
        now = datetime.fromtimestamp(self._clock.now())  # noqa: DTZ006 - local time, for people
        day = f"{now:%Y-%m-%d}"
        if self._folder.abilities.noreplace:
            yield day
            yield f"{day} {now:%H%M%S}"
        yield f"{day} {now:%H%M%S} {secrets.token_hex(4)}"

    def _make(self, trash: int, path: str) -> int:
        """Open the directory that is to hold `path`, making what is missing, durably."""
        files = self._folder.files
        here = files.enter(trash, "")
        for directory in parents(path):
            name = directory.removesuffix("/").rpartition("/")[2]
            try:
                try:
                    below = files.enter(here, name)
                except FileNotFoundError:
                    with suppress(FileExistsError):
                        files.mkdir(here, name, 0o700)
                    files.sync(here)
                    below = files.enter(here, name)
            finally:
                files.close(here)
            here = below
        return here
