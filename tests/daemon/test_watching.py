"""The folder stays watched, whatever becomes of it: what is known of it is what is there."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from vaultsync.daemon import watching
from vaultsync.daemon.watching import Watching
from vaultsync.sync import schedule
from vaultsync.sync.schedule import Dirty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0


class Follower:
    """Knows which files are in a folder, by nothing but looks at what was marked, as the engine.

    Attributes:
        known: The files.
        looks: Every path that was looked at.
        most: The most marks there were at once.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: set[str] = set()
        self.looks: list[str] = []
        self.most = 0
        self._wake = threading.Event()
        self._ending = False
        self.dirty = Dirty(time.monotonic, self._wake.set)
        self.watching = Watching(root, lambda _path: False, self._mark)
        self._thread = threading.Thread(target=self._run)

    def _mark(self, path: str, writing: bool) -> None:
        self.dirty.mark(path, writing=writing)

    def actual(self) -> set[str]:
        return {
            str(Path(above, name).relative_to(self.root))
            for above, _, names in os.walk(self.root)
            for name in names
        }

    def wait_until_right(self) -> None:
        """Wait until nothing is marked any more; then what is known must be what is there."""
        ends = time.monotonic() + PATIENCE
        while self.known != self.actual() or len(self.dirty):
            assert time.monotonic() < ends, (
                f"{len(self.actual() - self.known)} missed, {len(self.known - self.actual())} stale"
            )
            threading.Event().wait(0.05)

    def _run(self) -> None:
        while not self._ending:
            self.watching.keep()
            due = self.dirty.next()
            patience = self.watching.patience()
            if due is not None:
                patience = min(patience, due - time.monotonic())
            self._wake.wait(max(0.0, min(patience, 0.2)))
            self._wake.clear()
            self.most = max(self.most, len(self.dirty))
            for path in self.dirty.take():
                self._look(path)

    def _look(self, path: str) -> None:
        self.looks.append(path)
        known = {name for name in self.known if name != path and not _below(name, path)}
        place = self.root / path
        if place.is_file():
            known.add(path)
        for above, _, names in os.walk(place):
            known |= {str(Path(above, name).relative_to(self.root)) for name in names}
        self.known = known

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_until_right()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._wake.set()
        self._thread.join()
        self.watching.stop()


def _below(path: str, directory: str) -> bool:
    return not directory or path.startswith(directory + "/")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    (place / "d").mkdir(parents=True)
    (place / "d/f").touch()
    return place


@pytest.fixture
def follower(root: Path) -> Iterator[Follower]:
    with Follower(root) as running:
        yield running


def tree(place: Path, files: int = 20) -> None:
    for number in range(files):
        (place / f"{number % 4}/{number % 3}").mkdir(parents=True, exist_ok=True)
        (place / f"{number % 4}/{number % 3}/{number}").touch()


def test_a_tree_moved_in_with_what_is_made_in_it_a_moment_later(
    follower: Follower, root: Path, tmp_path: Path
) -> None:
    tree(tmp_path / "outside")
    (tmp_path / "outside").rename(root / "in")
    (root / "in/2/2/later").touch()
    (root / "in/new/deep").mkdir(parents=True)
    (root / "in/new/deep/later").touch()
    follower.wait_until_right()
    (root / "in/1/1/much later").touch()
    follower.wait_until_right()


def test_a_tree_moved_out(follower: Follower, root: Path, tmp_path: Path) -> None:
    tree(root / "t")
    follower.wait_until_right()
    (root / "t").rename(tmp_path / "out")
    follower.wait_until_right()
    assert follower.known == {"d/f"}


def test_a_tree_moved_within_and_back(follower: Follower, root: Path) -> None:
    tree(root / "t")
    follower.wait_until_right()
    (root / "t").rename(root / "d/u")
    (root / "d/u/1/1/new").touch()
    follower.wait_until_right()
    (root / "d/u").rename(root / "t")
    (root / "t/1/1/newer").touch()
    follower.wait_until_right()


def test_a_tree_swapped_for_another_one(follower: Follower, root: Path, tmp_path: Path) -> None:
    tree(root / "t")
    tree(tmp_path / "other", 50)
    follower.wait_until_right()
    (root / "t").rename(tmp_path / "out")
    (tmp_path / "other").rename(root / "t")
    (tmp_path / "out/1/1/not ours").touch()
    (root / "t/1/1/ours").touch()
    follower.wait_until_right()


def test_directories_made_and_filled_at_once_lose_nothing(follower: Follower, root: Path) -> None:
    """`mkdir -p a/b/c/d && touch a/b/c/d/f`, some renamed or removed at once, 3,000 times."""
    rng = random.Random(1)
    for number in range(3000):
        deep = root / f"{number % 50}" / "/".join(f"{number}-{k}" for k in range(rng.randint(1, 5)))
        deep.mkdir(parents=True)
        (deep / "f").touch()
        if rng.random() < 0.3:
            deep.rename(deep.with_name("renamed"))
            shutil.rmtree(deep.with_name("renamed"), ignore_errors=rng.random() < 0.3)
    follower.wait_until_right()


@pytest.mark.timeout(300)
def test_a_burst_of_100_000_files(follower: Follower, root: Path) -> None:
    for number in range(100_000):
        if number % 100 == 0:
            place = root / f"burst/{number // 10_000}/{number}"
            place.mkdir(parents=True)
        (place / str(number)).touch()
    follower.wait_until_right()
    assert len(follower.known) == 100_001
    assert follower.most <= schedule.MANY


@pytest.mark.timeout(300)
def test_a_burst_that_overflows_again_and_again(follower: Follower, root: Path) -> None:
    """The reader is slower than the writer: the kernel drops events, and nothing is missed."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 100_000:
        pytest.skip("the kernel keeps too many events to make it drop some")
    for round_ in range(2):
        watcher = follower.watching._watcher
        assert watcher is not None
        assert watcher._observer is not None
        descriptor = watcher._observer._descriptor
        with descriptor._lock:
            for number in range(limit // 4 + 2000):
                (root / f"{round_}-{number}").mkdir()
                (root / f"{round_}-{number}/f").touch()
                (root / f"{round_}-{number}/f").chmod(0o600)
                (root / f"other-{round_}-{number}").touch()
                (root / f"other-{round_}-{number}").rename(root / f"{round_}-{number}/g")
        follower.wait_until_right()
        assert not descriptor.is_alive(), "another watcher has taken over"
    (root / "0-7/h").touch()
    follower.wait_until_right()


def replaced(root: Path) -> None:
    root.rename(root.parent / "elsewhere")
    (root / "x").mkdir(parents=True)
    (root / "x/f").touch()


def removed_and_made_again(root: Path) -> None:
    shutil.rmtree(root)
    (root / "x").mkdir(parents=True)
    (root / "x/f").touch()


@pytest.mark.parametrize("fate", [replaced, removed_and_made_again])
def test_another_folder_in_its_place(
    follower: Follower, root: Path, fate: Callable[[Path], None]
) -> None:
    fate(root)
    follower.wait_until_right()
    assert follower.known == {"x/f"}
    (root / "x/g").touch()
    follower.wait_until_right()


def test_a_folder_that_goes_away_and_comes_back(
    follower: Follower, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.1)
    away = root.parent / "away"
    root.rename(away)
    follower.wait_until_right()
    (away / "d/g").touch()
    away.rename(root)
    follower.wait_until_right()
    (root / "d/h").touch()
    follower.wait_until_right()
    assert follower.known == {"d/f", "d/g", "d/h"}


def test_new_rules_mean_a_new_watcher(follower: Follower, root: Path) -> None:
    before = follower.watching._watcher
    follower.watching.renew()
    follower.wait_until_right()
    (root / "d/g").touch()
    follower.wait_until_right()
    assert follower.watching._watcher is not before


def in_namespace(*flags: str, script: str, arguments: list[str]) -> str:
    """Run a script with rights of its own; skip where that is not possible."""
    command = ["unshare", "--map-root-user", *flags]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("no namespaces here")
    done = subprocess.run(
        [*command, sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_kernels_own_limit(root: Path) -> None:
    """A user namespace has a limit of its own, which its root may set."""
    for number in range(40):
        (root / f"{number}").mkdir()
    assert in_namespace(script=_LIMITED, arguments=[str(root)]).splitlines()[-1] == "watched"


_LIMITED = """
import sys
from pathlib import Path
from vaultsync.local.watch import FolderWatcher
root, limit = Path(sys.argv[1]), Path("/proc/sys/user/max_inotify_watches")
limit.write_text("20")
seen, now = set(), [0.0]
watcher = FolderWatcher(root, now=lambda: now[0])
watcher.start(lambda path, writing: seen.add(path))
assert "22 folders are not watched" in watcher.degraded, watcher.degraded
limit.write_text("1000")
now[0] = 30.0
assert len(watcher.polls()) == 22
assert not watcher.degraded, watcher.degraded
for number in range(40):
    (root / str(number) / "f").touch()
import time
ends = time.monotonic() + 30
while not {f"{number}/f" for number in range(40)} <= seen:
    assert time.monotonic() < ends, seen
    time.sleep(0.05)
watcher.stop()
print("watched")
"""


def test_unmounted_and_mounted_again(tmp_path: Path) -> None:
    assert in_namespace(
        "--mount", script=_MOUNTED, arguments=[str(tmp_path)]
    ).splitlines()[-1] == "noticed"  # fmt: skip


_MOUNTED = """
import subprocess, sys
from pathlib import Path
from tests.daemon.test_watching import Follower
root = Path(sys.argv[1])
def mount():
    subprocess.run(["mount", "-t", "tmpfs", "none", root], check=True)
mount()
(root / "a").touch()
with Follower(root) as follower:
    assert follower.known == {"a"}
    subprocess.run(["umount", "--lazy", root], check=True)
    follower.wait_until_right()
    assert follower.known == set()
    mount()
    (root / "b").mkdir()
    (root / "b/c").touch()
    follower.wait_until_right()
    (root / "b/d").touch()
    follower.wait_until_right()
    assert follower.known == {"b/c", "b/d"}
print("noticed")
"""
