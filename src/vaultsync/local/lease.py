"""Whether anybody else has a file open, told by the kernel: file leases (fcntl(2))."""

from __future__ import annotations

import errno
import fcntl
import signal


def claim(descriptor: int) -> bool:
    """Whether nobody else has a file open; the lease lasts until the descriptor is closed.

    A write lease is given only on a file that nobody else has open, for reading, for writing or by
    a mapping. Whoever opens the file while we hold it waits until we close it.

    Raises:
        OSError: The file is not ours, or its file system keeps no leases.
    """
    # The signal that announces such an opener ends a process unless it is one that does nothing.
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as fault:
        if fault.errno == errno.EAGAIN:
            return False
        raise
    return True
