"""The whole drive behind a real mount: kernel, tree, cache, and programs that use it."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse
from tests.mount.live import LIMIT, Mounted
from vaultsync.core.errors import Retry
from vaultsync.mount.cache.readahead import GRAIN
from vaultsync.mount.onlookers import Onlookers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_fuse
BIG = random.Random(3).randbytes(5_000_000)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    made = Mounted(tmp_path)
    yield made
    made.close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_cold_files(mounted: Mounted) -> None:
    mounted.joint.graft("d/big", BIG)
    assert mounted.run("stat -c %s d/big") == "5000000\n"
    assert mounted.joint.vault.asked == []
    assert mounted.run("sha256sum < d/big").split()[0] == digest(BIG)
    edited = BIG[:1000] + b"X" + BIG[1001:]
    mounted.run("printf X | dd of=d/big bs=1 seek=1000 conv=notrunc status=none")
    assert mounted.run("sha256sum < d/big").split()[0] == digest(edited)
    assert mounted.joint.node("d/big").dirty


def test_a_cold_file_without_a_network(mounted: Mounted) -> None:
    mounted.joint.graft("big", BIG)
    mounted.joint.vault.always = Retry("offline")
    assert "Input/output error" in mounted.run("! cat big 2>&1 > copy")
    assert mounted.run("stat -c %s copy") == "0\n"
    assert mounted.run("echo here > new; cat new") == "here\n"


_LOOK = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
for name in sys.argv[2:]:
    file = os.open(name, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # the kernel's own read-ahead is not ours
    for at in range(0, 400_000, 4096):
        os.pread(file, 4096, at)
"""


def looked(mounted: Mounted, name: str) -> int:
    """Bytes that were fetched while a program of that name looked into the heads of three files."""
    vault = mounted.joint.vault
    paths = [f"{name}-{number}" for number in range(3)]
    for path in paths:
        mounted.joint.graft(path, BIG)
    vault.asked.clear()
    subprocess.run(
        ["env", f"--chdir={mounted.point}", sys.executable, "-c", _LOOK, name, *paths],
        check=True,
        timeout=LIMIT,
    )
    # What is fetched in advance is asked for before the last read is answered, or never.
    return sum(length for _, _, length in vault.asked)


def test_for_onlookers_nothing_is_fetched_in_advance(mounted: Mounted) -> None:
    mounted.joint.tree.glances = Onlookers(["looks-in"])
    read = 3 * 400_000
    assert read <= looked(mounted, "looks-in") <= read + 3 * GRAIN
    assert looked(mounted, "reads-on") > 2 * read


def test_programs(mounted: Mounted) -> None:
    mounted.run(
        "git init -q g; cd g; git config user.email a@b; git config user.name n;"
        " for i in $(seq 30); do echo $i > f$i; done; git add .; git commit -qm x; git fsck"
    )
    assert mounted.run("cd g; git status --porcelain") == ""
    mounted.run("tar cf t.tar g; mkdir o; tar xf t.tar -C o; diff -r g o/g")
    printed = mounted.run(
        "python3 -c \"import sqlite3; c = sqlite3.connect('x.db');"
        " c.execute('pragma journal_mode=wal'); c.execute('create table t (a)');"
        " c.executemany('insert into t values (?)', [(i,) for i in range(999)]); c.commit();"
        " print(c.execute('pragma integrity_check').fetchone()[0])\""
    )
    assert printed == "ok\n"
