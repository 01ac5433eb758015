"""Long answers to READ that never come here: pages go from their file to the kernel by splice(2).

A pipe takes the answer's header and references to the file's pages, and is emptied into /dev/fuse.
That saves a copy of the bytes, the memory for it, and a third of the time.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from vaultsync.mount.kernel import replies

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.ports import Use

LEAST = 64 << 10
"""Bytes from which on it is worth the additional calls."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LARGEST = 1 << 20
"""Bytes of a pipe as everybody may have it. One page of it is the header's."""
_ANSWERED = frozenset({errno.ENOENT, errno.ENODEV, errno.ECONNABORTED, errno.ENOTCONN})
"""Nobody waits for the answer any more."""


class Pipe:
    """Used by one thread.

    Args:
        fd: Of /dev/fuse.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._out = self._into = -1
        self._pages = 0
        self._open()

    def close(self) -> None:
        """Close it. Idempotent."""
        for descriptor in (self._out, self._into):
            if descriptor >= 0:
                os.close(descriptor)
        self._out = self._into = -1
        self._pages = 0

    def fits(self, offset: int, size: int) -> bool:
        """Whether an answer with so many bytes of a file, from that offset on, can go this way."""
        return LEAST <= size <= (self._pages - 1) * _PAGE - offset % _PAGE

    def answer(self, unique: int, lend: Callable[[Use], bool]) -> bool:
        """Answer a READ with what is lent.

        Args:
            unique: The request's number.
            lend: As `FileSystem.lend`, for the bytes that are asked for.

        Returns whether it is answered. If not, nothing was said. Raises what `lend` raises.
        """
        total = 0

        def use(descriptor: int, offset: int, length: int) -> bool:
            nonlocal total
            total = replies.HEADER_SIZE + length
            try:
                os.write(self._into, replies.header(unique, length))
                return self._fill(descriptor, offset, length)
            except OSError:  # reading says what it is, if it is anything
                return False

        right = False
        try:
            right = lend(use)
        finally:
            if total and not right:
                self._empty()
        return right and self._send(total)

    def _fill(self, descriptor: int, offset: int, length: int) -> bool:
        end = offset + length
        while offset < end:
            got = os.splice(descriptor, self._into, end - offset, offset_src=offset)
            if not got:
                return False
            offset += got
        return True

    def _send(self, total: int) -> bool:
        try:
            os.splice(self._out, self._fd, total)
        except OSError as error:
            self._empty()
            return error.errno in _ANSWERED
        return True

    def _open(self) -> None:
        self._out, self._into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with suppress(OSError):  # a small one, where this user has too many
            fcntl.fcntl(self._into, fcntl.F_SETPIPE_SZ, _LARGEST)
        self._pages = fcntl.fcntl(self._into, fcntl.F_GETPIPE_SZ) // _PAGE

    def _empty(self) -> None:
        """Have an empty one in its place."""
        self.close()
        self._open()
