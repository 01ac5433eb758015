"""What the engine does to the tree happens only while what it decided on is still true."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.mount.tree.world import ME, World
from vaultsync.core.errors import Stale
from vaultsync.mount.ports import ROOT, Changes, NodeKind
from vaultsync.mount.tree.grafting import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.mount.ports import Node

FILE = Values(NodeKind.FILE, 0o640, 10**18 + 1, 5, sha256="ab", path="x", etag="e", version="v")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "drive")
    yield made
    made.close()


def nothing(node: Node | None) -> bool:
    return node is None


def something(node: Node | None) -> bool:
    return node is not None


def never(node: Node | None) -> bool:
    return False


def test_a_graft_makes_the_directories_that_it_needs(world: World) -> None:
    effects = world.tree.graft("a/b/f", FILE, nothing)
    node = effects.node
    assert node is not None
    assert (node.kind, node.mode, node.size, node.mtime) == (NodeKind.FILE, 0o640, 5, 10**18 + 1)
    assert (node.here, node.dirty, node.sha256) == (0, False, "ab")
    assert (node.o_path, node.o_etag, node.o_version) == ("x", "e", "v")
    above = world.tree.find("a")
    between = world.tree.find("a/b")
    assert above is not None
    assert between is not None
    assert effects.entries == [(ROOT, b"a"), (above.id, b"b"), (between.id, b"f")]
    assert world.heard() == []
    world.kill()
    again = world.tree.find("a/b/f")
    assert again == node
    assert world.tree.path_of(node.id) == "a/b/f"


def test_a_graft_leaves_the_old_content_to_who_has_it_open(world: World) -> None:
    old = world.make(b"f", b"old content")
    handle, _ = world.tree.open(old.id, os.O_RDONLY, wait=False)
    effects = world.tree.graft("f", FILE, lambda node: node is old)
    assert effects.node is not None
    assert effects.node.id != old.id
    assert world.tree.lookup(ROOT, b"f").id == effects.node.id
    assert world.read(old) == b"old content"
    assert old.nlink == 0
    assert old.id in effects.inodes
    world.tree.release(old.id, handle)
    world.tree.forget(old.id, 1)
    assert not world.contents.file(old).exists()


def test_a_graft_removes_at_once_what_nobody_holds(world: World) -> None:
    old = world.make(b"f", b"old content")
    world.tree.forget(old.id, 1)
    world.tree.graft("f", FILE, something)
    assert not world.contents.file(old).exists()
    assert world.tree.rows.loose() == []


def test_what_is_not_as_expected_is_left_alone(world: World) -> None:
    old = world.make(b"f", b"old")
    folder = world.tree.mkdir(ME, ROOT, b"d", 0o755)
    world.make(b"in", parent=folder.id)
    world.heard()
    tree = world.tree
    attempts: tuple[Callable[[], object], ...] = (
        lambda: tree.graft("f", FILE, never),
        lambda: tree.graft("f", FILE, nothing),
        lambda: tree.graft("new/f", FILE, something),
        lambda: tree.graft("d", FILE, something),
        lambda: tree.graft("f/below", FILE, nothing),
        lambda: tree.prune("f", never),
        lambda: tree.prune("nothing", nothing),
        lambda: tree.prune("d", something),
        lambda: tree.shift("f", "g", never),
        lambda: tree.shift("f", "d", something),
        lambda: tree.shift("d", "d/below", something),
        lambda: tree.shift("nothing", "g", nothing),
        lambda: tree.adjust("f", never, mtime_ns=1, mode=0),
        lambda: tree.adjust("nothing", nothing, mtime_ns=1, mode=0),
    )
    for do in attempts:
        with pytest.raises(Stale):
            do()
    assert world.names() == [b"d", b"f"]
    assert world.names(folder.id) == [b"in"]
    assert (old.mode, old.nlink) == (0o644, 1)
    assert world.read(old) == b"old"
    assert tree.find("new") is None


def test_what_is_compared_is_settled_then_or_later(world: World) -> None:
    node, handle = world.tree.create(ME, ROOT, b"f", 0o644, os.O_RDWR)
    world.write(node, b"data", handle=handle)

    def settled() -> bool:
        row = world.tree.rows.load(node.id)
        assert row is not None
        return (row[10], row[13]) == (4, node.change)

    with pytest.raises(Stale):
        world.tree.adjust("f", never, mtime_ns=1, mode=None)
    assert not settled()
    assert world.tree.find("f") is node
    assert settled()
    world.write(node, b"more", handle=handle)
    world.tree.adjust("f", something, mtime_ns=None, mode=None)
    assert settled()


def test_pruning_takes_one_name(world: World) -> None:
    node = world.make(b"f", b"data")
    world.tree.link(ME, node.id, ROOT, b"g")
    effects = world.tree.prune("f", something)
    assert effects.entries == [(ROOT, b"f")]
    assert world.read(world.tree.lookup(ROOT, b"g")) == b"data"
    world.tree.mkdir(ME, ROOT, b"d", 0o755)
    world.tree.prune("d", something)
    assert world.names() == [b"g"]
    assert world.tree.getattr(ROOT).nlink == 2


def test_shifting_keeps_the_node(world: World) -> None:
    node = world.make(b"f", b"data")
    effects = world.tree.shift("f", "a/b/g", lambda found: found is node)
    parent = world.tree.find("a/b")
    assert parent is not None
    assert effects.node is node
    assert set(effects.entries) >= {(ROOT, b"f"), (parent.id, b"g")}
    assert world.tree.paths_of(node.id) == ["a/b/g"]
    assert world.tree.find("f") is None


def test_adjusting_counts_as_a_change(world: World) -> None:
    node = world.make(b"f", b"data")
    before = node.change
    world.tree.adjust("f", something, mtime_ns=10**18, mode=0o600)
    assert (node.mtime, node.mode, node.change) == (10**18, 0o600, before + 1)
    world.tree.adjust("f", something, mtime_ns=None, mode=None)
    assert node.change == before + 1


def test_content_that_landed_is_clean_until_it_changes(world: World) -> None:
    node = world.make(b"f", b"data")
    change = node.change
    assert world.tree.digested(node.id, change, "cd")
    assert (node.dirty, node.sha256) == (True, "cd")
    assert world.tree.landed(node.id, change, "cd", ("f", "e", "v"))
    assert (node.dirty, node.o_path, node.o_etag, node.o_version) == (False, "f", "e", "v")
    world.write(node, b"x")
    assert (node.dirty, node.sha256) == (True, None)
    assert not world.tree.landed(node.id, change, "cd", ("f", "e2", "v2"))
    assert not world.tree.digested(node.id, change, "cd")
    assert (node.dirty, node.sha256, node.o_etag) == (True, None, "e")
    assert not world.tree.landed(99_999, 1, None, ("f", "e", None))


def test_a_digest_goes_with_the_next_write_although_it_is_dirty_already(world: World) -> None:
    node = world.make(b"f", b"data")
    assert world.tree.digested(node.id, node.change, "cd")
    world.write(node, b"x")
    row = world.tree.rows.load(node.id)
    assert row is not None
    assert row[15] is None


def test_children_come_in_pages_in_the_order_of_names(world: World) -> None:
    folder = world.tree.mkdir(ME, ROOT, b"d", 0o755)
    for number in range(2_500):
        node = world.tree.mknod(ME, folder.id, b"%05d" % (7 * number % 2_500), 0o644, 0)
    found = list(world.tree.children(folder))
    assert [name for name, _ in found] == [b"%05d" % number for number in range(2_500)]
    assert found[7 * 2_499 % 2_500][1] is node


def test_finding(world: World) -> None:
    root = world.tree.find("")
    assert root is not None
    assert root.id == ROOT
    assert world.tree.path_of(ROOT) == ""
    node = world.make(b"f")
    assert world.tree.find("f/below") is None
    assert world.tree.find("n" * 256) is None
    assert world.tree.find("no/such") is None
    assert world.tree.path_of(99_999) is None
    world.tree.rename(ME, ROOT, b"f", ROOT, b"\xff", 0)
    assert world.tree.path_of(node.id) is None


def test_a_shallow_graft_is_all_here_where_there_is_nothing_to_fetch(world: World) -> None:
    empty = Values(NodeKind.FILE, 0o644, 1, 0, path="x", etag="e")
    node = world.tree.graft("empty", empty, nothing).node
    link = world.tree.graft("l", Values(NodeKind.LINK, 0o777, 5, target=b"t"), nothing).node
    folder = world.tree.graft("d", Values(NodeKind.DIR, 0o700, 7), nothing).node
    assert node is not None
    assert link is not None
    assert folder is not None
    assert (node.here, node.dirty) == (2, False)
    assert (world.tree.readlink(link.id), link.size, link.mtime) == (b"t", 1, 5)
    assert (folder.mode, folder.nlink, folder.mtime) == (0o700, 2, 7)
    assert world.tree.getattr(ROOT).nlink == 3


def test_settled_rows_know_what_memory_knows(world: World) -> None:
    node = world.make(b"f", b"data")
    world.write(node, b"more", 4)
    found = world.tree.find("f")
    assert found is node
    row = world.tree.rows.load(node.id)
    assert row is not None
    assert (row[10], row[13]) == (8, node.change)
    world.tree.setattr(ME, node.id, Changes(mode=0o600), wait=False)
    assert world.tree.rows.load(node.id) != row
