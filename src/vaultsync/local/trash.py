"""Where local versions go instead of being deleted: `.vaultsync/trash/<day>/<path>`.

A shelf (the day, or the day and more when the place is taken) repeats the folder's own structure,
so that the rest of a path below its shelf is the path the version had.
"""

from __future__ import annotations

import errno
import secrets
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from vaultsync.core.names import parents
from vaultsync.local.folder import TRASH, Folder, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.core.ports import Clock

_TAKEN = frozenset({errno.EEXIST, errno.ENOTDIR, errno.ELOOP})


class Trash:
    """The trash of one folder.

    Args:
        folder: The root.
        clock: For the shelf's day, in local time.
    """

    def __init__(self, folder: Folder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    @contextmanager
    def take(self, source: int, name: str, path: str) -> Iterator[Place]:
        """Move a name into the trash in one step, and hold the place open to look at it there.

        Args:
            source: Open descriptor of the directory that holds it.
            name: Its name there.
            path: Where it belongs, for the shelf's structure.

        Raises:
            OSError: When it cannot be moved; nothing changed then.
        """
        files = self._folder.files
        with self._folder.control(TRASH) as trash:
            for shelf in self._shelves():
                try:
                    directory = self._make(trash, f"{shelf}/{path}")
                except OSError as fault:
                    if fault.errno in _TAKEN:
                        continue
                    raise
                try:
                    target = path.rpartition("/")[2]
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
                break
            try:
                yield Place(f"{shelf}/{path}", directory, target)
            finally:
                files.close(directory)

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
