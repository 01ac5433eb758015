"""Files that are broken, full disks and sudden deaths: never a wrong row, never half a commit."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Blocked, Fatal
from vaultsync.core.model import Base, Kind, Row
from vaultsync.state.connection import Damaged
from vaultsync.state.store import VERSION, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096


def save(store: Store, *some: Row) -> None:
    with store.transaction():
        store.save(some)


def file_row(path: str, generation: int = 1) -> Row:
    return Row(path, base=Base(Kind.FILE, generation, "x" * 64, "l", "r"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A sound database with 2,000 rows, closed."""
    file = tmp_path / "state.db"
    with Store(file) as store:
        save(store, *[file_row(f"d/{number:04}") for number in range(2000)])
    assert not file.with_name("state.db-wal").exists()
    return file


class TestBroken:
    @pytest.mark.parametrize(
        "content", [b"no database at all\n" * 1000, bytes(PAGE), os.urandom(10 * PAGE), b"SQLite"]
    )
    def test_garbage(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "state.db"
        file.write_bytes(content)
        with pytest.raises(Damaged, match=r"state\.db"):
            Store(file)
        assert file.read_bytes() == content

    def test_a_file_cut_short(self, file: Path) -> None:
        pages = file.stat().st_size // PAGE
        assert pages > 50
        for keep in (pages - 1, pages // 2, 2, 1):
            copy = file.with_name(f"cut-{keep}.db")
            copy.write_bytes(file.read_bytes()[: keep * PAGE])
            with pytest.raises(Damaged):
                Store(copy)

    def test_zeroes_all_over(self, file: Path) -> None:
        file.write_bytes(bytes(file.stat().st_size))
        with pytest.raises(Damaged):
            Store(file)

    @pytest.mark.parametrize("torn", [b"\0" * (PAGE // 2), b"\xff" * (PAGE // 2)])
    def test_any_torn_page(self, file: Path, torn: bytes) -> None:
        """A page of which only the first half was written."""
        sound = file.read_bytes()
        used = [number for number in range(1, len(sound) // PAGE) if is_full(sound, number)]
        assert len(used) > 20
        for number in used[::7]:
            start = number * PAGE
            half = start if torn[0] == 0 else start + PAGE // 2
            file.write_bytes(sound[:half] + torn + sound[half + len(torn) :])
            with pytest.raises(Damaged):
                Store(file)

    def test_an_empty_file_is_a_new_database(self, tmp_path: Path) -> None:
        file = tmp_path / "state.db"
        file.touch()
        with Store(file) as store:
            save(store, file_row("a"))
            assert store.totals() == (1, 1)

    def test_no_place_for_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(Fatal):
            Store(tmp_path / "missing" / "state.db")
        with pytest.raises(Fatal):
            Store(tmp_path)

    def test_damage_that_a_commit_finds(self, file: Path) -> None:
        with Store(file) as store:
            assert store.row("d/0000").base
            store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            store._db.execute("PRAGMA cache_size = 0")
            content = bytearray(file.read_bytes())
            content[PAGE:] = b"\xff" * (len(content) - PAGE)
            file.write_bytes(content)
            with pytest.raises(Damaged):
                save(store, *[file_row(f"d/{number:04}", 2) for number in range(2000)])


def is_full(content: bytes, number: int) -> bool:
    """Whether a page is a leaf of a table without row ids, with cells in both of its halves."""
    page = content[number * PAGE : (number + 1) * PAGE]
    return page[0] == 0x0A and int.from_bytes(page[3:5], "big") > 4


class TestVersions:
    def test_of_the_future(self, file: Path) -> None:
        db = sqlite3.connect(file)
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
        db.close()
        with pytest.raises(Fatal, match="newer") as caught:
            Store(file)
        assert not isinstance(caught.value, Damaged)
        assert "Update" in caught.value.hint

    def test_of_today(self, file: Path) -> None:
        with Store(file) as store:
            assert store._db.execute("PRAGMA user_version").fetchone() == (VERSION,)
            assert store.totals() == (2000, 2000)


class TestFull:
    def test_no_page_left(self, file: Path) -> None:
        with Store(file) as store:
            (pages,) = store._db.execute("PRAGMA page_count").fetchone()
            store._db.execute(f"PRAGMA max_page_count = {pages}")
            self.refused(store)
            store._db.execute("PRAGMA max_page_count = 100000")
            save(store, file_row("e"))
            assert store.totals() == (2001, 2001)

    def test_a_small_disk(self, small_disk: Path, file: Path) -> None:
        with Store(Path(shutil.copy(file, small_disk))) as store:
            save(store, file_row("e"), Row("d/0000"))
            filler = small_disk / "filler"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(bytes(1 << 24))
            self.refused(store)
            filler.unlink()
            save(store, file_row("f"))
            assert store.totals() == (2001, 2001)

    def refused(self, store: Store) -> None:
        before = list(store.rows())
        totals = store.totals()
        with pytest.raises(Blocked, match="cannot be written") as caught:
            save(store, *[file_row(f"e/{number:04}") for number in range(5000)], Row("d/0001"))
        assert "space" in caught.value.hint
        assert list(store.rows()) == before
        assert store.totals() == totals

    def test_a_disk_that_became_read_only(self, small_disk: Path, file: Path) -> None:
        copy = Path(shutil.copy(file, small_disk))
        with Store(copy) as store:
            save(store, file_row("e"))
            store._db.execute("PRAGMA query_only = ON")  # a mounted file system cannot be remounted
            with pytest.raises(Blocked, match="cannot be written"):
                save(store, file_row("f"))
            assert store.totals() == (2001, 2001)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", str(place)], check=True)


WRITER = """
import sys
from pathlib import Path
from vaultsync.core.model import Base, Kind, Row
from vaultsync.state.store import Store

store = Store(Path(sys.argv[1]))
for generation in range(1, 1_000_000):
    with store.transaction(durable=generation % 5 == 0):
        for number in range(40):
            base = Base(Kind.FILE, generation, "x" * 64, "l", "r")
            store.save([Row(f"f{number:03}", base=base)])
    print(generation, flush=True)
"""


@pytest.mark.parametrize("patience", [0.0, 0.003, 0.011, 0.027, 0.05, 0.09])
def test_a_process_killed_while_writing_leaves_whole_commits(
    tmp_path: Path, patience: float
) -> None:
    file = tmp_path / "state.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout as told:
        assert told.readline() == "1\n"
        time.sleep(patience)  # the moment of death is what is tried out
        writer.send_signal(signal.SIGKILL)
        lines = ["1\n", *told]
    writer.wait()
    last = int([line for line in lines if line.endswith("\n")][-1])
    with Store(file) as store:
        rows = list(store.rows())
        generations = {row.base.size for row in rows if row.base is not None}
        assert len(rows) == 40
        assert len(generations) == 1
        (generation,) = generations
        assert generation >= last
        assert store.totals() == (40, 40 * generation)
