"""Old versions: what the bucket keeps of exactly one path, and of a folder at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.making import PREFIX, Making, put
from vaultsync.core.errors import Fatal, NotFound
from vaultsync.core.model import Version
from vaultsync.remote.client import Stored, VersionPage
from vaultsync.remote.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.remote.bucket import Bucket


@pytest.fixture
def side(make: Making, foreign: Any) -> Bucket:
    foreign.put_bucket_versioning(Bucket=make.bucket, VersioningConfiguration={"Status": "Enabled"})
    return make.side()


def replaced(side: Bucket, path: str, *contents: bytes) -> None:
    """Write a file once for each content, each in the place of the one before."""
    for number, data in enumerate(contents):
        entry = side.look(path)
        if entry is not None:
            side.delete(path, entry)
        put(side, path, data, f"op{number}")


def test_the_versions_of_a_file_are_listed_newest_first(side: Bucket) -> None:
    first = put(side, "a.txt", b"1")
    side.delete("a.txt", first)
    put(side, "a.txt", b"second")
    put(side, "a.txt.old", b"another file")
    put(side, "a.txt/inner", b"a folder of that name")
    found = side.versions.of("a.txt")
    assert found == sorted(found, key=lambda version: -version.at)
    assert (found[0].size, found[0].current, found[0].deleted) == (6, True, False)
    # Within one second, S3 does not tell a deletion's place among the versions.
    (old,) = (version for version in found[1:] if not version.deleted)
    (gone,) = (version for version in found[1:] if version.deleted)
    assert (old.size, old.etag, old.id) == (1, first.tag, first.version)
    assert not old.current
    assert (gone.size, gone.etag, gone.current) == (0, "", False)
    assert {version.path for version in found} == {"a.txt"}
    assert found[0].at >= old.at > 1_500_000_000


def test_a_version_is_read_as_it_was(side: Bucket) -> None:
    for data in (b"small", b"large" * 1_000_000):
        replaced(side, "f", data, b"another")
        old = next(each for each in side.versions.of("f") if each.size == len(data))
        with side.versions.open(old) as content:
            assert b"".join(content.chunks()) == data
            assert content.read(2, 3) == data[2:5]
            assert content.entry.version == old.id
            assert content.entry.mtime_ns is not None


def test_many_versions_come_in_pages(side: Bucket) -> None:
    transport = side._transport
    replaced(side, "f", *(b"%d" % number for number in range(60)))
    put(side, "g", b"")
    assert len(side.versions.of("f")) == 119
    page = transport.list_versions(PREFIX + "f", limit=7)
    assert len(page.items) == 7
    assert page.more is not None


def test_what_never_was_is_not_found(side: Bucket) -> None:
    with pytest.raises(NotFound):
        side.versions.of("never")
    put(side, "f", b"1")
    with pytest.raises(NotFound):
        side.versions.of("F")
    (version,) = side.versions.of("f")
    with pytest.raises(NotFound):
        side.versions.open(Version("g", version.id, 0.0))


def test_a_bucket_that_keeps_none_says_so(make: Making) -> None:
    side = make.side()
    put(side, "f", b"1")
    asked: list[Callable[[], list[Version]]] = [
        lambda: side.versions.of("f"),
        lambda: side.versions.of("g"),
        lambda: list(side.versions.below("")),
    ]
    for ask in asked:
        with pytest.raises(Fatal, match="keeps no versions") as raised:
            ask()
        assert not isinstance(raised.value, NotFound)


def test_a_folder_that_never_was_says_nothing_against_the_bucket(side: Bucket) -> None:
    assert list(side.versions.below("")) == []
    put(side, "folder/f", b"1")
    assert list(side.versions.below("flder")) == []


class Kept:
    """A listing of given versions, in pages of two. Times are minutes."""

    def __init__(self, *items: tuple[str, int, bool]) -> None:
        seen: set[str] = set()
        self.items = []
        for name, minute, deleted in items:
            stamp = f"2026-01-01T00:{minute:02}:00Z"
            self.items.append(
                Stored(f"p/{name}", f"v{minute}", stamp, name not in seen, 1, "tag", deleted)
            )
            seen.add(name)

    def list_versions(
        self, prefix: str, *, more: tuple[str, str] | None = None, limit: int = 1000
    ) -> VersionPage:
        found = [item for item in self.items if item.key.startswith(prefix)]
        start = int(more[1]) if more is not None else 0
        end = start + 2
        return VersionPage(tuple(found[start:end]), ("", str(end)) if len(found) > end else None)


GONE, THERE = True, False
KEPT = Kept(
    ("d/added", 30, THERE),
    ("d/changed", 25, THERE),
    ("d/changed", 20, THERE),
    ("d/changed", 10, THERE),
    ("d/deleted", 25, GONE),
    ("d/deleted", 10, THERE),
    ("d/sub/back", 28, THERE),
    ("d/sub/back", 22, GONE),
    ("d/sub/back", 5, THERE),
    ("d/sub/same", 5, THERE),
    ("d/sub/twice", 26, GONE),
    ("d/sub/twice", 24, GONE),
    ("d/sub/twice", 6, THERE),
    ("other", 26, GONE),
    ("other", 6, THERE),
)  # fmt: skip


def below(path: str, minute: int | None = None) -> list[str]:
    versions = Versions(KEPT, "p/")  # type: ignore[arg-type]
    at = None if minute is None else 1_767_225_600.0 + 60 * minute
    return [f"{version.path} {version.id}" for version in versions.below(path, at)]


def test_what_is_deleted_now_comes_back() -> None:
    assert below("d") == ["d/deleted v10", "d/sub/twice v6"]
    assert below("d/sub/") == ["d/sub/twice v6"]
    assert below("") == ["d/deleted v10", "d/sub/twice v6", "other v6"]


@pytest.mark.parametrize(
    ("minute", "wanted"),
    [
        (4, []),
        (5, ["d/sub/back v5"]),
        (12, ["d/changed v10", "d/deleted v10", "d/sub/back v5", "d/sub/twice v6"]),
        (23, ["d/changed v20", "d/deleted v10", "d/sub/twice v6"]),
        (27, []),
        (40, []),
    ],
)
def test_a_folder_as_it_was_at_a_time(minute: int, wanted: list[str]) -> None:
    assert below("d", minute) == wanted
