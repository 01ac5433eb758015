"""The whole drive behind a real mount: kernel, tree, cache, and programs that use it."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse
from tests.mount.live import Mounted
from vaultsync.core.errors import Retry

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
