"""The drive as a side, where it does otherwise than a folder, or more."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.contract.drive_worlds import DriveWorld
from tests.contract.worlds import BytesContent
from tests.mount.joint import ME, Joint
from vaultsync.core.errors import Blocked, NotFound, Retry, Stale
from vaultsync.core.model import Base, Entry, Kind, Row, Seen, Unseen, is_stand_in, stand_in
from vaultsync.mount import snapshot
from vaultsync.mount.drive import SMALL
from vaultsync.mount.holding import tag
from vaultsync.mount.ports import ROOT, Changes, Space
from vaultsync.mount.tree.files import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

BIG = bytes(range(1, 251)) * 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DriveWorld]:
    joint = Joint(tmp_path)
    yield DriveWorld(joint)
    joint.close()


def look(world: DriveWorld, path: str) -> Entry:
    entry = world.drive.look(path)
    assert entry is not None
    return entry


def foreign(data: bytes) -> BytesContent:
    """Content of which the vault tells no digest."""
    content = BytesContent(data)
    content.entry = replace(content.entry, sha256=None)
    return content


class TestStandIn:
    """Something stands for a digest that nobody has told."""

    @pytest.fixture(autouse=True)
    def _pulled(self, world: DriveWorld) -> None:
        world.drive.commit(world.drive.stage("f", foreign(BIG), "op"), None)

    def test_nothing_is_fetched_for_it(self, world: DriveWorld) -> None:
        entry = world.drive.identify("f", look(world, "f"))
        assert entry.sha256 == stand_in("bytes")
        assert world.joint.vault.asked == []

    def test_who_reads_gets_a_real_one(self, world: DriveWorld) -> None:
        with world.drive.open("f", look(world, "f")) as content:
            assert content.sha256() == content.sha256() == hashlib.sha256(BIG).hexdigest()
            assert is_stand_in(content.entry.sha256)
        assert look(world, "f").sha256 == stand_in("bytes")

    def test_it_goes_with_an_edit(self, world: DriveWorld) -> None:
        world.joint.write("f", 0, b"edited")
        entry = world.drive.identify("f", look(world, "f"))
        assert entry.sha256 == hashlib.sha256(b"edited" + BIG[6:]).hexdigest()

    def test_conflict_copies_have_names_all_the_same(self, world: DriveWorld) -> None:
        copy = world.drive.set_aside("f", look(world, "f"))
        assert "etag" not in copy
        assert world.read_behind(copy) == BIG

    def test_few_bytes_are_hashed(self, world: DriveWorld) -> None:
        staged = world.drive.stage("g", foreign(b"few"), "op")
        assert staged.sha256 == hashlib.sha256(b"few").hexdigest()


def test_what_is_open_for_writing_is_neither_replaced_nor_removed(world: DriveWorld) -> None:
    world.put_behind("f", b"f")
    tree = world.joint.tree
    node = world.joint.node("f")
    handle, _ = tree.open(node.id, os.O_RDWR, wait=True)
    entry = look(world, "f")
    with pytest.raises(Retry, match="open for writing"):
        world.drive.commit(world.drive.stage("f", BytesContent(b"theirs"), "op"), entry)
    with pytest.raises(Retry, match="open for writing"):
        world.drive.delete("f", entry)
    copy = world.drive.set_aside("f", entry)
    tree.write(node.id, handle, 0, memoryview(b"more"), wait=True)
    tree.release(node.id, handle)
    assert world.read_behind(copy) == b"more"


def test_who_only_reads_is_not_waited_for(world: DriveWorld) -> None:
    world.put_behind("f", b"mine")
    node = world.joint.node("f")
    handle, _ = world.joint.tree.open(node.id, os.O_RDONLY, wait=True)
    entry = look(world, "f")
    world.drive.commit(world.drive.stage("f", BytesContent(b"theirs"), "op"), entry)
    assert world.read_behind("f") == b"theirs"
    assert world.joint.tree.read(node.id, handle, 0, 10, wait=True) == b"mine"


def test_the_kernel_is_told(world: DriveWorld) -> None:
    told: list[object] = []

    class Told:
        def inode(self, node: int, *, content: bool) -> None:
            assert not world.joint.store.lock._is_owned()  # type: ignore[attr-defined]
            told.append((node, content))

        def entry(self, parent: int, name: bytes) -> None:
            told.append(name)

    world.put_behind("f", b"mine")
    old = world.joint.node("f").id
    world.drive.invalidate = Told()
    world.drive.commit(world.drive.stage("f", BytesContent(b"x"), "op"), look(world, "f"))
    assert b"f" in told
    assert (old, True) in told
    told.clear()
    world.drive.delete("f", look(world, "f"))
    assert b"f" in told


def test_what_has_no_content_is_said_not_to(world: DriveWorld) -> None:
    tree = world.joint.tree
    tree.mknod(ME, ROOT, b"pipe", stat.S_IFIFO | 0o644, 0)
    tree.mknod(ME, ROOT, b"\xff", stat.S_IFREG | 0o644, 0)
    with pytest.raises(Blocked):
        world.drive.look("pipe")
    seen = list(world.drive.entries())
    assert [type(item) for item in seen] == [Unseen, Unseen]
    assert {item.path for item in seen} == {"pipe", "\\xff"}


def test_a_hard_link_is_a_second_file(world: DriveWorld) -> None:
    world.put_behind("f", b"f")
    world.joint.tree.link(ME, world.joint.node("f").id, ROOT, b"g")
    entries = [item.entry for item in world.drive.entries() if isinstance(item, Seen)]
    assert len(entries) == 2
    assert entries[0] == entries[1]


def test_an_old_version_may_be_under_another_path(world: DriveWorld) -> None:
    world.joint.vault.versions["then", "bytes"] = BIG
    staged = world.drive.stage("now", foreign(BIG), "op", origin="then")
    world.joint.vault.versions.pop(("now", "bytes"))
    world.drive.commit(staged, None)
    assert world.read_behind("now") == BIG


def test_large_content_is_not_staged_but_damage_is_found(world: DriveWorld) -> None:
    lying = BytesContent(bytes(SMALL + 1), sha256="00" * 32)
    world.drive.commit(world.drive.stage("f", lying, "op"), None)
    with pytest.raises(OSError, match=r"digest|damaged"):
        world.joint.cache.hydrate(world.joint.node("f"))
    with pytest.raises(Stale):
        world.drive.stage("g", BytesContent(b"few", sha256="00" * 32), "op")


def test_the_trash_is_empty(world: DriveWorld) -> None:
    bin_ = world.drive.bin
    assert (bin_.items(), bin_.returns()) == ([], [])
    assert bin_.empty(0).files == bin_.age(1, 1).files == 0
    with pytest.raises(NotFound):
        bin_.put_back("x")


class TestKeep:
    """Pushes that have arrived make files clean."""

    def agreed(self, world: DriveWorld, path: str, *, remote: str = "e", local: str = "") -> Row:
        node = world.joint.tree.find(path)
        if node is None:
            return Row(path)
        entry = Entry(Kind.FILE, node.size, tag(node))
        base = Base(Kind.FILE, node.size, "ab" * 32, local or tag(node), "e", version="v")
        return Row(path, entry, base, replace(entry, tag=remote))

    def test_it_was_pushed(self, world: DriveWorld) -> None:
        world.put_behind("f", b"f")
        assert world.drive.keep(lambda path: self.agreed(world, path)) == 1
        node = world.joint.node("f")
        assert (node.dirty, node.o_path, node.o_etag, node.o_version) == (False, "f", "e", "v")
        assert node.sha256 == "ab" * 32
        assert world.drive.keep(lambda path: self.agreed(world, path)) == 0

    def test_not_what_was_edited_since(self, world: DriveWorld) -> None:
        world.put_behind("f", b"f")
        assert world.drive.keep(lambda path: self.agreed(world, path, local="1.1")) == 0
        assert world.drive.keep(lambda path: self.agreed(world, path, remote="x")) == 0
        assert world.drive.keep(Row) == 0
        assert world.joint.node("f").dirty

    def test_a_few_at_a_time(self, world: DriveWorld) -> None:
        for number in range(450):
            world.joint.tree.mknod(ME, ROOT, b"%d" % number, stat.S_IFREG | 0o644, 0)
        asked: list[str] = []

        def row(path: str) -> Row:
            asked.append(path)
            return Row(path)

        for expected in (200, 200, 50, 200):
            asked.clear()
            world.drive.keep(row)
            assert len(set(asked)) == expected

    def test_renamed_files_are_followed(self, world: DriveWorld) -> None:
        world.put_behind("f", b"f")
        world.drive.keep(lambda path: self.agreed(world, path))
        world.joint.tree.rename(ME, ROOT, b"f", ROOT, b"g", 0)
        assert world.drive.keep(Row) == 0
        assert world.drive.keep(lambda path: self.agreed(world, path)) == 1
        assert world.joint.node("g").o_path == "g"

        def never(path: str) -> Row:
            raise AssertionError(path)

        assert world.drive.keep(never) == world.drive.keep(never) == 0

    def test_content_is_found_again_when_it_is_read(self, world: DriveWorld) -> None:
        world.joint.graft("f", BIG)
        world.joint.tree.rename(ME, ROOT, b"f", ROOT, b"g", 0)
        world.joint.vault.versions = {("g", "e"): BIG}
        world.joint.cache.relocate = world.drive.relocate
        with pytest.raises(OSError, match="gone"):
            world.joint.read("g")

        def lookup(path: str) -> Row:
            row = self.agreed(world, path)
            assert row.base is not None
            return replace(row, base=replace(row.base, sha256=hashlib.sha256(BIG).hexdigest()))

        world.drive.keeping.lookup = lookup
        assert world.joint.read("g") == BIG


class TestSnapshot:
    """A file that never holds still is copied as it is at one moment."""

    def test_it_stays_what_it_was(self, world: DriveWorld) -> None:
        world.put_behind("f", BIG)
        with world.drive.snapshot("f", look(world, "f")) as content:
            assert content.entry.tag == look(world, "f").tag
            world.joint.write("f", 0, b"newer")
            assert b"".join(content.chunks()) == BIG
            assert content.sha256() == hashlib.sha256(BIG).hexdigest()
            assert content.entry.tag != look(world, "f").tag

    def test_what_is_not_here_holds_still(self, world: DriveWorld) -> None:
        world.joint.graft("f", BIG)
        with pytest.raises(Stale):
            world.drive.snapshot("f", look(world, "f"))
        with pytest.raises(Stale):
            world.drive.snapshot("g", look(world, "f"))

    def test_two_ends_of_a_file_always_belong_together(
        self, world: DriveWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As another thread writes them: first the end, then the beginning."""
        monkeypatch.setattr(snapshot, "_STEP", 1 << 14)
        monkeypatch.setattr(snapshot, "LAST", 1 << 16)
        far = 1 << 20
        world.put_behind("f", bytes(far + 8))
        ended = threading.Event()

        def write() -> None:
            number = 0
            while not ended.is_set():
                number += 1
                for at in (far, 0):
                    world.joint.write("f", at, number.to_bytes(8, "big"))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(12):
                with world.drive.snapshot("f", look(world, "f")) as content:
                    first, last = content.read(0, 8), content.read(far, 8)
                    ahead = int.from_bytes(last, "big") - int.from_bytes(first, "big")
                    assert ahead in (0, 1)
        finally:
            ended.set()
            writer.join()

    def test_what_is_written_to_too_fast_gives_none(
        self,
        world: DriveWorld,
        meanwhile: Callable[[Callable[[], None]], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(snapshot, "LAST", 999)
        world.put_behind("f", bytes(100_000))
        meanwhile(lambda: world.joint.write("f", 5000, bytes(1000)))
        with pytest.raises(Stale, match="faster"):
            world.drive.snapshot("f", look(world, "f"))
        meanwhile(lambda: world.joint.write("f", 5000, bytes(999)))
        world.drive.snapshot("f", look(world, "f")).close()
        assert world.joint.tree._watched == {}

    def test_a_clone_is_taken_where_there_are_some(
        self, world: DriveWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def clone(target: int, request: int, source: int) -> None:
            assert request == 0x40049409
            assert world.joint.store.lock._is_owned()  # type: ignore[attr-defined]
            os.copy_file_range(source, target, len(BIG), 0, 0)

        monkeypatch.setattr("fcntl.ioctl", clone)
        monkeypatch.setattr(snapshot, "_copy", None)
        world.put_behind("f", BIG)
        with world.drive.snapshot("f", look(world, "f")) as content:
            assert b"".join(content.chunks()) == BIG

    def test_holes_are_not_filled(self, world: DriveWorld) -> None:
        world.put_behind("f", b"x" * 4096)
        world.joint.tree.setattr(ME, world.joint.node("f").id, Changes(size=1 << 36), wait=True)
        with world.drive.snapshot("f", look(world, "f")) as content:
            assert content.entry.size == 1 << 36
            assert content.read(0, 5000) == b"x" * 4096 + bytes(904)
            assert content.read(1 << 35, 10) == bytes(10)

    def test_a_disk_without_room_is_left_alone(
        self, world: DriveWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.put_behind("f", BIG)
        monkeypatch.setattr(world.joint.cache, "space", lambda: Space(4096, 9, 9, 1, 9, 9))
        with pytest.raises(Blocked, match="room"):
            world.drive.snapshot("f", look(world, "f"))


def test_a_snapshot_is_one_moment_whatever_is_done_meanwhile(
    world: DriveWorld, meanwhile: Callable[[Callable[[], None]], None]
) -> None:
    for seed in range(25):
        chance = random.Random(seed)
        path = f"f{seed}"
        world.put_behind(path, chance.randbytes(chance.randrange(1, 60_000)))
        acts = chance.randrange(1, 40)

        def act(chance: random.Random = chance, path: str = path) -> None:
            nonlocal acts
            if acts:
                acts -= 1
                change(world, path, chance)

        meanwhile(act)
        with world.drive.snapshot(path, look(world, path)) as content:
            meanwhile(lambda: None)
            there = look(world, path)
            assert (content.entry.tag, content.entry.size) == (there.tag, there.size)
            assert b"".join(content.chunks()) == world.joint.read(path), seed


def change(world: DriveWorld, path: str, chance: random.Random) -> None:
    """Do anything to a file."""
    tree, node = world.joint.tree, world.joint.node(path)
    at, length = chance.randrange(80_000), chance.randrange(1, 20_000)
    match chance.choice(["write", "write", "append", "cut", "punch", "zero", "allocate"]):
        case "write":
            world.joint.write(path, at, chance.randbytes(length))
        case "append":
            world.joint.write(path, node.size, chance.randbytes(length))
        case "cut":
            tree.setattr(ME, node.id, Changes(size=at), wait=True)
        case "punch":
            tree.fallocate(node.id, 0, PUNCH_HOLE | KEEP_SIZE, at, length, wait=True)
        case "zero":
            tree.fallocate(node.id, 0, ZERO_RANGE, at, length, wait=True)
        case "allocate":
            tree.fallocate(node.id, 0, 0, at, length, wait=True)


@pytest.fixture
def meanwhile(
    world: DriveWorld, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], None]], None]:
    """Has something done after each step of a copy during which writers need not wait."""
    acting: list[Callable[[], None]] = [lambda: None]
    real = snapshot._copy

    def copy(source: int, target: int, spans: Iterable[tuple[int, int]]) -> None:
        for start, stop in spans:
            for at in range(start, stop, 4096):
                real(source, target, [(at, min(at + 4096, stop))])
                if not world.joint.store.lock._is_owned():  # type: ignore[attr-defined]
                    act = acting[0]
                    act()

    monkeypatch.setattr(snapshot, "_copy", copy)
    monkeypatch.setattr(snapshot, "LAST", 3000)

    def set_act(act: Callable[[], None]) -> None:
        acting[0] = act

    return set_act


def test_a_copy_stops_where_its_model_is_written_to(world: DriveWorld) -> None:
    """What is copied within the drive is what the vault has, or it is fetched."""
    joint = world.joint
    source = joint.graft("f", BIG)
    joint.cache.hydrate(source)
    node = joint.graft("g", BIG)
    with joint.store.lock:
        joint.cache.copy(source, node)
        joint.tree._soil(source, kill=False)
        joint.cache.write(source, 0, memoryview(b"edited"))
    assert joint.read("g") == BIG
