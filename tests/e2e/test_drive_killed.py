"""Programs at work in a drive whose daemon is killed under them again and again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.drives import LIMIT, DriveMachine
from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.cloud.local import LocalCloud

pytestmark = [needs_fuse, pytest.mark.timeout(240)]


@pytest.fixture
def desk(
    tmp_path: Path, new_person: Callable[..., Any], cloud: LocalCloud
) -> Iterator[DriveMachine]:
    email, password = new_person(cloud)
    machine = DriveMachine(tmp_path, "desk")
    machine.join(cloud.cloud, email, password)
    machine.up()
    machine.mount()
    yield machine
    machine.close()


@contextmanager
def _working(desk: DriveMachine, *command: str) -> Iterator[subprocess.Popen[str]]:
    """A program at work in the drive."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield program
        except BaseException:
            # Nobody can be killed who waits for a daemon that is gone.
            desk.close()
            program.kill()
            raise


def _killed_again(desk: DriveMachine) -> None:
    desk.crash()
    desk.up()


_GIT = """
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
cd "$1"; git init -q -b main one; cd one
for i in $(seq 12); do
  for j in $(seq 5); do seq $i $((i * j * 20)) > f$j; done
  git add .; git commit -qm $i; echo $i
done
git gc -q --prune=now; cd ..; git clone -q one two; echo cloned
git -C two fsck --strict; git -C two log --oneline | wc -l; git -C one status --porcelain
"""


def test_git_goes_on(desk: DriveMachine) -> None:
    with _working(desk, "bash", "-euc", _GIT, "git", str(desk.point)) as git:
        assert git.stdout is not None
        said = []
        for line in git.stdout:
            said.append(line.strip())
            if said[-1] in ("2", "6", "12"):
                _killed_again(desk)
    assert git.returncode == 0
    assert said == [*map(str, range(1, 13)), "cloned", "12"]


_SQLITE = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
base.execute("pragma journal_mode=wal"); base.execute("pragma synchronous=full")
base.execute("create table log (number integer primary key, data)")
for number in range(1, 121):
    base.execute("begin immediate")
    base.executemany("insert into log values (?, randomblob(900))", [(number * 10,)])
    base.execute("update log set data = randomblob(1200) where number = ?", (number * 5,))
    base.execute("commit"); print(number, flush=True)
print(base.execute("pragma integrity_check").fetchone()[0])
print(base.execute("select count(*), max(number) from log").fetchone())
"""


def test_sqlite_goes_on(desk: DriveMachine) -> None:
    base = str(desk.point / "base.db")
    with _working(desk, sys.executable, "-c", _SQLITE, base) as sqlite:
        assert sqlite.stdout is not None
        said = []
        for line in sqlite.stdout:
            said.append(line.strip())
            if said[-1] in ("10", "50", "90"):
                _killed_again(desk)
        sqlite.wait(LIMIT)
    assert sqlite.returncode == 0
    assert said == [*map(str, range(1, 121)), "ok", "(120, 1200)"]
