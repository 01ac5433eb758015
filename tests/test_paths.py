from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from vaultsync.core.errors import MachineRefused
from vaultsync.paths import LONGEST_SOCKET, local_cloud, make_private, places


def test_the_xdg_folders_are_used(clean_environment: Path) -> None:
    home = clean_environment
    found = places("home")
    assert found.config_file == home / ".config/vaultsync/config.toml"
    assert found.state_dir == home / ".local/state/vaultsync/home"
    assert found.cache_dir == home / ".cache/vaultsync/home"
    assert found.lock.parent == found.log.parent == found.state_dir
    assert local_cloud() == home / ".local/share/vaultsync/cloud"


def test_the_socket_is_in_the_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4242")
    assert places("home").socket == Path("/run/user/4242/vaultsync/home.sock")


def test_one_folder_holds_everything_of_an_instance(tmp_path: Path) -> None:
    found = places("home", Path("/v"))
    assert found.config_file == Path("/v/config.toml")
    assert found.socket == Path("/v/run/home.sock")
    assert local_cloud(Path("/v")) == Path("/v/cloud")
    every = [found.state_dir, found.cache_dir, found.socket, found.lock, found.log]
    assert all(path.is_relative_to("/v") for path in every)
    assert not tmp_path.joinpath("v").exists()


def test_a_relative_folder_means_the_same_after_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert places("home", Path("v")).config_file == tmp_path / "v/config.toml"


@pytest.mark.parametrize("length", [20, 90, 107, 108, 250, 1_000])
def test_a_socket_can_be_bound_however_long_the_folder(tmp_path: Path, length: int) -> None:
    folder = tmp_path
    while len(str(folder)) < length:
        folder /= "ü" * 20
    found = places("home", folder).socket
    assert len(os.fsencode(found)) <= LONGEST_SOCKET
    make_private(found.parent)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(found))
    found.unlink()
    assert found == places("home", folder).socket
    assert found != places("work", folder).socket
    assert found != places("home", folder / "other").socket


def test_a_long_path_does_not_depend_on_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("/x" * 80)
    before = places("home", folder).socket
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert places("home", folder).socket == before


def test_a_private_folder_is_made_and_mended(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    make_private(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.chmod(0o777)
    make_private(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_place_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    for place in ("file", "link"):
        with pytest.raises(MachineRefused):
            make_private(tmp_path / place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "theirs"
    place.mkdir(mode=0o700)
    os.chown(place, 65_534, 65_534)
    with pytest.raises(MachineRefused):
        make_private(place)
