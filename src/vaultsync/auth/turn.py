"""Processes take turns by a lock file."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TURN_SECONDS = 120.0
"""How long to wait for a turn: longer than the requests of the one who has it can take."""

_STEP = 0.02


@contextmanager
def turn(lock_file: Path, timeout: float = TURN_SECONDS) -> Iterator[None]:
    """Hold a lock that one process, and within it one caller, can hold at a time.

    The kernel releases it when its holder dies. The file stays: removing it would let a third
    caller lock a new one while a second still waits for the old one.

    Args:
        lock_file: Made when missing, with its folder.
        timeout: Seconds to wait.

    Raises:
        Retry: It was not to be had in time.
        Blocked: The file cannot be opened.
    """
    try:
        lock_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Blocked(
            f"'{lock_file}' cannot be opened: {error.strerror}.", "Make its folder writable."
        ) from error
    try:
        end = time.monotonic() + timeout
        while not _taken(descriptor):
            if time.monotonic() >= end:
                raise Retry("Another vaultsync has been refreshing the sign-in for too long.")
            time.sleep(_STEP)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
