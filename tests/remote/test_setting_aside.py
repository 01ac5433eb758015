"""Setting a version aside in the vault, where a folder bears its name; and the vault's mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.remote.making import Bytes, Making, put
from vaultsync.core.errors import Stale
from vaultsync.core.model import Seen
from vaultsync.core.names import is_conflict, original_name

if TYPE_CHECKING:
    from vaultsync.core.model import Entry
    from vaultsync.remote.bucket import Bucket


def paths(side: Bucket) -> list[str]:
    return [item.path for item in side.entries() if isinstance(item, Seen)]


def test_a_version_gets_its_conflict_name_and_the_folder_keeps_the_name(make: Making) -> None:
    side = make.side()
    put(side, "d", b"the file", "op-1")
    put(side, "d/a", b"inside")
    there = side.look("d")
    assert there is not None
    copy = side.set_aside("d", there)
    assert is_conflict(copy)
    assert original_name(copy) == "d"
    kept = side.look(copy)
    assert kept is not None
    assert (kept.sha256, kept.mtime_ns) == (there.sha256, there.mtime_ns)
    assert sorted(paths(side)) == sorted([copy, "d/", "d/a"])


def test_whoever_sets_a_version_aside_chooses_the_same_name(
    make: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, other = make.side(), make.side()
    put(side, "d", b"the file")
    there = side.look("d")
    assert there is not None

    def die(_path: str, _entry: Entry) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(side, "delete", die)
    with pytest.raises(KeyboardInterrupt):
        side.set_aside("d", there)
    assert len(paths(side)) == 2
    copy = other.set_aside("d", there)
    assert paths(side) == [copy]


def test_another_version_is_not_set_aside(make: Making) -> None:
    side = make.side()
    entry = put(side, "d", b"the file")
    side.commit(side.stage("d", Bytes(b"edited"), "op-2"), entry)
    with pytest.raises(Stale):
        side.set_aside("d", entry)
    assert paths(side) == ["d"]


def test_only_a_whole_listing_tells_of_the_mark(make: Making) -> None:
    side = make.side()
    put(side, "a", b"a")
    assert side.mark.read() is None
    assert paths(side) == ["a"]
    assert side.mark.shown() is None
    tag = side.mark.put("random")
    assert side.mark.shown() is None
    assert side.mark.read() == ("random", tag)
    walk = side.entries()
    assert next(walk).path == "a"
    assert side.mark.shown() is None
    assert [*side.entries("", "a"), *side.entries("a")] != []
    assert side.mark.shown() is None
    assert paths(side) == ["a"]
    assert side.mark.shown() == tag


def test_a_vault_is_marked_once(make: Making) -> None:
    side = make.side()
    side.mark.put("one")
    with pytest.raises(Stale):
        side.mark.put("other")
    found = side.mark.read()
    assert found is not None
    assert found[0] == "one"
