from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.remote.making import PREFIX, Making
from vaultsync.core.model import IMPLIED, MARKER, Seen, Unseen
from vaultsync.remote.client import Listed, Page
from vaultsync.remote.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Keys:
    """A listing of given keys, in pages of three."""

    def __init__(self, keys: dict[str, int], archived: Iterable[str] = ()) -> None:
        self.items = [
            Listed(key, size, "tag", "then", key in archived)
            for key, size in sorted(keys.items(), key=lambda item: item[0].encode())
        ]
        self.pages = 0

    def list_page(
        self, prefix: str, *, after: str = "", more: str | None = None, limit: int = 1000
    ) -> Page:
        self.pages += 1
        start = more if more is not None else after
        found = [each for each in self.items if each.key.startswith(prefix) and each.key > start]
        size = min(limit, 3)
        return Page(tuple(found[:size]), found[size - 1].key if len(found) > size else None)


def listing(keys: Keys, ignored: Iterable[str] = ()) -> Listing:
    return Listing(keys, "p/", lambda path: path in set(ignored))  # type: ignore[arg-type]


def shown(items: Iterator[Seen | Unseen]) -> list[str]:
    return [
        f"!{each.path}" if isinstance(each, Unseen) else f"{each.path} {each.entry.tag}"
        for each in items
    ]


def test_directories_are_announced_before_their_first_key() -> None:
    keys = Keys(dict.fromkeys(["p/a/b/c", "p/a/b/d", "p/a.txt", "p/a-", "p/z"], 1))
    assert shown(listing(keys).entries()) == [
        "a- tag",
        "a.txt tag",
        f"a/ {IMPLIED}",
        f"a/b/ {IMPLIED}",
        "a/b/c tag",
        "a/b/d tag",
        "z tag",
    ]


def test_an_empty_object_makes_its_directory_a_marked_one() -> None:
    keys = Keys({"p/": 0, "p/a/": 0, "p/a/x": 1, "p/b/c/": 0, "p/d/": 3, "p/d/x": 1})
    assert shown(listing(keys).entries()) == [
        f"a/ {MARKER}",
        "a/x tag",
        f"b/ {IMPLIED}",
        f"b/c/ {MARKER}",
        "!d/",
        f"d/ {IMPLIED}",
        "d/x tag",
    ]


def test_what_cannot_be_a_file_here_is_unseen() -> None:
    long = "x" * 256
    keys = Keys(
        dict.fromkeys(["p//x", "p/a//y", "p/a/../z", f"p/b/{long}", "p/c\0", "p/g/old"], 1),
        archived=["p/g/old"],
    )
    items = list(listing(keys).entries())
    assert shown(iter(items)) == [
        "!/x",
        f"a/ {IMPLIED}",
        "!a/../z",
        "!a//y",
        f"b/ {IMPLIED}",
        f"!b/{long}",
        "!c\0",
        f"g/ {IMPLIED}",
        "!g/old",
    ]
    valid = {each.path: each.valid for each in items if isinstance(each, Unseen)}
    assert valid.pop("g/old")
    assert not any(valid.values())


def test_control_objects_and_ignored_paths_imply_nothing() -> None:
    keys = Keys(dict.fromkeys(["p/.vaultsync/head", "p/a/.vaultsync/x", "p/b/no", "p/c"], 1))
    assert shown(listing(keys, ignored=["b/no"]).entries()) == ["c tag"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("a", ["a tag", f"a/ {IMPLIED}", "a/b tag", f"a/c/ {IMPLIED}", "a/c/d tag"]),
        ("a/c", [f"a/c/ {IMPLIED}", "a/c/d tag"]),
        ("a/c/d", ["a/c/d tag"]),
        ("a-", ["a- tag"]),
        ("m", ["m tag"]),
        ("nothing", []),
    ],
)
def test_one_path_is_listed_without_its_neighbours(at: str, expected: list[str]) -> None:
    keys = Keys(dict.fromkeys(["p/a", "p/a-", "p/a--", "p/a/b", "p/a/c/d", "p/ab", "p/m"], 1))
    assert shown(listing(keys).entries(at)) == expected


NAMES = st.lists(st.sampled_from(["a", "a-", "a0", "b", "é", "", "日"]), min_size=1, max_size=4)


@given(st.sets(NAMES.map("/".join)), st.sampled_from(["", "a", "a/a", "a-", "a/b", "é"]))
def test_a_listing_is_ordered_and_may_be_taken_up_anywhere(keys: set[str], at: str) -> None:
    side = listing(Keys({"p/" + key: 1 for key in keys}))
    whole = list(side.entries(at))
    paths = [each.path for each in whole]
    assert paths == sorted(paths)
    for place in paths:
        rest = [each for each in whole if each.path > place]
        assert list(side.entries(at, place)) == rest
    inside = [
        each for each in side.entries() if (each.path + "/").startswith(at + "/" if at else "")
    ]
    assert whole == inside


def test_a_listing_of_many_pages_streams(make: Making, foreign: Any) -> None:
    side = make.side()
    for number in range(12):
        foreign.put_object(Bucket=make.bucket, Key=f"{PREFIX}d/{number:02}", Body=b"x")
    foreign.put_object(Bucket=make.bucket, Key="private/other/secret", Body=b"x")
    below = side._listing.below("", limit=5)
    next(below)
    assert side.requests["ListObjectsV2"] == 1
    assert len(list(below)) == 12
    assert side.requests["ListObjectsV2"] == 3
    assert [each.path for each in side.entries(after="d/09")] == ["d/10", "d/11"]


def test_a_listed_file_has_the_stamp_that_a_look_gives(make: Making, foreign: Any) -> None:
    foreign.put_object(Bucket=make.bucket, Key=PREFIX + "f", Body=b"x")
    side = make.side()
    (listed,) = side.entries()
    looked = side.look("f")
    assert isinstance(listed, Seen)
    assert looked is not None
    assert (listed.entry.tag, listed.entry.stamp) == (looked.tag, looked.stamp)
