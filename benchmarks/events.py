"""What is measured once in a while: starts, news from elsewhere, unmounting, a server's death."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.operations import Spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.rivals import Drive, Rclone, Rival
    from benchmarks.vault import Vault

NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there."""
POLL = 1.0
"""Seconds between two looks of the drive at the vault, where news are measured."""
_LATE = 30.0
"""Seconds that are waited for what may never come."""
_LIMIT = 120.0

_COPY = """
import sys
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb", buffering=0) as target:
    while piece := source.read(1 << 18):
        target.write(piece)
        print(len(piece), flush=True)
"""


def of_drive(drive: Drive, vault: Vault, mark: str, size: int) -> Iterator[tuple[str, Spent | str]]:
    """Yield each event of ours: (name of the row, seconds or words).

    The daemon runs, nothing is mounted; so it is in the end.

    Args:
        drive: Ours.
        vault: Its vault.
        mark: A name that was not used before.
        size: Bytes of the file in whose copying the daemon is killed.
    """
    yield "start", _start(drive)
    machine = drive.machine
    machine.down()
    yield "cold start", _start(drive)
    machine.run("stop")
    usual = machine.environment
    machine.environment = usual | {"VAULTSYNC_CLOUD_ENDPOINT_URL": NOWHERE}
    yield "offline start", _start(drive)
    machine.run("stop")

    machine.environment = usual | {"VAULTSYNC_FOLDER_POLL_SECONDS": str(POLL)}
    machine.up()
    yield "news", _news(drive, vault, mark)
    machine.environment = usual
    machine.down()
    machine.up()
    yield from _unmount(drive, vault, mark)

    def again() -> None:
        machine.crash()
        machine.up()

    drive.mount()
    yield "killed", _killed(drive, mark, size, again)
    drive.unmount()


def of_rclone(
    rclone: Rclone, vault: Vault, mark: str, size: int
) -> Iterator[tuple[str, Spent | str]]:
    """Yield the same of rclone, which has nothing but the mount."""
    yield "cold start", _rclone_start(rclone)
    yield "offline start", _rclone_offline(rclone)
    yield "news", _news(rclone, vault, mark)
    yield from _unmount(rclone, vault, mark)
    rclone.mount()
    remounted: list[str] = []

    def again() -> None:
        assert rclone.process is not None
        rclone.process.kill()
        rclone.process.wait()
        ended = subprocess.run(
            rclone.command, env=rclone.environment, capture_output=True, timeout=_LIMIT, check=False
        )
        remounted.append("; mounting again is refused" if ended.returncode else "")

    said = _killed(rclone, mark, size, again)
    yield "killed", said + "".join(remounted)
    rclone.close()


def _timed(work: Callable[[], object]) -> Spent:
    began = time.monotonic()
    work()
    return Spent(0, time.monotonic() - began, 1)


def _start(drive: Drive) -> Spent:
    """`vaultsync mount`, and a look into it."""

    def work() -> None:
        drive.machine.run("mount")
        os.listdir(drive.point)

    spent = _timed(work)
    drive.machine.run("unmount")
    return spent


def _rclone_start(rclone: Rclone) -> Spent:
    command = [*rclone.command, "--daemon"]

    def work() -> None:
        subprocess.run(command, env=rclone.environment, capture_output=True, check=True)
        os.listdir(rclone.point)

    spent = _timed(work)
    subprocess.run(["fusermount3", "-u", rclone.point], check=True)
    return spent


def _rclone_offline(rclone: Rclone) -> Spent | str:
    environment = rclone.environment | {"RCLONE_CONFIG_VAULT_ENDPOINT": NOWHERE}
    command = [*rclone.command, "--daemon"]
    began = time.monotonic()
    try:
        subprocess.run(command, env=environment, capture_output=True, check=True, timeout=_LATE)
        os.listdir(rclone.point)
    except subprocess.TimeoutExpired:
        said = f"not within {_LATE:.0f} s"
    except (subprocess.CalledProcessError, OSError):
        said = "refused"
    else:
        return Spent(0, time.monotonic() - began, 1)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", rclone.point], capture_output=True, check=False)
    return said


def _news(rival: Rival, vault: Vault, mark: str) -> Spent | str:
    """A file that was read is changed elsewhere; until its new content is read."""
    name = f"news-{mark}.txt"
    vault.put(rival.prefix + name, b"old")
    rival.news()
    rival.mount()
    try:
        if (rival.point / name).read_bytes() != b"old":
            raise OSError(f"{name} is not there")
        vault.put(rival.prefix + name, b"new, and longer")
        began = time.monotonic()
        while (rival.point / name).read_bytes() == b"old":
            if time.monotonic() - began > _LATE:
                return f"not within {_LATE:.0f} s"
            time.sleep(0.01)
        return Spent(0, time.monotonic() - began, 1)
    finally:
        rival.unmount()


def _unmount(rival: Rival, vault: Vault, mark: str) -> Iterator[tuple[str, Spent | str]]:
    rival.mount()
    name = f"late-{mark}"
    (rival.point / name).write_bytes(os.urandom(4 << 20))
    time.sleep(1)
    yield "unmount", _timed(rival.unmount)
    began = time.monotonic()
    while not vault.has(rival.prefix + name):
        if time.monotonic() - began > _LATE:
            yield "sent", f"not within {_LATE:.0f} s"
            return
        time.sleep(0.05)
    yield "sent", Spent(0, time.monotonic() - began, 1)


def _killed(rival: Rival, mark: str, size: int, again: Callable[[], object]) -> str:
    """Kill the server when a third was copied, and start it again; what becomes of the copy."""
    source = rival.point.parent / f"source-{mark}"
    source.write_bytes(os.urandom(size))
    target = rival.point / f"copy-{mark}"
    command = [sys.executable, "-c", _COPY, str(source), str(target)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as copying:
        assert copying.stdout is not None
        for _ in range(size // (1 << 18) // 3):
            copying.stdout.readline()
        again()
        try:
            _, complaint = copying.communicate(timeout=_LIMIT)
        except subprocess.TimeoutExpired:
            rival.close()
            copying.kill()
            return "it hangs"
    source_hash = hashlib.sha256(source.read_bytes()).hexdigest()
    source.unlink()
    if copying.returncode:
        return complaint.strip().splitlines()[-1].partition("] ")[2] or "it fails"
    told = subprocess.run(["sha256sum", target], capture_output=True, text=True, check=False)
    same = told.stdout.split()[:1] == [source_hash]
    return "it goes on, same hash" if same else "other bytes"
