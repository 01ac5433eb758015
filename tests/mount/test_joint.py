"""Tree and cache together: contents always equal a model, whatever happens around them."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.joint import ME, Joint
from vaultsync.core.errors import Retry
from vaultsync.mount.ports import ROOT, Changes
from vaultsync.mount.tree.files import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE
from vaultsync.mount.tree.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = ["a", "b", "c", "d", "e"]
LARGEST = 400_000
STEPS = 400


@pytest.fixture
def joint(tmp_path: Path) -> Iterator[Joint]:
    made = Joint(tmp_path, limit=700_000)
    yield made
    made.close()


class Person:
    """Does things at random, and knows what must be read then."""

    def __init__(self, joint: Joint, seed: int) -> None:
        self.joint = joint
        self.chance = random.Random(seed)
        self.files: dict[str, bytearray] = {}
        self.lost: set[str] = set()
        self.handles: list[tuple[int, int]] = []
        self.offline = False
        self.done: dict[str, int] = {}

    def noise(self, most: int) -> bytes:
        """No zeros: what is a hole by mistake shows."""
        return self.chance.randbytes(self.chance.randrange(1, most)).replace(b"\0", b"\1")

    def any(self) -> str:
        return self.chance.choice(sorted(self.files))

    def excuse(self, name: str, error: OSError) -> None:
        """Only what cannot be had may fail."""
        assert error.errno == errno.EIO
        assert self.offline or name in self.lost, name

    def step(self) -> None:
        doings = [
            self.create, self.graft, self.graft, self.write, self.write, self.truncate,
            self.allocate, self.read, self.read, self.read, self.read, self.rename, self.unlink,
            self.land, self.land, self.open, self.release, self.squeeze, self.kill, self.cut,
            self.lose, self.copy, self.fill,
        ]  # fmt: skip
        do = self.chance.choice(doings)
        if not self.files and do not in (self.create, self.graft):
            return
        self.done[do.__name__] = self.done.get(do.__name__, 0) + 1
        do()

    def create(self) -> None:
        name = self.chance.choice(NAMES)
        if name in self.files:
            return
        node, handle = self.joint.tree.create(ME, ROOT, name.encode(), 0o644, os.O_RDWR)
        data = self.noise(LARGEST)
        self.joint.tree.write(node.id, handle, 0, memoryview(data), wait=True)
        self.joint.tree.release(node.id, handle)
        self.files[name] = bytearray(data)

    def graft(self) -> None:
        """The engine brings a version, in the place of another one or not."""
        name = self.chance.choice(NAMES)
        data = self.noise(LARGEST)
        self.joint.graft(name, data, digest=self.chance.random() < 0.7)
        self.files[name] = bytearray(data)
        self.lost.discard(name)

    def fill(self) -> None:
        name = self.any()
        node = self.joint.node(name)
        if not node.dirty:
            self.joint.cache.fill(node, bytes(self.files[name]))
            if node.here:
                self.read_all(name)

    def copy(self) -> None:
        """The engine brings what is here under another name already."""
        name = self.any()
        source = self.joint.node(name)
        other = self.chance.choice([one for one in NAMES if one != name])
        node = self.joint.graft(other, bytes(self.files[name]))
        self.joint.cache.copy(source, node)
        self.files[other] = bytearray(self.files[name])
        self.lost.discard(other)

    def write(self) -> None:
        name = self.any()
        model = self.files[name]
        offset, data = self.chance.randrange(len(model) + 5000), self.noise(50_000)
        try:
            self.joint.write(name, offset, data)
        except OSError as error:
            self.excuse(name, error)
            return
        model.extend(bytes(max(0, offset - len(model))))
        model[offset : offset + len(data)] = data
        self.lost.discard(name)

    def truncate(self) -> None:
        name = self.any()
        model = self.files[name]
        size = self.chance.choice([0, len(model), self.chance.randrange(LARGEST)])
        try:
            self.joint.tree.setattr(ME, self.joint.node(name).id, Changes(size=size), wait=True)
        except OSError as error:
            self.excuse(name, error)
            return
        if size != len(model):
            self.lost.discard(name)
        del model[size:]
        model.extend(bytes(size - len(model)))

    def allocate(self) -> None:
        name = self.any()
        model = self.files[name]
        mode = self.chance.choice([0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE])
        offset, length = self.chance.randrange(LARGEST), self.chance.randrange(1, 60_000)
        try:
            node = self.joint.node(name)
            self.joint.tree.fallocate(node.id, 0, mode, offset, length, wait=True)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return
            self.excuse(name, error)
            return
        self.lost.discard(name)
        end = offset + length
        if not mode & KEEP_SIZE:
            model.extend(bytes(max(0, end - len(model))))
        if mode & (PUNCH_HOLE | ZERO_RANGE):
            end = min(end, len(model))
            model[offset:end] = bytes(max(0, end - offset))

    def read(self) -> None:
        name = self.any()
        offset = self.chance.randrange(len(self.files[name]) + 10)
        self.check(name, offset, self.chance.choice([1, 4096, 100_000]))

    def read_all(self, name: str) -> None:
        self.check(name, 0, LARGEST * 2)

    def check(self, name: str, offset: int, size: int) -> None:
        try:
            data = self.joint.read(name, offset, size)
        except OSError as error:
            self.excuse(name, error)
            return
        assert data == self.files[name][offset : offset + size], name

    def rename(self) -> None:
        name, other = self.any(), self.chance.choice(NAMES)
        if name == other:
            return
        self.joint.tree.rename(ME, ROOT, name.encode(), ROOT, other.encode(), 0)
        self.files[other] = self.files.pop(name)
        self.lost.discard(other)
        if name in self.lost:
            self.lost.remove(name)
            self.lost.add(other)

    def unlink(self) -> None:
        name = self.any()
        self.joint.tree.unlink(ME, ROOT, name.encode())
        del self.files[name]
        self.lost.discard(name)

    def land(self) -> None:
        name = self.any()
        if self.joint.node(name).dirty:
            assert self.joint.land(name)
            assert not self.joint.node(name).dirty

    def open(self) -> None:
        node = self.joint.node(self.any())
        handle, _ = self.joint.tree.open(node.id, os.O_RDWR, wait=True)
        self.handles.append((node.id, handle))

    def release(self) -> None:
        if self.handles:
            self.joint.tree.release(*self.handles.pop())

    def squeeze(self) -> None:
        """Evict all that may go."""
        self.joint.cache.limit = 0
        self.joint.cache.limit = self.joint.limit

    def kill(self) -> None:
        if self.chance.random() < 0.5:
            self.joint.kill()
        else:
            self.joint.restart()

    def cut(self) -> None:
        """The network goes, or comes back."""
        self.offline = not self.offline and self.chance.random() < 0.3
        self.joint.vault.always = Retry("offline") if self.offline else None

    def lose(self) -> None:
        """A version vanishes from the vault."""
        name = self.any()
        node = self.joint.node(name)
        if not node.dirty and node.o_path is not None and self.chance.random() < 0.3:
            self.joint.vault.versions.pop((node.o_path, node.o_etag or ""), None)
            self.lost.add(name)


@pytest.mark.parametrize("seed", range(6))
def test_contents_equal_the_model(joint: Joint, seed: int) -> None:
    person = Person(joint, seed)
    for _ in range(STEPS):
        person.step()
    joint.vault.always = None
    person.offline = False
    for name in person.files:
        person.read_all(name)
    assert len(person.done) > 15


def test_never_zeros_for_what_is_not_here(joint: Joint) -> None:
    joint.graft("f", b"x" * 300_000)
    joint.vault.always = Retry("offline")
    with pytest.raises(OSError, match="offline") as caught:
        joint.read("f", 0, 10)
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="offline") as caught:
        joint.write("f", 3, b"y")
    assert caught.value.errno == errno.EIO
    assert joint.node("f").size == 300_000
    assert not joint.node("f").dirty
    joint.vault.always = None
    assert joint.read("f") == b"x" * 300_000


def test_what_was_damaged_behind_our_back_is_not_made_dirty(joint: Joint) -> None:
    """A clean file that is not what its row says is fetched again before anything is written."""
    node = joint.graft("f", b"x" * 300_000)
    assert joint.read("f") == b"x" * 300_000
    joint.restart()
    file = joint.home / "cache" / f"{node.id % 256:02x}" / str(node.id)
    file.write_bytes(bytes(300_000))
    joint.write("f", 0, b"y")
    assert joint.read("f") == b"y" + b"x" * 299_999


def settled(joint: Joint) -> None:
    """Wait until the cache does nothing any more."""
    pool = joint.cache._pool
    while True:
        with pool._wake:
            if not pool._later and not pool._urgent and pool._idle == len(pool._threads):
                return
        time.sleep(0.001)


def test_what_has_landed_may_go(joint: Joint) -> None:
    node, handle = joint.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
    joint.tree.write(node.id, handle, 0, memoryview(b"x" * 100_000), wait=True)
    joint.tree.release(node.id, handle)
    joint.cache.limit = 0
    assert node.here == 2
    assert joint.land("f")
    settled(joint)
    joint.restart()
    joint.vault.always = Retry("offline")
    assert joint.read("f") == b"x" * 100_000
    joint.vault.always = None
    joint.cache.limit = 0
    node = joint.node("f")
    assert node.here == 0
    assert joint.read("f") == b"x" * 100_000


def test_filled_content_is_there_offline_and_after_a_restart(joint: Joint) -> None:
    node = joint.graft("f", b"few")
    joint.cache.fill(node, b"few")
    joint.vault.always = Retry("offline")
    assert joint.read("f") == b"few"
    joint.restart()
    assert joint.read("f") == b"few"
    joint.write("f", 3, b" more")
    assert joint.read("f") == b"few more"
    assert joint.vault.asked == []


def test_copied_content_is_not_fetched(joint: Joint) -> None:
    data = os.urandom(300_000)
    source = joint.graft("f", data)
    joint.cache.hydrate(source)
    joint.vault.asked.clear()
    joint.vault.always = Retry("offline")
    node = joint.graft("g", data)
    joint.cache.copy(source, node)
    assert joint.read("g") == data
    joint.write("g", 0, b"!")
    assert joint.read("f") == data
    assert joint.vault.asked == []


def test_content_that_went_elsewhere_is_asked_for_once(joint: Joint) -> None:
    data = os.urandom(300_000)
    node = joint.graft("f", data)
    joint.vault.versions.clear()
    asked = []

    def relocate(found: object) -> bool:
        asked.append(found)
        values = joint.values("g", data)
        origin = (values.path or "", values.etag or "", None)
        return joint.tree.landed(node.id, node.change, values.sha256, origin)

    joint.cache.relocate = relocate
    assert joint.read("f") == data
    assert asked == [node]
    assert (node.o_path, node.dirty) == ("g", False)


def test_what_is_settled_is_as_it_was_after_a_restart(joint: Joint) -> None:
    """Its digest need not be computed again, nor looked at by the engine."""
    for path in ("known", "written"):
        joint.graft(path, b"base")
        joint.write(path, 0, b"edited")
        node = joint.node(path)
        assert joint.tree.digested(node.id, node.change, "ab" * 32)
    before = joint.node("known")
    # Written to, but not settled when the process dies.
    written = joint.node("written")
    joint.tree.write(written.id, 0, 0, memoryview(b"EDITED"), wait=True)
    told = written.change
    joint.kill()
    known = joint.node("known")
    assert (known.change, known.sha256, known.dirty) == (before.change, "ab" * 32, True)
    assert joint.read("known") == b"edited"
    lost = joint.node("written")
    assert lost.change >= told
    assert lost.sha256 is None
    assert joint.read("written") == b"EDITED"


def test_after_a_power_cut_nothing_passes_for_what_it_was(joint: Joint) -> None:
    joint.graft("a", b"base")
    joint.write("a", 0, b"edited")
    node = joint.node("a")
    assert joint.tree.digested(node.id, node.change, "ab" * 32)
    before = node.change
    with joint.store.lock:
        joint.store.db.execute("UPDATE meta SET value = 'before' WHERE key LIKE 'drive.%'")
    # Killed before everything was looked at, and once more after that.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tree, "_recover", _dies)
        with pytest.raises(KeyboardInterrupt):
            joint.kill()
    joint.start()
    assert joint.node("a").change > before
    assert joint.node("a").sha256 is None


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_cut_that_a_crash_interrupts_brings_nothing_back(joint: Joint) -> None:
    """The row says that it was cut, the file is as long as before, and was not written to since."""
    joint.tree.mknod(ME, ROOT, b"f", 0o100644, 0)
    joint.write("f", 0, b"0123456789")
    number = joint.node("f").id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint.cache, "truncate", _dies)
        with pytest.raises(KeyboardInterrupt):
            joint.tree.setattr(ME, number, Changes(size=3), wait=True)
    joint.kill()
    for size in (3, 10):
        joint.tree.setattr(ME, number, Changes(size=size), wait=True)
    assert joint.read("f") == b"012" + bytes(7)


def test_a_start_changes_few_rows_in_each_transaction(joint: Joint) -> None:
    for number in range(450):
        joint.tree.mknod(ME, ROOT, b"%d" % number, 0o100644, 0)
        joint.write(str(number), 0, b"x")
    with joint.store.lock:
        joint.store.db.execute("UPDATE meta SET value = 'before' WHERE key LIKE 'drive.%'")
    joint.close()
    said: list[str] = []
    connect = sqlite3.connect

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = connect(*arguments, **options)
        made.set_trace_callback(said.append)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", watched)
        joint.start()
    counts, count = [], 0
    for statement in said:
        count += statement.startswith("UPDATE node")
        if statement == "COMMIT":
            counts.append(count)
            count = 0
    assert sum(counts) == 450
    assert max(counts) <= 100


def test_what_changes_while_it_is_copied_is_fetched_instead(
    joint: Joint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the change is in the vault, and the source as clean as before, at the end."""
    data = os.urandom(300_000)
    source = joint.graft("f", data, digest=False)
    joint.cache.hydrate(source)
    copy = os.copy_file_range

    def disturbed(*arguments: int) -> int:
        joint.write("f", 0, b"another beginning")
        assert joint.land("f")
        return copy(*arguments)

    monkeypatch.setattr(os, "copy_file_range", disturbed)
    node = joint.graft("g", data, digest=False)
    joint.cache.copy(source, node)
    assert joint.read("g") == data
