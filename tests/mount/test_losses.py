"""Faults at the worst moment: what was acknowledged stays, what was refused has not happened."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.mount.joint import ME, Joint
from vaultsync.core.errors import Blocked, Stale
from vaultsync.mount.holding import tag
from vaultsync.mount.ports import ROOT, Changes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
        named = {tag(joint.node("f"))}
        joint.kill()
        for number in range(10):
            assert tag(joint.node("f")) not in named
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
