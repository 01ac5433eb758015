"""Threads that fetch: what somebody waits for goes before what is only fetched ahead."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)


class Pool:
    """At most so many threads, started as they are needed.

    A quarter of them does only what somebody waits for. They are daemons, for a request that hangs
    must not keep the process from ending.

    Args:
        size: How many threads at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._wake = threading.Condition()
        self._urgent: deque[Callable[[], None]] = deque()
        self._later: deque[Callable[[], None]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._patient = 0
        self._closed = False

    def submit(self, work: Callable[[], None], *, urgent: bool) -> bool:
        """Have it done on some thread; returns False, and does nothing, after `close`.

        Args:
            work: Must not raise.
            urgent: Before all that is not.
        """
        with self._wake:
            if self._closed:
                return False
            (self._urgent if urgent else self._later).append(work)
            waiting = len(self._urgent) + len(self._later)
            if self._idle < waiting and len(self._threads) < self._size:
                thread = threading.Thread(
                    target=self._run, name=f"cache-{len(self._threads)}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            else:
                self._wake.notify()
        return True

    def close(self, patience: float) -> None:
        """Take nothing more, forget what has not begun, and wait for the rest. Idempotent.

        Args:
            patience: Seconds to wait at most, in total.
        """
        with self._wake:
            self._closed = True
            self._urgent.clear()
            self._later.clear()
            self._wake.notify_all()
        until = time.monotonic() + patience
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._wake:
                self._idle += 1
                while not (self._urgent or self._closed or self._may_be_patient()):
                    self._wake.wait()
                self._idle -= 1
                if self._closed:
                    return
                patient = not self._urgent
                work = (self._later if patient else self._urgent).popleft()
                self._patient += patient
            try:
                work()
            except Exception:  # noqa: BLE001 - the thread outlives what it does
                _log.exception("The cache's work failed.")
            finally:
                with self._wake:
                    self._patient -= patient
                    self._wake.notify()

    def _may_be_patient(self) -> bool:
        return bool(self._later) and self._patient < max(1, self._size - self._size // 4)
