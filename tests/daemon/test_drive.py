"""A drive as the home of a profile, without any mount or vault."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeClock
from vaultsync import paths
from vaultsync.config import Cloud, Folder, Profile
from vaultsync.core.errors import Blocked, MachineRefused, NotFound, Retry
from vaultsync.core.model import Mount
from vaultsync.daemon import mounting, wire
from vaultsync.daemon.drive import DriveHome
from vaultsync.daemon.offer import Offer
from vaultsync.mount.compat import library
from vaultsync.mount.kernel import holder
from vaultsync.mount.kernel.wire import Agreed
from vaultsync.mount.ports import ROOT, Caller
from vaultsync.state.connection import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.mount.tree.tree import Tree

ME = Caller(os.getuid(), os.getgid())


@pytest.fixture
def home(tmp_path: Path) -> Iterator[DriveHome]:
    cloud = Cloud("eu-central-1", "pool", "client", "identities", "bucket")
    profile = Profile("default", cloud, Folder(tmp_path / "drive", "drive", ignore=("given",)))
    made = DriveHome(profile, paths.places("default", tmp_path / "vs"), FakeClock())
    made.open()
    yield made
    made.close()


def tree(home: DriveHome) -> Tree:
    found = home._tree
    assert found is not None
    return found


def write(home: DriveHome, name: bytes, content: bytes) -> int:
    files = tree(home)
    node, handle = files.create(ME, ROOT, name, 0o644, os.O_WRONLY | os.O_TRUNC)
    files.write(node.id, handle, 0, memoryview(content), wait=True)
    files.release(node.id, handle)
    return node.id


def test_what_was_written_is_there_after_a_restart(home: DriveHome) -> None:
    number = write(home, b"a.txt", b"content")
    home.close()
    home.open()
    handle, _ = tree(home).open(number, os.O_RDONLY, wait=True)
    assert tree(home).read(number, handle, 0, 100, wait=True) == b"content"
    tree(home).release(number, handle)


def test_a_lost_database_takes_no_unsent_file_with_it(home: DriveHome, tmp_path: Path) -> None:
    write(home, b"unsent", b"nowhere else")
    home.close()
    for file in (tmp_path / "vs/state/default").glob("state.db*"):
        file.unlink()
    home.open()
    assert tree(home).find("unsent") is None
    (aside,) = (tmp_path / "vs/cache/default").glob("content.lost-*")
    assert [path.read_bytes() for path in aside.glob("*/*")] == [b"nowhere else"]
    (warning,) = home.warnings()
    assert str(aside) in warning
    write(home, b"unsent", b"again")
    home.close()
    home.open()
    assert tree(home).find("unsent") is not None
    assert home.warnings() == (warning,)


def test_rules_are_read_from_the_drive(home: DriveHome) -> None:
    assert home.rules("given")
    assert not home.rules("a.log")
    write(home, b".vaultsyncignore", b"*.log\n")
    assert home.rules.reload()
    assert home.rules("a.log")
    assert not home.rules.reload()
    (mark,) = [tree(home).find(".vaultsyncignore")]
    assert mark is not None
    assert mark.pinned
    home.close()
    home.rules.reload()
    assert home.rules("a.log"), "rules were forgotten while the drive was closed"


def test_marks_of_what_is_not_sent_yet(home: DriveHome) -> None:
    files, number = tree(home), write(home, b"a.txt", b"content")
    assert files.getxattr(number, b"user.vaultsync.status") == b"pending"
    assert files.getxattr(number, b"user.vaultsync.pinned") == b"0"
    for name in (b"etag", b"version", b"nonsense"):
        with pytest.raises(OSError, match="No data"):
            files.getxattr(number, b"user.vaultsync." + name)
    assert list(files.listxattr(number)) == []
    with pytest.raises(PermissionError):
        files.setxattr(ME, number, b"user.vaultsync.status", b"synced", 0)
    with pytest.raises(OSError, match="Invalid"):
        files.setxattr(ME, number, b"user.vaultsync.pinned", b"perhaps", 0)


def test_a_pin_holds_for_all_below_and_for_what_comes_later(home: DriveHome) -> None:
    files = tree(home)
    folder = files.mkdir(ME, ROOT, b"album", 0o755)
    early = files.mknod(ME, folder.id, b"early", 0o100644, 0)
    home.pin("album/", pinned=True)
    late = files.mknod(ME, folder.id, b"late", 0o100644, 0)
    for node in (folder, early, late):
        assert files.getxattr(node.id, b"user.vaultsync.pinned") == b"1"
    files.removexattr(ME, folder.id, b"user.vaultsync.pinned")
    for node in (folder, early, late):
        assert files.getxattr(node.id, b"user.vaultsync.pinned") == b"0"
    with pytest.raises(NotFound):
        home.pin("nowhere", pinned=True)


def test_a_closed_drive_says_so(home: DriveHome) -> None:
    home.close()
    with pytest.raises(Retry):
        home.pin("", pinned=True)
    assert home.mount() is not None


@pytest.mark.parametrize("open_then", [True, False])
def test_a_damaged_database_goes_aside_with_the_contents(
    home: DriveHome, tmp_path: Path, open_then: bool
) -> None:
    write(home, b"a.txt", b"content")
    if open_then:
        home.give_up()
    else:
        home.close()
        (tmp_path / "vs/state/default/state.db").write_bytes(b"no database " * 1000)
    home.open()
    assert list(tree(home).children(tree(home).getattr(ROOT))) == []
    (aside,) = (tmp_path / "vs/cache/default").glob("content.damaged-*")
    (file,) = [path for path in aside.rglob("*") if path.is_file()]
    assert file.read_bytes() == b"content"
    (warning,) = home.warnings()
    assert str(aside) in warning
    home.close()
    home.open()
    assert home.warnings() == (warning,)


def test_damage_seen_by_the_engine_is_not_moved_aside_below_the_tree(
    home: DriveHome, tmp_path: Path
) -> None:
    """As long as the tree stands on it."""
    (tmp_path / "vs/state/default/state.db").write_bytes(b"no database " * 1000)
    with pytest.raises(Damaged):
        home.store()
    assert not list((tmp_path / "vs/cache/default").glob("content.*"))


def test_contents_that_somebody_removed_are_told_of(home: DriveHome, tmp_path: Path) -> None:
    write(home, b"a.txt", b"content")
    home.close()
    for file in (tmp_path / "vs/cache/default/content").rglob("*"):
        if file.is_file():
            file.unlink()
    home.open()
    (warning,) = home.warnings()
    assert "1 file" in warning


def hand_over(home: DriveHome, offer: Offer, fd: int, place: Path) -> dict[str, object]:
    home.listen()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(os.fspath(place))
        holder.offer(connection, fd, offer.described())
        with connection.makefile() as lines:
            found: dict[str, object] = json.loads(lines.readline())
            return found


def test_another_trees_mount_is_to_be_mounted_afresh(home: DriveHome, tmp_path: Path) -> None:
    place = paths.places("default", tmp_path / "vs").drive_socket
    offer = Offer("mount", os.fspath(tmp_path), os.getpid(), served=True)
    with (tmp_path / "any").open("w") as file:
        told = hand_over(home, offer, file.fileno(), place)
    assert (told["ok"], told["remount"]) == (False, True)
    assert home.mount() is not None
    assert place.stat().st_mode & 0o777 == 0o600
    home.close()
    assert not place.exists()


def test_what_libfuse_served_is_to_be_mounted_afresh(home: DriveHome, tmp_path: Path) -> None:
    """Although it is this tree's."""
    places = paths.places("default", tmp_path / "vs")
    born = str(tree(home).getattr(ROOT).born)
    agreement = mounting.Agreement(places.state_dir / "mount.json", born, "mount")
    agreement.save(Agreed(40, 0, 1 << 20, 1 << 20))
    offer = Offer("mount", os.fspath(tmp_path), os.getpid(), served=True, backend="mfusepy")
    with (tmp_path / "any").open("w") as file:
        told = hand_over(home, offer, file.fileno(), places.drive_socket)
    assert (told["ok"], told["remount"]) == (False, True)


def test_a_machine_without_libfuse3_is_told_so(
    home: DriveHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_NAMES", ())
    monkeypatch.delenv("FUSE_LIBRARY_PATH", raising=False)
    place = paths.places("default", tmp_path / "vs").drive_socket
    offer = Offer("mount", os.fspath(tmp_path), os.getpid(), backend="mfusepy")
    with (tmp_path / "any").open("w") as file:
        told = hand_over(home, offer, file.fileno(), place)
    assert (told["ok"], told["remount"]) == (False, False)
    assert isinstance(told["error"], dict)
    assert wire.error_from_json(told["error"]).__class__ is MachineRefused
    assert home.mount() == Mount(limit=10_000_000_000)


def test_what_is_no_connection_of_the_kernels_is_refused(
    home: DriveHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounting, "_GREETING", 0.1)
    place = paths.places("default", tmp_path / "vs").drive_socket
    reading, writing = os.pipe()
    told = hand_over(home, Offer("mount", os.fspath(tmp_path), os.getpid()), reading, place)
    os.close(reading)
    os.close(writing)
    assert told["ok"] is False


def test_a_drive_that_cannot_be_opened_waits(tmp_path: Path) -> None:
    cloud = Cloud("eu-central-1", "pool", "client", "identities", "bucket")
    profile = Profile("default", cloud, Folder(tmp_path / "drive", "drive"))
    places = paths.places("default", tmp_path / "vs")
    places.cache_dir.parent.mkdir(parents=True)
    places.cache_dir.write_text("in the way")
    home = DriveHome(profile, places, FakeClock())
    with pytest.raises(Blocked):
        home.open()
    places.cache_dir.unlink()
    home.open()
    home.close()
