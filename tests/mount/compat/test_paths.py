"""The file system by paths, as libfuse asks for it; without libfuse."""

from __future__ import annotations

import errno
import os

import pytest

from tests.mount.kernel.memory import MemoryFiles
from vaultsync.mount.compat.paths import Paths
from vaultsync.mount.kernel import wire

HIDDEN = ".fuse_hidden0000000200000001"


@pytest.fixture
def paths() -> Paths:
    found = Paths(MemoryFiles(), lambda: (0, 0, 1))
    found.begin(wire.CREATE, None)
    return found


def written(paths: Paths, path: str, content: bytes) -> int:
    """Make a file; returns its handle."""
    handle = paths.create(path, 0o644, os.O_RDWR)
    assert paths.write(path, content, 0, handle) == len(content)
    return handle


def size(paths: Paths, path: str) -> int | None:
    """What a program finds by a path."""
    paths.begin(wire.LOOKUP, None)
    try:
        return paths.getattr(path)["st_size"]
    except FileNotFoundError:
        return None


def test_what_is_unlinked_while_it_is_open_has_a_hidden_name_for_libfuse_alone(
    paths: Paths,
) -> None:
    handle = written(paths, "/file", b"content")
    paths.begin(wire.UNLINK, None)
    paths.rename("/file", "/" + HIDDEN)
    assert size(paths, "/file") is None
    assert size(paths, "/" + HIDDEN) is None
    paths.begin(wire.GETATTR, None)
    assert paths.getattr("/" + HIDDEN)["st_size"] == 7
    assert paths.getattr("/" + HIDDEN)["st_nlink"] == 1  # libfuse takes one off
    paths.begin(wire.RELEASE, None)
    paths.release(None, handle)
    paths.unlink("/" + HIDDEN)
    paths.begin(wire.GETATTR, None)
    with pytest.raises(FileNotFoundError):
        paths.getattr("/" + HIDDEN)


def test_a_persons_file_of_a_hidden_name_is_not_unlinked_for_libfuse(paths: Paths) -> None:
    handle = written(paths, "/file", b"content")
    paths.begin(wire.UNLINK, None)
    paths.rename("/file", "/" + HIDDEN)
    paths.begin(wire.CREATE, None)
    paths.release("/" + HIDDEN, written(paths, "/" + HIDDEN, b"a person's"))
    paths.begin(wire.RELEASE, None)
    paths.release(None, handle)
    paths.unlink("/" + HIDDEN)
    assert size(paths, "/" + HIDDEN) == 10


def test_a_person_may_use_a_hidden_name(paths: Paths) -> None:
    handle = written(paths, "/file", b"content")
    paths.begin(wire.RENAME2, HIDDEN.encode())
    paths.rename("/file", "/" + HIDDEN)
    assert size(paths, "/" + HIDDEN) == 7
    paths.release(None, handle)
    paths.begin(wire.UNLINK, None)
    paths.unlink("/" + HIDDEN)
    assert size(paths, "/" + HIDDEN) is None


def test_what_a_rename_replaces_is_there_until_it_does(paths: Paths) -> None:
    handle = written(paths, "/old", b"old")
    paths.release("/new", written(paths, "/new", b"newer"))
    paths.begin(wire.RENAME2, b"old")
    paths.rename("/old", "/" + HIDDEN)
    assert size(paths, "/old") == 3
    paths.begin(wire.RENAME2, b"old")
    paths.rename("/new", "/old")
    assert size(paths, "/old") == 5
    assert paths.read(None, 10, 0, handle) == b"old"


def test_only_root_is_told_of_what_is_roots() -> None:
    who = [0, 0, 1]
    paths = Paths(MemoryFiles(), lambda: (who[0], who[1], who[2]))
    for name in ("trusted.mark", "user.mark"):
        paths.setxattr("/", name, b"", 0)
    assert paths.listxattr("/") == ["trusted.mark", "user.mark"]
    who[0] = 1000
    assert paths.listxattr("/") == ["user.mark"]


def test_an_exchange_changes_nothing(paths: Paths) -> None:
    for path, content in (("/a", b"a"), ("/b", b"bb")):
        paths.release(path, written(paths, path, content))
    paths.begin(wire.RENAME2, b"b")
    with pytest.raises(OSError, match="Invalid") as caught:
        paths.rename("/a", "/b", 2)
    assert caught.value.errno == errno.EINVAL
    assert (size(paths, "/a"), size(paths, "/b")) == (1, 2)
