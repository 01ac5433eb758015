"""Somebody works in the folder at the worst moment. Nothing they wrote may be lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, DiskWorld, LinksOnly, WithoutExchange
from tests.local.hooked import Hooked
from tests.local.seeing import hidden, look, shown
from vaultsync.core.errors import Stale
from vaultsync.core.names import is_conflict
from vaultsync.local.files import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vaultsync.core.model import Entry


def replaced(root: Path, path: str, data: bytes) -> Callable[[], None]:
    """An editor that saves atomically."""

    def save() -> None:
        fresh = root / (path + ".new")
        fresh.write_bytes(data)
        fresh.rename(root / path)

    return save


def written(root: Path, path: str, data: bytes) -> Callable[[], None]:
    """An editor that writes in place."""

    def save() -> None:
        with (root / path).open("r+b") as file:
            file.write(data)

    return save


@pytest.fixture
def old(folder: DiskWorld) -> Entry:
    folder.put_behind("f.txt", b"old")
    return look(folder, "f.txt")


def copies(root: Path) -> list[bytes]:
    return [data for path, data in shown(root).items() if is_conflict(path)]


class TestCommit:
    @pytest.mark.parametrize("style", [replaced, written])
    def test_edit_right_before_the_swap_is_kept_beside(
        self,
        folder: DiskWorld,
        hooked: Hooked,
        old: Entry,
        style: Callable[..., Callable[[], None]],
    ) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")

        def edit() -> None:
            if style is replaced:
                replaced(folder.root, "f.txt", b"edited")()
            else:
                (folder.root / "f.txt").write_bytes(b"edited")

        hooked.before("exchange", edit)
        done = folder.disk.commit(staged, old)
        assert done.kept is not None
        assert is_conflict(done.kept)
        assert shown(folder.root) == {"f.txt": b"new", done.kept: b"edited"}
        assert done.entry == look(folder, "f.txt")
        assert hidden(folder.root, "staging") == []

    def test_expected_version_goes_to_the_trash(self, folder: DiskWorld, old: Entry) -> None:
        folder.disk.commit(folder.disk.stage("f.txt", BytesContent(b"new"), "op"), old)
        assert hidden(folder.root, "trash") == [b"old"]
        assert shown(folder.root) == {"f.txt": b"new"}

    def test_file_that_was_only_touched_makes_no_copy(
        self, folder: DiskWorld, hooked: Hooked, old: Entry
    ) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.before("exchange", lambda: os.utime(folder.root / "f.txt"))
        assert folder.disk.commit(staged, old).kept is None
        assert hidden(folder.root, "trash") == [b"old"]

    def test_edit_equal_to_the_new_version_makes_no_copy(
        self, folder: DiskWorld, hooked: Hooked, old: Entry
    ) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.before("exchange", replaced(folder.root, "f.txt", b"new"))
        assert folder.disk.commit(staged, old).kept is None
        assert shown(folder.root) == {"f.txt": b"new"}

    def test_edit_that_moves_no_time_is_found_by_content(
        self, folder: DiskWorld, hooked: Hooked
    ) -> None:
        """A second write within the clock's tick leaves every time as it was."""
        file = folder.root / "f.txt"
        file.write_bytes(b"old")
        entry = folder.disk.look("f.txt")
        assert entry is not None
        assert entry.tag.endswith("~")
        entry = folder.disk.identify("f.txt", entry)
        stamp = file.stat().st_mtime_ns
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")

        def edit() -> None:
            file.write_bytes(b"OLD")
            os.utime(file, ns=(stamp, stamp))

        hooked.before("exchange", edit)
        done = folder.disk.commit(staged, entry)
        assert done.kept is not None
        assert shown(folder.root)[done.kept] == b"OLD"

    def test_racy_version_of_unknown_content_is_not_replaced(self, folder: DiskWorld) -> None:
        (folder.root / "f.txt").write_bytes(b"old")
        entry = folder.disk.look("f.txt")
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        with pytest.raises(Stale):
            folder.disk.commit(staged, entry)
        assert shown(folder.root) == {"f.txt": b"old"}

    def test_deleted_right_before_the_swap(
        self, folder: DiskWorld, hooked: Hooked, old: Entry
    ) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.before("exchange", (folder.root / "f.txt").unlink)
        with pytest.raises(Stale):
            folder.disk.commit(staged, old)
        folder.disk.discard(staged.token)
        assert shown(folder.root) == {}
        assert hidden(folder.root, "staging") == []

    @pytest.mark.parametrize("special", ["directory", "pipe"])
    def test_something_else_came_out(
        self, folder: DiskWorld, hooked: Hooked, old: Entry, special: str
    ) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        file = folder.root / "f.txt"

        def turn() -> None:
            file.unlink()
            if special == "pipe":
                os.mkfifo(file)
            else:
                file.mkdir()
                (file / "inside").write_bytes(b"precious")

        hooked.before("exchange", turn)
        with pytest.raises(Stale):
            folder.disk.commit(staged, old)
        folder.disk.discard(staged.token)
        assert file.is_fifo() or shown(folder.root) == {"f.txt/inside": b"precious"}
        assert hidden(folder.root, "staging") == []

    def test_edit_of_the_new_version_right_after_the_swap_shows(
        self, folder: DiskWorld, hooked: Hooked, old: Entry
    ) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.after("exchange", written(folder.root, "f.txt", b"NEW"))
        done = folder.disk.commit(staged, old)
        assert shown(folder.root) == {"f.txt": b"NEW"}
        now = folder.disk.look("f.txt")
        assert now is not None
        assert now.tag.removesuffix("~") != done.entry.tag.removesuffix("~")

    def test_new_file_appears_right_before_ours(self, folder: DiskWorld, hooked: Hooked) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.before("move", lambda: folder.put_behind("f.txt", b"theirs"))
        with pytest.raises(Stale):
            folder.disk.commit(staged, None)
        assert shown(folder.root) == {"f.txt": b"theirs"}

    @pytest.mark.parametrize("poor", [WithoutExchange, LinksOnly])
    def test_without_exchange_an_edit_is_put_back(
        self, tmp_path: Path, poor: type[WithoutExchange]
    ) -> None:
        hooked = Hooked(poor())
        root = tmp_path / "poor"
        root.mkdir()
        world = DiskWorld(root, lambda: hooked.files)
        world.put_behind("f.txt", b"old")
        old = look(world, "f.txt")
        staged = world.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.before("rename", replaced(root, "f.txt", b"edited"))
        with pytest.raises(Stale):
            world.disk.commit(staged, old)
        world.disk.discard(staged.token)
        assert shown(root) == {"f.txt": b"edited"}
        assert hidden(root, "staging") == []

    @pytest.mark.parametrize("poor", [WithoutExchange, LinksOnly])
    def test_without_exchange_a_file_in_the_gap_stays(
        self, tmp_path: Path, poor: type[WithoutExchange]
    ) -> None:
        hooked = Hooked(poor())
        root = tmp_path / "poor"
        root.mkdir()
        world = DiskWorld(root, lambda: hooked.files)
        world.put_behind("f.txt", b"old")
        old = look(world, "f.txt")
        staged = world.disk.stage("f.txt", BytesContent(b"new"), "op")
        hooked.after("rename", lambda: world.put_behind("f.txt", b"gap"))
        with pytest.raises(Stale):
            world.disk.commit(staged, old)
        seen = shown(root)
        assert seen.pop("f.txt") == b"gap"
        assert list(seen.values()) == [b"old"]


class TestParentBecomesALink:
    """A directory is swapped for a symbolic link after it was opened."""

    @pytest.fixture
    def outside(self, tmp_path: Path) -> Path:
        place = tmp_path / "outside"
        place.mkdir()
        (place / "f.txt").write_bytes(b"not ours")
        return place

    @staticmethod
    def swap(folder: DiskWorld, outside: Path) -> Callable[[], None]:
        def turn() -> None:
            (folder.root / "d").rename(folder.root / "moved")
            (folder.root / "d").symlink_to(outside)

        return turn

    def test_new_file(self, folder: DiskWorld, hooked: Hooked, outside: Path) -> None:
        folder.disk.make_directory("d/")
        staged = folder.disk.stage("d/new", BytesContent(b"new"), "op")
        hooked.before("move", self.swap(folder, outside))
        with pytest.raises(Stale):
            folder.disk.commit(staged, None)
        assert shown(folder.root) == {}
        assert shown(outside) == {"f.txt": b"not ours"}

    def test_replacement(self, folder: DiskWorld, hooked: Hooked, outside: Path) -> None:
        folder.put_behind("d/f.txt", b"old")
        old = look(folder, "d/f.txt")
        staged = folder.disk.stage("d/f.txt", BytesContent(b"new"), "op")
        hooked.before("exchange", self.swap(folder, outside))
        with pytest.raises(Stale):
            folder.disk.commit(staged, old)
        assert shown(folder.root) == {"moved/f.txt": b"old"}
        assert shown(outside) == {"f.txt": b"not ours"}

    def test_delete(self, folder: DiskWorld, hooked: Hooked, outside: Path) -> None:
        folder.put_behind("d/f.txt", b"old")
        old = look(folder, "d/f.txt")
        hooked.before("move", self.swap(folder, outside))
        with pytest.raises(Stale):
            folder.disk.delete("d/f.txt", old)
        assert shown(folder.root) == {"moved/f.txt": b"old"}
        assert shown(outside) == {"f.txt": b"not ours"}

    def test_set_aside(self, folder: DiskWorld, hooked: Hooked, outside: Path) -> None:
        folder.put_behind("d/f.txt", b"old")
        old = look(folder, "d/f.txt")
        hooked.before("move", self.swap(folder, outside))
        with pytest.raises(Stale):
            folder.disk.set_aside("d/f.txt", old)
        assert shown(folder.root) == {"moved/f.txt": b"old"}

    def test_a_link_on_the_way_is_never_followed(self, folder: DiskWorld, outside: Path) -> None:
        (folder.root / "d").symlink_to(outside)
        assert folder.disk.look("d/f.txt") is None
        assert list(folder.disk.entries("d/f.txt")) == []
        staged = folder.disk.stage("d/g", BytesContent(b"x"), "op")
        with pytest.raises(Stale):
            folder.disk.commit(staged, None)
        assert shown(outside) == {"f.txt": b"not ours"}

    def test_not_even_a_link_that_stays_inside(self, folder: DiskWorld) -> None:
        folder.put_behind("e/sub/f.txt", b"once")
        (folder.root / "d").symlink_to("e")
        assert folder.disk.look("d/sub/f.txt") is None
        assert list(folder.disk.entries("d/sub/f.txt")) == []
        entry = look(folder, "e/sub/f.txt")
        folder.disk.delete("d/sub/f.txt", entry)
        with pytest.raises(Stale):
            folder.disk.open("d/sub/f.txt", entry)
        assert shown(folder.root)["e/sub/f.txt"] == b"once"


class TestDelete:
    @pytest.mark.parametrize("style", ["replaced", "written"])
    def test_edit_right_before_is_put_back(
        self, folder: DiskWorld, hooked: Hooked, old: Entry, style: str
    ) -> None:
        action = {"replaced": replaced, "written": written}[style]
        hooked.before("move", action(folder.root, "f.txt", b"edited"))
        with pytest.raises(Stale):
            folder.disk.delete("f.txt", old)
        assert shown(folder.root) == {"f.txt": b"edited"}
        assert hidden(folder.root, "trash") == []

    def test_edit_before_and_a_new_file_after(
        self, folder: DiskWorld, hooked: Hooked, old: Entry
    ) -> None:
        hooked.before("move", replaced(folder.root, "f.txt", b"edited"))
        hooked.after("move", lambda: folder.put_behind("f.txt", b"another"))
        with pytest.raises(Stale):
            folder.disk.delete("f.txt", old)
        seen = shown(folder.root)
        assert seen.pop("f.txt") == b"another"
        assert list(seen.values()) == copies(folder.root) == [b"edited"]

    def test_same_name_deleted_many_times(self, folder: DiskWorld) -> None:
        for number in range(4):
            folder.put_behind("d/f", f"{number}".encode())
            folder.disk.delete("d/f", look(folder, "d/f"))
        assert hidden(folder.root, "trash") == [b"0", b"1", b"2", b"3"]

    def test_trash_takes_a_file_where_a_folder_was(self, folder: DiskWorld) -> None:
        folder.put_behind("d/f", b"below")
        folder.disk.delete("d/f", look(folder, "d/f"))
        folder.disk.delete("d/", folder.disk.make_directory("d/"))
        folder.put_behind("d", b"file")
        folder.disk.delete("d", look(folder, "d"))
        folder.put_behind("d/f", b"below again")
        folder.disk.delete("d/f", look(folder, "d/f"))
        assert hidden(folder.root, "trash") == [b"below", b"below again", b"file"]


class TestSetAside:
    def test_edit_right_before(self, folder: DiskWorld, hooked: Hooked, old: Entry) -> None:
        hooked.before("move", replaced(folder.root, "f.txt", b"edited"))
        with pytest.raises(Stale):
            folder.disk.set_aside("f.txt", old)
        assert shown(folder.root) == {"f.txt": b"edited"}


class TestApply:
    def test_write_that_hides_behind_our_time(
        self, folder: DiskWorld, hooked: Hooked, old: Entry
    ) -> None:
        hooked.before("utime", written(folder.root, "f.txt", b"OLD"))
        with pytest.raises(Stale):
            folder.disk.apply("f.txt", old, 1_400_000_000_000_000_000, None)
        assert shown(folder.root) == {"f.txt": b"OLD"}
        assert look(folder, "f.txt").sha256 != old.sha256

    def test_special_bits_are_never_set(self, folder: DiskWorld, old: Entry) -> None:
        folder.disk.apply("f.txt", old, None, 0o6755)
        assert (folder.root / "f.txt").stat().st_mode & 0o7777 == 0o755


class TestRead:
    def test_write_between_hash_and_stat(self, folder: DiskWorld, hooked: Hooked) -> None:
        folder.put_behind("f.txt", b"old")
        entry = folder.disk.look("f.txt")
        assert entry is not None
        hooked.after("read", written(folder.root, "f.txt", b"OLD"))
        with pytest.raises(Stale):
            folder.disk.identify("f.txt", entry)

    def test_what_is_mapped_is_written_back_before_it_is_hashed(
        self, folder: DiskWorld, hooked: Hooked
    ) -> None:
        """Until then a store through mmap moves no time, and a power cut may take it back."""
        folder.put_behind("f.txt", b"old")
        entry = folder.disk.look("f.txt")
        assert entry is not None
        hooked.calls.clear()
        folder.disk.identify("f.txt", entry)
        assert "sync" in hooked.calls
        assert hooked.calls.index("sync") < hooked.calls.index("read")

    def test_a_link_in_place_of_a_file_is_not_read(self, folder: DiskWorld, tmp_path: Path) -> None:
        (tmp_path / "outside").write_bytes(b"not ours")
        (folder.root / "f.txt").symlink_to(tmp_path / "outside")
        files = SystemFiles()
        top = files.top(folder.root)
        try:
            with pytest.raises(OSError, match="symbolic links"):
                files.open(top, "f.txt")
        finally:
            files.close(top)

    def test_racy_tag_never_equals_a_later_one(self, folder: DiskWorld) -> None:
        file = folder.root / "f.txt"
        file.write_bytes(b"one")
        racy = folder.disk.look("f.txt")
        stamp = file.stat().st_mtime_ns - 3_000_000_000
        os.utime(file, ns=(stamp, stamp))
        settled = folder.disk.look("f.txt")
        assert racy is not None
        assert settled is not None
        assert racy.tag.endswith("~")
        assert not settled.tag.endswith("~")
        assert folder.disk.identify("f.txt", settled).tag == settled.tag

    def test_what_was_committed_with_an_old_time_is_not_racy(self, folder: DiskWorld) -> None:
        staged = folder.disk.stage("f.txt", BytesContent(b"new"), "op")
        assert not folder.disk.commit(staged, None).entry.tag.endswith("~")


def test_content_that_turns_stale_leaves_nothing_staged(folder: DiskWorld) -> None:
    content = BytesContent(b"x" * 200_000)

    def turn() -> None:
        raise Stale("the source moved")

    content.on_chunk = turn
    with pytest.raises(Stale):
        folder.disk.stage("f.txt", content, "op")
    assert hidden(folder.root, "staging") == []
