"""Why a drive cannot be mounted, and how its connection changes hands."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Blocked, MachineRefused
from vaultsync.mount.kernel import holder
from vaultsync.mount.kernel.holder import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Call it with a shell program to have it in fusermount3's place."""
    programs = tmp_path / "programs"
    programs.mkdir()
    device = tmp_path / "fuse"
    device.touch()
    monkeypatch.setattr(holder, "_DEVICE", device)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")

    def install(program: str) -> None:
        file = programs / "fusermount3"
        file.write_text(f"#!/bin/sh\n{program}\n")
        file.chmod(0o755)

    install("exit 0")
    return install


@pytest.fixture
def point(tmp_path: Path) -> Path:
    point = tmp_path / "drive"
    point.mkdir()
    return point


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "nodev,nosuid,rw"),
        (Options(allow_other=True, read_only=True), "nodev,nosuid,allow_other,ro"),
        (Options(devices=True), "dev,suid,rw"),
    ],
)
def test_options(options: Options, words: str) -> None:
    always = "fsname=vaultsync,subtype=vaultsync,default_permissions,max_read=524288"
    assert options.words() == f"{always},{words}"


def test_no_device(
    helper: Callable[[str], None], point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder, "_DEVICE", point / "nothing")

    with pytest.raises(MachineRefused, match="is missing") as caught:
        holder.mount(point)
    assert "modprobe fuse" in caught.value.hint


def test_no_helper(
    helper: Callable[[str], None], point: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(point))

    with pytest.raises(MachineRefused, match="fusermount3 is missing") as caught:
        holder.mount(point)
    assert "fuse3" in caught.value.hint
    with pytest.raises(MachineRefused, match="fusermount3 is missing"):
        holder.unmount(point)


REFUSALS = {
    "option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf": (
        MachineRefused,
        "user_allow_other",
    ),
    "fuse device not found, try 'modprobe fuse' first": (MachineRefused, "module"),
    "mount failed: Operation not permitted": (MachineRefused, "setuid root"),
    "user has no write access to mountpoint /x": (Blocked, "belong to you"),
}


@pytest.mark.parametrize("said", REFUSALS)
def test_refusals(helper: Callable[[str], None], point: Path, said: str) -> None:
    kind, hint = REFUSALS[said]
    helper(f'echo "fusermount3: {said}" >&2; exit 1')

    with pytest.raises(kind) as caught:
        holder.mount(point)
    assert hint in caught.value.hint


def test_helper_that_hands_nothing_over(helper: Callable[[str], None], point: Path) -> None:
    with pytest.raises(MachineRefused, match="did not hand over"):
        holder.mount(point)


def test_helper_is_asked_for_the_connection(helper: Callable[[str], None], point: Path) -> None:
    helper(f'echo "$_FUSE_COMMFD|$*" >{point.parent}/asked; exit 1')

    with pytest.raises(Blocked):
        holder.mount(point)

    number, asked = (point.parent / "asked").read_text().split("|")
    assert int(number) > 2
    assert asked == f"-o {Options().words()} -- {point}\n"


def test_no_empty_directory(helper: Callable[[str], None], tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="does not exist"):
        holder.mount(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(Blocked, match="is no directory"):
        holder.mount(tmp_path / "file")
    (tmp_path / "full" / "below").mkdir(parents=True)
    with pytest.raises(Blocked, match="is not empty"):
        holder.mount(tmp_path / "full")


def test_link_to_the_directory_is_followed(helper: Callable[[str], None], point: Path) -> None:
    helper(f'echo "$*" >{point.parent}/asked; exit 1')
    link = point.parent / "link"
    link.symlink_to(point)

    with pytest.raises(Blocked):
        holder.mount(link)

    assert (point.parent / "asked").read_text().endswith(f" -- {point}\n")


def test_what_is_mounted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    place = "/no where/dr\\ive\xe4"
    written = "/no\\040where/dr\\134ive\xe4"
    table.write_text(
        f"20 1 0:21 / {written} rw,relatime shared:1 - fuse.vaultsync vaultsync rw\n"
        f"21 1 0:22 / {written}/below rw - tmpfs tmpfs rw\n"
        f"22 1 0:23 / {written} rw - ext4 /dev/sda rw\n"
    )
    monkeypatch.setattr(holder, "_MOUNTS", table)

    assert holder.mounted(Path(place)) == "ext4"
    assert holder.mounted(Path(place, "below")) == "tmpfs"
    assert holder.mounted(Path("/no where")) is None
    assert not holder.stale(Path("/no where"))


# Handing over


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    for end in (one, other):
        end.settimeout(10)
    yield one, other
    one.close()
    other.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_connection_changes_hands(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    ours, theirs = os.pipe()
    words = {"point": "/drive/ä", "fresh": False, "long": "x" * 50_000}
    sender = threading.Thread(target=holder.offer, args=(one, theirs, words))
    sender.start()

    taken, described = holder.take(other)
    sender.join()

    assert described == words
    assert not os.get_inheritable(taken)
    os.write(taken, b"through it")
    assert os.read(ours, 100) == b"through it"
    for fd in (taken, ours, theirs):
        os.close(fd)


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0", b"\0\0\0\4ab", b"\0\0\0\2[]", b"\0\0\0\1{", b"\xff" * 4]
)
def test_half_an_offer_is_none(ends: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    one, other = ends
    before = descriptors()
    if sent:
        socket.send_fds(one, [sent], [0])
    one.shutdown(socket.SHUT_WR)

    with pytest.raises((OSError, ValueError)):
        holder.take(other)
    assert descriptors() == before


def test_offer_without_a_connection_is_none(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    one.sendall(b"\0\0\0\2{}")

    with pytest.raises(ConnectionAbortedError):
        holder.take(other)


def test_too_many_words_are_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(ValueError, match="too long"):
        holder.offer(ends[0], 0, {"long": "x" * 70_000})


def test_other_users_get_and_give_nothing(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)

    with pytest.raises(Blocked, match=f"of user {uid} "):
        holder.offer(ends[0], 0, {})
    with pytest.raises(Blocked, match=f"of user {uid} "):
        holder.take(ends[1])
