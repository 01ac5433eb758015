"""The commands of the drive, as far as they need no mount."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse
from vaultsync import config
from vaultsync.core.errors import NotFound
from vaultsync.core.model import Mount, State, Status
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Program
    from tests.served import PlainVault


@pytest.fixture
def drive(program: Program) -> Program:
    """The program with the profile `default`, which is a drive."""
    config.save(program.home / "config.toml", "default", {"folder.kind": "drive"})
    return program


@pytest.mark.parametrize("command", ["mount", "unmount"])
def test_a_folder_is_not_mounted(program: Program, command: str) -> None:
    said = program(command)
    assert said.code == 78
    assert "init --drive" in said.err


def test_a_profile_is_a_folder_or_a_drive(bare: Program) -> None:
    words = ["--region", "eu-west-1", "--user-pool", "eu-west-1_a", "--client", "c"]
    words += ["--identity-pool", "eu-west-1:p", "--bucket", "b", "--yes"]
    place = str(bare.folder)
    assert bare("init", *words, "--folder", place, "--drive", place).code == 2
    assert bare("init", *words, "--drive", place, "--json").json["result"]["drive"] == place
    (profile,) = config.load(bare.home / "config.toml").profiles.values()
    assert (profile.folder.kind, profile.folder.path) == ("drive", bare.folder)
    assert bare("init", *words, "--folder", place).code == 0
    (profile,) = config.load(bare.home / "config.toml").profiles.values()
    assert profile.folder.kind == "folder"


def test_status_tells_where_it_is_mounted(drive: Program, vault: PlainVault) -> None:
    vault.now = Status(State.IDLE, drive=Mount(None, None, 1_500, 10_000_000_000))
    said = drive("status").out
    assert f"Drive      {drive.folder} (not mounted)\n" in said
    assert "Cache      1.5 kB of 10.0 GB\n" in said
    vault.now = Status(State.IDLE, drive=Mount("/mnt/elsewhere", 7))
    assert "Drive      /mnt/elsewhere (mounted)\n" in drive("status").out
    vault.now = Status(State.IDLE, drive=Mount("/mnt/elsewhere", 7, backend="mfusepy"))
    assert "Drive      /mnt/elsewhere (mounted through mfusepy)\n" in drive("status").out
    told = drive("status", "--json").json["result"]["drive"]
    wanted = {"at": "/mnt/elsewhere", "pid": 7, "cached": 0, "limit": 0, "backend": "mfusepy"}
    assert told == wanted


def test_paths_below_the_mount_point_are_understood(drive: Program, vault: PlainVault) -> None:
    vault.now = Status(State.IDLE, drive=Mount("/mnt/elsewhere", 7))
    for path in ("/mnt/elsewhere/a/b.txt", f"{drive.folder}/a/b.txt", "a/b.txt"):
        assert drive("why", path).code == 0
    assert vault.told == [("why", "a/b.txt")] * 3


def test_what_is_mounted_is_not_mounted_again(drive: Program, vault: PlainVault) -> None:
    vault.now = Status(State.IDLE, drive=Mount("/mnt/elsewhere", 7))
    said = drive("mount")
    assert said.code == 9
    assert "/mnt/elsewhere" in said.err


def test_what_is_not_mounted_cannot_be_unmounted(drive: Program, vault: PlainVault) -> None:
    assert drive("unmount").code == 11
    assert drive("unmount", "/mnt/elsewhere").code == 11


@needs_fuse
@pytest.mark.parametrize("where", [["--foreground"], []])
def test_a_machine_without_the_helper_is_told_so(
    drive: Program, vault: PlainVault, tmp_path: Path, where: list[str]
) -> None:
    said = drive("mount", *where, PATH=os.fspath(tmp_path))
    assert said.code == 77
    assert "fuse3" in said.err


@needs_fuse
@pytest.mark.parametrize("where", [["--foreground"], []])
def test_what_keeps_the_daemon_from_starting_is_told(drive: Program, where: list[str]) -> None:
    (drive.home / "state/default/lock").mkdir(parents=True)
    said = drive("mount", *where)
    assert said.code == 6
    assert "The lock file" in said.err
    assert holder.mounted(drive.folder) is None


@needs_fuse
def test_a_folder_with_something_in_it_is_not_covered(drive: Program, vault: PlainVault) -> None:
    (drive.folder / "a.txt").write_text("a")
    said = drive("mount")
    assert said.code == 6
    assert "not empty" in said.err


def test_pinning_names_paths_as_the_vault_does(drive: Program, vault: PlainVault) -> None:
    said = drive("pin", "a", f"{drive.folder}/b.txt", "--json")
    assert said.json["result"] == {"paths": ["a", "b.txt"], "pinned": True}
    assert drive("unpin", "a").code == 0
    assert vault.told == [("pin", "a", True), ("pin", "b.txt", True), ("pin", "a", False)]
    vault.problem = NotFound("There is no 'c' in the drive.", "Check the name.")
    assert drive("pin", "c").code == 11
