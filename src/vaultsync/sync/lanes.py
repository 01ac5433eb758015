"""The threads that move bytes."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Lanes:
    """A fixed number of threads that run tasks in the order they were submitted.

    They are daemon threads: a transfer that hangs never keeps the process alive. Whatever a task
    was in the middle of is journalled, and found again at the next start.
    """

    def __init__(self, number: int) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"lane-{index}", daemon=True)
            for index in range(number)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` on one of the threads. It must not raise."""
        self._tasks.put(task)

    def close(self, patience: float) -> bool:
        """Let the threads end after the tasks submitted so far.

        Args:
            patience: Seconds to wait for them, all together at most about that long each.

        Returns:
            Whether all have ended.
        """
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(patience)
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
