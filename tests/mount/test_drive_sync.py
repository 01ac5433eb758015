"""A drive and a folder on one vault, with the real engine, bucket, tree and cache."""

from __future__ import annotations

import errno
import os
import random
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from tests.fakes import FakeClock
from tests.mount.devices import Device, DriveDevice, FolderDevice
from tests.mount.joint import ME
from tests.s3 import foreign_client
from tests.s3model import S3Model
from tests.s3model.state import Bucket as Modelled
from vaultsync.core.errors import Blocked
from vaultsync.core.model import is_stand_in
from vaultsync.daemon.mounting import Telling
from vaultsync.daemon.pins import Pins
from vaultsync.mount.drive import SMALL
from vaultsync.mount.ports import ROOT, Changes
from vaultsync.remote.boto import BotoTransport
from vaultsync.remote.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BIG = random.Random(1).randbytes(200_000)
OTHER = random.Random(2).randbytes(200_000)


@pytest.fixture
def model() -> Iterator[S3Model]:
    with S3Model() as running:
        running.service.buckets["vault"] = Modelled("vault", "Enabled")
        yield running


@pytest.fixture
def make(model: S3Model) -> Iterator[Callable[[], Bucket]]:
    made: list[Bucket] = []

    def bucket() -> Bucket:
        transport = BotoTransport(
            "vault",
            "us-east-1",
            Credentials("key", "secret"),
            model.url,
            pause=lambda _seconds: None,
        )
        made.append(Bucket(transport, "p/", "laptop", lambda _path: False, whole=SMALL))
        return made[-1]

    yield bucket
    for each in made:
        each.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def drive(make: Callable[[], Bucket], tmp_path: Path, clock: FakeClock) -> Iterator[DriveDevice]:
    made = DriveDevice(make(), tmp_path, clock, "drive")
    yield made
    made.close()


@pytest.fixture
def folder(make: Callable[[], Bucket], tmp_path: Path, clock: FakeClock) -> Iterator[FolderDevice]:
    made = FolderDevice(make(), tmp_path, clock, "folder")
    yield made
    made.close()


@pytest.fixture
def theirs(model: S3Model) -> Iterator[Any]:
    client = foreign_client(model.url)
    yield client
    client.close()


def meet(*devices: Device) -> None:
    for _ in range(3):
        for device in devices:
            device.settle()
    first, *others = (device.tree() for device in devices)
    assert all(other == first for other in others)


def moved(model: S3Model) -> int:
    """Bytes of content that were read or written since the record was cleared."""
    asked = [each for each in model.record.requests if each.operation in ("GetObject", "PutObject")]
    return sum(each.bytes_in if each.operation == "PutObject" else each.bytes_out for each in asked)


def test_content_that_moves_is_counted(
    drive: DriveDevice, folder: FolderDevice, model: S3Model
) -> None:
    folder.put("big", BIG)
    folder.settle()
    assert moved(model) >= len(BIG)
    drive.settle()
    model.record.clear()
    assert drive.read("big") == BIG
    assert moved(model) >= len(BIG)


def test_both_ways(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.put("d/here", b"from the drive")
    folder.put("e/there", b"from the folder")
    folder.put("big", BIG)
    meet(drive, folder)
    drive.write("e/there", 0, b"FROM")
    drive.write("big", 1000, b"edited")
    folder.put("d/here", b"edited there")
    meet(drive, folder)
    assert drive.read("d/here") == b"edited there"
    assert folder.tree()["e/there"] == b"FROM the folder"
    assert folder.tree()["big"] == BIG[:1000] + b"edited" + BIG[1006:]
    drive.remove("e/there")
    folder.remove("d/here")
    meet(drive, folder)
    assert drive.tree() == {"big": folder.tree()["big"], "d/": b"", "e/": b""}


def test_syncing_fetches_no_large_content(
    drive: DriveDevice, folder: FolderDevice, model: S3Model
) -> None:
    folder.put("big", BIG)
    folder.settle()
    model.record.clear()
    drive.settle()
    assert drive.node("big").here == 0
    assert drive.node("big").size == len(BIG)
    folder.put("big", OTHER)
    folder.settle()
    model.record.clear()
    drive.settle()
    assert moved(model) == 0
    assert drive.wire.fetched == []
    assert drive.read("big") == OTHER


def test_few_bytes_come_at_once(drive: DriveDevice, folder: FolderDevice) -> None:
    folder.put("few", b"few")
    folder.settle()
    drive.settle()
    drive.wire.offline = True
    assert drive.read("few") == b"few"


def test_cold_file_is_renamed_by_a_copy_in_the_vault(
    drive: DriveDevice, folder: FolderDevice, model: S3Model
) -> None:
    folder.put("d/big", BIG)
    folder.settle()
    drive.settle()
    assert drive.node("d/big").here == 0
    drive.rename("d", "e")
    model.record.clear()
    drive.settle()
    assert moved(model) == 0
    assert "CopyObject" in model.operations()
    node = drive.node("e/big")
    assert node.o_path == "e/big"
    assert drive.read("e/big") == BIG
    meet(drive, folder)
    assert folder.tree() == {"e/": b"", "e/big": BIG}


@pytest.mark.parametrize("versioning", ["", "Enabled"])
def test_what_was_renamed_elsewhere_is_read_at_once(
    drive: DriveDevice, folder: FolderDevice, model: S3Model, versioning: str
) -> None:
    """Also before the next `keep` has noticed that the copy has arrived."""
    model.service.buckets["vault"] = Modelled("vault", versioning)
    folder.put("big", BIG)
    folder.settle()
    drive.settle()
    drive.rename("big", "moved")
    Device.settle(drive)
    assert drive.node("moved").o_path == "big"
    assert drive.read("moved") == BIG
    assert (drive.node("moved").o_path == "moved") == (versioning == "")


def test_renamed_in_the_vault(drive: DriveDevice, folder: FolderDevice, model: S3Model) -> None:
    folder.put("big", BIG)
    folder.settle()
    drive.settle()
    assert drive.read("big") == BIG
    drive.cache.hydrate(drive.node("big"))
    folder.rename("big", "moved")
    folder.settle()
    model.record.clear()
    drive.settle()
    assert moved(model) == 0
    drive.wire.offline = True
    assert drive.read("moved") == BIG


def test_what_was_pushed_may_be_evicted(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.put("big", BIG)
    assert drive.node("big").dirty
    drive.settle()
    node = drive.node("big")
    assert not node.dirty
    assert (node.o_path, node.here) == ("big", 2)
    drive.kill()
    drive.cache.limit = 0
    assert drive.node("big").here == 0
    drive.cache.limit = 1 << 40
    assert drive.read("big") == BIG
    meet(drive, folder)


def test_what_is_not_pushed_stays(drive: DriveDevice) -> None:
    drive.put("big", BIG)
    Device.settle(drive)
    drive.write("big", 0, b"newer")
    drive.drive.keep(drive.store.row)
    assert drive.node("big").dirty
    drive.cache.limit = 0
    assert drive.read("big") == b"newer" + BIG[5:]


def test_a_conflict_keeps_both(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.put("f.txt", b"base")
    meet(drive, folder)
    drive.put("f.txt", b"of the drive")
    folder.put("f.txt", b"of the folder")
    folder.settle()
    meet(drive, folder)
    tree = drive.tree()
    assert len(tree) == 2
    assert sorted(tree.values()) == [b"of the drive", b"of the folder"]
    assert tree["f.txt"] == b"of the folder"

    folder.put("f.txt", b"folder again")
    drive.put("f.txt", b"drive again")
    drive.settle()
    meet(folder, drive)
    assert {b"folder again", b"drive again"} <= set(drive.tree().values())


def test_an_edit_wins_over_a_deletion(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.put("f", b"f")
    drive.put("big", BIG)
    meet(drive, folder)
    drive.remove("f")
    folder.put("f", b"edited")
    folder.remove("big")
    drive.write("big", 0, b"edited")
    folder.settle()
    meet(drive, folder)
    assert drive.tree() == {"f": b"edited", "big": b"edited" + BIG[6:]}


def test_types_change(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.put("a", b"a file")
    drive.put("b/c", b"in a folder")
    meet(drive, folder)
    drive.remove("a")
    drive.put("a/x", b"a folder now")
    drive.remove("b/c")
    drive.remove_directory("b")
    drive.put("b", b"a file now")
    meet(drive, folder)
    assert drive.tree() == {"a/": b"", "a/x": b"a folder now", "b": b"a file now"}
    folder.remove("a/x")
    folder.side.directories.discard("a/")
    folder.put("a", b"a file again")
    meet(folder, drive)
    assert drive.tree() == {"a": b"a file again", "b": b"a file now"}


def test_empty_folders(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.make("d")
    drive.make("d/e")
    folder.side.make("f/")
    meet(drive, folder)
    assert drive.tree() == {"d/": b"", "d/e/": b"", "f/": b""}
    drive.remove_directory("d/e")
    folder.side.directories.discard("f/")
    meet(drive, folder)
    assert drive.tree() == {"d/": b""}


def test_who_reads_goes_on_with_the_version_that_he_has_open(
    drive: DriveDevice, folder: FolderDevice
) -> None:
    long = BIG * 20  # more than is fetched when its head is read
    folder.put("big", long)
    folder.settle()
    drive.settle()
    node, handle = drive.open("big")
    assert drive.files.read(node, handle, 0, 10, wait=True) == BIG[:10]
    drive.files.refer(drive.files.getattr(node))
    folder.put("big", OTHER)
    folder.settle()
    drive.settle()
    drive.cache.limit = 0
    assert drive.read("big") == OTHER
    assert drive.files.read(node, handle, 0, 1 << 30, wait=True) == long
    drive.files.release(node, handle)
    drive.files.forget(node, 1)
    with pytest.raises(FileNotFoundError):
        drive.files.getattr(node)


def test_what_was_replaced_where_no_old_versions_are_kept_is_looked_at_at_once(
    drive: DriveDevice, folder: FolderDevice, model: S3Model, theirs: Any
) -> None:
    model.service.buckets["vault"].versioning = ""
    folder.put("big", BIG)
    folder.settle()
    drive.settle()
    asked: list[str] = []

    def missing(path: str) -> None:
        asked.append(path)
        drive.engine.errands.ask(path, there=True)

    drive.drive.keeping.missing = missing
    theirs.put_object(Bucket="vault", Key="p/big", Body=OTHER)
    node, handle = drive.open("big")
    drive.files.refer(drive.files.getattr(node))
    for _ in range(3):
        with pytest.raises(OSError, match="Errno 5"):
            drive.files.read(node, handle, 0, 10, wait=True)
    assert asked == ["big"]
    before = drive.clock.time
    for _ in range(20):
        drive.turn()
        drive.clock.time = before  # no poll is due
    assert drive.read("big") == OTHER
    with pytest.raises(OSError, match="Errno 5"):
        drive.files.read(node, handle, 0, 10, wait=True)
    drive.files.release(node, handle)


def test_what_is_open_for_writing_is_not_replaced(drive: DriveDevice, folder: FolderDevice) -> None:
    drive.put("f", b"base")
    drive.put("g", b"base")
    meet(drive, folder)
    open_ones = [drive.open(path, os.O_RDWR) for path in ("f", "g")]
    folder.put("f", b"theirs")
    folder.remove("g")
    folder.settle()
    for _ in range(50):
        drive.turn()
    assert drive.tree() == {"f": b"base", "g": b"base"}
    assert "open for writing" in str(drive.engine.waiting)
    node, handle = open_ones[0]
    drive.files.write(node, handle, 0, memoryview(b"mine"), wait=True)
    for node, handle in open_ones:
        drive.files.release(node, handle)
    meet(drive, folder)
    tree = drive.tree()
    assert tree.pop("f") == b"theirs"
    assert list(tree.values()) == [b"mine"]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("how", ["edited", "deleted", "truncated"])
def test_what_is_open_for_writing_outlives_the_process(
    drive: DriveDevice, folder: FolderDevice, how: str, again: bool
) -> None:
    """A new process cannot know who has a file open: what he writes then is kept beside.

    Nor can the one after it, which has not even seen that the file was replaced.
    """
    drive.put("d/f.txt", b"base")
    drive.put("g", b"g")
    meet(drive, folder)
    node, handle = drive.open("d/f.txt", os.O_RDWR)
    drive.files.refer(drive.files.getattr(node))
    drive.kill()
    if how == "deleted":
        folder.remove("d/f.txt")
    else:
        folder.put("d/f.txt", b"theirs")
    folder.settle()
    drive.settle()
    if again:
        drive.kill()
    if how == "truncated":
        drive.files.setattr(ME, node, Changes(size=0), wait=True)
    drive.files.write(node, handle, 0, memoryview(b"mine"), wait=True)
    drive.files.release(node, handle)
    drive.files.forget(node, 1)
    meet(drive, folder)
    tree = {path: data for path, data in drive.tree().items() if path not in ("d/", "g")}
    assert tree.pop("d/f.txt", b"gone") == (b"gone" if how == "deleted" else b"theirs")
    ((path, data),) = tree.items()
    assert path.startswith("d/f (conflict drive ")
    assert data == b"mine"


def test_what_is_opened_for_writing_just_after_it_was_replaced_is_kept(
    drive: DriveDevice, folder: FolderDevice
) -> None:
    """The kernel may ask for what a name meant a moment ago."""
    drive.put("f", b"base")
    meet(drive, folder)
    node = drive.files.lookup(*drive.parent("f")).id
    folder.put("f", b"theirs")
    folder.settle()
    drive.settle()
    handle, _ = drive.files.open(node, os.O_WRONLY, wait=True)
    drive.files.write(node, handle, 0, memoryview(b"mine"), wait=True)
    drive.files.release(node, handle)
    drive.files.forget(node, 1)
    meet(drive, folder)
    assert sorted(drive.tree().values()) == [b"mine", b"theirs"]


def test_what_is_kept_is_kept_although_the_disk_was_full(
    drive: DriveDevice, folder: FolderDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails is tried again by its program."""
    drive.put("f", b"base")
    meet(drive, folder)
    node, handle = drive.open("f", os.O_RDWR)
    drive.files.refer(drive.files.getattr(node))
    drive.kill()
    folder.put("f", b"theirs")
    folder.settle()
    drive.settle()
    update = drive.files.rows.update
    monkeypatch.setattr(drive.files.rows, "update", _full)
    with pytest.raises(OSError, match="full"):
        drive.files.write(node, handle, 0, memoryview(b"mine"), wait=True)
    monkeypatch.setattr(drive.files.rows, "update", update)
    assert [path for path in drive.tree() if path != "f"] == []
    drive.files.write(node, handle, 0, memoryview(b"mine"), wait=True)
    drive.files.release(node, handle)
    drive.files.forget(node, 1)
    meet(drive, folder)
    assert sorted(drive.tree().values()) == [b"mine", b"theirs"]


def _full(*_: object) -> None:
    raise Blocked("The disk is full.")


def test_offline(drive: DriveDevice, folder: FolderDevice) -> None:
    folder.put("big", BIG)
    folder.settle()
    drive.settle()
    drive.wire.offline = True
    with pytest.raises(OSError, match="offline") as caught:
        drive.read("big")
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="offline") as caught:
        drive.write("big", 0, b"x")
    assert caught.value.errno == errno.EIO
    drive.put("new", b"written offline")
    drive.rename("big", "moved")
    drive.kill()
    assert drive.read("new") == b"written offline"
    drive.wire.offline = False
    meet(drive, folder)
    assert folder.tree() == {"new": b"written offline", "moved": BIG}


def test_metadata(drive: DriveDevice, folder: FolderDevice) -> None:
    folder.side.write("run", BIG, mode=0o755)
    folder.settle()
    drive.settle()
    assert drive.node("run").mode == 0o755
    drive.touch("run", 1_600_000_000_000_000_000)
    drive.settle()
    assert drive.wire.fetched == []
    assert drive.node("run").o_path == "run"
    assert drive.read("run") == BIG


class TestWithoutDigest:
    """Other programs tell no digest of what they put."""

    @pytest.fixture(autouse=True)
    def _foreign(self, theirs: Any, drive: DriveDevice) -> None:
        self.theirs = theirs
        self.put("big", BIG)
        drive.settle()
        assert drive.wire.fetched == []

    def put(self, path: str, data: bytes) -> None:
        self.theirs.put_object(Bucket="vault", Key="p/" + path, Body=data)

    def known(self, drive: DriveDevice, path: str) -> bool:
        return not is_stand_in(drive.node(path).sha256)

    def test_is_not_read(self, drive: DriveDevice, model: S3Model) -> None:
        assert not self.known(drive, "big")
        model.record.clear()
        drive.settle()
        drive.touch("big", 1_600_000_000_000_000_000)
        drive.settle()
        assert moved(model) == 0
        assert drive.read("big") == BIG

    def test_is_renamed_without_being_read(
        self, drive: DriveDevice, folder: FolderDevice, model: S3Model
    ) -> None:
        drive.rename("big", "moved")
        model.record.clear()
        drive.settle()
        assert moved(model) == 0
        meet(drive, folder)
        assert folder.tree() == {"moved": BIG}
        for each in model.record.writes:
            assert not any(is_stand_in(value) for value in each.metadata.values())

    def test_is_edited_here(self, drive: DriveDevice, folder: FolderDevice) -> None:
        drive.write("big", 7, b"edited")
        assert drive.node("big").sha256 is None
        meet(drive, folder)
        assert self.known(drive, "big")
        assert folder.tree() == {"big": BIG[:7] + b"edited" + BIG[13:]}

    def test_is_edited_there(self, drive: DriveDevice, model: S3Model) -> None:
        for size in (len(BIG), 3_000_000):
            data = random.Random(size).randbytes(size)
            self.put("big", data)
            model.record.clear()
            drive.settle()
            assert moved(model) == 0
            assert drive.read("big") == data
            self.put("big", data[::-1])
            model.record.clear()
            drive.settle()
            assert moved(model) == 0
            assert drive.read("big") == data[::-1]

    def test_is_edited_on_both_sides(self, drive: DriveDevice, folder: FolderDevice) -> None:
        drive.write("big", 0, b"mine")
        self.put("big", OTHER)
        meet(drive, folder)
        assert sorted(drive.tree().values()) == sorted([OTHER, b"mine" + BIG[4:]])


@pytest.mark.parametrize("seed", range(3))
def test_whatever_two_people_do(drive: DriveDevice, folder: FolderDevice, seed: int) -> None:
    """Both see the same in the end, and can read it."""
    chance = random.Random(seed)
    names = ["a", "b", "d/a", "d/b", "d/e/c"]
    for _ in range(40):
        device: Device = chance.choice([drive, folder])
        files = [path for path in device.tree() if not path.endswith("/")]
        path = chance.choice(names)
        data = chance.randbytes(chance.choice([3, 1000, SMALL + 1, 100_000]))
        match chance.randrange(8):
            case 0 | 1 | 2:
                device.put(path, data)
            case 3 if files:
                device.remove(chance.choice(files))
            case 4 if files and path.startswith("d/"):
                source = chance.choice(files)
                device.put("d/e/c", b"folder")
                if source != path and source in device.tree():
                    device.rename(source, path)
            case 5:
                device.settle()
            case 6:
                for _ in range(chance.randrange(12)):
                    device.turn()
            case 7:
                if chance.random() < 0.5:
                    for _ in range(chance.randrange(6)):
                        drive.engine.turn(0)
                        for _ in range(chance.randrange(4)):
                            drive.pool.run()
                    drive.kill()  # between an action and its being written down
                drive.cache.limit = 0
                drive.cache.limit = 1 << 40
            case _:
                pass
    meet(drive, folder)


@pytest.mark.parametrize(("name", "linked"), [(b"f~", False), (b"f\xff", False), (b"f~", True)])
def test_what_is_moved_to_where_nothing_is_synced_stays_here(
    drive: DriveDevice, name: bytes, linked: bool
) -> None:
    """The vault keeps it as an old version only, and those go some day."""
    drive.ignored = lambda path: path.endswith("~")
    pins = Pins(drive.files, drive.cache)
    drive.drive.invalidate = Telling(lambda: None, pins.noticed)
    drive.put("f", BIG)
    drive.put("g", BIG)
    drive.settle()
    node = drive.node("f")
    while node.here:  # until it is known to be safely on the disk, it stays
        drive.cache.limit = 0
    drive.cache.limit = 1 << 40
    if linked:
        drive.files.link(ME, node.id, ROOT, name)
        drive.settle()
        drive.remove("f")
    else:
        drive.files.rename(ME, ROOT, b"f", ROOT, name, 0)
    drive.settle()
    assert node.pinned
    while node.here < 2:
        time.sleep(0.01)
    pins.close()
    drive.cache.limit = 0
    drive.wire.offline = True
    assert drive.files.read(node.id, 0, 0, len(BIG), wait=True) == BIG
    assert not drive.node("g").pinned


@pytest.mark.parametrize("passes", [0, 1])
def test_a_full_database_ends_nothing(
    drive: DriveDevice, folder: FolderDevice, monkeypatch: pytest.MonkeyPatch, passes: int
) -> None:
    """The engine waits until there is room; what was written meanwhile is sent then."""
    drive.put("d/f", b"one")
    meet(drive, folder)
    node, handle = drive.open("d/f", os.O_RDWR)
    folder.put("d/g", b"from there")
    folder.settle()
    drive.files.write(node, handle, 0, memoryview(b"two"), wait=True)
    transaction = drive.rows.transaction
    left = [passes]

    @contextmanager
    def full() -> Iterator[None]:
        with transaction():
            yield
            left[0] -= 1
            if left[0] < 0:
                raise Blocked("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(drive.rows, "transaction", full)
        drive.engine.request_sync()
        for _ in range(40):
            drive.turn()
    drive.files.release(node, handle)
    drive.clock.time += 400
    meet(drive, folder)
    assert folder.tree() == {"d/": b"", "d/f": b"two", "d/g": b"from there"}
