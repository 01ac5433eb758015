"""What `vaultsync demo` shows of the vault as a drive, where this machine can mount one."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from vaultsync.cli.demo.steps import ANN, FILM, World, expect
from vaultsync.cli.demo.world import settle

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 20
_LEFT_OUT = "left out: nothing can be mounted on this machine"
_PATIENCE = 60.0
"""Seconds for a program that uses the drive."""
_COPY = """
import sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb", buffering=0) as target:
    while piece := source.read(int(sys.argv[3])):
        target.write(piece)
        print(len(piece), flush=True)
        sys.stdin.readline()
"""
"""Copies a piece for each line that it is sent."""


def drive_is_mounted(world: World) -> str:
    """The vault is mounted as a drive; a file dropped into it appears in the folder."""
    if not world.mountable:
        return _LEFT_OUT
    drive = world.drive
    drive.join(world.cloud.cloud, ANN)
    world.drive_daemon = drive.run("start")["pid"]
    drive.run("mount")
    drive.settle()
    _use("cp", "-p", world.laptop.folder / "documents/table.csv", drive.folder / "dropped.csv")
    settle(drive, world.laptop)
    dropped = world.laptop.folder / "dropped.csv"
    same = dropped.read_bytes() == (world.laptop.folder / "documents/table.csv").read_bytes()
    expect(same, "it is not the same file")
    count = len(_use("find", drive.folder, "-type", "f").splitlines())
    return f"{count} files to be seen, {drive.run('status')['drive']['cached'] / 1e6:.1f} MB here"


def drive_reads_a_part(world: World) -> str:
    """A large file opens in the drive at once, and only what is read is fetched."""
    if not world.mountable:
        return _LEFT_OUT
    film = "film.bin"
    before = world.drive.run("status")["drive"]["cached"]
    cut = ("dd", f"if={world.drive.folder / film}", "bs=64K", "skip=1000", "count=1", "status=none")
    with (world.laptop.folder / film).open("rb") as file:
        file.seek(1000 << 16)
        expect(_use(*cut) == file.read(1 << 16), "other bytes were read")
    fetched = world.drive.run("status")["drive"]["cached"] - before
    expect(fetched < FILM // 4, f"{fetched / 1e6:.0f} MB of it were fetched")
    return f"{fetched / 1e6:.1f} MB of {FILM / 1e6:.0f} MB fetched"


def drive_outlives_its_daemon(world: World) -> str:
    """A copy into the drive goes on, without an error, over the death of the daemon."""
    if not world.mountable:
        return _LEFT_OUT
    content = random.Random(3).randbytes(40 * _PIECE)  # noqa: S311 - no secret
    source = world.home / "source.bin"
    source.write_bytes(content)
    target = world.drive.folder / "copied.bin"
    command = [sys.executable, "-c", _COPY, str(source), str(target), str(_PIECE)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as copying:
        for _ in range(10):
            _copy_on(copying)
        os.kill(world.drive_daemon, signal.SIGKILL)
        try:
            world.drive.run("start")
            copying.communicate("\n" * 40, timeout=_PATIENCE)
        finally:
            copying.kill()
    expect(copying.returncode == 0, "the copy failed")
    wanted = hashlib.sha256(content).hexdigest()
    found = _use("sha256sum", target).split()[0].decode()
    expect(found == wanted, "the copy has other bytes")
    settle(world.drive, world.laptop)
    arrived = hashlib.sha256((world.laptop.folder / "copied.bin").read_bytes()).hexdigest()
    expect(arrived == wanted, "other bytes arrived in the folder")
    return f"killed after 10 of {len(content) >> 20} MiB, same SHA-256 everywhere"


DRIVE = (drive_is_mounted, drive_reads_a_part, drive_outlives_its_daemon)
"""The steps, in order."""


def _copy_on(copying: subprocess.Popen[str]) -> None:
    """Have one more piece copied."""
    if copying.stdout is None or copying.stdin is None:
        raise ValueError("it has no pipes")
    copying.stdout.readline()
    copying.stdin.write("\n")
    copying.stdin.flush()


def _use(*command: str | Path) -> bytes:
    """Run a program that uses the drive; this process itself never waits for one of ours."""
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=_PATIENCE, check=True).stdout
