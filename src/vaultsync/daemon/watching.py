"""Keeps a folder watched, whatever becomes of the watcher or of the folder."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from vaultsync.core.errors import Fatal
from vaultsync.local.watch import FolderWatcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between the starts of two watchers: after an overflow, the burst may go on."""


class Watching:
    """A watcher that is replaced when it does not notice changes any more.

    Args:
        root: The folder; it need not be there.
        ignored: Whether to leave a path alone.
        mark: Called from any thread with what to look at (see `core.ports.Watcher`).
    """

    def __init__(
        self, root: Path, ignored: Callable[[str], bool], mark: Callable[[str, bool], None]
    ) -> None:
        self._root = root
        self._ignored = ignored
        self._mark = mark
        self._watcher: FolderWatcher | None = None
        self._next_start = 0.0

    def keep(self) -> None:
        """See that the folder is watched; mark what has to be polled. Call it every turn."""
        watcher = self._watcher
        if watcher is not None and watcher.is_sound():
            for path in watcher.polls():
                self._mark(path, False)
        elif time.monotonic() >= self._next_start:
            self._start()

    def renew(self) -> None:
        """Start anew: other rules apply."""
        self.stop()
        self._next_start = 0.0

    def patience(self) -> float:
        """Seconds until `keep` has something to do, as far as is known."""
        watcher = self._watcher
        due = self._next_start
        if watcher is not None and watcher.is_sound():
            next_poll = watcher.next_poll()
            due = float("inf") if next_poll is None else next_poll
        return max(0.0, due - time.monotonic())

    def warnings(self) -> tuple[str, ...]:
        """Why changes in some folders are noticed late. Called from any thread."""
        watcher = self._watcher
        return (watcher.degraded,) if watcher is not None and watcher.degraded else ()

    def stop(self) -> None:
        """Watch no longer."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()

    def _start(self) -> None:
        if self._watcher is not None:
            self._mark("", False)  # also when there is no folder to watch: that is news
        self.stop()
        self._next_start = time.monotonic() + PAUSE
        watcher = FolderWatcher(self._root, self._ignored)
        try:
            watcher.start(self._mark)
        except Fatal as error:
            log.debug("not watching: %s", error)
            return
        self._watcher = watcher
        # What happened before the watch began is only found by looking.
        self._mark("", False)
