"""A file system that takes names for one which are two in the vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.worlds import BytesContent, DiskWorld, Folding
from vaultsync.core.errors import Blocked
from vaultsync.core.model import Seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIRS = [("README", "Readme"), ("caf\u00e9", "cafe\u0301"), ("d/README", "d/readme")]


@pytest.fixture
def world(tmp_path: Path) -> DiskWorld:
    root = tmp_path / "folder"
    root.mkdir()
    return DiskWorld(root, Folding)


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_what_arrives_never_replaces_what_looks_like_it(
    world: DiskWorld, one: str, other: str
) -> None:
    world.put_behind(one, b"one")
    with pytest.raises(Blocked, match="one name"):
        world.side.stage(other, BytesContent(b"other"), "op")
    assert world.read_behind(one) == b"one"


def test_what_appears_after_staging_is_not_replaced_either(world: DiskWorld) -> None:
    staged = world.side.stage("Readme", BytesContent(b"other"), "op")
    world.put_behind("README", b"one")
    with pytest.raises(Blocked, match="one name"):
        world.side.commit(staged, None)
    assert world.read_behind("README") == b"one"


def _stage(world: DiskWorld) -> Callable[[str], object]:
    return lambda path: world.side.stage(path, BytesContent(b"other"), "op")


@pytest.mark.parametrize("other", ["DOCS/new", "Docs/", "Docs/deep/"])
def test_a_folder_that_looks_like_another_is_not_mixed_with_it(
    world: DiskWorld, other: str
) -> None:
    world.put_behind("docs/a", b"a")
    put = world.side.make_directory if other.endswith("/") else _stage(world)
    with pytest.raises(Blocked, match="one name"):
        put(other)
    assert [item.path for item in world.side.entries()] == ["docs/", "docs/a"]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_a_name_is_there_only_if_the_listing_says_so(
    world: DiskWorld, one: str, other: str
) -> None:
    world.put_behind(one, b"one")
    entry = world.side.look(one)
    assert entry is not None
    assert world.side.look(other) is None
    assert list(world.side.entries(other)) == []
    world.side.delete(other, entry)
    assert world.read_behind(one) == b"one"
    assert isinstance(next(iter(world.side.entries(one))), Seen)
