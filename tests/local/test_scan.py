"""Scans: order, what cannot be synced, and a tree that changes underneath."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.worlds import DiskWorld
from vaultsync.core.errors import Fatal
from vaultsync.core.model import EMPTY, FULL, UNMANAGED, Kind, Seen, Unseen

if TYPE_CHECKING:
    from tests.local.hooked import Hooked


def tags(folder: DiskWorld) -> dict[str, str]:
    return {
        item.path: item.entry.tag
        for item in folder.disk.entries()
        if isinstance(item, Seen) and item.entry.kind is Kind.DIR
    }


def unseen(folder: DiskWorld, at: str = "") -> dict[str, Unseen]:
    return {item.path: item for item in folder.disk.entries(at) if isinstance(item, Unseen)}


SEGMENT = st.text(
    st.sampled_from("ab-./0~!é\u0301\uffee\U0001f984 #").filter(lambda letter: letter != "/"),
    min_size=1,
    max_size=3,
).filter(lambda name: name not in (".", ".."))
TREE = st.lists(st.lists(SEGMENT, min_size=1, max_size=4).map("/".join), max_size=25)


@given(TREE, st.data())
def test_order_is_that_of_sorted(paths: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        world = DiskWorld(root)
        for path in paths:
            try:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).touch()
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue
        expected = sorted(
            (
                str(found.relative_to(root)) + ("/" if found.is_dir() else "")
                for found in root.rglob("*")
                if ".vaultsync" not in found.parts
            ),
            key=str.encode,
        )
        assert [item.path for item in world.disk.entries()] == expected
        if expected:
            after = data.draw(st.sampled_from(expected))
            assert [item.path for item in world.disk.entries(after=after)] == [
                path for path in expected if path > after
            ]
            at = data.draw(st.sampled_from(expected)).removesuffix("/")
            assert [item.path for item in world.disk.entries(at)] == [
                path for path in expected if path in (at, at + "/") or path.startswith(at + "/")
            ]


def test_tags_of_directories(folder: DiskWorld) -> None:
    for path in ("full/f", "nested/d/f", "ignored/a.skip", "control/.vaultsync/x", "mixed/a.skip"):
        folder.put_behind(path, b"x")
    folder.put_behind("mixed/f", b"x")
    (folder.root / "empty").mkdir()
    (folder.root / "special").mkdir()
    os.mkfifo(folder.root / "special/pipe")
    (folder.root / "odd").mkdir()
    (folder.root / os.fsdecode(b"odd/\xff")).touch()
    assert tags(folder) == {
        "control/": UNMANAGED,
        "empty/": EMPTY,
        "full/": FULL,
        "ignored/": UNMANAGED,
        "mixed/": FULL,
        "nested/": FULL,
        "nested/d/": FULL,
        "odd/": UNMANAGED,
        "special/": UNMANAGED,
    }
    for path, tag in tags(folder).items():
        entry = folder.disk.look(path)
        assert entry is not None
        assert entry.tag == tag


def test_what_cannot_be_synced(folder: DiskWorld) -> None:
    os.mkfifo(folder.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder.root)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    (folder.root / os.fsdecode(b"caf\xe9")).touch()
    (folder.root / os.fsdecode(b"dir\xff")).mkdir()
    found = unseen(folder)
    assert list(found) == ["caf\\xe9", "dir\\xff/", "pipe", "socket"]
    assert [item.valid for item in found.values()] == [False, False, True, True]
    assert all(item.reason and item.hint for item in found.values())
    assert list(unseen(folder, "pipe")) == ["pipe"]


def test_links_are_content_and_never_followed(folder: DiskWorld, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").touch()
    (folder.root / "l").symlink_to(outside)
    (folder.root / "odd").symlink_to(b"\xff\xfe".decode("utf-8", "surrogateescape"))
    found = {item.path: item.entry for item in folder.disk.entries() if isinstance(item, Seen)}
    assert list(found) == ["l", "odd"]
    assert found["l"].kind is Kind.LINK
    assert found["l"].size == len(str(outside).encode())
    assert found["odd"].size == 2


def test_names_are_kept_byte_for_byte(folder: DiskWorld) -> None:
    for name in ("caf\u00e9", "cafe\u0301", "CAFE\u0301"):
        folder.put_behind(name, name.encode())
    assert [item.path for item in folder.disk.entries()] == [
        "CAFE\u0301",
        "cafe\u0301",
        "caf\u00e9",
    ]


def test_deep_tree(folder: DiskWorld) -> None:
    path = "/".join("d" * 300)
    here = os.open(folder.root, os.O_RDONLY)
    for segment in path.split("/"):
        os.mkdir(segment, dir_fd=here)
        below = os.open(segment, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert len(list(folder.disk.entries())) == 300
    shutil.rmtree(folder.root / "d")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_unreadable_directory_says_nothing_about_what_is_below(
    folder: DiskWorld, hooked: Hooked, code: int
) -> None:
    for path in ("a/f", "b/f", "c/f"):
        folder.put_behind(path, b"x")
    fault = hooked.fail
    # The root is entered first, then each directory in turn.
    hooked.before("enter", lambda: hooked.before("enter", lambda: fault("enter", code)))
    stream = folder.disk.entries()
    items = {item.path: item for item in stream}
    broken = [item for item in items.values() if isinstance(item, Unseen)]
    assert len(broken) == 1
    assert broken[0].path.endswith("/")
    assert broken[0].reason
    assert broken[0].path + "f" not in items
    assert len(items) == 5


@pytest.mark.parametrize("operation", ["enter", "names"])
def test_root_that_cannot_be_read_raises(folder: DiskWorld, hooked: Hooked, operation: str) -> None:
    folder.put_behind("f", b"x")
    folder.disk.check()
    hooked.fail(operation, errno.EIO)
    with pytest.raises(Fatal):
        list(folder.disk.entries())


def test_directory_renamed_after_its_parent_was_listed(folder: DiskWorld) -> None:
    for path in ("a/f", "m/f", "z/f"):
        folder.put_behind(path, b"x")
    stream = folder.disk.entries()
    assert next(stream).path == "a/"
    (folder.root / "m").rename(folder.root / "0")
    rest = {item.path: item for item in stream}
    assert isinstance(rest["m/"], Unseen)
    assert "m/f" not in rest


def test_directory_renamed_while_being_walked(folder: DiskWorld) -> None:
    for number in range(5):
        folder.put_behind(f"m/{number}", b"x")
    stream = folder.disk.entries()
    assert next(stream).path == "m/"
    assert next(stream).path == "m/0"
    (folder.root / "m").rename(folder.root / "0")
    assert [item.path for item in stream] == ["m/1", "m/2", "m/3", "m/4"]


def test_file_turning_into_a_directory_and_back(folder: DiskWorld) -> None:
    for path in ("a", "b/f", "c"):
        folder.put_behind(path, b"x")
    stream = folder.disk.entries()
    assert next(stream).path == "a"
    shutil.rmtree(folder.root / "b")
    (folder.root / "b").touch()
    (folder.root / "c").unlink()
    (folder.root / "c").mkdir()
    assert [(type(item), item.path) for item in stream] == [(Unseen, "b/"), (Unseen, "c")]


def test_root_replaced_in_the_middle_raises_in_the_end(folder: DiskWorld) -> None:
    for number in range(5):
        folder.put_behind(f"{number}/f", b"x")
    stream = folder.disk.entries()
    assert next(stream).path == "0/"
    folder.root.rename(folder.root.with_name("moved"))
    with pytest.raises(Fatal):
        list(stream)


def test_mount_points_are_not_entered(folder: DiskWorld) -> None:
    place = folder.root / "mounted"
    place.mkdir()
    folder.put_behind("f", b"x")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting needs rights that this run does not have")
    try:
        (place / "inside").touch()
        assert [item.path for item in folder.disk.entries()] == ["f", "mounted/"]
        assert list(unseen(folder)) == ["mounted/"]
        assert list(unseen(folder, "mounted/inside")) == ["mounted/inside", "mounted/inside/"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_stopping_early_leaves_nothing_open(folder: DiskWorld) -> None:
    for number in range(5):
        folder.put_behind(f"{number}/{number}/f", b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    stream = folder.disk.entries()
    for _ in range(3):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
