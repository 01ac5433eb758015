"""Threads for requests that have to wait, with a way to take a request back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.mount.kernel.operations import Handler


@dataclass(slots=True, eq=False)
class Job:
    """A request that waits for a thread, or has one.

    Attributes:
        unique: Its number.
        opcode: Its operation.
        node: What it is about.
        size: Bytes of the message.
        message: The message, for this job alone.
        handler: What does it.
        lent: Whether `message` is a whole buffer that can be used again afterwards.
    """

    unique: int
    opcode: int
    node: int
    size: int
    message: memoryview
    handler: Handler
    lent: bool


class Pool:
    """Daemon threads, started when there are more jobs than idle ones, up to a number.

    Args:
        work: Does a job; it raises nothing. It must `claim` the job before answering it.
        most: Threads at most.
    """

    def __init__(self, work: Callable[[Job], None], most: int) -> None:
        self._work = work
        self._most = most
        self._changed = threading.Condition()
        self._waiting: dict[int, Job] = {}
        self._running: dict[int, Job] = {}
        self._threads = 0
        self._idle = 0
        self._busy = 0
        self._closed = False

    def put(self, job: Job) -> None:
        """Have it done, the oldest first."""
        with self._changed:
            self._waiting[job.unique] = job
            if self._idle >= len(self._waiting):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name="drive-wait", daemon=True).start()

    def find(self, unique: int) -> Job | None:
        """The job of that number, if it waits or runs and is not answered."""
        with self._changed:
            return self._waiting.get(unique) or self._running.get(unique)

    def claim(self, job: Job) -> bool:
        """Whether the caller is to answer that running job: once, and never if it was taken."""
        with self._changed:
            return self._running.pop(job.unique, None) is not None

    def withdraw(self, job: Job, *, running: bool) -> bool:
        """Take a job from the pool, so that the caller is to answer it; False: too late.

        Args:
            job: It.
            running: Whether to take it also while it runs; what it does goes on, unheard.
        """
        with self._changed:
            if self._waiting.pop(job.unique, None) is not None:
                return True
            return running and self._running.pop(job.unique, None) is not None

    def close(self, patience: float) -> None:
        """Begin nothing any more, and wait so many seconds for what is being done.

        What is not done by then is not to be answered any more.
        """
        end = time.monotonic() + patience
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            while self._busy and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            self._running.clear()

    def _run(self) -> None:
        job = self._next(0)
        while job is not None:
            self._work(job)
            job = self._next(1)

    def _next(self, ended: int) -> Job | None:
        """Wait for a job after so many were ended; None: no more."""
        with self._changed:
            self._busy -= ended
            self._idle += 1
            while not self._waiting and not self._closed:
                self._changed.wait()
            self._idle -= 1
            if self._closed:
                self._changed.notify_all()
                return None
            job = self._waiting.pop(next(iter(self._waiting)))
            self._running[job.unique] = job
            self._busy += 1
            return job
