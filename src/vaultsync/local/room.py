"""How full the folder's disk may get: what arrives never takes the last of its space."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.local.files import Files

MOST = 512 << 20
"""Bytes kept free on an ordinary disk; a hundredth of it where that is more."""


def kept_free(total: int) -> int:
    """Bytes to keep free on a file system of `total` bytes.

    A hundredth, at least 512 MiB; but never more than a twentieth, so that small disks can be used.
    """
    return max(total // 100, min(MOST, total // 20))


class Room:
    """The space that is left on the disk, shared by all files that arrive at once.

    Args:
        files: The port to the system.
        kept: Bytes to keep free, from the size of the file system.
    """

    def __init__(self, files: Files, kept: Callable[[int], int] = kept_free) -> None:
        self._files = files
        self._kept = kept
        self._lock = threading.Lock()
        self._promised = 0

    @contextmanager
    def taken(self, directory: int, size: int, path: str) -> Iterator[Callable[[int], None]]:
        """Claim space for a file while it is being written.

        Args:
            directory: An open directory of the file system in question.
            size: Bytes that are about to be written.
            path: For whom, to name in the error.

        Yields:
            To be called with the bytes of each piece once it is written: the disk's own count
            tells of them from then on.

        Raises:
            Blocked: When too little would be left. Nothing was written.
            OSError: When the disk cannot be asked.
        """
        promised = size
        with self._lock:
            total, free = self._files.space(directory)
            # Some network file systems do not know their size, and say 0.
            if total and free - self._promised - size < self._kept(total):
                raise Blocked(
                    f"'{path}': too little space would be left on the disk "
                    f"({_mebibytes(free)} are free, {_mebibytes(self._kept(total))} are kept free)",
                    "Free some space on the disk that holds the folder.",
                )
            self._promised += promised

        def written(count: int) -> None:
            nonlocal promised
            with self._lock:
                count = min(count, promised)
                promised -= count
                self._promised -= count

        try:
            yield written
        finally:
            written(promised)


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
