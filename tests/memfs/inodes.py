"""What a file system is made of."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

from vaultsync.local.files import Node

LONGEST = 255
"""Bytes in a name (NAME_MAX)."""


class Times(NamedTuple):
    """Nanoseconds since the epoch."""

    modified: int
    changed: int


class State(NamedTuple):
    """What of an inode a sync makes durable."""

    data: bytes
    mode: int
    times: Times


@dataclass(eq=False, slots=True)
class Inode:
    """A file, directory, link, pipe or socket.

    Attributes:
        data: A file's content, a link's target.
        entries: What a directory holds.
        links: Names that lead here; 0 for a directory that was removed.
        opened: Descriptors that hold it.
        above: The directory that holds a directory.
        lazy: Whether a store through a mapping has yet to move the times.
        foreign: Whether a program other than ours wrote to it.
        kept: What is durable of a file; None when nothing is.
        kept_entries: What is durable of a directory's names.
        dirty: Whether something changed since `kept`.
    """

    number: int
    device: int
    mode: int
    times: Times
    data: bytes = b""
    entries: dict[str, Inode] = field(default_factory=dict)
    links: int = 1
    opened: int = 0
    above: Inode | None = None
    lazy: bool = False
    foreign: bool = False
    kept: State | None = None
    kept_entries: dict[str, Inode] = field(default_factory=dict)
    dirty: bool = False

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def state(self) -> State:
        return State(self.data, self.mode, self.times)

    def node(self) -> Node:
        size = 4096 if self.is_directory else len(self.data)
        modified, changed = self.times
        links = self.links
        if self.is_directory and links:  # as ext4 counts: its name, its own dot, and theirs below
            links = 2 + sum(below.is_directory for below in self.entries.values())
        return Node(self.mode, self.number, self.device, size, modified, changed, links)


def fault(code: int, name: str = "") -> OSError:
    """The error that Python raises for an errno."""
    return OSError(code, os.strerror(code), name)


def require_name(name: str) -> None:
    """Raise unless the kernel would look a name up."""
    if not name:
        raise fault(errno.ENOENT, name)
    if len(name.encode("utf-8", "surrogateescape")) > LONGEST:
        raise fault(errno.ENAMETOOLONG, name)
