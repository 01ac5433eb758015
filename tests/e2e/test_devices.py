"""Two real daemons on one vault, with nothing going wrong."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from vaultsync.cli.demo import files as demo_files

if TYPE_CHECKING:
    from tests.e2e.conftest import Household, Machine

pytestmark = pytest.mark.timeout(240)


def trash(machine: Machine) -> list[bytes]:
    """The content of everything in a device's trash."""
    place = machine.folder / ".vaultsync" / "trash"
    return [path.read_bytes() for path in place.rglob("*") if path.is_file()]


def test_a_mix_of_changes_in_both_directions_converges(household: Household) -> None:
    laptop, desktop = household
    household.up()
    for number in range(20):
        laptop.write(f"work/deep/er/note {number}.txt", f"note {number}\n")
        desktop.write(f"pictures/{number:02}.png", b"\x89PNG" + bytes([number]) * 1000)
    (laptop.folder / "empty").mkdir()
    assert len(household.same()) == 40

    laptop.write("work/deep/er/note 3.txt", "edited on the laptop\n")
    desktop.write("work/deep/er/note 4.txt", "edited on the desktop\n")
    (laptop.folder / "pictures/05.png").unlink()
    (desktop.folder / "work/deep/er/note 6.txt").unlink()
    assert len(household.same()) == 38

    (laptop.folder / "pictures").rename(laptop.folder / "photos")
    (desktop.folder / "work/deep").rename(desktop.folder / "work/shallow")
    files = household.same()

    assert len(files) == 38
    assert files["work/shallow/er/note 3.txt"] == b"edited on the laptop\n"
    assert files["work/shallow/er/note 4.txt"] == b"edited on the desktop\n"
    assert "photos/06.png" in files
    assert "photos/05.png" not in files
    assert "work/shallow/er/note 6.txt" not in files
    assert (desktop.folder / "empty").is_dir()
    assert not (desktop.folder / "pictures").exists()
    assert not (laptop.folder / "work/deep").exists()


def test_edits_made_while_the_daemons_are_down_travel_later(household: Household) -> None:
    laptop, desktop = household
    household.up()
    for name in ("edited", "deleted", "renamed"):
        laptop.write(f"{name}.txt", f"{name}\n")
    household.same()
    household.down()
    laptop.write("edited.txt", "edited while nobody watched\n")
    (laptop.folder / "deleted.txt").unlink()
    (desktop.folder / "renamed.txt").rename(desktop.folder / "under another name.txt")
    desktop.write("new.txt", "new\n")
    household.up()
    assert household.same() == {
        "edited.txt": b"edited while nobody watched\n",
        "under another name.txt": b"renamed\n",
        "new.txt": b"new\n",
    }


def test_two_edits_of_one_file_are_both_kept(household: Household) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("report.txt", "first\n")
    household.same()
    household.down()
    laptop.write("report.txt", "as the laptop has it\n")
    desktop.write("report.txt", "as the desktop has it\n")
    household.up()
    household.same()
    files = household.same()
    assert sorted(files.values()) == [b"as the desktop has it\n", b"as the laptop has it\n"]
    copy = next(name for name in files if name != "report.txt")
    assert copy.startswith("report (conflict ")
    assert copy.endswith(").txt")


def test_two_new_files_of_one_name_are_both_kept(household: Household) -> None:
    laptop, desktop = household
    laptop.write("plan.txt", "one plan\n")
    desktop.write("plan.txt", "another plan\n")
    household.up()
    household.same()
    assert sorted(household.same().values()) == [b"another plan\n", b"one plan\n"]


def test_the_same_file_on_both_sides_is_no_conflict(household: Household) -> None:
    for machine in household:
        machine.write("same.txt", "the very same\n")
    os.utime(household.laptop.folder / "same.txt", ns=(10**18, 10**18))
    os.utime(household.desktop.folder / "same.txt", ns=(10**18, 10**18))
    household.up()
    assert household.same() == {"same.txt": b"the very same\n"}


def test_an_edit_wins_over_a_deletion(household: Household) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("kept.txt", "first\n")
    household.same()
    household.down()
    (laptop.folder / "kept.txt").unlink()
    desktop.write("kept.txt", "still wanted\n")
    household.up()
    assert household.same() == {"kept.txt": b"still wanted\n"}


def test_what_another_device_deleted_is_in_the_trash(household: Household) -> None:
    laptop, desktop = household
    household.up()
    laptop.write("stays.txt", "stays\n")
    laptop.write("goes.txt", "goes\n")
    household.same()
    (laptop.folder / "goes.txt").unlink()
    assert household.same() == {"stays.txt": b"stays\n"}
    assert trash(desktop) == [b"goes\n"]


@pytest.mark.parametrize("mode", [0o755, 0o644])
def test_time_and_exec_bit_travel(household: Household, mode: int) -> None:
    laptop, desktop = household
    laptop.write("tool", "#!/bin/sh\n")
    (laptop.folder / "tool").chmod(mode)
    os.utime(laptop.folder / "tool", ns=(0, 1_234_567_890_123_456_789))
    household.up()
    household.same()
    found = (desktop.folder / "tool").stat()
    assert found.st_mtime_ns == 1_234_567_890_123_456_789
    assert bool(found.st_mode & 0o100) == bool(mode & 0o100)


def test_an_exec_bit_set_later_travels(household: Household) -> None:
    laptop, desktop = household
    laptop.write("tool", "#!/bin/sh\n")
    household.up()
    household.same()
    (laptop.folder / "tool").chmod(0o755)
    household.same()
    assert (desktop.folder / "tool").stat().st_mode & 0o100


def test_many_files_arrive_byte_for_byte(household: Household) -> None:
    chance = random.Random(7)
    for number in range(700):
        size = chance.choice([0, 1, 100, 4096, 20_000]) if number % 100 else 1_000_000
        folder = f"{number % 7}/{'ä' * (number % 5)} {number % 11}"
        laptop_name = f"{number} {demo_files.ODD_NAMES[number % len(demo_files.ODD_NAMES)]}"
        household.laptop.write(f"{folder}/{laptop_name.encode()[:250].decode(errors='ignore')}",
                               chance.randbytes(size))  # fmt: skip
    household.up()
    assert len(household.same()) == 700


def test_links_travel_as_links_and_special_files_stay(household: Household) -> None:
    laptop, desktop = household
    laptop.write("target.txt", "target\n")
    (laptop.folder / "link").symlink_to("target.txt")
    (laptop.folder / "outside").symlink_to("/etc/hostname")
    os.link(laptop.folder / "target.txt", laptop.folder / "second name.txt")
    os.mkfifo(laptop.folder / "pipe")
    household.up()
    laptop.settle()
    desktop.settle()
    assert (desktop.folder / "link").readlink().name == "target.txt"
    assert str((desktop.folder / "outside").readlink()) == "/etc/hostname"
    assert (desktop.folder / "second name.txt").read_bytes() == b"target\n"
    assert not (desktop.folder / "pipe").exists()
    waiting = laptop.run("status", "--pending")["waiting"]
    assert [(row["path"], row["code"]) for row in waiting] == [("pipe", "blocked")]


def test_ignored_files_are_left_alone_on_both_sides(household: Household) -> None:
    laptop, desktop = household
    laptop.write(".vaultsyncignore", "*.log\n/build/\n")
    household.up()
    household.same()
    laptop.write("here.log", "only here\n")
    laptop.write("build/output", "only here\n")
    laptop.write("draft.txt~", "an editor's\n")
    desktop.write("there.log", "only there\n")
    laptop.write("kept.txt", "kept\n")
    laptop.settle()
    desktop.settle()
    assert set(desktop.files()) == {".vaultsyncignore", "kept.txt", "there.log"}
    assert set(laptop.files()) == {
        ".vaultsyncignore", "kept.txt", "here.log", "build/output", "draft.txt~",
    }  # fmt: skip

    (laptop.folder / "draft.txt~").unlink()
    (laptop.folder / "kept.txt").rename(laptop.folder / "kept.log")
    laptop.write(".vaultsyncignore", "")
    laptop.settle()
    desktop.settle()
    files = household.same()
    assert files["here.log"] == b"only here\n"
    assert files["there.log"] == b"only there\n"
    assert files["kept.log"] == b"kept\n"
