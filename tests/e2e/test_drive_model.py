"""A drive with a real daemon and a real mount, on the model of S3, which misbehaves on command."""

from __future__ import annotations

import errno
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.e2e.drives import DriveMachine
from tests.mount.kernel.mounted import needs_fuse
from tests.s3 import foreign_client
from tests.s3model import Fault, S3Model
from tests.s3model.profile import join

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [needs_fuse, pytest.mark.timeout(240)]

_SYNC = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
for line in sys.argv[2:]:
    os.write(file, line.encode())
    try:
        os.fsync(file)
        print(0, flush=True)
    except OSError as error:
        print(error.errno, flush=True)
    if sys.stdin.readline() == "":
        break
"""
_NETWORK_IS_GONE = Fault("lost-request")


class Desk(NamedTuple):
    """A drive whose daemon runs, on a model."""

    model: S3Model
    machine: DriveMachine
    prefix: str

    def stored(self, path: str) -> bytes | None:
        """What the vault has."""
        found = self.model.vault.objects.get(self.prefix + path)
        return None if found is None else b"".join(found.body)


@pytest.fixture
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """One that looks at the vault twice a second, or as often as the parameter says."""
    with S3Model() as model:
        machine = DriveMachine(tmp_path, "desk", getattr(request, "param", 0.5))
        settings: dict[str, object] = {"folder.kind": "drive", "drive.fsync": "remote"}
        prefix = join(
            model.url, machine.config_dir, machine.folder, device="desk", settings=settings
        )
        machine.up()
        machine.mount()
        yield Desk(model, machine, prefix)
        machine.close()


def test_fsync_waits_for_the_vault(desk: Desk) -> None:
    """Also where a file is synced more often than one would send it."""
    lines = [f"line {number}\n" for number in range(12)]
    with desk.machine.process_of(_SYNC, desk.machine.point / "log", *lines) as syncing:
        assert syncing.stdin is not None
        assert syncing.stdout is not None
        for number in range(len(lines)):
            assert syncing.stdout.readline() == "0\n"
            assert desk.stored("log") == "".join(lines[: number + 1]).encode()
            syncing.stdin.write("\n")
            syncing.stdin.flush()


def test_fsync_without_a_network_fails_and_loses_nothing(desk: Desk) -> None:
    desk.machine.write("before", b"x")
    desk.machine.settle()
    desk.model.faults.add(_NETWORK_IS_GONE)
    said = desk.machine.python(_SYNC, desk.machine.point / "file", "unsent\n")
    assert said == str(errno.EIO)
    assert desk.machine.read("file") == b"unsent\n"
    assert desk.machine.mark("file") == "pending"
    desk.machine.crash()
    desk.model.faults.clear()
    desk.machine.up()
    ends = time.monotonic() + 60
    while desk.stored("file") != b"unsent\n":
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_what_is_ignored_is_synced_here_alone(desk: Desk) -> None:
    said = desk.machine.python(_SYNC, desk.machine.point / "file.tmp~", "here\n")
    assert said == "0"
    assert desk.stored("file.tmp~") is None


_LATE = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
print("open", flush=True)
sys.stdin.readline()
os.write(file, b"late")
os.close(file)
print("written", flush=True)
"""


def test_what_is_written_late_is_kept_whatever_was_killed_meanwhile(desk: Desk) -> None:
    """By a program that has a file open which was replaced under a daemon that did not know."""
    machine = desk.machine
    machine.write("f.txt", b"base ")
    machine.settle()
    with machine.process_of(_LATE, machine.point / "f.txt") as late:
        assert late.stdin is not None
        assert late.stdout is not None
        assert late.stdout.readline() == "open\n"
        machine.crash()
        client = foreign_client(desk.model.url)
        place = {"Bucket": desk.model.vault.name, "Key": desk.prefix + "f.txt"}
        client.put_object(**place, Body=b"theirs")
        client.close()
        machine.up()
        machine.settle()
        assert machine.read("f.txt") == b"theirs"
        machine.crash()
        machine.up()
        late.stdin.write("\n")
        late.stdin.flush()
        assert late.stdout.readline() == "written\n"
    machine.settle()
    files = machine.files()
    assert files.pop("f.txt") == b"theirs"
    ((copy, content),) = files.items()
    assert copy.startswith("f (conflict desk ")
    assert content == b"base late" == desk.stored(copy)


@pytest.mark.parametrize("desk", [3600.0], indirect=True)
def test_what_was_replaced_elsewhere_is_read_before_the_next_poll(desk: Desk) -> None:
    """Where no old versions are kept, so that the one that was seen is gone."""
    desk.model.vault.versioning = ""
    client = foreign_client(desk.model.url)
    place = {"Bucket": desk.model.vault.name, "Key": desk.prefix + "big.bin"}
    client.put_object(**place, Body=b"a" * 300_000)
    desk.machine.settle()
    client.put_object(**place, Body=b"b" * 400_000)
    client.close()
    with pytest.raises(subprocess.CalledProcessError):
        desk.machine.read("big.bin")
    ends = time.monotonic() + 30
    while desk.machine.use("stat", "-c", "%s", desk.machine.point / "big.bin") != b"400000\n":
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert desk.machine.read("big.bin") == b"b" * 400_000
