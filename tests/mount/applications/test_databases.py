"""SQLite with a rollback journal and with a write-ahead log: two programs, one of which dies."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.live import Mounted

pytestmark = [needs_fuse, pytest.mark.timeout(120)]

_WORK = """
import random, sqlite3, sys
name, mode, who, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
base = sqlite3.connect(name, timeout=60, isolation_level=None)
base.execute(f"pragma journal_mode={mode}").fetchone()
base.execute("pragma synchronous=full")
dice = random.Random(who)
for number in range(rounds):
    base.execute("begin immediate")
    base.execute("insert into log values (?, ?, ?)", (who, number, dice.randbytes(3000)))
    base.execute("update account set amount = amount - 7 where id = ?", (dice.randrange(50),))
    base.execute("update account set amount = amount + 7 where id = ?", (dice.randrange(50),))
    if number % 10 == 9:
        base.execute("delete from log where who = ? and number < ?", (who, number - 20))
    base.execute("commit")
    print(number, flush=True)
"""
_MAKE = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute(f"pragma journal_mode={sys.argv[2]}")
base.execute("create table log (who, number, data)")
base.execute("create table account (id integer primary key, amount integer)")
base.executemany("insert into account values (?, 1000)", [(one,) for one in range(50)])
base.commit()
"""
_LOOK = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
print(base.execute("pragma integrity_check").fetchone()[0],
    base.execute("select sum(amount) from account").fetchone()[0],
    *(base.execute("select max(number) from log where who = ?", who).fetchone()[0] for who in "ab"))
base.execute("vacuum")
print(base.execute("pragma integrity_check").fetchone()[0])
"""
_ROUNDS = 80
_DIES_AT = 30


def _python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


def _worker(base: Path, mode: str, who: str) -> subprocess.Popen[str]:
    program = _python(_WORK, base, mode, who, _ROUNDS)
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_was_committed_is_there(mounted: Mounted, mode: str) -> None:
    base = mounted.point / "base.db"
    subprocess.run(_python(_MAKE, base, mode), check=True, timeout=60)
    told = []
    with _worker(base, mode, "a") as steady, _worker(base, mode, "b") as dies:
        assert dies.stdout is not None
        for line in dies.stdout:
            told.append(int(line))
            if told[-1] == _DIES_AT:
                dies.kill()
        said, _ = steady.communicate(timeout=100)

    looked = subprocess.run(_python(_LOOK, base), check=True, timeout=60, capture_output=True)
    check, amount, last, last_of_dead, again = looked.stdout.decode().split()

    assert (check, again, amount) == ("ok", "ok", "50000")
    assert said.split()[-1] == str(_ROUNDS - 1) == last
    # Perhaps one more was committed than it could tell of.
    assert told[-1] <= int(last_of_dead) <= told[-1] + 1
