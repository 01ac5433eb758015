"""`fsync = "remote"`: waiting until what was written to a file of the drive is in the vault."""

from __future__ import annotations

import errno
import logging
import threading
import time
from typing import TYPE_CHECKING

from vaultsync.core.errors import VaultsyncError
from vaultsync.core.model import State, Verb
from vaultsync.mount.holding import changed_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.model import Row
    from vaultsync.mount.ports import Node
    from vaultsync.mount.tree.tree import Tree
    from vaultsync.sync.engine import Engine

log = logging.getLogger(__name__)

OFFLINE = 10.0
"""Seconds that are waited while nothing can be sent: offline, paused, or not signed in."""
SLOW = 60.0
"""Seconds that are waited while the file is not being sent for a reason of its own."""
_GLANCE = 1.0
"""Seconds after which is looked again, whatever nobody has told."""


class Delivery:
    """Waits for files to arrive. For any thread but the one that serves the kernel.

    Args:
        tree: The files.
        row: Gives the engine's row of a path.
        engine: Gives the engine, while there is one.
        ignored: Whether a path is left alone.
    """

    def __init__(
        self,
        tree: Tree,
        row: Callable[[str], Row],
        engine: Callable[[], Engine | None],
        ignored: Callable[[str], bool],
    ) -> None:
        self._tree = tree
        self._row = row
        self._engine = engine
        self._ignored = ignored
        self._turned = threading.Condition()
        self._turns = 0

    def turned(self) -> None:
        """The engine has recorded what it came to."""
        with self._turned:
            self._turns += 1
            self._turned.notify_all()

    def wait(self, node: Node) -> None:
        """Return once the vault has a file's content as it is at this moment, or a later one.

        What is to stay here is not waited for: files without a name, and ignored ones.

        Raises OSError: EIO when it could not be sent for `OFFLINE` or `SLOW` seconds. It is safe on
        this disk, and goes on being tried.
        """
        change = node.change
        asked: set[str] = set()
        moved = time.monotonic()
        while True:
            turns = self._turns
            if self._arrived(node, change):
                return
            named = self._tree.paths_of(node.id)
            paths = [path for path in named if not self._ignored(path)]
            if named and not paths:
                return
            engine = self._engine()
            if engine is not None:
                for path in set(paths) - asked:
                    engine.errands.ask(path, there=False)
                asked.update(paths)
            now = time.monotonic()
            if self._sending(engine, paths):
                moved = now
            if now - moved > (OFFLINE if _cut_off(engine) else SLOW):
                log.warning(
                    "A sync of '%s' failed: it is not in the vault yet.", "', '".join(paths)
                )
                raise OSError(errno.EIO, "it is not in the vault yet")
            with self._turned:
                self._turned.wait_for(lambda seen=turns: self._turns != seen, _GLANCE)  # type: ignore[misc]

    def _arrived(self, node: Node, change: int) -> bool:
        if not node.dirty or not node.nlink:
            return True
        for path in self._tree.paths_of(node.id):
            try:
                row = self._row(path)
            except VaultsyncError as error:
                raise OSError(errno.EIO, error.message) from error
            base, remote = row.base, row.remote
            if base is None or remote is None or remote.tag != base.remote_tag:
                continue
            sent = changed_at(node, base.local_tag)
            if sent is not None and sent >= change:
                return True
        return False

    @staticmethod
    def _sending(engine: Engine | None, paths: list[str]) -> bool:
        transfers = () if engine is None else engine.status.transfers
        return any(each.verb is Verb.PUSH and each.path in paths for each in transfers)


def _cut_off(engine: Engine | None) -> bool:
    """Whether nothing at all can be sent."""
    if engine is None or engine.trouble is not None:
        return True
    return engine.status.state is State.PAUSED
