"""The model answers as other servers do, where these are known to be right."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import DIRECT, aws
from tests.guards import FOREIGN
from tests.model.asking import outcome
from tests.model.conftest import ONCE
from tests.s3 import foreign_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.cloud.local import LocalCloud

TOLD = ("ETag", "ContentLength", "ContentRange", "ContentType", "Metadata", "PartsCount")


def told(answer: dict[str, Any]) -> dict[str, Any]:
    if "Body" in answer:
        answer["Body"].close()
    return {name: answer[name] for name in TOLD if name in answer}


def story(s3: Any, bucket: str) -> Iterator[object]:
    """One life of some objects; yields all that can be seen of it and must be the same."""
    where = {"Bucket": bucket, "Key": "private/a b+c/ü.txt"}
    other = {"Bucket": bucket, "Key": "private/z"}
    yield outcome(s3.get_object, **where)
    yield outcome(s3.head_object, **where)
    yield outcome(s3.put_object, **where, Body=b"1", IfNoneMatch="*", Metadata={"a": "b"})
    yield outcome(s3.put_object, **where, Body=b"2", IfNoneMatch="*")
    etag = s3.head_object(**where)["ETag"]
    yield outcome(s3.put_object, **where, Body=b"2", IfMatch='"' + "0" * 32 + '"')
    yield outcome(s3.put_object, **where, Body=b"0123456789", IfMatch=etag, ContentType="text/x")
    yield told(s3.head_object(**where))
    yield told(s3.get_object(**where, Range="bytes=2-4"))
    yield told(s3.get_object(**where, Range="bytes=-3"))
    yield outcome(s3.get_object, **where, Range="bytes=50-60")
    etag = s3.head_object(**where)["ETag"]
    yield outcome(s3.get_object, **where, IfNoneMatch=etag)
    yield outcome(s3.get_object, **where, IfMatch='"other"')
    copied = s3.copy_object(**other, CopySource=where)
    yield copied["CopyObjectResult"]["ETag"]
    yield told(s3.head_object(**other))
    yield outcome(s3.copy_object, **other, CopySource={**where, "Key": "private/gone"})
    for size in (1, 2, 1000):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix="private/", Delimiter="/", PaginationConfig={"PageSize": size}
        )
        yield sorted(
            item.get("Key") or item["Prefix"]
            for page in pages
            for item in (*page.get("Contents", ()), *page.get("CommonPrefixes", ()))
        )
    listed = s3.list_objects_v2(Bucket=bucket, StartAfter="private/b")
    yield [(item["Key"], item["Size"], item["ETag"]) for item in listed["Contents"]]
    yield from parts_story(s3, other)
    yield outcome(s3.delete_object, **where, IfMatch='"' + "0" * 32 + '"')
    yield outcome(s3.delete_object, **where, IfMatch=etag)
    yield outcome(s3.delete_object, **where)
    yield outcome(s3.list_objects_v2, Bucket=f"{bucket}-gone")


def parts_story(s3: Any, where: dict[str, str]) -> Iterator[object]:
    upload = s3.create_multipart_upload(**where, Metadata={"c": "d"}, ContentType="text/y")
    which = {**where, "UploadId": upload["UploadId"]}
    parts = []
    for number, body in enumerate((b"x" * (5 << 20), b"tail"), 1):
        part = s3.upload_part(**which, PartNumber=number, Body=body)
        yield part["ETag"]
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
        parts[-1] |= {name: part[name] for name in part if name.startswith("ChecksumCRC")}
    found = s3.list_parts(**which)["Parts"]
    yield [(part["PartNumber"], part["ETag"], part["Size"]) for part in found]
    complete = {**which, "MultipartUpload": {"Parts": parts}}
    yield outcome(s3.complete_multipart_upload, **complete, IfNoneMatch="*")
    yield s3.complete_multipart_upload(**complete)["ETag"]
    yield told(s3.head_object(**where))
    gone = s3.create_multipart_upload(**where)["UploadId"]
    yield outcome(s3.abort_multipart_upload, **where, UploadId=gone)
    yield outcome(s3.list_parts, **where, UploadId=gone)


@pytest.fixture
def moto(moto_url: str) -> Any:
    return foreign_client(moto_url, FOREIGN.merge(ONCE))


@pytest.fixture
def local(cloud: LocalCloud) -> Any:
    return aws(cloud).client("s3", endpoint_url=cloud.url, config=DIRECT)


@pytest.mark.parametrize("known", ["moto", "local"])
def test_as_others_do(request: pytest.FixtureRequest, model_foreign: Any, known: str) -> None:
    bucket = f"likeness-{secrets.token_hex(6)}"
    told = []
    for client in (request.getfixturevalue(known), model_foreign):
        client.create_bucket(Bucket=bucket)
        told.append(list(story(client, bucket)))
    assert told[1] == told[0]
