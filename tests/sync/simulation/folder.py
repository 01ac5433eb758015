"""A device's folder: a disk in memory on which the real `Disk` works, and the hands of a person."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.memfs.files import MemoryFiles
from tests.memfs.hands import Hands
from tests.memfs.tree import Tree
from vaultsync.core import names
from vaultsync.local.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.memfs.inodes import Inode
    from tests.sync.simulation.device import Device
    from tests.sync.simulation.world import World

HOME = "/home/folder"
OUTSIDE = "/home/outside"
SECRET = b"nobody's business"
SKIP = ".skip"
"""How names end that the person has told vaultsync to ignore."""
_CHANGES = frozenset(
    {
        *("create", "append", "write", "move", "rename", "exchange", "link", "unlink"),
        *("mkdir", "rmdir", "symlink", "chmod", "utime", "utime_link", "clone"),
    }
)
_STEPS = _CHANGES | {"sync", "open", "read", "stat", "names", "enter"}
_SELDOM = 8
"""Of so many calls that only look, about half make a boundary."""


@dataclass(frozen=True)
class Version:
    """What a person sees at a path."""

    data: bytes
    mode: int
    link: bool


class Folder:
    """The file system of a device, over all its lives.

    Attributes:
        disk: The side of the present life.
        changes: Calls that changed something, so far.
    """

    def __init__(self, world: World, device: Device) -> None:
        self._world = world
        self._device = device
        scenario = world.scenario
        self._files = MemoryFiles(
            Tree(
                lambda: int(world.clock.time * 1e9),
                ordered=scenario.ordered,
                safe=not scenario.power,
            )
        )
        self._take(self._files)
        beyond = Hands(self._tree, OUTSIDE)
        beyond.write("secret", SECRET)
        beyond.mkdir("d")
        beyond.write("d/a", SECRET)
        self._beyond = {beyond.home, *(inode for _, inode in beyond.walk())}
        self.changes = 0
        self._quick = 0
        self.disk = self._disk(None)
        self._marker = self.disk.bind()
        self.write_back()
        self._tree.changed = self._changed

    # Lives

    def start(self) -> Disk:
        """A process begins."""
        life = self._device.crashes

        def before(operation: str, inode: Inode, name: str) -> None:
            if life != self._device.crashes:
                self._device.again()
            self._before(operation, inode, name)

        self._files = MemoryFiles(self._tree)
        self._files.before = before
        self.disk = self._disk(self._marker)
        return self.disk

    @property
    def is_locked(self) -> bool:
        """Whether the disk's other tasks would have to wait for the one that is under way."""
        return self.disk._trash.making.locked()

    def kill(self) -> None:
        """The process ends; the disk has all that it did."""
        self._files.kill()

    def cut_power(self) -> tuple[set[bytes], set[bytes]]:
        """The machine ends; returns contents that were durable, and that are there no more.

        One that is left only in an editor's new file, before its rename, counts as neither.
        """
        durable, before = self._durable(), self._everything(skipped=False)
        shown = self.files
        self._files.kill()
        self._take(self._files.crash(self._world.chance))
        # What the cut left of a person's file is the person's, wherever it lies.
        self._world.book.known |= {
            (inode.is_link, inode.data) for _, inode in self._hands.walk() if inode.foreign
        }
        for path, version in sorted(self.files.items()):
            if version != shown.get(path):
                self._world.show(self._device, path, version.link, version.data)
        self._world.book.uncertain |= {
            path
            for path in shown.keys() | self.files.keys()
            if shown.get(path) != self.files.get(path)
        }
        aside = self._everything(skipped=True) - self._everything(skipped=False)
        return durable - aside, before - self._everything(skipped=False)

    def write_back(self) -> None:
        """The kernel writes everything to the disk, as it does every half minute."""
        for inode in self._tree.inodes():
            self._tree.write_back(inode)
        self._tree.journal.sync_all(self._tree.inodes())

    def untouched_outside(self) -> bool:
        """Whether what lies outside the folder is what was put there."""
        beyond = Hands(self._tree, OUTSIDE)
        there = {path: inode.data for path, inode in beyond.walk()}
        return there == {"secret": SECRET, "d": b"", "d/a": SECRET}

    # What people see

    @property
    def files(self) -> dict[str, Version]:
        """Files and links that are not ignored."""
        return {
            path: Version(inode.data, inode.mode & 0o777, inode.is_link)
            for path, inode in self._visible()
            if not inode.is_directory and not ignored(path)
        }

    def tree(self) -> dict[str, bytes]:
        """The same, and directories, whose paths end with `/`.

        Without those that hold nothing but ignored files: nobody else has to have them.
        """
        left_out = self.unmanaged()
        return {
            path: data
            for path, data in self._tree_with_ignored().items()
            if not ignored(path.rstrip("/")) and path not in left_out
        }

    def unmanaged(self) -> set[str]:
        """Directories that hold something, and nothing but ignored files."""
        found = self._tree_with_ignored()
        shown = {path for path in found if not ignored(path.rstrip("/"))}
        left_out: set[str] = set()
        for path in sorted(shown, reverse=True):
            inside = {other for other in found if other != path and other.startswith(path)}
            if path.endswith("/") and inside and not inside & (shown - left_out):
                left_out.add(path)
        return left_out

    def _tree_with_ignored(self) -> dict[str, bytes]:
        return {
            path + "/" * inode.is_directory: b"" if inode.is_directory else inode.data
            for path, inode in self._visible()
        }

    def kept(self) -> set[bytes]:
        """Contents that are there or can be had back from the trash."""
        staging = f"{names.CONTROL}/staging"
        return {
            inode.data
            for path, inode in self._hands.walk()
            if not inode.is_directory and not path.startswith(staging)
        }

    def is_directory(self, path: str) -> bool:
        found = self._hands.find(path) if self._is_plain(path) else None
        return found is not None and found.is_directory

    def is_empty(self, path: str) -> bool:
        return not self._hands.at(path).entries

    def is_free(self, path: str) -> bool:
        """Whether a new file can be put at a path."""
        return self._is_plain(path) and not self.is_directory(path)

    # What people do

    def save(self, path: str, data: bytes, mode: int, style: str) -> None:
        hands = self._hands
        hands.mkdirs(path.rpartition("/")[0])
        old = hands.find(path)
        if style == "rename" or (old is not None and old.is_link):
            hands.save_atomically(path, data, mode)
        elif style == "store" and old is not None and len(old.data) == len(data):
            hands.store(path, data)
        else:
            hands.write(path, data, mode)

    def symlink(self, path: str, target: bytes) -> None:
        self._hands.mkdirs(path.rpartition("/")[0])
        if self._hands.find(path) is not None:
            self._hands.remove(path)
        self._hands.symlink(path, target)

    def ignore(self, path: str, data: bytes) -> None:
        """Write a file that is to be left alone."""
        self._hands.mkdirs(path.rpartition("/")[0])
        self._hands.write(path, data)

    def touch(self, path: str) -> None:
        inode = self._hands.at(path)
        self._tree.utime(inode, self._tree.now())

    def chmod(self, path: str, mode: int) -> None:
        self._hands.chmod(path, mode)

    def drop(self, path: str) -> None:
        self._hands.remove(path)

    def rename(self, old: str, new: str) -> None:
        """Move a file, or a directory with all that is in it."""
        self._hands.mkdirs(new.rpartition("/")[0])
        self._hands.rename(old, new)

    def make_folder(self, path: str) -> None:
        if self._hands.find(path) is None:
            self._hands.mkdirs(path)

    def remove_folder(self, path: str) -> None:
        """With all that is in it."""
        self._hands.remove_tree(path)

    # Inside

    def _take(self, files: MemoryFiles) -> None:
        self._files = files
        self._tree = files.tree
        self._hands = Hands(self._tree, HOME)
        beyond = Hands(self._tree, OUTSIDE)
        self._beyond = {beyond.home, *(inode for _, inode in beyond.walk())}

    def _disk(self, marker: str | None) -> Disk:
        return Disk(Path(HOME), self._device.name, self._world.clock, ignored, marker, self._files)

    def _visible(self) -> Iterator[tuple[str, Inode]]:
        for path, inode in self._hands.walk():
            if not names.is_control(path):
                yield path, inode

    def _everything(self, *, skipped: bool) -> set[bytes]:
        """Contents that are anywhere in the folder, or only where vaultsync may look.

        The name of a snapshot was taken away at once; one that a cut brought back does not count.
        """
        snapshots = f"{names.CONTROL}/staging/snapshot-"
        return {
            inode.data
            for path, inode in self._hands.walk()
            if not inode.is_directory
            and not path.startswith(snapshots)
            and (skipped or not ignored(path))
        }

    def _durable(self) -> set[bytes]:
        """Contents of what is there that would be there whatever the power cut took.

        Not of a file that was removed, though the disk may not know of that yet.
        """
        found, left = set(), [self._tree.root]
        there = {id(inode) for _, inode in self._hands.walk()}
        while left:
            inode = left.pop()
            left += inode.kept_entries.values()
            if not inode.is_directory and not inode.dirty and id(inode) in there:
                found.add(inode.data)
        return found

    def _is_plain(self, path: str) -> bool:
        """Whether only directories, or nothing, lie above a path."""
        for above in names.parents(path):
            found = self._hands.find(above[:-1])
            if found is None:
                return True
            if not found.is_directory:
                return False
        return True

    def _before(self, operation: str, inode: Inode, name: str) -> None:
        """The disk is about to do something."""
        world = self._world
        if inode in self._beyond:
            world.verdicts.broken("outside", f"{self._device.name}: {operation} {name}")
        if operation not in _STEPS:
            return
        change = operation in _CHANGES
        if name.endswith(SKIP) and (change or operation in ("open", "read")):
            world.verdicts.broken("ignored", f"{self._device.name}: {operation} {name}")
        self.changes += change
        if not change and operation != "sync":
            self._quick -= 1
            if self._quick > 0 or world.quiet:
                return
            self._quick = world.chance.randrange(1, _SELDOM)
        if not world.quiet:
            self._device.between(f"{operation} {name}")

    def _changed(self, directory: Inode, name: str) -> None:
        """A name leads to something else now."""
        inode = directory.entries.get(name)
        path = self._path(directory, name)
        if inode is None or path is None:
            return
        below = [(path, inode)]
        if inode.is_directory:
            below = list(self._hands.walk(path))
        for at, found in below:
            if not found.is_directory and not ignored(at):
                self._world.show(self._device, at, found.is_link, found.data)

    def _path(self, directory: Inode, name: str) -> str | None:
        """A path below the folder; None for what nobody sees."""
        segments, here = [name], directory
        while here is not self._hands.home:
            above = here.above
            if above is None:
                return None
            found = [segment for segment, inode in above.entries.items() if inode is here]
            if not found:
                return None
            segments.append(found[0])
            here = above
        path = "/".join(reversed(segments))
        return None if names.is_control(path) else path


def ignored(path: str) -> bool:
    return any(segment.endswith(SKIP) for segment in path.split("/"))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
