"""The suite's world of the drive: the tree and the cache, on a vault that is a dictionary."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.contract.worlds import SystemClock, World, ignored, world
from tests.mount.joint import ME, Joint
from vaultsync.mount.drive import Drive
from vaultsync.mount.ports import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from vaultsync.core.model import Entry
    from vaultsync.core.ports import Content, Side
    from vaultsync.mount.staged import DriveStaged

DRIVE_DIFFERS = (
    "Of what is staged only few bytes are read; the digest of more is checked when all is here.",
    "What is replaced or deleted goes to no trash: the bucket keeps its versions.",
    "`commit` and `delete` raise Retry where a program has the file open for writing.",
    "Where the vault tells no digest of large content, something stands in for it.",
)
"""What a drive does otherwise than a folder. The suite asks for nothing else in these points:
`tests/mount/test_drive.py` does."""


class TrustedDrive(Drive):
    """A drive whose vault holds all that is staged, as a bucket does."""

    joint: Joint

    def stage(
        self,
        path: str,
        content: Content,
        op: str,
        parents: tuple[str, ...] = (),
        *,
        origin: str | None = None,
    ) -> DriveStaged:
        staged = super().stage(path, content, op, parents, origin=origin)
        self.joint.vault.versions[path, content.entry.tag] = b"".join(content.chunks())
        return staged

    def borrow(self, path: str, source: str, entry: Entry, like: Entry, op: str) -> DriveStaged:
        staged = super().borrow(path, source, entry, like, op)
        with self.open(source, entry) as content:
            self.joint.vault.versions[path, like.tag] = b"".join(content.chunks())
        return staged


class DriveWorld:
    """A drive, and programs that use it."""

    local = True

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self._start()

    def _start(self) -> None:
        joint = self.joint
        self.drive = TrustedDrive(
            joint.tree, joint.cache, joint.home, "laptop", SystemClock(), ignored
        )
        self.drive.joint = joint

    @property
    def side(self) -> Side:
        return self.drive

    def put_behind(self, path: str, data: bytes) -> None:
        tree = self.joint.tree
        parent = ROOT
        *folders, name = path.encode().split(b"/")
        for folder in folders:
            try:
                parent = tree.lookup(parent, folder).id
            except FileNotFoundError:
                parent = tree.mkdir(ME, parent, folder, 0o755).id
        node, handle = tree.create(ME, parent, name, 0o644, os.O_WRONLY | os.O_TRUNC)
        tree.write(node.id, handle, 0, memoryview(data), wait=True)
        tree.release(node.id, handle)

    def remove_behind(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self.joint.tree.unlink(ME, self.joint.node(folder).id, name.encode())

    def read_behind(self, path: str) -> bytes | None:
        node = self.joint.tree.find(path)
        if node is None:
            return None
        try:
            return self.joint.tree.read(node.id, 0, 0, 1 << 30, wait=True)
        except OSError as error:
            if error.errno == errno.EISDIR:
                return None
            raise

    def crash(self) -> None:
        self.joint.kill()
        self._start()


@world("drive")
@contextmanager
def _drive(request: pytest.FixtureRequest) -> Iterator[World]:
    joint = Joint(request.getfixturevalue("tmp_path"))
    yield DriveWorld(joint)
    joint.close()
