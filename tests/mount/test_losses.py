"""Faults at the worst moment: what was acknowledged stays, what was refused has not happened."""

from __future__ import annotations

import errno
import os
import shutil
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mount.joint import ME, Joint
from vaultsync.core.errors import Blocked, Stale
from vaultsync.mount.holding import tag
from vaultsync.mount.ports import ROOT, Changes, WouldBlock
from vaultsync.mount.tree.files import KEEP_SIZE, PUNCH_HOLE
from vaultsync.state.drive import DriveStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.mount.ports import Node

DATA = b"the old content\n" * 1000


@pytest.fixture
def joint(tmp_path: Path) -> Iterator[Joint]:
    made = Joint(tmp_path)
    made.tree.fresh()
    yield made
    made.close()


def make(joint: Joint, name: bytes, data: bytes = DATA) -> Node:
    node, handle = joint.tree.create(ME, ROOT, name, 0o644, os.O_RDWR)
    joint.tree.write(node.id, handle, 0, memoryview(data), wait=True)
    joint.tree.release(node.id, handle)
    return node


def full(joint: Joint, monkeypatch: pytest.MonkeyPatch, passes: int = 0) -> None:
    """Let the database take so many more commits, and then nothing."""
    transaction = joint.store.transaction
    left = [passes]

    @contextmanager
    def refusing() -> Iterator[None]:
        outer = not joint.store._depth
        with transaction():
            yield
            if outer:
                left[0] -= 1
                if left[0] < 0:
                    raise Blocked("the disk is full")

    monkeypatch.setattr(joint.store, "transaction", refusing)


class TestAFullDatabase:
    """A size that cannot be written down is not changed."""

    @pytest.mark.parametrize("size", [0, 5, len(DATA) + 5000])
    @pytest.mark.parametrize(
        ("state", "passes"), [("dirty", 0), ("landed", 0), ("landed", 1), ("cold", 0)]
    )
    def test_a_size_that_is_refused_has_not_changed(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch, size: int, state: str, passes: int
    ) -> None:
        if state == "cold":
            if size:
                pytest.skip("it would be fetched first")
            node = joint.graft("f", DATA)
        else:
            node = make(joint, b"f")
            if state == "landed":
                assert joint.land("f")
        with monkeypatch.context() as patch:
            full(joint, patch, passes)
            with pytest.raises(OSError, match="full"):
                joint.tree.resize(node.id, size, wait=True, kill=False)
        for _ in range(2):
            assert joint.node("f").size == len(DATA)
            assert joint.read("f") == DATA
            joint.kill()

    def test_a_write_for_which_no_room_can_be_made_has_no_room(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make(joint, b"f")
        joint.read("f")
        joint.cache._room._granted = 0
        with monkeypatch.context() as patch:
            patch.setattr(joint.cache._room, "kept", lambda total: total)
            full(joint, patch)
            with pytest.raises(OSError, match="space") as caught:
                joint.write("f", 0, b"new")
        assert caught.value.errno == errno.ENOSPC
        assert joint.read("f") == DATA

    def test_a_drive_with_everything_in_the_vault_is_there(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node = make(joint, b"f")
        assert joint.land("f")
        while joint.cache._shelf.busy(node.id):
            time.sleep(0.001)  # until it is known to be safely on the disk
        joint.restart()
        transaction = DriveStore.transaction

        @contextmanager
        def refusing(store: DriveStore) -> Iterator[None]:
            before = store.db.total_changes
            with transaction(store):
                yield
                if store.db.total_changes > before:
                    raise Blocked("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(DriveStore, "transaction", refusing)
            joint.kill()
            assert joint.tree.read(node.id, 0, 0, len(DATA), wait=True) == DATA

    def test_an_open_that_is_refused_empties_nothing(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node = make(joint, b"f")
        with monkeypatch.context() as patch:
            full(joint, patch)
            with pytest.raises(OSError, match="full"):
                joint.tree.open(node.id, os.O_WRONLY | os.O_TRUNC, wait=True)
        assert joint.read("f") == DATA
        joint.kill()
        assert joint.read("f") == DATA


class TestWhatTheEngineIsRefused:
    """It settles what it compares with: a refusal must not take that back unseen."""

    def refuse(self, joint: Joint) -> None:
        with pytest.raises(Stale):
            joint.tree.graft("f", joint.values("f", b"theirs"), lambda _node: False)

    def test_a_version_is_never_named_as_another_one_was(self, joint: Joint) -> None:
        node, handle = joint.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
        for _ in range(5):
            joint.tree.write(node.id, handle, 0, memoryview(DATA), wait=True)
        self.refuse(joint)
        named = {tag(joint.node("f")): joint.read("f")}
        joint.kill()
        for number in range(10):
            there = joint.read("f")
            assert named.get(tag(joint.node("f")), there) == there
            joint.write("f", 0, b"%d" % number)

    def test_times_of_writes_stay(self, joint: Joint) -> None:
        node, handle = joint.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
        joint.tree.setattr(ME, node.id, Changes(mtime=10**18), wait=True)
        joint.tree.write(node.id, handle, 0, memoryview(DATA), wait=True)
        self.refuse(joint)
        joint.kill()
        assert joint.node("f").mtime > 10**18 + 10**9


class TestAnEmptiedCache:
    """Somebody removes the cache's files while the drive is used."""

    @staticmethod
    def empty(joint: Joint) -> None:
        joint.cache._files.close()
        for path in (joint.home / "cache").glob("*/*"):
            path.unlink()

    def test_zeros_are_not_written_for_what_is_gone(self, joint: Joint) -> None:
        make(joint, b"f")
        self.empty(joint)
        for offset in (0, 100, len(DATA)):
            with pytest.raises(OSError, match="lost") as caught:
                joint.write("f", offset, b"new")
            assert caught.value.errno == errno.EIO
        with pytest.raises(OSError, match="lost"):
            joint.read("f")
        node = joint.node("f")
        with pytest.raises(OSError, match="lost"):
            joint.tree.setattr(ME, node.id, Changes(size=100), wait=True)
        with pytest.raises(OSError, match="lost"):
            joint.tree.setattr(ME, node.id, Changes(size=100_000), wait=True)
        with pytest.raises(OSError, match="lost"):
            joint.tree.fallocate(node.id, 0, 0, 0, 100_000, wait=True)

    @pytest.mark.parametrize("again", [True, False])
    def test_a_file_whose_content_is_gone_can_be_written_anew(
        self, joint: Joint, again: bool
    ) -> None:
        node = make(joint, b"f")
        self.empty(joint)
        if again:
            joint.kill()
            assert joint.cache.losses == [node.id]
        joint.tree.setattr(ME, node.id, Changes(size=0), wait=True)
        joint.write("f", 0, b"new")
        assert joint.read("f") == b"new"
        assert joint.cache.losses == []
        joint.kill()
        assert joint.cache.losses == []
        assert joint.read("f") == b"new"

    def test_what_is_open_is_put_back(self, joint: Joint) -> None:
        make(joint, b"f")
        make(joint, b"g")
        shutil.rmtree(joint.home / "cache")
        joint.write("f", len(DATA), b"more")
        assert joint.read("f") == DATA + b"more"
        joint.tree.resize(joint.node("g").id, 10, wait=True, kill=False)
        node = make(joint, b"h", b"new")
        joint.kill()
        assert joint.read("f") == DATA + b"more"
        assert joint.read("g") == DATA[:10]
        assert joint.tree.read(node.id, 0, 0, 100, wait=True) == b"new"


class Durable:
    """Notes what would survive a power cut, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: list[str] = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, partial(self._sync, getattr(os, name)))
        write = os.pwrite
        monkeypatch.setattr(os, "pwrite", partial(self._write, write))

    def _sync(self, sync: Callable[[int], None], descriptor: int) -> None:
        sync(descriptor)
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    def _write(self, write: Callable[..., int], descriptor: int, data: bytes, offset: int) -> int:
        self.synced.append("write")
        return write(descriptor, data, offset)


class TestAPowerCut:
    def test_the_name_of_a_file_of_an_earlier_process_is_synced(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node = make(joint, b"f")
        joint.kill()
        durable = Durable(monkeypatch)
        joint.tree.fsync(node.id, 0, data_only=False)
        assert {str(node.id), f"{node.id % 256:02x}", "cache"} <= set(durable.synced)
        durable.synced.clear()
        joint.tree.fsync(node.id, 0, data_only=False)
        assert set(durable.synced) == {str(node.id), "state.db-wal"}

    def test_content_that_is_in_the_vault_is_known_to_differ_before_it_does(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else some new bytes could be there, under the name of the old ones."""
        node = joint.graft("f", DATA)
        joint.cache.hydrate(node)
        with pytest.raises(WouldBlock):
            joint.tree.write(node.id, 0, 5, memoryview(b"new"), wait=False)
        assert not node.dirty
        joint.store.sync()
        durable = Durable(monkeypatch)
        joint.write("f", 5, b"new")
        assert durable.synced == ["state.db-wal", "write"]
        joint.write("f", 9, b"more")
        assert durable.synced == ["state.db-wal", "write", "write"]
        node = joint.graft("g", DATA)
        joint.cache.hydrate(node)
        durable.synced.clear()
        joint.tree.fallocate(node.id, 0, PUNCH_HOLE | KEEP_SIZE, 0, 4096, wait=True)
        assert durable.synced == ["state.db-wal"]

    def test_who_appends_waits_for_nothing(
        self, joint: Joint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        node = joint.graft("f", DATA)
        joint.cache.hydrate(node)
        durable = Durable(monkeypatch)
        joint.tree.write(node.id, 0, len(DATA), memoryview(b"new"), wait=False)
        assert durable.synced == ["write"]
