"""Equality with content at hand is proven by the ETag, whatever parts it was made of."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.making import PREFIX, Bytes, Making
from vaultsync.core.model import Entry, Kind
from vaultsync.remote.likeness import alike

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = bytes(range(256)) * (50 << 10)
FIVE = 5 << 20


def upload(foreign: Any, bucket: str, sizes: Sequence[int]) -> Entry:
    """What another program uploads in parts of these sizes."""
    where = {"Bucket": bucket, "Key": PREFIX + "f"}
    name = foreign.create_multipart_upload(**where)["UploadId"]
    parts, start = [], 0
    for number, size in enumerate(sizes, 1):
        body = DATA[start : start + size]
        sent = foreign.upload_part(**where, UploadId=name, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        start += size
    assert start == len(DATA)
    foreign.complete_multipart_upload(**where, UploadId=name, MultipartUpload={"Parts": parts})
    etag = foreign.head_object(**where)["ETag"].strip('"')
    return Entry(Kind.FILE, len(DATA), etag)


@pytest.mark.parametrize(
    "sizes",
    [[len(DATA)], [FIVE, FIVE, len(DATA) - 2 * FIVE], [7 << 20, len(DATA) - (7 << 20)]],
    ids=["one part", "parts of 5 MiB", "parts of 7 MiB"],
)
def test_parts_of_one_size_need_no_download(
    on_model: Making, theirs: Any, sizes: list[int]
) -> None:
    entry = upload(theirs, on_model.bucket, sizes)
    assert entry.tag.endswith(f"-{len(sizes)}")
    side = on_model.side()
    found = side.identify("f", entry, Bytes(DATA))
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert side.requests == {"HeadObject": 1 if len(sizes) == 1 else 2}
    assert not alike(on_model.transport(), PREFIX + "f", entry, Bytes(DATA[:-1] + b"!"))


def test_parts_of_several_sizes_prove_nothing(on_model: Making, theirs: Any) -> None:
    entry = upload(theirs, on_model.bucket, [6 << 20, FIVE, len(DATA) - FIVE - (6 << 20)])
    side = on_model.side()
    assert not alike(on_model.transport(), PREFIX + "f", entry, Bytes(DATA))
    found = side.identify("f", entry, Bytes(DATA))
    assert found.sha256 == hashlib.sha256(DATA).hexdigest()
    assert side.requests["GetObject"] > 0


@pytest.mark.parametrize("tag", ["x", f"{'0' * 32}-x", f"{'0' * 32}-0", f"{'0' * 32}-1-1"])
def test_an_etag_of_another_kind_proves_nothing(on_model: Making, tag: str) -> None:
    transport = on_model.transport()
    for data in (b"", b"content"):
        like = Bytes(data)
        assert not alike(transport, PREFIX + "f", Entry(Kind.FILE, len(data), tag), like)


def test_another_size_is_not_even_read(on_model: Making) -> None:
    like = Bytes(b"content")
    like.stale = True
    assert not alike(on_model.transport(), PREFIX + "f", Entry(Kind.FILE, 8, f"{'0' * 32}-1"), like)


def test_another_version_proves_nothing(on_model: Making, theirs: Any) -> None:
    upload(theirs, on_model.bucket, [len(DATA)])
    entry = Entry(Kind.FILE, len(DATA), f"{'0' * 32}-3")
    assert not alike(on_model.transport(), PREFIX + "f", entry, Bytes(DATA))
    assert not alike(on_model.transport(), PREFIX + "absent", entry, Bytes(DATA))
