from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profiles import at_most
from tests.s3 import foreign_client
from tests.s3model import S3Model
from tests.s3model.state import Bucket, Version

if TYPE_CHECKING:
    from vaultsync.remote.boto import BotoTransport

ODD = [
    "a",
    "a b",
    "a+b",
    "a%20b",
    "a&b<c>\"d'",
    "a/",
    "a//b",
    "a/b",
    "a\nb\rc\td",
    "a\x01b",
    "a\x7f",
    "cafe\u0301",
    "caf\xe9",
    "\ue000",
    "\uffff",
    "\U0001f984",
    "日本/語",
]


def filled(model: S3Model, keys: list[str], name: str = "listed") -> None:
    bucket = model.service.buckets[name] = Bucket(name, "Enabled")
    for key in keys:
        bucket.put(Version(key, (), 0, "0" * 32, 0, {}, {}))


def pages(s3: Any, size: int, **where: Any) -> tuple[list[str], list[str]]:
    """All keys and all common prefixes, in pages of a size."""
    keys: list[str] = []
    groups: list[str] = []
    paginator = s3.get_paginator("list_objects_v2")
    for page in paginator.paginate(**where, PaginationConfig={"PageSize": size}):
        keys += [item["Key"] for item in page.get("Contents", ())]
        groups += [group["Prefix"] for group in page.get("CommonPrefixes", ())]
        assert page["KeyCount"] <= size
    return keys, groups


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_odd_keys_in_pages_in_byte_order(model: S3Model, s3: Any, size: int) -> None:
    filled(model, ODD)
    keys, _ = pages(s3, size, Bucket="listed")
    assert keys == sorted(ODD, key=os.fsencode)


def test_our_own_transport_reads_it(model: S3Model, transport: BotoTransport) -> None:
    for key in ODD:
        model.vault.put(Version(key, (), 0, "0" * 32, 0, {}, {}))
    found: list[str] = []
    page = transport.list_page("", limit=3)
    while True:
        found += [item.key for item in page.items]
        if page.more is None:
            break
        page = transport.list_page("", more=page.more, limit=3)
    assert found == sorted(ODD)
    after = transport.list_page("a", after="a//b")
    assert [item.key for item in after.items] == [
        key for key in sorted(ODD) if key.startswith("a") and key > "a//b"
    ]


KEYS = st.text("ab/\U0001f984", min_size=1, max_size=4)


@pytest.fixture(scope="module")
def lasting() -> Any:
    with S3Model() as running:
        client = foreign_client(running.url)
        yield running, client
        client.close()


@at_most(60)
@given(
    keys=st.lists(KEYS, unique=True),
    prefix=st.text("ab/", max_size=2),
    after=st.text("ab/", max_size=3),
    size=st.integers(1, 4),
)
def test_pages_with_a_delimiter_add_up(
    lasting: Any, keys: list[str], prefix: str, after: str, size: int
) -> None:
    model, s3 = lasting
    filled(model, keys)
    below = sorted(key for key in keys if key.startswith(prefix))
    start = [key for key in below if key > after]
    assert pages(s3, size, Bucket="listed", Prefix=prefix, StartAfter=after)[0] == start
    flat = [key for key in below if "/" not in key[len(prefix) :]]
    deeper = [key[len(prefix) :] for key in below if "/" in key[len(prefix) :]]
    groups = sorted({f"{prefix}{rest.partition('/')[0]}/" for rest in deeper})
    assert pages(s3, size, Bucket="listed", Prefix=prefix, Delimiter="/") == (flat, groups)


def test_the_older_listing(model: S3Model, s3: Any) -> None:
    filled(model, ["a", "b/c", "b/d", "e"])
    first = s3.list_objects(Bucket="listed", Delimiter="/", MaxKeys=2)
    assert [item["Key"] for item in first["Contents"]] == ["a"]
    assert first["NextMarker"] == "b/"
    rest = s3.list_objects(Bucket="listed", Delimiter="/", Marker=first["NextMarker"])
    assert [item["Key"] for item in rest["Contents"]] == ["e"]
    assert "CommonPrefixes" not in rest


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_versions_in_pages(s3: Any, size: int) -> None:
    made = [
        (key, s3.put_object(Bucket="vault", Key=key, Body=b"")["VersionId"])
        for key in ("a\n", "b", "b")
    ]
    made.append(("b", s3.delete_object(Bucket="vault", Key="b")["VersionId"]))
    made.append(("c", s3.put_object(Bucket="vault", Key="c", Body=b"")["VersionId"]))
    expected = [made[0], made[3], made[2], made[1], made[4]]
    found = []
    latest = []
    for page in s3.get_paginator("list_object_versions").paginate(
        Bucket="vault", PaginationConfig={"PageSize": size}
    ):
        items = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        found += [(item["Key"], item["VersionId"]) for item in items]
        latest += [item["VersionId"] for item in items if item["IsLatest"]]
    assert sorted(found) == sorted(expected)
    assert size > 1 or found == expected
    assert set(latest) == {made[0][1], made[3][1], made[4][1]}
    below = s3.list_object_versions(Bucket="vault", Prefix="b")
    assert [item["VersionId"] for item in below["Versions"]] == [made[2][1], made[1][1]]
