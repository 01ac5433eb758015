"""What every side must do; `core.ports.Side` is the text, this is the proof."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, World
from vaultsync.core.errors import Blocked, Retry, Stale
from vaultsync.core.model import Entry, Kind, Seen

if TYPE_CHECKING:
    from vaultsync.core.ports import Committed, Side

ODD_NAMES = [
    "Zürich, café.txt",
    "cafe\u0301.txt",
    "a name with  spaces ",
    "a#b?c%d+e&f=g;h@i$j.txt",
    "%2e%2e%2f",
    "a'b\"c`d<e>f|g\\h*.txt",
    "x" * 250,
    "ü" * 125,
    "two\nlines\tand a tab",
    "-rf",
    "-",
    "...",
    ".hidden",
    "日本/語",
    "\U0001f984",
    "con trol\x01\x7f",
]


def listing(side: Side, at: str = "", after: str = "") -> list[str]:
    return [item.path for item in side.entries(at, after)]


def files(side: Side, at: str = "", after: str = "") -> list[str]:
    return [path for path in listing(side, at, after) if not path.endswith("/")]


def look(side: Side, path: str) -> Entry:
    entry = side.look(path)
    assert entry is not None
    return entry


def push(
    side: Side, path: str, content: BytesContent, expected: Entry | None = None, op: str = "op-1"
) -> Committed:
    return side.commit(side.stage(path, content, op), expected)


def everything(side: Side) -> list[object]:
    """All that the side shows, to prove that nothing changed."""
    return list(side.entries())


class TestEntries:
    def test_nothing(self, world: World) -> None:
        assert listing(world.side) == []

    def test_order_is_that_of_the_bytes_of_the_path(self, world: World) -> None:
        names = [
            "a/b",
            "a.txt",
            "a-b",
            "a0",
            "ab/c",
            "a/b.c/d",
            "a/b c",
            "A",
            "é",
            "z",
            "\U0001f984",
        ]
        names += ["a b/x", "a/a/a", "~", "\uffee"]
        for name in names:
            world.put_behind(name + "/f" if name == "a/b" else name, b"x")
        paths = listing(world.side)
        assert paths == sorted(paths, key=str.encode)
        assert all(one != two for one, two in pairwise(paths))
        assert {path for path in paths if not path.endswith("/")} == {
            name + "/f" if name == "a/b" else name for name in names
        }

    def test_at_a_file(self, world: World) -> None:
        for path in ("a", "a.txt", "ab", "d/a"):
            world.put_behind(path, b"x")
        assert listing(world.side, "a") == ["a"]
        assert listing(world.side, "d/a") == ["d/a"]

    def test_at_a_directory(self, world: World) -> None:
        for path in ("d/a", "d/e/f", "d.txt", "d0", "c/d/x"):
            world.put_behind(path, b"x")
        assert listing(world.side, "d") == ["d/", "d/a", "d/e/", "d/e/f"]
        assert listing(world.side, "d/e") == ["d/e/", "d/e/f"]

    @pytest.mark.parametrize(
        "at", ["missing", "d/missing", "missing/too", "d/a/below", "d/"[:-1] + "x"]
    )
    def test_at_nothing(self, world: World, at: str) -> None:
        world.put_behind("d/a", b"x")
        assert listing(world.side, at) == []

    def test_after_every_single_path(self, world: World) -> None:
        for path in ("a", "a.b", "a0/x", "b/c/d", "b/c/e", "b/f", "b0", "c"):
            world.put_behind(path, b"x")
        paths = listing(world.side)
        for after in [*paths, "", "b/c", "b/d", "zzz", "a/", "b/c/d\0"]:
            assert listing(world.side, after=after) == [path for path in paths if path > after]

    def test_at_and_after(self, world: World) -> None:
        for path in ("b/c/d", "b/c/e", "b/f", "c"):
            world.put_behind(path, b"x")
        assert listing(world.side, "b", "b/c/d") == ["b/c/e", "b/f"]

    def test_is_a_stream(self, world: World) -> None:
        for number in range(30):
            world.put_behind(f"d{number:02}/f", b"x")
        stream = iter(world.side.entries())
        assert next(stream).path == "d00/"
        close = getattr(stream, "close", None)
        if close is not None:
            close()

    def test_control_and_ignored_paths_are_not_there(self, world: World) -> None:
        for path in (
            ".vaultsync/x",
            "d/.vaultsync/y",
            "d/f",
            "d/a.skip",
            "b.skip/c",
            "x.vaultsync",
        ):
            world.put_behind(path, b"x")
        assert listing(world.side) == ["d/", "d/f", "x.vaultsync"]
        assert listing(world.side, "b.skip") == []
        assert listing(world.side, "b.skip/c") == []
        assert listing(world.side, ".vaultsync") == []
        assert listing(world.side, "d/.vaultsync/y") == []

    def test_tag_stays_until_something_changes(self, world: World) -> None:
        world.put_behind("f", b"one")
        before = everything(world.side)
        assert everything(world.side) == before
        world.put_behind("f", b"two")
        assert everything(world.side) != before

    def test_shows_sizes(self, world: World) -> None:
        world.put_behind("f", b"12345")
        world.put_behind("zero", b"")
        sizes = {
            item.path: item.entry.size for item in world.side.entries() if isinstance(item, Seen)
        }
        assert sizes == {"f": 5, "zero": 0}


class TestLook:
    def test_absent(self, world: World) -> None:
        assert world.side.look("f") is None
        assert world.side.look("no/such/dir/f") is None
        assert world.side.look("d/") is None

    def test_agrees_with_entries(self, world: World) -> None:
        world.put_behind("d/f", b"12345")
        entry = look(world.side, "d/f")
        (seen,) = [item for item in world.side.entries("d/f") if isinstance(item, Seen)]
        assert (entry.kind, entry.size, entry.tag) == (Kind.FILE, 5, seen.entry.tag)

    def test_a_directory_is_no_file(self, world: World) -> None:
        world.put_behind("d/f", b"x")
        assert world.side.look("d") is None
        assert look(world.side, "d/").kind is Kind.DIR


class TestIdentify:
    def test_tells_the_digest(self, world: World) -> None:
        world.put_behind("f", b"hello")
        entry = look(world.side, "f")
        found = world.side.identify("f", entry)
        assert found.sha256 == hashlib.sha256(b"hello").hexdigest()
        assert found.tag == entry.tag

    def test_stale_when_changed(self, world: World) -> None:
        world.put_behind("f", b"hello")
        entry = look(world.side, "f")
        world.put_behind("f", b"world")
        with pytest.raises(Stale):
            world.side.identify("f", entry)

    def test_stale_when_gone(self, world: World) -> None:
        world.put_behind("f", b"hello")
        entry = look(world.side, "f")
        world.remove_behind("f")
        with pytest.raises(Stale):
            world.side.identify("f", entry)


class TestOpen:
    def test_reads_exactly_what_is_asked(self, world: World) -> None:
        data = bytes(range(256)) * 20
        world.put_behind("f", data)
        with world.side.open("f", look(world.side, "f")) as content:
            assert content.entry.size == len(data)
            assert content.read(0, 10) == data[:10]
            assert content.read(5000, 1000) == data[5000:]
            assert content.read(len(data), 10) == b""
            assert b"".join(content.chunks()) == data
            assert b"".join(content.chunks()) == data
            assert content.sha256() == hashlib.sha256(data).hexdigest()
            assert content.md5() == hashlib.md5(data, usedforsecurity=False).hexdigest()

    def test_zero_bytes(self, world: World) -> None:
        world.put_behind("f", b"")
        with world.side.open("f", look(world.side, "f")) as content:
            assert b"".join(content.chunks()) == b""
            assert content.sha256() == hashlib.sha256(b"").hexdigest()

    def test_stale_when_changed(self, world: World) -> None:
        world.put_behind("f", b"hello")
        entry = look(world.side, "f")
        world.put_behind("f", b"other")
        with pytest.raises(Stale), world.side.open("f", entry) as content:
            content.read(0, 5)

    def test_stale_when_gone(self, world: World) -> None:
        world.put_behind("f", b"hello")
        entry = look(world.side, "f")
        world.remove_behind("f")
        with pytest.raises(Stale), world.side.open("f", entry) as content:
            content.read(0, 5)

    def test_never_gives_another_version(self, world: World) -> None:
        data = b"a" * (3 << 20)
        world.put_behind("f", data)
        with world.side.open("f", look(world.side, "f")) as content:
            assert content.read(0, 3) == b"aaa"
            world.put_behind("f", b"b" * len(data))
            with pytest.raises(Stale):
                b"".join(content.chunks())

    def test_close_twice(self, world: World) -> None:
        world.put_behind("f", b"hello")
        content = world.side.open("f", look(world.side, "f"))
        content.close()
        content.close()


class TestCommit:
    def test_staged_is_not_shown(self, world: World) -> None:
        staged = world.side.stage("d/f", BytesContent(b"hello"), "op-1")
        assert listing(world.side) == []
        assert world.read_behind("d/f") is None
        assert (staged.path, staged.op, staged.size) == ("d/f", "op-1", 5)
        assert staged.sha256 == hashlib.sha256(b"hello").hexdigest()
        world.side.discard(staged.token)

    def test_new_file(self, world: World) -> None:
        done = push(world.side, "d/e/f", BytesContent(b"hello"))
        assert world.read_behind("d/e/f") == b"hello"
        assert done.kept is None
        assert done.entry.size == 5
        assert done.entry.tag == look(world.side, "d/e/f").tag
        assert done.entry.sha256 in (None, hashlib.sha256(b"hello").hexdigest())

    def test_replaces_what_was_expected(self, world: World) -> None:
        world.put_behind("f", b"old")
        old = look(world.side, "f")
        done = push(world.side, "f", BytesContent(b"new"), old)
        assert world.read_behind("f") == b"new"
        assert done.kept is None
        assert done.entry.tag == look(world.side, "f").tag != old.tag
        assert files(world.side) == ["f"]

    def test_carries_mtime_and_mode(self, world: World) -> None:
        content = BytesContent(b"x", mtime_ns=1_600_000_000_987_654_321, mode=0o750)
        push(world.side, "f", content)
        entry = look(world.side, "f")
        assert entry.mtime_ns == 1_600_000_000_987_654_321
        assert entry.mode == 0o750

    def test_without_mtime_and_mode(self, world: World) -> None:
        push(world.side, "f", BytesContent(b"x", mtime_ns=None, mode=None))
        assert world.read_behind("f") == b"x"

    def test_zero_bytes(self, world: World) -> None:
        push(world.side, "f", BytesContent(b""))
        assert world.read_behind("f") == b""
        assert look(world.side, "f").size == 0

    def test_several_megabytes(self, world: World) -> None:
        data = bytes(range(256)) * (9 << 12)
        push(world.side, "f", BytesContent(data))
        assert world.read_behind("f") == data

    def test_one_after_the_other(self, world: World) -> None:
        entry = None
        for number in range(4):
            data = f"version {number}".encode()
            entry = push(world.side, "f", BytesContent(data), entry, f"op-{number}").entry
            assert world.read_behind("f") == data

    def test_stale_when_something_is_there(self, world: World) -> None:
        world.put_behind("f", b"theirs")
        before = everything(world.side)
        staged = world.side.stage("f", BytesContent(b"ours"), "op-1")
        with pytest.raises(Stale):
            world.side.commit(staged, None)
        world.side.discard(staged.token)
        assert world.read_behind("f") == b"theirs"
        assert everything(world.side) == before

    def test_stale_when_another_version_is_there(self, world: World) -> None:
        world.put_behind("f", b"old")
        old = look(world.side, "f")
        staged = world.side.stage("f", BytesContent(b"ours"), "op-1")
        world.put_behind("f", b"theirs")
        before = everything(world.side)
        with pytest.raises(Stale):
            world.side.commit(staged, old)
        world.side.discard(staged.token)
        assert world.read_behind("f") == b"theirs"
        assert everything(world.side) == before

    def test_stale_when_the_expected_is_gone(self, world: World) -> None:
        world.put_behind("f", b"old")
        old = look(world.side, "f")
        staged = world.side.stage("f", BytesContent(b"ours"), "op-1")
        world.remove_behind("f")
        with pytest.raises(Stale):
            world.side.commit(staged, old)
        world.side.discard(staged.token)
        assert listing(world.side) == []

    def test_damaged_content_is_refused(self, world: World) -> None:
        content = BytesContent(b"not what the digest says", sha256="00" * 32)
        with pytest.raises((Stale, Retry)):
            push(world.side, "f", content)
        assert world.read_behind("f") is None

    def test_short_content_is_refused(self, world: World) -> None:
        content = BytesContent(b"12345")
        content.entry = replace(content.entry, size=7, sha256=None)
        with pytest.raises((Stale, Retry)):
            push(world.side, "f", content)
        assert world.read_behind("f") is None

    def test_symbolic_link(self, world: World) -> None:
        push(world.side, "l", BytesContent(b"../../etc/passwd", kind=Kind.LINK, mode=0o777))
        entry = look(world.side, "l")
        assert (entry.kind, entry.size) == (Kind.LINK, 16)
        with world.side.open("l", entry) as content:
            assert b"".join(content.chunks()) == b"../../etc/passwd"
            assert content.sha256() == hashlib.sha256(b"../../etc/passwd").hexdigest()
        assert world.side.identify("l", entry).sha256 == content.sha256()

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, world: World, name: str) -> None:
        path = f"dir {name[:40]}/{name}"
        done = push(world.side, path, BytesContent(b"hello"))
        assert world.read_behind(path) == b"hello"
        assert files(world.side) == [path]
        assert files(world.side, path) == [path]
        with world.side.open(path, look(world.side, path)) as content:
            assert b"".join(content.chunks()) == b"hello"
        world.side.delete(path, done.entry)
        assert world.read_behind(path) is None

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names_of_others(self, world: World, name: str) -> None:
        world.put_behind(name, b"hello")
        assert files(world.side) == [name]
        assert look(world.side, name).size == 5


class TestDiscardAndRecover:
    def test_discard_is_idempotent_and_blind_to_what_is_shown(self, world: World) -> None:
        staged = world.side.stage("f", BytesContent(b"one"), "op-1")
        world.side.commit(staged, None)
        world.side.discard(staged.token)
        world.side.discard(staged.token)
        assert world.read_behind("f") == b"one"

    def test_recover_after_a_commit(self, world: World) -> None:
        staged = world.side.stage("f", BytesContent(b"one"), "op-1")
        done = world.side.commit(staged, None)
        world.crash()
        for _ in range(2):
            found = world.side.recover("f", "op-1", staged.token)
            assert found is not None
            assert (found.tag, found.size) == (done.entry.tag, 3)
        assert world.read_behind("f") == b"one"

    def test_recover_after_a_replacement(self, world: World) -> None:
        world.put_behind("f", b"old")
        staged = world.side.stage("f", BytesContent(b"new"), "op-1")
        done = world.side.commit(staged, look(world.side, "f"))
        world.crash()
        found = world.side.recover("f", "op-1", staged.token)
        assert found is not None
        assert found.tag == done.entry.tag
        assert files(world.side) == ["f"]

    def test_recover_before_the_commit(self, world: World) -> None:
        world.put_behind("f", b"old")
        staged = world.side.stage("f", BytesContent(b"new"), "op-1")
        world.crash()
        before = everything(world.side)
        for _ in range(2):
            assert world.side.recover("f", "op-1", staged.token) is None
        assert everything(world.side) == before
        assert world.read_behind("f") == b"old"

    def test_recover_where_nothing_ever_was(self, world: World) -> None:
        staged = world.side.stage("d/f", BytesContent(b"new"), "op-1")
        world.crash()
        assert world.side.recover("d/f", "op-1", staged.token) is None
        assert listing(world.side) == []

    def test_recover_does_not_take_anothers_bytes_for_ours(self, world: World) -> None:
        staged = world.side.stage("f", BytesContent(b"new"), "op-1")
        world.put_behind("f", b"new")
        world.crash()
        assert world.side.recover("f", "op-1", staged.token) is None
        assert world.read_behind("f") == b"new"


class TestDirectories:
    def test_make(self, world: World) -> None:
        entry = world.side.make_directory("a/b/")
        assert entry.kind is Kind.DIR
        assert "a/b/" in listing(world.side)
        assert look(world.side, "a/b/").tag == entry.tag
        assert files(world.side) == []

    def test_make_again(self, world: World) -> None:
        world.side.make_directory("d/")
        world.put_behind("d/f", b"x")
        world.side.make_directory("d/")
        assert world.read_behind("d/f") == b"x"

    def test_delete_an_empty_one(self, world: World) -> None:
        entry = world.side.make_directory("d/")
        world.side.delete("d/", entry)
        assert listing(world.side) == []
        world.side.delete("d/", entry)

    def test_delete_never_takes_content_along(self, world: World) -> None:
        entry = world.side.make_directory("d/")
        world.put_behind("d/f", b"x")
        if world.local:
            with pytest.raises(Stale):
                world.side.delete("d/", entry)
        else:
            world.side.delete("d/", entry)
        assert world.read_behind("d/f") == b"x"

    def test_a_file_in_the_way(self, local_world: World) -> None:
        local_world.put_behind("d", b"x")
        for path in ("d/", "d/e/"):
            with pytest.raises(Blocked):
                local_world.side.make_directory(path)
        assert local_world.read_behind("d") == b"x"


class TestDelete:
    def test_what_was_expected(self, world: World) -> None:
        world.put_behind("f", b"x")
        world.put_behind("g", b"y")
        world.side.delete("f", look(world.side, "f"))
        assert listing(world.side) == ["g"]

    def test_gone_counts_as_done(self, world: World) -> None:
        world.put_behind("d/f", b"x")
        entry = look(world.side, "d/f")
        world.remove_behind("d/f")
        world.side.delete("d/f", entry)
        world.side.delete("no/such/f", entry)

    def test_stale_when_another_version_is_there(self, world: World) -> None:
        world.put_behind("f", b"old")
        entry = look(world.side, "f")
        world.put_behind("f", b"new")
        before = everything(world.side)
        with pytest.raises(Stale):
            world.side.delete("f", entry)
        assert world.read_behind("f") == b"new"
        assert everything(world.side) == before


class TestApply:
    def test_mtime_and_mode(self, world: World) -> None:
        push(world.side, "f", BytesContent(b"x"))
        entry = world.side.identify("f", look(world.side, "f"))
        after = world.side.apply("f", entry, 1_400_000_000_000_000_001, 0o600)
        assert (after.mtime_ns, after.mode) == (1_400_000_000_000_000_001, 0o600)
        seen = look(world.side, "f")
        assert (seen.tag, seen.mtime_ns, seen.mode) == (after.tag, after.mtime_ns, after.mode)
        assert world.read_behind("f") == b"x"

    def test_one_of_the_two(self, world: World) -> None:
        push(world.side, "f", BytesContent(b"x", mtime_ns=1_600_000_000_000_000_000, mode=0o600))
        entry = world.side.identify("f", look(world.side, "f"))
        entry = world.side.apply("f", entry, None, 0o700)
        assert (entry.mtime_ns, entry.mode) == (1_600_000_000_000_000_000, 0o700)
        entry = world.side.apply("f", entry, 1_500_000_000_000_000_000, None)
        assert (entry.mtime_ns, entry.mode) == (1_500_000_000_000_000_000, 0o700)

    def test_stale_when_another_version_is_there(self, world: World) -> None:
        world.put_behind("f", b"old")
        entry = world.side.identify("f", look(world.side, "f"))
        world.put_behind("f", b"new")
        before = everything(world.side)
        with pytest.raises(Stale):
            world.side.apply("f", entry, 1_400_000_000_000_000_000, 0o600)
        assert everything(world.side) == before
        assert world.read_behind("f") == b"new"


class TestSetAside:
    def test_renames(self, local_world: World) -> None:
        local_world.put_behind("d/report.pdf", b"mine")
        copy = local_world.side.set_aside("d/report.pdf", look(local_world.side, "d/report.pdf"))
        assert copy.startswith("d/report (conflict laptop ")
        assert copy.endswith(".pdf")
        assert files(local_world.side) == [copy]
        assert local_world.read_behind(copy) == b"mine"

    def test_stale_when_another_version_is_there(self, local_world: World) -> None:
        local_world.put_behind("f", b"old")
        entry = look(local_world.side, "f")
        local_world.put_behind("f", b"new")
        before = everything(local_world.side)
        with pytest.raises(Stale):
            local_world.side.set_aside("f", entry)
        assert everything(local_world.side) == before

    def test_an_equal_copy_is_used_again(self, local_world: World) -> None:
        side = local_world.side
        local_world.put_behind("f.txt", b"mine")
        first = side.set_aside("f.txt", look(side, "f.txt"))
        local_world.put_behind("f.txt", b"mine")
        assert side.set_aside("f.txt", look(side, "f.txt")) == first
        assert files(side) == [first]

    def test_a_copy_that_was_changed_is_not(self, local_world: World) -> None:
        side = local_world.side
        local_world.put_behind("f.txt", b"mine")
        first = side.set_aside("f.txt", look(side, "f.txt"))
        local_world.put_behind(first, b"changed since")
        local_world.put_behind("f.txt", b"mine")
        second = side.set_aside("f.txt", look(side, "f.txt"))
        assert second != first
        assert local_world.read_behind(first) == b"changed since"
        assert local_world.read_behind(second) == b"mine"

    def test_the_name_of_a_copy_of_a_copy_does_not_grow(self, local_world: World) -> None:
        side = local_world.side
        local_world.put_behind("f.txt", b"one")
        copy = side.set_aside("f.txt", look(side, "f.txt"))
        local_world.put_behind(copy, b"two")
        again = side.set_aside(copy, look(side, copy))
        assert again.count("conflict") == 1


def test_check_passes(world: World) -> None:
    world.side.check()
