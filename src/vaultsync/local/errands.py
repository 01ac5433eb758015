"""What is about to be replaced without the engine: `.vaultsync/errands/<staged name>`.

The engine journals in its database where staged bytes go. A restore is no work of the engine's, so
it leaves the same two things, path and token, beside the staged bytes: what a crash cuts off is
finished or undone at the next start, as for any other replacement.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from vaultsync.local.faults import translated
from vaultsync.local.folder import ERRANDS, Folder
from vaultsync.local.staged import Token

if TYPE_CHECKING:
    from vaultsync.core.ports import Staged


class Errand(NamedTuple):
    """Staged bytes and where they go.

    Attributes:
        path: Where.
        token: A `Token`, written.
    """

    path: str
    token: str


class Errands:
    """The errands of one folder."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def write(self, staged: Staged) -> None:
        """Write down, durably, where staged bytes go.

        Raises:
            Blocked: When the disk refuses.
        """
        files, name = self._folder.files, Token.read(staged.token).name
        with self._folder.control(ERRANDS) as directory, translated(staged.path):
            with suppress(FileNotFoundError):
                files.unlink(directory, name)
            descriptor = files.create(directory, name)
            try:
                files.write(descriptor, json.dumps([staged.path, staged.token]).encode())
                files.sync(descriptor)
            finally:
                files.close(descriptor)
            files.sync(directory)

    def read(self) -> dict[str, Errand | None]:
        """The errands by staged name; None is one that a crash tore before it could matter."""
        files = self._folder.files
        found: dict[str, Errand | None] = {}
        with self._folder.control(ERRANDS) as directory, translated(ERRANDS):
            for name in files.names(directory).others:
                descriptor = files.open(directory, name)
                try:
                    text = files.read(descriptor, 0, files.fstat(descriptor).size)
                finally:
                    files.close(descriptor)
                found[name] = None
                with suppress(ValueError, TypeError):
                    found[name] = Errand(*json.loads(text))
        return found

    def drop(self, name: str) -> None:
        """Forget the errand of a staged name, if there is one."""
        with (
            self._folder.control(ERRANDS) as directory,
            translated(ERRANDS),
            suppress(FileNotFoundError),
        ):
            self._folder.files.unlink(directory, name)
