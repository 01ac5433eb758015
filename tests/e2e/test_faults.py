"""Crashes, restarts and losses under real daemons: no version is lost, nobody has to help."""

from __future__ import annotations

import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from vaultsync.cli.demo.world import CommandFailed
from vaultsync.cloud.local import LocalCloud

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.conftest import Household, Machine

pytestmark = pytest.mark.timeout(300)


def database(machine: Machine) -> Path:
    """A device's database file."""
    found = [path for path in machine.config_dir.rglob("*") if is_database(path)]
    assert len(found) == 1, found
    return found[0]


def is_database(path: Path) -> bool:
    """Whether a file begins as every SQLite database does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3"


def test_one_writer_gets_no_conflict_copy_however_often_the_daemon_dies(
    household: Household,
) -> None:
    laptop, _ = household
    chance = random.Random(3)
    household.up()
    expected: dict[str, bytes] = {}
    for life in range(6):
        for number in range(15):
            name = f"{chance.randrange(20)}.bin"
            expected[name] = chance.randbytes(chance.choice([10, 5_000, 400_000]))
            laptop.write(name, expected[name])
            if number % 5 == 4:
                (laptop.folder / name).unlink()
                del expected[name]
        # Somewhere in the work that these changes caused: the moment itself is what is varied.
        time.sleep(chance.random() * 0.8)
        laptop.crash()
        if life % 2:
            laptop.write(f"while it was dead {life}.txt", "edited offline\n")
            expected[f"while it was dead {life}.txt"] = b"edited offline\n"
        laptop.up()
    assert household.same() == expected


def test_a_daemon_that_dies_while_it_receives_goes_on(household: Household) -> None:
    laptop, desktop = household
    chance = random.Random(4)
    for number in range(40):
        laptop.write(f"{number}.bin", chance.randbytes(300_000))
    laptop.up()
    laptop.settle()
    for _ in range(4):
        desktop.up()
        time.sleep(chance.random() * 0.6)
        desktop.crash()
    desktop.up()
    assert len(household.same()) == 40
    left = [path for path in (desktop.folder / ".vaultsync").rglob("*") if path.is_file()]
    assert not [path for path in left if path.stat().st_size >= 300_000], "staged bytes are left"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_cloud_goes_away_and_comes_back(
    new_household: Callable[[LocalCloud], Household], tmp_path: Path, how: str
) -> None:
    with LocalCloud(tmp_path / "cloud") as local:
        household = new_household(local)
        # What a crash of the local cloud forgets are accounts made since its start.
        local.stop()
        local.start()
        household.up()
        household.laptop.write("before.txt", "before\n")
        household.same()
        getattr(local, how)()
        household.laptop.write("on the laptop.txt", "offline\n")
        household.desktop.write("on the desktop.txt", "offline\n")
        (household.desktop.folder / "before.txt").unlink()
        local.start()
        assert household.same() == {
            "on the laptop.txt": b"offline\n",
            "on the desktop.txt": b"offline\n",
        }


def test_a_daemon_starts_without_the_cloud_and_syncs_when_it_is_there(
    new_household: Callable[[LocalCloud], Household], tmp_path: Path
) -> None:
    with LocalCloud(tmp_path / "cloud") as local:
        household = new_household(local)
        local.stop()
        household.laptop.write("written before.txt", "patience\n")
        household.up()
        local.start()
        assert household.same() == {"written before.txt": b"patience\n"}


def test_a_damaged_database_is_set_aside_and_made_again_by_merging(household: Household) -> None:
    laptop, desktop = household
    household.up()
    for name in ("one", "two", "three"):
        laptop.write(f"{name}.txt", f"{name}\n")
    household.same()
    laptop.crash()
    damaged = database(laptop)
    for beside in damaged.parent.glob(damaged.name + "-*"):
        beside.unlink()
    damaged.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    desktop.write("two.txt", "two, edited meanwhile\n")
    (laptop.folder / "three.txt").unlink()
    desktop.settle()
    laptop.up()
    files = household.same()
    assert files["one.txt"] == b"one\n"
    assert b"two, edited meanwhile\n" in files.values()
    # Without a base a missing file is one to fetch, never one to delete.
    assert files["three.txt"] == b"three\n"
    kept = [path.read_bytes() for path in damaged.parent.iterdir() if path.is_file()]
    assert any(content[16:1000] == b"\xff" * 984 for content in kept), "not set aside"


def test_a_lost_database_deletes_nothing(household: Household) -> None:
    laptop = household.laptop
    household.up()
    laptop.write("kept.txt", "kept\n")
    laptop.write("edited.txt", "edited\n")
    household.same()
    household.down()
    for machine in household:
        found = database(machine)
        for path in found.parent.glob(found.name + "*"):
            path.unlink()
    (laptop.folder / "kept.txt").unlink()
    household.up()
    assert household.same() == {"kept.txt": b"kept\n", "edited.txt": b"edited\n"}


def test_a_folder_that_is_not_there_any_more_is_not_a_deletion(household: Household) -> None:
    laptop = household.laptop
    household.up()
    laptop.write("precious.txt", "precious\n")
    household.same()
    assert laptop.down() == 0
    away = laptop.folder.with_name("on another disk")
    laptop.folder.rename(away)
    laptop.folder.mkdir()

    laptop.up()
    with pytest.raises(CommandFailed) as failed:
        laptop.settle()
    assert str(laptop.folder) in failed.value.message
    assert list(laptop.folder.iterdir()) == [], "an empty mount point was filled"
    laptop.crash()

    shutil.rmtree(laptop.folder)
    away.rename(laptop.folder)
    laptop.up()
    assert household.same() == {"precious.txt": b"precious\n"}
