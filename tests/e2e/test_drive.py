"""A drive and a folder of one account, with real daemons and a real mount."""

from __future__ import annotations

import hashlib
import random
import secrets
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.e2e.drives import LIMIT, DriveMachine
from tests.mount.kernel.mounted import needs_fuse
from vaultsync.cli.demo.world import CommandFailed, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Machine
    from vaultsync.cloud.local import LocalCloud

pytestmark = [needs_fuse, pytest.mark.timeout(240)]

LARGE = random.Random(5).randbytes(300_000)
"""More than what comes along with the news of a file."""
_NOWHERE = {"VAULTSYNC_CLOUD_ENDPOINT_URL": "http://127.0.0.1:9"}


class Pair(NamedTuple):
    """One person's devices: a folder and a drive, both signed in, daemons not started."""

    laptop: Machine
    desk: DriveMachine

    def up(self) -> None:
        """Start both daemons and mount the drive."""
        with ThreadPoolExecutor() as at_once:
            list(at_once.map(lambda machine: machine.up(), self))
        self.desk.mount()

    def same(self) -> dict[str, bytes]:
        """Wait until both are at rest and equal; return the files."""
        settle(*self)
        assert self.desk.files() == self.laptop.files()
        return self.laptop.files()


@pytest.fixture
def pair(
    tmp_path: Path,
    new_machine: Callable[..., Machine],
    new_person: Callable[..., Any],
    cloud: LocalCloud,
) -> Iterator[Pair]:
    email, password = new_person(cloud)
    both = Pair(new_machine("laptop"), DriveMachine(tmp_path, "desk"))
    for machine in both:
        machine.join(cloud.cloud, email, password)
    yield both
    both.desk.close()


def test_what_is_dropped_into_the_drive_appears_in_the_folder(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    desk.write("notes/today.txt", "from the drive\n")
    desk.write("large.bin", LARGE)
    assert desk.mark("large.bin") in ("pending", "uploading", "synced")
    settle(desk, laptop)
    assert laptop.files() == {"notes/today.txt": b"from the drive\n", "large.bin": LARGE}
    desk.until_mark("large.bin", "synced")
    assert desk.mark("large.bin", "etag")


def test_what_comes_from_the_folder_is_fetched_when_it_is_read(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("pictures/large.bin", LARGE)
    settle(laptop, desk)
    assert desk.mark("pictures/large.bin") == "online-only"
    assert desk.drive()["cached"] < len(LARGE)
    assert desk.read("pictures/large.bin") == LARGE
    desk.until_mark("pictures/large.bin", "synced")
    assert desk.drive()["cached"] >= len(LARGE)


def test_an_edit_elsewhere_is_seen_where_the_old_one_was_read(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("text.txt", "first\n")
    settle(laptop, desk)
    assert desk.read("text.txt") == b"first\n"
    laptop.write("text.txt", "second, and longer\n")
    settle(laptop, desk)
    assert desk.read("text.txt") == b"second, and longer\n"


def test_renames_and_deletions_in_the_drive_travel(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("old/large.bin", LARGE)
    laptop.write("old/small.txt", "small\n")
    laptop.write("gone.txt", "gone\n")
    settle(laptop, desk)
    desk.use("mv", desk.point / "old", desk.point / "new")
    desk.use("rm", desk.point / "gone.txt")
    settle(desk, laptop)
    assert laptop.files() == {"new/large.bin": LARGE, "new/small.txt": b"small\n"}
    # What was only renamed was not fetched for it.
    assert desk.drive()["cached"] < len(LARGE)
    assert pair.same() == laptop.files()


def test_two_edits_of_one_file_are_both_kept(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("report.txt", "first\n")
    settle(laptop, desk)
    desk.run("pause")
    desk.write("report.txt", "as the drive has it\n")
    laptop.write("report.txt", "as the laptop has it\n")
    laptop.settle()
    desk.run("resume")
    pair.same()
    files = pair.same()
    assert sorted(files.values()) == [b"as the drive has it\n", b"as the laptop has it\n"]
    copy = next(name for name in files if name != "report.txt")
    assert copy.startswith("report (conflict ")
    assert desk.mark(copy) == "conflict"


_COPY = """
import sys, time
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb", buffering=0) as target:
    while piece := source.read(1 << 18):
        target.write(piece)
        print(len(piece), flush=True)
        time.sleep(0.005)
"""


def test_a_copy_goes_on_after_the_daemon_was_killed(pair: Pair, tmp_path: Path) -> None:
    laptop, desk = pair
    pair.up()
    content = random.Random(9).randbytes(40 << 20)
    source = tmp_path / "source.bin"
    source.write_bytes(content)
    command = [sys.executable, "-c", _COPY, str(source), str(desk.point / "copy.bin")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as copying:
        assert copying.stdout is not None
        try:
            for _ in range(3):
                for _ in range(30):
                    assert copying.stdout.readline()
                desk.crash()
                desk.up()
            copying.communicate(timeout=LIMIT)
        except BaseException:
            # Nobody can be killed who waits for a daemon that is gone.
            desk.close()
            copying.kill()
            raise
    assert copying.returncode == 0
    wanted = hashlib.sha256(content).hexdigest()
    assert desk.use("sha256sum", desk.point / "copy.bin").decode().split()[0] == wanted
    settle(desk, laptop)
    assert hashlib.sha256(laptop.files()["copy.bin"]).hexdigest() == wanted


def test_a_mount_through_mfusepy_comes_back_with_the_daemon(pair: Pair) -> None:
    """What is open then is lost to its programs; nothing that was written is."""
    laptop, desk = pair
    for machine in pair:
        machine.up()
    desk.mount("--backend", "mfusepy")
    assert desk.drive()["backend"] == "mfusepy"
    laptop.write("large.bin", LARGE)
    settle(laptop, desk)
    desk.write("before.txt", "before\n")
    assert desk.read("large.bin") == LARGE
    desk.crash()
    desk.up()
    ends = time.monotonic() + LIMIT
    while desk.drive()["at"] is None:
        assert time.monotonic() < ends, "it is not mounted again"
        time.sleep(0.1)
    assert desk.read("before.txt") == b"before\n"
    desk.write("after.txt", "after\n")
    wanted = {"large.bin": LARGE, "before.txt": b"before\n", "after.txt": b"after\n"}
    assert pair.same() == wanted
    assert desk.down() == 0
    desk.up()
    desk.run("unmount", "--wait")
    assert desk.unmounted() == 0
    assert desk.drive()["at"] is None


def test_without_a_network_the_drive_is_there(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("read.bin", LARGE)
    laptop.write("unread.bin", LARGE[::-1])
    settle(laptop, desk)
    assert desk.read("read.bin") == LARGE
    desk.run("unmount")
    assert desk.unmounted() == 0
    assert desk.down() == 0

    online = dict(desk.environment)
    desk.environment |= _NOWHERE
    desk.up()
    desk.mount()
    assert desk.names() == ["read.bin", "unread.bin"]
    assert desk.read("read.bin") == LARGE
    with pytest.raises(subprocess.CalledProcessError):
        desk.read("unread.bin")
    desk.write("new.txt", "written on a train\n")
    assert desk.mark("new.txt") == "pending"

    desk.environment = online
    assert desk.down() == 0
    desk.up()
    settle(desk, laptop)
    assert laptop.files()["new.txt"] == b"written on a train\n"
    assert pair.same().keys() == {"read.bin", "unread.bin", "new.txt"}


def test_what_was_not_sent_yet_is_sent_after_unmounting(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    desk.write("late.bin", LARGE)
    desk.run("unmount", "--wait", "--timeout", "60")
    assert desk.unmounted() == 0
    assert desk.drive()["at"] is None
    laptop.settle()
    assert laptop.files() == {"late.bin": LARGE}
    desk.mount()
    assert desk.read("late.bin") == LARGE


def test_mounting_in_the_background_starts_the_daemon(pair: Pair) -> None:
    _, desk = pair
    pid = desk.run("mount")["pid"]
    try:
        desk.write("a.txt", "a\n")
        assert desk.drive() | {"cached": 0, "limit": 0} == {
            "at": str(desk.point), "pid": pid, "cached": 0, "limit": 0, "backend": "kernel",
        }  # fmt: skip
        with pytest.raises(CommandFailed) as refused:
            desk.run("mount")
        assert refused.value.status == 9
        assert desk.run("why", str(desk.point / "a.txt"))["path"] == "a.txt"
        desk.run("unmount")
        with pytest.raises(CommandFailed) as refused:
            desk.run("unmount")
        assert refused.value.status == 11
    finally:
        desk.close()
        desk.run("stop")


def test_a_line_of_fstab_mounts_it(pair: Pair) -> None:
    _, desk = pair
    helper = [sys.executable, "-c", "from vaultsync.cli.fstab import main; main()"]
    options = f"rw,noauto,user,x-gvfs-show,cache_size=0.5,config_dir={desk.config_dir}"
    line = [*helper, "default", str(desk.point), "-n", "-o", options]
    try:
        subprocess.run(line, env=desk.environment, timeout=LIMIT, check=True)
        desk.write("a.txt", "a\n")
        assert desk.drive()["limit"] == 500_000_000
        again = subprocess.run(line, env=desk.environment, timeout=LIMIT, check=False)
        assert again.returncode == 32
        desk.run("unmount")
    finally:
        desk.close()
        desk.run("stop")


def test_the_manager_hears_of_the_mount_and_its_end(pair: Pair) -> None:
    _, desk = pair
    desk.up()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = f"vaultsync-e2e-{secrets.token_hex(8)}"
        manager.bind("\0" + address)
        manager.settimeout(30)
        before, desk.environment = desk.environment, {
            **desk.environment, "NOTIFY_SOCKET": "@" + address,
        }  # fmt: skip
        desk.mount()
        desk.environment = before
        told = [manager.recv(4096), manager.recv(4096)]
        desk.run("unmount")
        assert desk.unmounted() == 0
        told.append(manager.recv(4096))
    assert b"READY=1" in told
    assert told[-1] == b"STOPPING=1"


def test_a_mount_can_be_for_reading_and_have_a_cache_of_its_own(pair: Pair) -> None:
    _, desk = pair
    desk.up()
    usual = desk.drive()["limit"]
    desk.mount("--read-only", "--cache-size", "0.5")
    assert desk.drive()["limit"] == 500_000_000
    with pytest.raises(subprocess.CalledProcessError):
        desk.use("touch", desk.point / "a.txt")
    desk.run("unmount")
    assert desk.unmounted() == 0
    assert desk.drive()["limit"] == usual


def test_a_holder_that_is_told_to_end_unmounts(pair: Pair) -> None:
    _, desk = pair
    pair.up()
    assert desk.holder is not None
    desk.holder.terminate()
    assert desk.unmounted() == 0
    ends = time.monotonic() + 10
    while desk.drive()["at"] is not None:
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_mount_whose_holder_was_killed_goes_on_until_the_next_one(pair: Pair) -> None:
    _, desk = pair
    pair.up()
    desk.write("a.txt", "a\n")
    assert desk.holder is not None
    desk.holder.kill()
    desk.unmounted()
    assert desk.read("a.txt") == b"a\n"
    desk.mount()
    assert desk.read("a.txt") == b"a\n"
    assert desk.holder is not None
    assert desk.drive()["pid"] == desk.holder.pid


def test_a_drive_in_use_is_not_unmounted(pair: Pair) -> None:
    _, desk = pair
    pair.up()
    desk.write("a.txt", "a\n")
    tail = ["tail", "-f", str(desk.point / "a.txt")]
    with subprocess.Popen(tail, stdout=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        try:
            assert reading.stdout.readline() == b"a\n"
            with pytest.raises(CommandFailed, match="busy") as refused:
                desk.run("unmount")
            assert refused.value.status == 6
            assert desk.read("a.txt") == b"a\n"
        finally:
            reading.kill()
    desk.run("unmount")
    assert desk.unmounted() == 0


def test_old_versions_come_back_in_the_drive(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("large.bin", LARGE)
    settle(laptop, desk)
    laptop.write("large.bin", b"spoilt")
    settle(laptop, desk)
    assert desk.read("large.bin") == b"spoilt"
    old = next(row["id"] for row in desk.run("versions", "large.bin") if row["size"] == len(LARGE))
    desk.run("restore", "large.bin", "--version", old)
    settle(desk, laptop)
    assert laptop.files() == {"large.bin": LARGE}
    assert desk.files() == {"large.bin": LARGE}


def test_what_is_pinned_is_fetched(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("album/one.bin", LARGE)
    settle(laptop, desk)
    assert desk.mark("album/one.bin") == "online-only"
    desk.run("pin", str(desk.point / "album"))
    assert desk.mark("album/one.bin", "pinned") == "1"
    desk.until_mark("album/one.bin", "synced")
    laptop.write("album/two.bin", LARGE[::-1])
    settle(laptop, desk)
    desk.until_mark("album/two.bin", "synced")
    desk.run("unpin", "album")
    assert desk.mark("album/two.bin", "pinned") == "0"
    desk.python(
        "import os, sys; os.setxattr(sys.argv[1], 'user.vaultsync.pinned', b'1')",
        desk.point / "album/one.bin",
    )
    assert desk.mark("album/one.bin", "pinned") == "1"


def test_what_is_pinned_stays_so_when_it_is_edited_elsewhere(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("one.bin", LARGE)
    settle(laptop, desk)
    desk.run("pin", "one.bin")
    desk.until_mark("one.bin", "synced")
    laptop.write("one.bin", LARGE[::-1])
    settle(laptop, desk)
    assert desk.mark("one.bin", "pinned") == "1"
    desk.until_mark("one.bin", "synced")


def test_the_drives_own_rules_hold(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    desk.write(".vaultsyncignore", "*.log\n")
    settle(desk, laptop)
    desk.write("here.log", "only here\n")
    desk.write("kept.txt", "kept\n")
    settle(desk, laptop)
    assert set(laptop.files()) == {".vaultsyncignore", "kept.txt"}
    assert set(desk.files()) == {".vaultsyncignore", "kept.txt", "here.log"}
    assert desk.mark("here.log") == "ignored"


def test_status_of_a_path_tells_how_a_file_stands(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("d/large.bin", LARGE)
    laptop.write("d/here.tmp~", "left alone\n")
    settle(laptop, desk)

    def told(machine: Machine, path: str) -> Any:
        (found,) = machine.run("status", path)["paths"]
        return found

    inside, mounted = str(laptop.folder / "d/large.bin"), str(desk.point / "d/large.bin")
    assert told(laptop, inside)["condition"] == "synced"
    assert told(laptop, "d/here.tmp~")["condition"] == "ignored"
    assert told(desk, mounted)["condition"] == "online-only" == desk.mark("d/large.bin")
    assert told(desk, str(desk.point))["counts"] == {"online-only": 1}
    for machine in pair:
        machine.run("pause")
        machine.write("new.txt", "new\n")
        machine.until_told("new.txt", "pending", "Syncing is paused.")
    assert told(desk, "")["counts"] == {"online-only": 1, "pending": 1}
    assert laptop.refusal("status", "d/nothing")[0] == 11
    desk.run("resume")
    settle(desk)
    assert told(desk, "new.txt")["condition"] == "synced" == desk.mark("new.txt")


def test_a_damaged_database_takes_no_unsent_file_with_it(pair: Pair) -> None:
    laptop, desk = pair
    pair.up()
    laptop.write("sent.txt", "sent\n")
    settle(laptop, desk)
    desk.run("pause")
    desk.write("unsent.bin", LARGE)
    assert desk.down() == 0
    state = desk.config_dir / "state" / "default"
    with (state / "state.db").open("r+b") as database:
        database.seek(100)
        database.write(b"\xff" * 8000)
    desk.up()
    # The holder has mounted the new drive in the place of the old one.
    settle(desk)
    assert desk.files() == {"sent.txt": b"sent\n"}

    (aside,) = (desk.config_dir / "cache" / "default").glob("content.damaged-*")
    assert LARGE in [path.read_bytes() for path in aside.rglob("*") if path.is_file()]
    (warning,) = [each for each in desk.run("status")["warnings"] if str(aside) in each]
    assert str(next(state.glob("state.db.damaged-*"))) in warning
