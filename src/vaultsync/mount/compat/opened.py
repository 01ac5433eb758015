"""What is open, and what libfuse believes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Open:
    """What is open.

    Attributes:
        node: Its inode number.
        path: Where libfuse believes it to be; None once that was removed.
    """

    node: int
    path: str | None


class Opened:
    """Handles, and the names that libfuse alone knows.

    A file that is open does not lose its name in libfuse's eyes: before it is unlinked or replaced,
    libfuse has it renamed to `.fuse_hidden` and a number, and asks for it by that as long as it is
    open. No tree gets to know of it: the file is unlinked or replaced at once, as was asked, and
    the hidden name leads to its node.

    Attributes:
        hidden: Node of each hidden name. These are made of numbers that do not come again.
    """

    def __init__(self) -> None:
        self.hidden: dict[str, int] = {}
        self._open: dict[int, _Open] = {}

    def add(self, handle: int, node: int, path: str) -> None:
        """Something was opened by a path."""
        self._open[handle] = _Open(node, path)

    def remove(self, handle: int) -> int:
        """It was closed; returns its node."""
        return self._open.pop(handle).node

    def node(self, handle: int | None) -> int | None:
        """The node of a handle; None for none, and for one that is not known."""
        opened = self._open.get(handle) if handle else None
        return None if opened is None else opened.node

    def hide(self, path: str, name: str, node: int) -> None:
        """From now on, a file is known to libfuse by a hidden name."""
        self.hidden[name] = node
        self.moved(path, None)

    def is_hidden(self, path: str | None, handle: int | None) -> bool:
        """Whether what was opened by a handle, or else is at a path, has a hidden name."""
        opened = self._open.get(handle) if handle else None
        if opened is not None:
            return opened.path is None
        return path is not None and path.rpartition("/")[2] in self.hidden

    def moved(self, old: str, new: str | None) -> None:
        """Follow what is open to where a path, or what is below it, has gone; None: nowhere."""
        below = old + "/"
        for opened in self._open.values():
            path = opened.path
            if path is not None and (path == old or path.startswith(below)):
                opened.path = None if new is None else new + path[len(old) :]

    def estranged(self, handle: int) -> bool:
        """Whether another file of the same path, which the engine has replaced, is open still.

        To the kernel, which has them from libfuse, they are one.
        """
        new = self._open[handle]
        return any(one.path == new.path and one.node != new.node for one in self._open.values())
