"""Every change marks its path dirty; nothing else does."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor

from vaultsync.core.errors import Fatal
from vaultsync.local import polled, watch
from vaultsync.local.watch import FolderWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 30.0


class Listener:
    """Collects dirty paths, and waits for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: set[str] = set()
        self.writing: set[str] = set()
        self.time = 0.0
        self._news = threading.Condition()
        self.watcher = FolderWatcher(
            root, lambda path: "skip" in path.rstrip("/").split("/"), lambda: self.time
        )

    def dirty(self, path: str, writing: bool) -> None:
        with self._news:
            self.seen.add(path)
            if writing:
                self.writing.add(path)
            self._news.notify_all()

    def wait(self, *paths: str) -> None:
        self.wait_for(lambda: set(paths) <= self.seen, f"{set(paths)} among {self.seen}")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        with self._news:
            assert self._news.wait_for(condition, PATIENCE), f"waited in vain for {what}"

    def settle(self) -> None:
        """Wait for all that happened before this call; then forget it."""
        name = f"sentinel-{os.urandom(4).hex()}"
        (self.root / name).touch()
        self.wait(name)
        (self.root / name).unlink()
        # Events keep their order, and another name proves that the deletion came through.
        (self.root / (name + "-")).touch()
        self.wait(name + "-")
        with self._news:
            self.seen.clear()

    def __enter__(self) -> Self:
        self.watcher.start(self.dirty)
        return self

    def __exit__(self, *_: object) -> None:
        self.watcher.stop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    (place / "d").mkdir(parents=True)
    (place / "f").write_bytes(b"x")
    (place / ".vaultsync/staging").mkdir(parents=True)
    (place / "skip").mkdir()
    return place


@pytest.fixture
def listener(root: Path) -> Iterator[Listener]:
    with Listener(root) as running:
        yield running


def append(root: Path) -> None:
    with (root / "f").open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("action", "paths"),
    [
        (lambda root: (root / "new").write_bytes(b"x"), ["new"]),
        (lambda root: (root / "d/new").write_bytes(b"x"), ["d/new"]),
        (append, ["f"]),
        (lambda root: (root / "f").chmod(0o700), ["f"]),
        (lambda root: os.utime(root / "f"), ["f"]),
        (lambda root: (root / "f").unlink(), ["f"]),
        (lambda root: (root / "f").rename(root / "d/g"), ["f", "d/g"]),
        (lambda root: (root / "f").rename(root.parent / "out"), ["f"]),
        (lambda root: (root / "l").symlink_to("nowhere"), ["l"]),
        (lambda root: (root / "e").mkdir(), ["e"]),
        (lambda root: (root / "d").rmdir(), ["d"]),
        (lambda root: (root / "d").rename(root / "e"), ["d", "e"]),
        (lambda root: (root / "d").rename(root.parent / "out"), ["d"]),
        (lambda root: (root / "d").chmod(0o500), ["d"]),
        (lambda root: (root / "new #?%\n\u0301").touch(), ["new #?%\n\u0301"]),
    ],
)  # fmt: skip
def test_changes(
    listener: Listener, root: Path, action: Callable[[Path], object], paths: list[str]
) -> None:
    action(root)
    listener.wait(*paths)
    assert "" not in listener.seen


def test_append_to_a_file_that_stays_open(listener: Listener, root: Path) -> None:
    with (root / "f").open("ab", buffering=0) as file:
        file.write(b"more")
        listener.wait("f")


def test_new_tree_is_watched_to_its_depth(listener: Listener, root: Path) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/f").touch()
    listener.wait("a/b/c/f")
    listener.settle()
    (root / "a/b/c/g").touch()
    listener.wait("a/b/c/g")


def test_directory_moved_in_and_renamed_is_watched(
    listener: Listener, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside/x"
    outside.mkdir(parents=True)
    outside.parent.rename(root / "in")
    listener.wait("in")
    listener.settle()
    (root / "in/x/f").touch()
    listener.wait("in/x/f")
    (root / "in").rename(root / "on")
    listener.wait("in", "on")
    listener.settle()
    (root / "on/x/g").touch()
    listener.wait("on/x/g")


def test_reading_control_and_ignored_are_silent(listener: Listener, root: Path) -> None:
    listener.settle()
    (root / "f").read_bytes()
    list(root.iterdir())
    (root / ".vaultsync/staging/x").write_bytes(b"x")
    (root / ".vaultsync/staging/x").unlink()
    (root / "skip/f").touch()
    (root / "d/skip").mkdir()
    (root / "end").touch()
    listener.wait("end")
    assert listener.seen <= {"end"} | {
        path for path in listener.seen if path.startswith("sentinel")
    }


def test_names_that_are_no_text_mark_their_directory(listener: Listener, root: Path) -> None:
    listener.settle()
    (root / "d" / os.fsdecode(b"\xff")).touch()
    listener.wait("d")


def test_root_through_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with Listener(tmp_path / "link") as listener:
        (root / "d/new").touch()
        listener.wait("d/new")


def test_burst_of_5000_files_loses_none(listener: Listener, root: Path) -> None:
    names = {f"burst/{number % 50}/{number}" for number in range(5000)}
    for number in range(50):
        (root / f"burst/{number}").mkdir(parents=True)
    for name in names:
        (root / name).write_bytes(b"x")
    listener.wait_for(
        lambda: "" in listener.seen or names <= listener.seen,
        f"{len(names - listener.seen)} files",
    )
    # An overflow would be no loss, but this many must fit the kernel's queue.
    assert names <= listener.seen


def test_overflow_means_everything(listener: Listener) -> None:
    observer = listener.watcher._observer
    assert observer is not None
    mask = Mask(InotifyConstants.IN_Q_OVERFLOW)
    observer._descriptor.handle_event(InotifyEvent(WatchDescriptor(-1), mask, 0, b""))
    listener.wait("")


def test_real_overflow(listener: Listener, root: Path) -> None:
    """More events than the kernel keeps, while nobody reads them."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the kernel keeps too many events to make it drop some")
    observer = listener.watcher._observer
    assert observer is not None
    (root / "g").touch()
    listener.settle()
    with observer._descriptor._lock:
        # The reader may take one more buffer; equal events in a row would count as one.
        for _ in range(limit // 2 + 5000):
            os.utime(root / "f")
            os.utime(root / "g")
    listener.wait("")
    assert not listener.watcher.is_sound()


def test_watches_go_on_after_an_overflow(listener: Listener, root: Path) -> None:
    test_overflow_means_everything(listener)
    (root / "d/after").touch()
    listener.wait("d/after")


def test_root_removed_means_everything(listener: Listener, root: Path) -> None:
    shutil.rmtree(root)
    listener.wait("")
    assert not listener.watcher.is_sound()


def test_root_moved_away(listener: Listener, root: Path) -> None:
    assert listener.watcher.is_sound()
    root.rename(root.parent / "elsewhere")
    assert not listener.watcher.is_sound()


def test_root_replaced(listener: Listener, root: Path) -> None:
    root.rename(root.parent / "elsewhere")
    root.mkdir()
    assert not listener.watcher.is_sound()


def test_a_thread_that_died(listener: Listener, root: Path) -> None:
    observer = listener.watcher._observer
    assert observer is not None
    observer._descriptor.stop()
    observer._descriptor.join()
    assert not listener.watcher.is_sound()


def test_a_file_that_is_written_to_is_told_from_one_that_was_closed(
    listener: Listener, root: Path
) -> None:
    with (root / "f").open("ab", buffering=0) as file:
        file.write(b"more")
        listener.wait_for(lambda: "f" in listener.writing, "f being written to")
        listener.seen.clear()
    listener.wait("f")
    (root / "d/g").symlink_to("f")
    listener.wait("d/g")
    assert listener.writing == {"f"}


def test_missing_root(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot be watched"):
        FolderWatcher(tmp_path / "no").start(lambda _path, _writing: None)


def test_stopping_releases_everything(root: Path) -> None:
    before = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with Listener(root):
            pass
    after = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    assert after == before


def test_stopping_after_a_directory_took_the_name_of_one_that_was_moved_out(
    listener: Listener, root: Path, tmp_path: Path
) -> None:
    (root / "first").mkdir()
    listener.wait("first")
    (root / "second").mkdir()
    listener.settle()
    (root / "second").rename(tmp_path / "outside")
    listener.settle()
    (root / "first").rename(root / "second")
    listener.settle()
    listener.watcher.stop()
    assert not [thread for thread in threading.enumerate() if "motify" in type(thread).__name__]


def test_stop_without_start(root: Path) -> None:
    FolderWatcher(root).stop()


class TestTooFewWatches:
    """Directories without a watch are polled until there is one."""

    @pytest.fixture
    def allowed(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many watches there may be; put another number into it to change that."""
        real = watch._Inotify._get_or_create_watch
        allowed = [2]

        def limited(self: watch._Inotify, path: bytes, mask: Mask) -> object:
            if len(self._watch_for_wd) >= allowed[0]:
                raise OSError(errno.ENOSPC, "inotify watch limit reached")
            return real(self, path, mask)

        monkeypatch.setattr(watch._Inotify, "_get_or_create_watch", limited)
        return allowed

    def test_some_subtrees_are_polled(self, root: Path, allowed: list[int]) -> None:
        for name in ("d/x/y", "d/z"):
            (root / name).mkdir(parents=True)
        with Listener(root) as listener:
            watcher = listener.watcher
            assert watcher.is_sound()
            assert "3 folders are not watched" in watcher.degraded
            assert "by a look every 30 seconds" in watcher.degraded
            assert "sudo sysctl -w fs.inotify.max_user_watches=" in watcher.degraded
            (root / "d/g").touch()
            listener.wait("d/g")
            assert watcher.polls() == []
            assert watcher.next_poll() == polled.SHORTEST
            listener.time = polled.SHORTEST
            assert set(watcher.polls()) == {"d/x", "d/z"}
            assert watcher.polls() == []
            assert "3 folders are not watched" in watcher.degraded
            assert watcher.is_sound()

    def test_they_are_watched_once_there_are_enough(self, root: Path, allowed: list[int]) -> None:
        (root / "d/x/y").mkdir(parents=True)
        with Listener(root) as listener:
            assert "2 folders are not watched" in listener.watcher.degraded
            allowed[0] = 100
            listener.time = polled.SHORTEST
            assert listener.watcher.polls() == ["d/x"]
            assert listener.watcher.degraded == ""
            (root / "d/x/y/f").touch()
            listener.wait("d/x/y/f")

    def test_a_new_directory_may_be_one_too_many(self, root: Path, allowed: list[int]) -> None:
        with Listener(root) as listener:
            assert listener.watcher.degraded == ""
            (root / "d/x/y").mkdir(parents=True)
            listener.wait("d/x")
            assert "not watched" in listener.watcher.degraded
            listener.time = polled.SHORTEST
            assert listener.watcher.polls() == ["d/x"]
            assert "2 folders are not watched" in listener.watcher.degraded

    def test_of_all(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(*_: object) -> object:
            raise OSError(errno.ENOSPC, "inotify watch limit reached")

        monkeypatch.setattr(watch._Inotify, "_get_or_create_watch", none)
        with Listener(root) as listener:
            assert "2 folders are not watched" in listener.watcher.degraded
            assert "max_user_watches" in listener.watcher.degraded
            listener.time = polled.SHORTEST
            assert listener.watcher.polls() == [""]
            assert not listener.watcher.is_sound(), "another watcher may fare better"

    def test_no_instance_left(self, root: Path) -> None:
        """In a process of its own, which opens all the instances it may have."""
        limit = Path("/proc/sys/fs/inotify/max_user_instances").read_text()
        if int(limit) > 2000:
            pytest.skip("too many instances to use up")
        done = subprocess.run(
            [sys.executable, "-c", _GREEDY, str(root)], capture_output=True, text=True, check=True
        )
        assert "max_user_instances" in done.stdout


_GREEDY = """
import ctypes, sys
from pathlib import Path
from vaultsync.local.watch import FolderWatcher
libc = ctypes.CDLL(None)
while libc.inotify_init() >= 0:
    pass
watcher = FolderWatcher(Path(sys.argv[1]))
watcher.start(print)
print(watcher.degraded)
watcher.stop()
"""
