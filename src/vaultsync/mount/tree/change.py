"""One transaction over rows and what is in memory of them: both happen, or neither does."""

from __future__ import annotations

import errno
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from vaultsync.core.errors import Blocked
from vaultsync.mount.ports import Node, NodeKind
from vaultsync.state.nodes import CHANGING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from vaultsync.mount.tree.memory import Memory

_row = attrgetter(*CHANGING)
_cached = attrgetter("here", "used")
_WHOLE = (None, 2, 0, 0, None, None, None)
"""The last columns of content that is all here and has no origin."""


class Change:
    """A block within which nodes and names are changed; use as a context manager.

    The lock is held within. At its end the rows of all touched nodes are written and committed.
    When that fails, or the block raises, nodes in memory are as they were before, like the rows.

    Once the lock was left, the paths given to `tell` are announced.

    Args:
        memory: Of which tree.
        asked: Whether a program has asked for it, which is told of faults by numbers.

    Attributes:
        now: Nanoseconds since the epoch, one moment for all that the block does.

    Raises OSError when the database cannot be written: ENOSPC when its disk is full, else EIO.
    Where no program has asked, Blocked.
    """

    __slots__ = (
        "_asked",
        "_gone",
        "_made",
        "_memory",
        "_then",
        "_told",
        "_touched",
        "_transaction",
        "now",
    )

    def __init__(self, memory: Memory, *, asked: bool = True) -> None:
        self._memory = memory
        self._asked = asked
        # Each with its columns before, and whether it is to be written even if they are the same.
        self._touched: dict[int, tuple[Node, Any, Any, bool]] = {}
        self._made: list[Node] = []
        self._then: list[Callable[[], object]] = []
        self._gone: list[Node] = []
        self._told: list[tuple[str, bool]] = []
        self._transaction: AbstractContextManager[None] | None = None
        self.now = 0

    def touch(self, node: Node, *, whole: bool = False) -> Node:
        """Say that a node is going to be changed; returns it. `whole`: write it in any case."""
        if node.id not in self._touched:
            memory = self._memory
            whole = whole or node.id in memory.unsettled or node.id in memory.faded
            self._touched[node.id] = (node, _row(node), _cached(node), whole)
        return node

    def new(  # noqa: D417 - the others are the node's columns
        self,
        kind: NodeKind,
        mode: int,
        owner: tuple[int, int],
        *,
        rdev: int = 0,
        target: bytes | None = None,
    ) -> Node:
        """Make a node with one name to come, of this moment.

        Args:
            owner: User and group.
        """
        now = self.now
        uid, gid = owner
        size = 0 if target is None else len(target)
        links = 2 if kind is NodeKind.DIR else 1
        file = kind is NodeKind.FILE
        first = (kind, mode, uid, gid, links, now, now, now, now, size, rdev, target, 1, file)
        number = self._memory.rows.insert((*first, *_WHOLE))
        node = Node(number, *first)
        self._memory.know(node)
        self._made.append(node)
        self._touched[number] = (node, _row(node), _cached(node), False)
        return node

    def reap(self, node: Node) -> None:
        """Remove a node that nobody names or holds, and its content."""
        self._memory.rows.delete(node.id)
        if node.kind is NodeKind.FILE:
            self._memory.contents.drop(node)
        self._gone.append(node)

    def then(self, do: Callable[[], object]) -> None:
        """Have something done once this has happened, with the lock still held."""
        self._then.append(do)

    def tell(self, path: str | None, *, writing: bool = False) -> None:
        """Announce a path once this has happened and the lock was left; None: nothing."""
        if path is not None:
            self._told.append((path, writing))

    def __enter__(self) -> Self:
        """Take the lock and begin."""
        transaction = self._memory.store.transaction()
        try:
            transaction.__enter__()
        except Blocked as error:
            if not self._asked:
                raise
            raise failure(error) from error
        self._transaction = transaction
        self.now = time.time_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit, or undo all."""
        assert self._transaction is not None  # noqa: S101 - entered
        memory = self._memory
        with memory.store.lock:  # until memory agrees with the rows again
            try:
                if error is None:
                    try:
                        self._write()
                    except BaseException as fault:
                        self._transaction.__exit__(type(fault), fault, fault.__traceback__)
                        raise
                self._transaction.__exit__(kind, error, trace)
            except Blocked as fault:
                self._undo()
                if not self._asked:
                    raise
                raise failure(fault) from fault
            except BaseException:
                self._undo()
                raise
            if error is not None:
                self._undo()
                return
            for number, (node, *_) in self._touched.items():
                memory.unsettled.pop(number, None)
                memory.faded.pop(number, None)
                if node.dirty:
                    memory.contents.settled(node)
            for node in self._gone:
                memory.dismiss(node)
            for do in self._then:
                do()
        if self._told:
            memory.announce(self._told)

    def _write(self) -> None:
        for node, before, _, whole in self._touched.values():
            row = _row(node)
            if whole or row != before:
                self._memory.rows.update(node.id, row)

    def _undo(self) -> None:
        for node, before, cached, _ in self._touched.values():
            for name, value in zip(CHANGING, before, strict=True):
                setattr(node, name, value)
            node.here, node.used = cached
        for node in self._made:
            self._memory.dismiss(node)
        if self._touched:
            self._memory.doubt()


def failure(error: Blocked) -> OSError:
    """What a system call fails with when the database cannot be read or written."""
    full = getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_FULL"
    return OSError(errno.ENOSPC if full else errno.EIO, error.message)
