"""Is it the right folder? If not: a reason, and nothing filled, nothing deleted."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, DiskWorld, LinksOnly, SystemClock, ignored
from tests.local.seeing import look
from vaultsync.core.errors import Fatal, MachineRefused
from vaultsync.local.disk import Disk
from vaultsync.local.files import SystemFiles

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local.hooked import Hooked
    from vaultsync.local.files import Files


def disk(root: Path, marker: str | None = None, files: Files | None = None) -> Disk:
    return Disk(root, "laptop", SystemClock(), ignored, marker, files)


class TestBind:
    def test_makes_a_marker_that_stays(self, tmp_path: Path) -> None:
        marker = disk(tmp_path).bind()
        assert len(marker) == 32
        assert disk(tmp_path).bind() == marker
        disk(tmp_path, marker).check()
        assert (tmp_path / ".vaultsync").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / ".vaultsync/staging").stat().st_mode & 0o777 == 0o700

    def test_each_folder_has_its_own(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        assert disk(tmp_path / "a").bind() != disk(tmp_path / "b").bind()

    def test_empty_marker_of_a_crash_is_made_anew(self, tmp_path: Path) -> None:
        (tmp_path / ".vaultsync").mkdir()
        (tmp_path / ".vaultsync/marker").touch()
        marker = disk(tmp_path).bind()
        disk(tmp_path, marker).check()

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(Fatal, match="is not there"):
            disk(tmp_path / "no").bind()
        assert not (tmp_path / "no").exists()

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "f").touch()
        with pytest.raises(Fatal, match="is not a folder"):
            disk(tmp_path / "f").bind()

    def test_inside_another(self, tmp_path: Path) -> None:
        disk(tmp_path).bind()
        inner = tmp_path / "a/b"
        inner.mkdir(parents=True)
        with pytest.raises(Fatal, match="lies inside the synced folder"):
            disk(inner).bind()
        assert list(inner.iterdir()) == []

    def test_inside_another_through_a_link(self, tmp_path: Path) -> None:
        synced = tmp_path / "synced"
        (synced / "a").mkdir(parents=True)
        disk(synced).bind()
        (tmp_path / "link").symlink_to(synced / "a")
        with pytest.raises(Fatal, match="lies inside the synced folder"):
            disk(tmp_path / "link").bind()

    def test_around_another(self, tmp_path: Path) -> None:
        inner = tmp_path / "a/b"
        inner.mkdir(parents=True)
        disk(inner).bind()
        with pytest.raises(Fatal, match=r"contains another synced folder, 'a/b'"):
            disk(tmp_path).bind()
        assert not (tmp_path / ".vaultsync").exists()

    def test_file_system_that_can_neither(self, tmp_path: Path) -> None:
        class Neither(LinksOnly):
            def link(self, source: int, name: str, target: int, new: str) -> None:
                raise PermissionError(1, "no links")

        with pytest.raises(MachineRefused, match="can neither rename"):
            disk(tmp_path, files=Neither()).bind()
        assert not (tmp_path / ".vaultsync/marker").exists()

    def test_not_writable(self, tmp_path: Path) -> None:
        class ReadOnly(SystemFiles):
            def writable(self, directory: int) -> bool:
                return False

        with pytest.raises(Fatal, match="cannot be written to"):
            disk(tmp_path, files=ReadOnly()).bind()
        assert list(tmp_path.iterdir()) == [tmp_path / "home"] or not list(tmp_path.iterdir())


class TestCheck:
    @pytest.fixture
    def bound(self, tmp_path: Path) -> tuple[Path, Disk]:
        root = tmp_path / "folder"
        root.mkdir()
        bound = disk(root)
        bound.bind()
        return root, bound

    def test_root_gone(self, bound: tuple[Path, Disk]) -> None:
        root, side = bound
        root.rename(root.with_name("moved"))
        with pytest.raises(Fatal, match="is not there"):
            side.check()
        with pytest.raises(Fatal, match="is not there"):
            list(side.entries())
        assert not root.exists()

    def test_another_folder_in_its_place(self, bound: tuple[Path, Disk]) -> None:
        root, side = bound
        root.rename(root.with_name("moved"))
        root.mkdir()
        for action in (side.check, lambda: list(side.entries()), lambda: side.look("f")):
            with pytest.raises(Fatal, match="marker is missing"):
                action()
        with pytest.raises(Fatal):
            side.stage("f", BytesContent(b"x"), "op")
        assert list(root.iterdir()) == []

    def test_another_synced_folder_in_its_place(self, bound: tuple[Path, Disk]) -> None:
        root, side = bound
        root.rename(root.with_name("moved"))
        root.mkdir()
        disk(root).bind()
        for action in (side.check, lambda: list(side.entries())):
            with pytest.raises(Fatal, match="not the folder that this profile is for"):
                action()

    def test_moved_away_and_back(self, bound: tuple[Path, Disk]) -> None:
        root, side = bound
        (root / "f").write_bytes(b"x")
        copy = root.with_name("copy")
        shutil.copytree(root, copy)
        shutil.rmtree(root)
        copy.rename(root)
        side.check()
        assert [item.path for item in side.entries()] == ["f"]

    def test_never_bound(self, tmp_path: Path) -> None:
        with pytest.raises(Fatal, match="marker is missing"):
            disk(tmp_path).check()
        disk(tmp_path).bind()
        with pytest.raises(Fatal, match="not the folder"):
            disk(tmp_path, "another").check()

    def test_writes_nothing_once_known(self, folder: DiskWorld, hooked: Hooked) -> None:
        folder.put_behind("d/f", b"x")
        entry = look(folder, "d/f")
        hooked.calls.clear()
        for _ in range(2):
            folder.disk.check()
            list(folder.disk.entries())
            folder.disk.identify("d/f", entry)
        writing = {"create", "write", "mkdir", "unlink", "rename", "move", "exchange", "utime"}
        assert not writing & set(hooked.calls)

    def test_control_folder_removed_while_running(self, bound: tuple[Path, Disk]) -> None:
        root, side = bound
        shutil.rmtree(root / ".vaultsync")
        (root / "f").write_bytes(b"x")
        with pytest.raises(Fatal, match="missing"):
            side.stage("f", BytesContent(b"x"), "op")
        with pytest.raises(Fatal, match="marker is missing"):
            list(side.entries())
        assert list(root.iterdir()) == [root / "f"]
